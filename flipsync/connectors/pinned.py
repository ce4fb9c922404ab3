"""One request to a place somebody has named: at an address that was judged, no redirect followed, a bounded answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx2

from flipsync.connectors.notices.reach import Reach
from flipsync.domain.errors import Rejected, Retryable

logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would write addresses down, with what is in them


@dataclass(frozen=True)
class Fetched:
    status: int
    body: bytes


async def fetch(
    reach: Reach,
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    most: int = 200_000,
    seconds: float = 10.0,
) -> Fetched:
    """Raises Rejected where we may not go or what is there is too large, Retryable when nobody answers."""
    try:
        base = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise Rejected("that is no address") from None
    if base.scheme not in ("http", "https") or not base.host or base.userinfo:
        raise Rejected("that is no address of a server")
    if base.scheme == "http" and not reach.is_inside(base.host):
        raise Rejected(f"{base.host} on the open internet is asked by https only")
    try:
        async with asyncio.timeout(seconds):
            return await _sent(reach, base, method, form, headers or {}, most, seconds)
    except TimeoutError:
        raise Retryable(f"{base.host} does not answer in time") from None


async def _sent(
    reach: Reach,
    base: httpx2.URL,
    method: str,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str],
    most: int,
    seconds: float,
) -> Fetched:
    addresses = await reach.addresses(base.host, base.port or (443 if base.scheme == "https" else 80))
    named = {"Host": base.netloc.decode(), "User-Agent": "FlipSync", "Accept": "application/json"}
    named |= {"Accept-Encoding": "identity", **headers}  # what is small packed may be huge unpacked
    problem = "nobody answers"
    async with httpx2.AsyncClient(verify=_tls(), trust_env=False, timeout=seconds) as client:
        for address in addresses:
            request = client.build_request(method, base.copy_with(host=address), headers=named, data=form)
            request.extensions["sni_hostname"] = base.host  # the certificate is the name's, not the address's
            try:
                answer = await client.send(request, stream=True, follow_redirects=False)
                body = b""
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > most:
                        raise Rejected(f"{base.host} answers with too much")
                await answer.aclose()
                return Fetched(answer.status_code, body)
            except httpx2.HTTPError as error:
                problem = type(error).__name__
    raise Retryable(f"{base.host} cannot be asked: {problem}")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
