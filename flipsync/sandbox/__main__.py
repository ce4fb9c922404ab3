"""`python -m flipsync.sandbox`: serve a sandbox until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import uvicorn

from flipsync.domain.clock import require_utc
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.clock import milliseconds


def _moment(text: str) -> int:
    try:
        return milliseconds(require_utc(datetime.fromisoformat(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m flipsync.sandbox", description=__doc__)
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    options.add_argument("--port", type=int, default=0, help="0 takes a free port")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--data", default=":memory:", help="SQLite file that keeps the market over restarts")
    options.add_argument("--mode", choices=("virtual", "real"), default="virtual")
    options.add_argument("--speed", type=float, default=1.0, help="market seconds per second in real mode")
    options.add_argument("--currency", default="USD")
    options.add_argument("--timezone", default="America/New_York", help="the web shop's time zone")
    options.add_argument("--start", type=_moment, default=None, help="first market time, e.g. 2026-03-02T14:00:00Z")
    options.add_argument("--certfile", default=None, help="PEM certificate: serve https")
    options.add_argument("--keyfile", default=None)
    options.add_argument("--json", action="store_true", help="print one JSON line when ready")
    return options


class _Server(uvicorn.Server):
    """Says when it is ready, and leaves signals to us so that a stop ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    config = SandboxConfig(
        seed=options.seed,
        data=options.data,
        mode=options.mode,
        speed=options.speed,
        currency=options.currency,
        timezone=options.timezone,
        start_ms=options.start,
    )
    listener = socket.create_server((options.host, options.port), backlog=1024)
    # Handed-over sockets do not get this by themselves; without it each answer waits 40 ms for a delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    scheme = "https" if options.certfile else "http"
    sandbox = Sandbox(config, f"{scheme}://{options.host}:{listener.getsockname()[1]}")
    server = _Server(
        uvicorn.Config(
            build_app(sandbox),
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # channels tell their own time
            lifespan="on",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=30,
            ssl_certfile=options.certfile,
            ssl_keyfile=options.keyfile,
        ),
        lambda: _announce(sandbox, as_json=options.json),
    )
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, server.stop)
    await server.serve(sockets=[listener])
    sandbox.books.close()


def _announce(sandbox: Sandbox, *, as_json: bool) -> None:
    credentials = sandbox.credentials()
    ready = {
        "base_url": sandbox.base_url,
        "control_token": sandbox.control_token,
        "channels": credentials,
    }
    text = (
        json.dumps(ready) if as_json else f"Sandbox at {sandbox.base_url}; credentials: {json.dumps(ready, indent=2)}"
    )
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
            runner.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"The sandbox cannot listen on {options.host}:{options.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
