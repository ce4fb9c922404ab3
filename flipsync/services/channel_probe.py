"""Trying a channel: credentials and permissions, then every read the agents make, webhooks and limits, each with its
time and failure."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from flipsync.connectors.base import MarketplaceConnector, Unlimited
from flipsync.domain.channel import ChannelInfo, ChannelOrder, ListingState
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, Rejected, Retryable
from flipsync.domain.sourcing import CATALOGUES, CatalogueQuestion

#: how far back orders are looked for, and how many rows of a list are read
_ORDERS = timedelta(days=30)
_ROWS = 3
_CAUSES = ((Rejected, "rejected"), (Retryable, "retryable"))
_NOBODYS_SKU = "flipsync-probe-no-such-sku"
#: a pencil that catalogues have: Stabilo's, whose code stands for EANs in textbooks
_ANY_GTIN: Final = "04006381333931"
#: of a documented pace, below which the vendor gives less
_AS_DOCUMENTED = 0.99


@dataclass(frozen=True)
class Check:
    """One thing that was tried. `cause` is rejected, retryable or unknown when it failed. A channel without one that is
    `optional` sells all the same."""

    name: str
    ok: bool
    milliseconds: int
    detail: str = ""
    cause: str = ""
    hint: str = ""
    optional: bool = False


@dataclass(frozen=True)
class ProbeReport:
    """What is known of a channel after trying it."""

    vendor: str
    base_url: str
    channel: ChannelInfo | None
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Everything that is needed answered, and the channel may be read and written."""
        told = self.channel
        needed = all(check.ok or check.optional for check in self.checks)
        return told is not None and told.can_read and told.can_write and needed

    def as_dict(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "base_url": self.base_url,
            "healthy": self.healthy,
            "channel": None if self.channel is None else self.channel.model_dump(mode="json"),
            "checks": [asdict(check) for check in self.checks],
        }


@dataclass
class _Bucket:
    rate: float
    size: int
    calls: int = 0
    told_rate: float | None = None
    left: float | None = None
    paused: float = 0.0


@dataclass
class SeenLimits(Unlimited):
    """A limiter that never waits, and remembers which limits were met and what the vendor said of them."""

    buckets: dict[str, _Bucket] = field(default_factory=dict)

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        self._of(bucket, rate_per_second, burst).calls += 1

    async def pause(self, bucket: str, seconds: float) -> None:
        self._of(bucket).paused = seconds

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        seen = self._of(bucket)
        seen.told_rate = seen.told_rate if rate_per_second is None else rate_per_second
        seen.size = seen.size if burst is None else burst
        seen.left = seen.left if left is None else left

    def _of(self, bucket: str, rate: float = 0.0, size: int = 0) -> _Bucket:
        name = bucket.partition(":")[2] or bucket
        return self.buckets.setdefault(name, _Bucket(rate, size))

    def told(self) -> str:
        """In words. Raises Retryable when one is used up or called for a pause."""
        met = {name: seen for name, seen in self.buckets.items() if seen.calls}
        for name, seen in met.items():
            if seen.paused:
                raise Retryable(f"{name}: no calls for {seen.paused:g} s", hint="too many calls: try again later")
            if seen.left is not None and seen.left < 1:
                raise Retryable(f"{name}: {seen.left:g} of {seen.size:,} are left", hint="wait until it fills again")
        words = [f"{len(met)} met in {sum(seen.calls for seen in met.values())} calls"]
        left = {name: seen.left / seen.size for name, seen in met.items() if seen.left is not None and seen.size}
        if left:
            least = min(left, key=lambda name: left[name])
            words.append(f"least is left of {least}: {met[least].left:,.0f} of {met[least].size:,}")
        for name, seen in met.items():
            if seen.told_rate is not None and seen.told_rate < _AS_DOCUMENTED * seen.rate:
                words.append(f"{name}: {seen.told_rate:g} a second, documented are {seen.rate:g}")
        return "; ".join(words)


async def try_channel(connector: MarketplaceConnector, limits: SeenLimits) -> ProbeReport:
    """Read a little of everything; writes nothing. A channel that refuses the credentials is asked nothing more.

    `limits` is the connector's limiter.
    """
    checks: list[Check] = []
    told: list[ChannelInfo] = []
    shown: list[ListingState] = []
    sold: list[ChannelOrder] = []
    since = utc_now() - _ORDERS

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
        shown.extend(await _first(connector.listings()))
        return f"e.g. {', '.join(state.sku or state.external_id for state in shown)}" if shown else "none"

    async def find() -> str:
        found = await connector.find_listing(_NOBODYS_SKU)
        return "not there, as it should be" if found is None else f"found {found.external_id}"

    async def one_listing() -> str:
        named = shown[0].external_id
        alone, together = await connector.read_listing(named), await connector.read_listings([named])
        whole = await connector.read_whole(named)
        if alone is None or whole is None or named not in together:
            raise Rejected(f"listing {named} is in the list, and not there when it is asked for", missing=True)
        return f"{alone.sku}: {alone.quantity} at {alone.price}"

    async def orders() -> str:
        sold.extend(await _first(connector.orders(since)))
        more = " or more" if len(sold) == _ROWS else ""
        return f"{len(sold)}{more} within 30 days" if sold else "none within 30 days"

    async def one_order() -> str:
        named = sold[0].external_id
        order = await connector.read_order(named)
        if order is None:
            raise Rejected(f"order {named} is in the list, and not there when it is asked for", missing=True)
        return f"{order.number}: {order.status}, {order.total}"

    async def rivals() -> str:
        return f"{len(await connector.rivals([shown[0].sku if shown else _NOBODYS_SKU]))} offers"

    async def catalogue() -> str:
        found = await connector.look_up([CatalogueQuestion(key="probe", gtin=_ANY_GTIN)])
        return f"knows {found[0].title}" if found else "answers"

    async def refunds() -> str:
        return _many(await _first(connector.refunded(since)), "refunded orders")

    async def warehouse() -> str:
        return _many(await _first(connector.warehouse()), "goods of ours")

    async def ads() -> str:
        running, sales = await connector.ads(), await _first(connector.ad_sales(since, utc_now()))
        return f"{len(running)} run; {_many(sales, 'sales within 30 days')}"

    async def payouts() -> str:
        found = await _first(connector.payouts(since))
        if not found:
            return "none within 30 days"
        lines = await _first(connector.payout_lines(found[0].external_id))
        return f"{_many(found, 'within 30 days')}, with {_many(lines, 'lines')}"

    async def webhooks() -> str:
        hooks = await connector.subscriptions()
        if hooks is None:
            return "cannot be listed"
        off = [f"{hook.topic} at {hook.url}" for hook in hooks if not hook.active]
        known = f"{len(hooks) - len(off)} active" if hooks else "none yet: they are made when it is connected"
        return known + (f"; switched off: {', '.join(off)}" if off else "")

    async def pace() -> str:
        return limits.told()

    await _check(checks, "credentials", credentials)
    if told and told[0].can_read:
        await _check(checks, "listings", listings)
        await _check(checks, "find by SKU", find)
        if shown:
            await _check(checks, "one listing", one_listing)
        await _check(checks, "orders", orders)
        if sold:
            await _check(checks, "one order", one_order)
        if connector.capabilities.rival_offers:
            await _check(checks, "rival offers", rivals)
        for there, name, work in (
            (connector.vendor in CATALOGUES, "catalogue", catalogue),
            (_reads(connector, "refunded"), "refunds", refunds),
            (_reads(connector, "warehouse"), "warehouse", warehouse),
            (connector.capabilities.ads, "ads", ads),
            (connector.capabilities.payouts, "payouts", payouts),
            (_reads(connector, "subscriptions"), "webhooks", webhooks),
        ):
            if there:
                await _check(checks, name, work, optional=True)
        await _check(checks, "limits", pace)
    config = connector.config
    return ProbeReport(config.vendor, str(config.base_url), told[0] if told else None, tuple(checks))


def _reads(connector: MarketplaceConnector, what: str) -> bool:
    """Whether the channel has that: the base has nothing."""
    return getattr(type(connector), what) is not getattr(MarketplaceConnector, what)


async def _first(rows: AsyncIterator[Any]) -> list[Any]:
    found = []
    async for row in rows:
        found.append(row)
        if len(found) == _ROWS:
            break
    return found


def _many(rows: list[Any], what: str) -> str:
    return f"no {what}" if not rows else f"{len(rows)}{' or more' if len(rows) == _ROWS else ''} {what}"


async def _check(checks: list[Check], name: str, work: Callable[[], Awaitable[str]], *, optional: bool = False) -> None:
    began = time.monotonic()

    def spent() -> int:
        return round((time.monotonic() - began) * 1000)

    try:
        detail = await work()
    except ChannelError as error:
        cause = next((name for kind, name in _CAUSES if isinstance(error, kind)), "unknown")
        checks.append(Check(name, False, spent(), error.message, cause, error.hint, optional))
    else:
        checks.append(Check(name, True, spent(), detail, optional=optional))
