"""Trying a channel: credentials and permissions, then every read the agents make, each with its time and failure."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from flipsync.connectors.base import MarketplaceConnector
from flipsync.domain.channel import ChannelInfo
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, Rejected, Retryable

#: how far back orders are looked for, and how many rows of a list are read
_ORDERS = timedelta(days=30)
_ROWS = 3
_CAUSES = ((Rejected, "rejected"), (Retryable, "retryable"))
_NOBODYS_SKU = "flipsync-probe-no-such-sku"


@dataclass(frozen=True)
class Check:
    """One thing that was tried. `cause` is rejected, retryable or unknown when it failed."""

    name: str
    ok: bool
    milliseconds: int
    detail: str = ""
    cause: str = ""
    hint: str = ""


@dataclass(frozen=True)
class ProbeReport:
    """What is known of a channel after trying it."""

    vendor: str
    base_url: str
    channel: ChannelInfo | None
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Everything answered, and the channel may be read and written."""
        told = self.channel
        return told is not None and told.can_read and told.can_write and all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "base_url": self.base_url,
            "healthy": self.healthy,
            "channel": None if self.channel is None else self.channel.model_dump(mode="json"),
            "checks": [asdict(check) for check in self.checks],
        }


async def try_channel(connector: MarketplaceConnector) -> ProbeReport:
    """Read a little of everything; writes nothing. A channel that refuses the credentials is asked nothing more."""
    checks: list[Check] = []
    told: list[ChannelInfo] = []

    async def credentials() -> str:
        told.append(await connector.probe())
        info = told[0]
        missing = [what for what, may in (("read", info.can_read), ("write", info.can_write)) if not may]
        if missing:
            raise Rejected(
                f"the credentials may not {' or '.join(missing)}",
                hint="; ".join(info.notes) or "give the key these permissions",
                auth=True,
            )
        ends = info.access_ends_at
        return "read and write" + ("" if ends is None else f", until {ends:%Y-%m-%d}")

    async def listings() -> str:
        skus = []
        async for state in connector.listings():
            skus.append(state.sku or state.external_id)
            if len(skus) == _ROWS:
                break
        return f"e.g. {', '.join(skus)}" if skus else "none"

    async def one_listing() -> str:
        found = await connector.find_listing(_NOBODYS_SKU)
        return "not there, as it should be" if found is None else f"found {found.external_id}"

    async def orders() -> str:
        seen = 0
        async for _ in connector.orders(utc_now() - _ORDERS):
            seen += 1
            if seen == _ROWS:
                break
        return "none within 30 days" if not seen else f"{seen} or more within 30 days" if seen == _ROWS else f"{seen}"

    async def rivals() -> str:
        return f"{len(await connector.rivals([_NOBODYS_SKU]))} offers"

    await _check(checks, "credentials", credentials)
    if told and told[0].can_read:
        await _check(checks, "listings", listings)
        await _check(checks, "find by SKU", one_listing)
        await _check(checks, "orders", orders)
        if connector.capabilities.rival_offers:
            await _check(checks, "rival offers", rivals)
    config = connector.config
    return ProbeReport(config.vendor, str(config.base_url), told[0] if told else None, tuple(checks))


async def _check(checks: list[Check], name: str, work: Callable[[], Awaitable[str]]) -> None:
    began = time.monotonic()

    def spent() -> int:
        return round((time.monotonic() - began) * 1000)

    try:
        detail = await work()
    except ChannelError as error:
        cause = next((name for kind, name in _CAUSES if isinstance(error, kind)), "unknown")
        checks.append(Check(name, False, spent(), error.message, cause, error.hint))
    else:
        checks.append(Check(name, True, spent(), detail))
