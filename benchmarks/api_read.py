"""Authenticated reads through HAProxy and Ray Serve, against a no-op on bare uvicorn under the same load.

    python -m benchmarks.api_read [--quick] [--json] [--seconds 5] [--repeats 3] [--width 32]

Beside the peer it measures what lies between: our /health (no database) through Serve, our own application on bare
uvicorn, and the load generator against a server that only counts, which is the most it could ever report. What a
request costs is told by process, too: that figure is the same on a machine that others use.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.bare_ray import await_answer
from benchmarks.installation import fetch, running, temporary_home
from benchmarks.load import LoadResult, hammer, http_request
from benchmarks.measuring import Report, saying, spread
from benchmarks.processes import processor_time, spent
from benchmarks.trading import EMAIL, PASSWORD, open_business, processes, settle
from flipsync.embedded.ports import choose_port
from flipsync.system import System

AIM_SHARE = 0.25
_SHOWN_MS = 0.005
_HOST = "127.0.0.1"


@contextlib.contextmanager
def uvicorn_running(factory: str, path: str) -> Iterator[str]:
    """A bare uvicorn with the application `factory` makes; its URL."""
    port = choose_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--host", _HOST, "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "--no-access-log"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://{_HOST}:{port}"
        await_answer(url + path)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=15)


def noop_app() -> Any:
    """A FastAPI application with one route that does nothing."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/noop")
    async def noop() -> dict[str, str]:
        return {"status": "alive"}

    return app


def own_app() -> Any:
    """Our API, to be served without Ray; settings from the environment."""
    from serve.api import build_app
    from serve.settings import ServeSettings
    from serve.telemetry import configure_logging

    configure_logging()
    values: dict[str, Any] = {}
    return build_app(ServeSettings(**values))


@contextlib.contextmanager
def counter_running() -> Iterator[str]:
    """The server that only counts, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.listener"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=15)


def sign_in(api_url: str) -> str:
    """An access token of the benchmark's owner."""
    body = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
    request = urllib.request.Request(
        f"{api_url}/api/v1/auth/login", data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=15) as answer:
        return str(json.load(answer)["access_token"])


async def _load(
    url: str, width: int, seconds: float, headers: dict[str, str] | None = None
) -> tuple[LoadResult, LoadResult]:
    """The load that warms up, and the one that counts."""
    request = http_request("GET", url, headers)
    make: Callable[[], bytes] = lambda: request  # noqa: E731 - a name for the type
    warm = await hammer(url, make, width=width, seconds=min(1.0, seconds))
    result = await hammer(url, make, width=width, seconds=seconds)
    for each in (warm, result):
        each.require(200)
    return warm, result


def _one_order(system: System, skus: int) -> str:
    """A small business with one order in the books; the order's id."""

    async def go() -> str:
        business = await open_business(system, skus=skus)
        try:
            make = business.orders(("custom",))
            placed = await hammer(business.sandbox.base_url, make, width=1, count=5, answered=business.note)
            placed.require(200)
            await settle(business)
            query = "SELECT id FROM customer_order WHERE tenant_id = %(t)s ORDER BY id LIMIT 1"
            return str(fetch(business.url, query, {"t": business.tenant_id})[0]["id"])
        finally:
            await business.aclose()

    return asyncio.run(go())


def measure(*, seconds: float, repeats: int, width: int, skus: int) -> dict[str, Any]:
    """The result object."""
    with temporary_home() as home, contextlib.ExitStack() as stack:
        system = stack.enter_context(running(home, sandbox=("--mode", "real")))
        order = _one_order(system, skus)
        token = {"Authorization": f"Bearer {sign_in(system.api_url)}"}
        products = "/api/v1/products?limit=1"
        noop = stack.enter_context(uvicorn_running("benchmarks.api_read:noop_app", "/noop"))
        own = stack.enter_context(uvicorn_running("benchmarks.api_read:own_app", "/api/v1/monitoring/health"))
        counter = stack.enter_context(counter_running())
        paths: dict[str, tuple[str, dict[str, str] | None]] = {
            "noop_uvicorn": (f"{noop}/noop", None),
            "order_serve": (f"{system.api_url}/api/v1/orders/{order}", token),
            "products_serve": (system.api_url + products, token),
            "health_serve": (f"{system.api_url}/api/v1/monitoring/health", None),
            "products_uvicorn": (own + products, token),
            "generator": (counter, None),
        }
        rates: dict[str, list[float]] = {name: [] for name in paths}
        p50: dict[str, list[float]] = {name: [] for name in paths}
        p99: dict[str, list[float]] = {name: [] for name in paths}
        generator: dict[str, float] = {}
        processor: dict[str, dict[str, float]] = {}
        for turn in range(repeats):
            for name, (url, headers) in paths.items():
                before = processor_time(processes(system))
                with saying(f"{name}, turn {turn + 1}"):
                    warm, result = asyncio.run(_load(url, width, seconds, headers))
                used = spent(before, processor_time(processes(system)))
                answers = len(warm.latencies) + len(result.latencies)
                processor[name] = {who: 1000 * took / answers for who, took in used.items() if took > 0}
                rates[name].append(result.per_second)
                ordered = sorted(result.latencies)
                p50[name].append(ordered[len(ordered) // 2])
                p99[name].append(ordered[int(len(ordered) * 0.99)])
                generator[name] = result.generator_share
    return {
        "width": width,
        "per_second": {name: spread(each) for name, each in rates.items()},
        "p50_seconds": {name: spread(each) for name, each in p50.items()},
        "p99_seconds": {name: spread(each) for name, each in p99.items()},
        "generator_share_of_a_core": generator,
        "processor_ms_per_request": processor,
        "share_of_noop": {
            name: spread([mine / peer for mine, peer in zip(rates[name], rates["noop_uvicorn"], strict=True)])
            for name in ("order_serve", "products_serve", "health_serve", "products_uvicorn")
        },
        "aim_share": AIM_SHARE,
    }


_WORDS = {
    "noop_uvicorn": "no-op on bare uvicorn",
    "order_serve": "GET one order, HAProxy + Serve",
    "products_serve": "GET products?limit=1, HAProxy + Serve",
    "health_serve": "GET health, HAProxy + Serve",
    "products_uvicorn": "GET products?limit=1, our app on bare uvicorn",
    "generator": "generator against a server that only counts",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, default=32, help="keep-alive connections")
    options = parser.parse_args(argv)
    skus = 20
    if options.quick:
        options.seconds, options.repeats, options.width, skus = 0.5, 1, 4, 2
    report = Report("api_read")
    report.result = result = measure(seconds=options.seconds, repeats=options.repeats, width=options.width, skus=skus)
    for name, words in _WORDS.items():
        rate, share = result["per_second"][name], result["share_of_noop"].get(name)
        against = f"{rate['min']:,.0f}–{rate['max']:,.0f}; p50 {1000 * result['p50_seconds'][name]['median']:.1f} ms"
        against += f", p99 {1000 * result['p99_seconds'][name]['median']:.1f} ms"
        against += f"; {share['median']:.2f}× no-op" if share else ""
        report.row(words, f"{rate['median']:,.0f}/s", against)
    for name in ("order_serve", "products_serve", "health_serve"):
        used = result["processor_ms_per_request"][name]
        most = ", ".join(f"{who} {took:.3f}" for who, took in used.items() if took >= _SHOWN_MS)
        report.row(f"processor ms: {_WORDS[name]}", f"{sum(used.values()):.3f}", most)
    report.row("aim: read / no-op", f"{result['share_of_noop']['order_serve']['median']:.2f}×", f"≥{AIM_SHARE}×")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
