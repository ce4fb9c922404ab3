"""Logs as JSON without secrets, and the API's own figures for Prometheus."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, TextIO, cast

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from serve.log_file import LogFile

METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECRET_NAMES = re.compile(r"password|secret|token|authorization|credential|cookie|api_?key|jwt", re.IGNORECASE)
_HIDDEN = "[hidden]"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def configure_logging(level: int = logging.INFO, file: TextIO | LogFile | None = None) -> None:
    """One JSON object a line on standard output, or in `file`; call once per process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO | None", file)),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _json(entry: Any, default: Callable[[Any], Any]) -> str:
    return orjson.dumps(entry, default=default, option=orjson.OPT_NON_STR_KEYS).decode()


def hide_secrets(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank every field whose name says that it is secret, at any depth."""
    for name, value in entry.items():
        if _is_secret(name):
            entry[name] = _HIDDEN
        elif isinstance(value, dict | list | tuple):
            entry[name] = _hidden(value)
    return entry


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _HIDDEN if _is_secret(str(name)) else _hidden(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner) for inner in value]
    return value


class ApiMetrics:
    """Figures of this process. With several replicas each answers for itself; sum over them in Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "flipsync_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "flipsync_http_request_seconds",
            "Time to answer",
            ["method", "route"],
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.websockets = Gauge("flipsync_websocket_clients", "Clients listening", registry=self.registry)
        self.webhooks = Counter("flipsync_webhooks", "Webhooks received", ["vendor", "outcome"], registry=self.registry)

        self._of_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; methods nobody has heard of are "other", or a caller could make figures without end."""
        key = (method if method in _METHODS else "other", route, status)
        found = self._of_route.get(key)
        if found is None:
            counter = self.requests.labels(key[0], route, str(status))
            found = self._of_route[key] = counter, self.duration.labels(key[0], route)
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """Prometheus text format 0.0.4."""
        return generate_latest(self.registry)
