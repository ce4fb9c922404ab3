"""Runs the main job against a running system and its sandbox; see `flipsync demo --help`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from flipsync.demo.reconcile import Reconciliation, reconcile
from flipsync.domain.called_off import PutBackUnits
from flipsync.domain.channel import StockMode, Vendor
from flipsync.domain.clock import Clock
from flipsync.domain.errors import Conflict
from flipsync.domain.events import ChannelCheckDue, ListingCheckDue
from flipsync.sandbox.client import SandboxClient
from flipsync.sandbox.records import sandbox_channel
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, approvals, identity, orders
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.services.orders import AccountRef
from flipsync.services.tenant_settings import TenantSettings
from flipsync.store.models import (
    AgentTask,
    Allocation,
    Approval,
    Effect,
    EventRecord,
    Listing,
    Order,
    Proposal,
    Shipment,
    Tenant,
)
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import Store, UnitOfWork
from flipsync.system import SandboxProcess

#: what real channels do on a bad day, at once (rates of calls)
FAULTS = {
    "latency": 0.1,
    "latency_seconds": 0.15,
    "rate_limited": 0.01,
    "retry_after_seconds": 1,
    "error_before": 0.02,
    "error_after": 0.02,
    "drop_after": 0.01,
    "hang_after": 0.003,
    "hang_seconds": 5.0,
    "stale_read": 0.05,
    "stale_seconds": 0.8,
    "ignored_write": 0.01,
    "webhook_lost": 0.05,
    "webhook_duplicate": 0.1,
    "webhook_delay": 0.1,
    "webhook_delay_seconds": 2.0,
    "webhook_reorder": 0.1,
}
#: how often a house at a demo's speed looks around: an hour of the market lasts two seconds there, and a house that
#: looked at its whole catalogue that often would do little else
CADENCE = {"FLIPSYNC_EVERY_ORDERS": "3600", "FLIPSYNC_EVERY_FLOOR": "5"}
#: what the channels' owners would have to wait for before a listing is stuck, in seconds
_LISTING_LIMIT, _QUIET_LIMIT = 300.0, 300.0
#: times that books which differ from the market's are looked at
_LOOKS = 4
#: goods that are not on sale this long after the last that were will not be, in seconds
_HELD_BACK = 20.0
Tell = Callable[[str, float, str], None]
_NAMES: dict[str, str] = {"woocommerce": "Own shop", "custom": "Marketplace"}


@dataclass
class DemoPlan:
    """What to run. `cost_ratio` is the owner's assumption for files that do not say what goods cost."""

    catalogue: Path
    days: float = 2.0
    seed: int = 7
    speed: float = 1920.0
    faults: bool = True
    traffic: float = 1.0
    stock_mode: StockMode = "escrow"
    cost_ratio: Decimal | None = Decimal("0.5")
    currency: str = "USD"
    channels: tuple[Vendor, ...] = ("woocommerce", "custom")


@dataclass
class DemoResult:
    """What came of it."""

    tenant_id: UUID
    imported: ImportOutcome
    reconciliation: Reconciliation
    started_at: datetime
    duration_s: float
    phases: dict[str, float] = field(default_factory=dict)


class Demo:
    """One run in a business of its own. Survives the death of any part: what cannot be done now is tried again."""

    def __init__(
        self, store: Store, box: SecretBox, sandbox: SandboxProcess, api_url: str, clock: Clock, tell: Tell
    ) -> None:
        self._store = store
        self._box = box
        self._sandbox = sandbox
        self._api_url = api_url
        self._clock = clock
        self._tell = tell
        self._accounts: list[AccountRef] = []

    async def run(self, plan: DemoPlan) -> DemoResult:
        started, began = self._clock.now(), time.monotonic()
        phases: dict[str, float] = {}

        def phase(name: str) -> None:
            phases[name] = round(time.monotonic() - began - sum(phases.values()), 2)

        async with SandboxClient(self._sandbox.base_url, self._sandbox.control_token) as market:
            await market.open_for_business(traffic=plan.traffic, open=False)
            tenant_id = await self._found_business(plan)
            imported = await self._import(tenant_id, plan)
            phase("import")
            await self._connect(tenant_id, plan)
            await self._await_listed(tenant_id, imported)
            phase("list")
            if plan.faults:
                for vendor in plan.channels:
                    await market.set_faults(sandbox_channel(vendor), replace=True, **FAULTS)
            await market.open_for_business(open=True)
            await self._trade(tenant_id, plan)
            phase("trade")
            await market.open_for_business(open=False)
            for vendor in plan.channels:
                await market.set_faults(sandbox_channel(vendor), replace=True)
            result = await self._settle(tenant_id, market)
            phase("settle")
        await self._close(tenant_id)
        return DemoResult(tenant_id, imported, result, started, round(time.monotonic() - began, 2), phases)

    # -- before trading -----------------------------------------------------------------------------------------------

    async def _found_business(self, plan: DemoPlan) -> UUID:
        passwords = Passwords()
        tenant_id, self._owner = await identity.create_tenant_with_owner(
            self._store,
            passwords,
            tenant_name=f"Demo {self._clock.now():%Y-%m-%d %H:%M}",
            email=f"demo-{int(time.time() * 1000)}@flipsync.local",
            password=f"demo {time.time_ns():x} {id(self):x}",
            currency=plan.currency,
        )
        passwords.close()
        settings = TenantSettings(webhook_base_url=self._api_url)
        async with self._store.unit(tenant_id) as unit:
            await unit.session.execute(
                update(Tenant).where(Tenant.id == tenant_id).values(settings=settings.model_dump(mode="json"))
            )
        return tenant_id

    async def _import(self, tenant_id: UUID, plan: DemoPlan) -> ImportOutcome:
        self._tell("import", 0.0, plan.catalogue.name)
        catalogue = read_catalogue(plan.catalogue, currency=plan.currency, default_cost_ratio=plan.cost_ratio)
        return await import_catalogue(
            self._store, tenant_id, catalogue, file_name=plan.catalogue.name, stock_mode=plan.stock_mode
        )

    async def _connect(self, tenant_id: UUID, plan: DemoPlan) -> None:
        for vendor in plan.channels:
            config, credentials = self._sandbox.account(
                vendor,
                currency=plan.currency,
                timeout_seconds=2.5,
                settle_seconds=1.0,
                requests_per_second=200,
                burst=100,
            )
            async with self._store.unit(tenant_id) as unit:
                account_id = await accounts.connect_account(
                    unit,
                    self._box,
                    vendor=vendor,
                    name=_NAMES.get(vendor, vendor.capitalize()),
                    config=config,
                    credentials=credentials,
                    stock_mode=plan.stock_mode,
                )
            self._accounts.append(AccountRef(account_id, vendor))

    async def _await_listed(self, tenant_id: UUID, imported: ImportOutcome) -> None:
        wanted = imported.variants_created * len(self._accounts)
        deadline = time.monotonic() + _LISTING_LIMIT
        moved, before = time.monotonic(), -1

        async def listed() -> bool:
            nonlocal moved, before
            async with self._store.reader(tenant_id) as session:
                counts = await session.execute(select(Listing.status, func.count()).group_by(Listing.status))
                rows = {row[0]: row[1] for row in counts}
                waiting = await session.scalar(
                    select(func.count())
                    .select_from(Allocation)
                    .join(Listing, Listing.id == Allocation.listing_id)
                    .where((Allocation.entitled != Allocation.target) | (Allocation.pending > 0))
                )
                pending = await session.scalar(
                    select(func.count())
                    .select_from(Effect)
                    .where(Effect.finished_at.is_(None), Effect.command.in_(["PublishListing", "SetChannelQuantity"]))
                )
            active = rows.get("active", 0)
            self._tell(
                "list", active / max(1, wanted), f"{active} of {wanted} listings on {len(self._accounts)} channels"
            )
            if active != before:
                moved, before = time.monotonic(), active
            # a channel's agent may hold goods back (eBay shows none without a picture): they wait for their owner
            held_back = rows.get("requested") and (not active or time.monotonic() - moved < _HELD_BACK)
            settled = not waiting and not pending and sum(rows.values()) > 0 and not held_back
            return settled or time.monotonic() > deadline

        await self._until(listed, 0.5)

    # -- trading ------------------------------------------------------------------------------------------------------

    async def _trade(self, tenant_id: UUID, plan: DemoPlan) -> None:
        """Let market time pass; meanwhile the warehouse packs and hands over what is ready."""
        began = self._clock.now()
        end = began + timedelta(days=plan.days)

        async def day_over() -> bool:
            await self._ship_ready(tenant_id)
            await self._call_parcels_back(tenant_id)
            now = self._clock.now()
            async with self._store.reader(tenant_id) as session:
                taken = await session.scalar(select(func.count()).select_from(Order))
            self._tell("trade", min(1.0, (now - began) / (end - began)), f"{taken} orders, {now:%a %H:%M} market time")
            return now >= end

        await self._until(day_over, 1.0)

    async def _ship_ready(self, tenant_id: UUID) -> None:
        async with self._store.reader(tenant_id) as session:
            ready = (
                await session.execute(
                    select(Order.id, Order.account_id)
                    .outerjoin(Shipment, Shipment.order_id == Order.id)
                    .where(Order.state == "ready", Shipment.id.is_(None))
                    .limit(50)
                )
            ).all()
        vendors = {account.id: account for account in self._accounts}
        for order_id, account_id in ready:
            async with self._store.unit(tenant_id) as unit:
                try:
                    await orders.hand_over(
                        unit, vendors[account_id], order_id, "USPS", f"9400{order_id.int % 10**18:018d}"
                    )
                except Conflict:
                    continue  # cancelled between the look and the handover

    async def _call_parcels_back(self, tenant_id: UUID) -> None:
        async with self._store.unit(tenant_id) as unit:
            await parcels_are_home(unit, self._owner)

    # -- after trading ------------------------------------------------------------------------------------------------

    async def _settle(self, tenant_id: UUID, market: SandboxClient) -> Reconciliation:
        """The books held against the market's once all is quiet. Buyers call orders off for hours after it has closed,
        also between the last reading of a channel and that look: what differs has to differ every time."""
        deadline = time.monotonic() + _QUIET_LIMIT
        for _ in range(_LOOKS):
            await self._await_quiet(tenant_id, market, deadline)
            result = await reconcile(self._store, tenant_id, await market.books())
            if not result.problems:
                break
        return result

    async def _await_quiet(self, tenant_id: UUID, market: SandboxClient, deadline: float) -> None:
        """Until every fact is taken in and every effect is done: two looks in a row with nothing open."""
        calm = 0
        round_number = 0

        async def quiet() -> bool:
            nonlocal calm, round_number
            await self._ship_ready(tenant_id)
            await self._call_parcels_back(tenant_id)
            await market.flush_webhooks()
            if round_number % 4 == 0:
                await self._look_again(tenant_id, round_number)
            round_number += 1
            await asyncio.sleep(1.0)
            async with self._store.reader(tenant_id) as session:
                open_work = await _open_work(session)
                taken = await session.scalar(select(func.count()).select_from(Order))
                unshipped = await session.scalar(
                    select(func.count())
                    .select_from(Order)
                    .where(Order.holds_stock, Order.state.in_(["reserved", "ready"]))
                )
            placed = (await market.status())["orders_total"]
            calm = calm + 1 if not open_work and taken == placed and not unshipped and round_number > 4 else 0
            self._tell("settle", min(1.0, calm / 3), f"{taken} of {placed} orders taken in, {open_work} things open")
            return calm >= 3 or time.monotonic() > deadline

        await self._until(quiet, 0.0)

    async def _look_again(self, tenant_id: UUID, round_number: int) -> None:
        async with self._store.unit(tenant_id) as unit:
            for account in self._accounts:
                unit.emit(ChannelCheckDue(account_id=account.id, vendor=account.vendor))
                if round_number == 0:
                    unit.emit(ListingCheckDue(account_id=account.id, vendor=account.vendor))

    async def _close(self, tenant_id: UUID) -> None:
        """The sandbox ends with us: nobody should look for it later."""
        async with self._store.unit(tenant_id) as unit:
            for account in await listing_rows.accounts(unit.session):
                await accounts.disconnect_account(unit, account.id, "the demo is over")

    async def _until(self, condition: Callable[[], Awaitable[bool]], pause: float) -> None:
        """Ask again until true; a database or Redis that is away is waited for."""
        while True:
            try:
                if await condition():
                    return
            except (DBAPIError, OSError):
                await asyncio.sleep(0.5)
            await asyncio.sleep(pause)


_AGAIN_AND_AGAIN = (
    *("PullOrders", "PullRivals", "PullWarehouse", "PullRefunds", "PullPayouts"),
    *("VerifyListings", "EnsureWebhooks"),
)
#: facts of the clock, which at a demo's speed strikes the hour every two seconds: a slow machine is never done with all
_BY_THE_CLOCK = ("CycleStarted", "RepricingDue", "TrendsDue", "ListingsDue", "PlanDue")


async def parcels_are_home(unit: UnitOfWork, owner: UUID) -> None:
    """A buyer cancelled when the parcel was with the carrier: the market has the goods with the seller again, so the
    owner says that they are."""
    asked = await unit.session.scalars(
        select(Approval.id)
        .join(Proposal, Proposal.decision_id == Approval.decision_id)
        .where(Approval.state == "open", Proposal.command == PutBackUnits.type_name())
        .where(Proposal.payload["shelf"].astext == "restocked")
    )
    await approvals.answer_approvals(unit, asked.all(), approved=True, by=owner)


async def _open_work(session: Any) -> int:
    """Agents' tasks and writes to channels that are not finished; what is looked at again and again does not count, nor
    what waits for the hour's budget."""
    soon = func.now() + timedelta(seconds=5)
    tasks = await session.scalar(
        select(func.count())
        .select_from(AgentTask)
        .join(EventRecord, EventRecord.id == AgentTask.event_id)
        .where(AgentTask.state.in_(["pending", "leased"]), AgentTask.not_before <= soon)
        .where(EventRecord.type.not_in(_BY_THE_CLOCK))
    )
    effects = await session.scalar(
        select(func.count())
        .select_from(Effect)
        .where(
            Effect.finished_at.is_(None),
            Effect.command.not_in(_AGAIN_AND_AGAIN),
        )
    )
    return (tasks or 0) + (effects or 0)
