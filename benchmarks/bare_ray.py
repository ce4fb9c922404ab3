"""The peer of the whole system: Ray with as many actors and an HTTP route, none of which does anything.

    python -m benchmarks.bare_ray --home FOLDER --actors N

Prints one JSON line when each stage is reached, and ends when its standard input does.
Same head, same options, same ingress as ours: what differs is what runs on it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from flipsync.embedded.ports import choose_port
from flipsync.embedded.ray_head import HOST, RayHead, serve_options


def bare_actor(name: str) -> Any:
    """An actor that imports nothing and does nothing, with the options our agents have."""
    ray = importlib.import_module("ray")

    class Bare:  # inside a function: travels by value, so that the worker imports no module of ours
        async def ping(self) -> bool:
            return True

    options = {"name": name, "lifetime": "detached", "max_restarts": -1, "num_cpus": 0, "max_concurrency": 100}
    return ray.remote(Bare).options(**options).remote()


def start_noop_route(port: int) -> None:
    """A Serve application that answers {} and nothing else, through the same ingress."""
    ray_serve = importlib.import_module("ray.serve")
    fastapi = importlib.import_module("fastapi")

    def build() -> Any:
        app = fastapi.FastAPI()

        async def noop() -> dict[str, str]:
            return {"status": "alive"}

        app.get("/noop")(noop)
        return app

    class Noop:
        def __serve_build_asgi_app__(self) -> Any:
            return build()

    ray_serve.start(**serve_options(port))
    deployment = ray_serve.deployment(name="noop", max_ongoing_requests=256)(ray_serve.ingress()(Noop))
    application = deployment.options(ray_actor_options={"num_cpus": 0}).bind()
    ray_serve.run(application, name="noop", route_prefix="/", blocking=False)


def await_answer(url: str, limit: float = 90.0) -> None:
    """Until the URL answers 200. Raises TimeoutError."""
    deadline = time.monotonic() + limit
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} does not answer") from None
        time.sleep(0.05)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--actors", type=int, required=True)
    options = parser.parse_args(argv)
    began = time.monotonic()
    options.home.mkdir(parents=True, exist_ok=True)
    head = RayHead(options.home)
    try:
        head.start()
        port = choose_port()
        start_noop_route(port)
        await_answer(f"http://{HOST}:{port}/noop")
        tell("api", began)
        ray = importlib.import_module("ray")
        ray.get([actor.ping.remote() for actor in [bare_actor(f"bare-{n}") for n in range(options.actors)]])
        tell("agents", began)
        sys.stdin.read()
    finally:
        head.stop()
    return 0


def tell(stage: str, began: float) -> None:
    """One line on stdout: a stage and the seconds since the process's own start of work."""
    print(json.dumps({"stage": stage, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
