"""The API as a Ray Serve application; the only module here that knows Ray.

`serve run serve.app:application` reads its settings from the environment; `flipsync up` gives them to `bind`.
The FastAPI application is built on the replica, so that connections and locks belong to the process that uses them.
"""

from __future__ import annotations

import gc
import resource
import sys
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve.schema import LoggingConfig

from serve.api import build_app
from serve.ingress import serve_here
from serve.log_file import LogFile
from serve.settings import ServeSettings
from serve.telemetry import configure_logging

NAME = "flipsync-api"
MAX_ONGOING = 256
#: objects made before the collector looks: with Python's 700 it looks several times a request
_COLLECT_AFTER = 10_000


# Serve's own access log would write the paths of webhooks, which are secret; serve.middleware logs routes instead.
@ray_serve.deployment(
    name=NAME,
    max_ongoing_requests=MAX_ONGOING,
    health_check_period_s=10,
    graceful_shutdown_timeout_s=10,
    logging_config=LoggingConfig(enable_access_log=False),
)
@ray_serve.ingress()
class Api:
    """One replica. Settings left out are read from its environment."""

    def __init__(self, settings: ServeSettings | None = None) -> None:
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each WebSocket takes one
        # Serve puts a logger of its own in place of sys.stdout, which walks the stack for every line
        gc.set_threshold(_COLLECT_AFTER, 20, 20)
        self._settings = settings or ServeSettings()
        # Not sys.stdout: Serve has put a logger there that walks the stack for every line. Nor the worker's own output,
        # of which Ray tells every line to whoever drives the cluster.
        folder = self._settings.log_folder
        configure_logging(file=sys.__stdout__ if folder is None else LogFile(folder, "api"))

    def __serve_build_asgi_app__(self) -> FastAPI:
        application = build_app(self._settings)
        serve_here(application)
        return application


def bind(settings: ServeSettings | None = None, *, replicas: int | None = None, num_cpus: float = 0.0) -> Any:
    """The application for `ray.serve.run`. Sealed in the deployment, settings travel only inside the cluster.

    `replicas` left out: as many as the settings, or the environment here, say.
    """
    deployment: Any = Api
    number = replicas or (settings or ServeSettings()).api_replicas
    return deployment.options(num_replicas=number, ray_actor_options={"num_cpus": num_cpus}).bind(settings)


def application(_: dict[str, str]) -> Any:
    """Entry for `serve run serve.app:application`."""
    return bind()
