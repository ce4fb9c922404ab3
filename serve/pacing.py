"""The pace of requests that do not say who asks: by their address, as it is known behind proxies."""

from __future__ import annotations

from typing import Final

from fastapi import Depends, params
from starlette.requests import HTTPConnection
from starlette.types import Scope

from serve.backend import Backend, Nobody


def address_of(scope: Scope, backend: Backend) -> str:
    """Who connected. Behind proxies of ours, what the outermost of them saw; what clients write before it is theirs."""
    hops = backend.settings.trusted_proxies
    if hops:
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        seen = ",".join(lines).split(",") if lines else ()
        if len(seen) >= hops:
            return seen[-hops].strip()
    return scope["client"][0] if scope.get("client") else ""


def take_nobody(scope: Scope, backend: Backend, kind: Nobody) -> None:
    """Count a request that does not say who asks. Raises TooManyRequests when its address does so too often."""
    backend.take_nobody(scope, kind, address_of(scope, backend))


async def _anybody(connection: HTTPConnection) -> None:
    take_nobody(connection.scope, connection.app.state.backend, "address")


async def _any_channel(connection: HTTPConnection) -> None:
    take_nobody(connection.scope, connection.app.state.backend, "webhook")


#: `dependencies` of routes that ask nobody who they are; of channels that deliver what happened, by the thousand
OPEN = (Depends(_anybody),)
OPEN_TO_CHANNELS = (Depends(_any_channel),)
#: whose pace counts, by a route's `dependencies`
NOBODY: Final[dict[tuple[params.Depends, ...], Nobody | None]] = {
    (): None,
    OPEN: "address",
    OPEN_TO_CHANNELS: "webhook",
}
