"""What the command line does with the books, of a running system or of one that is only opened for the moment."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import Address, Parcel, StockMode
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, NotFound, Rejected
from flipsync.domain.money import Money
from flipsync.runtime import replaying
from flipsync.runtime.graph import AgentClass
from flipsync.runtime.mailbox import RedisWaker
from flipsync.runtime.replaying import Replay
from flipsync.runtime.rolling import Rolling
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, audit, channel_probe, labels, parcels, refunds
from flipsync.services.account_vault import AccountVault
from flipsync.services.accounts import AccountSummary
from flipsync.services.approvals import BulkAnswer
from flipsync.services.approvals import answer_approvals as answer_all
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.services.channel_faults import OpenFault
from flipsync.services.channel_probe import ProbeReport, SeenLimits
from flipsync.services.consent_wish import Wish
from flipsync.services.consents import Consents, ConsentView, owner
from flipsync.services.goals import GoalsChange, GoalsView, get_goals, set_goals
from flipsync.services.labels import LabelView
from flipsync.services.parcels import HandedOver
from flipsync.services.reading_decisions import ApprovalView, list_approvals
from flipsync.services.reading_orders import ShipmentView
from flipsync.services.reading_page import SortedRequest
from flipsync.services.refunds import RefundRequestView
from flipsync.services.tenant_settings import profile
from flipsync.services.why import Explanation, explain
from flipsync.settings import installed_applications
from flipsync.store.database import SessionReader
from flipsync.store.repositories import reading_decisions, tenants
from flipsync.store.unit_of_work import Routing, Store
from flipsync.system import keys_of, live_state, open_books, open_worker_books

T = TypeVar("T")
#: how often it is looked whether a seller has answered
_LOOK_SECONDS = 1.0
#: listed or answered by one command
_MOST_QUESTIONS = 200


def import_file(
    home: Path,
    routing: Routing,
    file: Path,
    *,
    dry_run: bool,
    shelf_count: bool,
    cost_ratio: Decimal | None,
    currency: str | None,
    tenant: str | None,
    progress: Callable[[int], None],
) -> ImportOutcome:
    """Import a catalogue file into a business."""

    async def work(store: Store, tenant_id: UUID) -> ImportOutcome:
        async with store.reader(tenant_id) as session:
            books = await profile(session, tenant_id)
        catalogue = read_catalogue(file, currency=currency or books.currency, default_cost_ratio=cost_ratio)
        more: dict[str, Any] = {"quantities": "count"} if shelf_count else {}
        return await import_catalogue(
            store,
            tenant_id,
            catalogue,
            file_name=file.name,
            dry_run=dry_run,
            progress=lambda so_far: progress(so_far.report.rows),
            **more,
        )

    return in_books(home, routing, tenant, work)


def why(home: Path, subject: str, tenant: str | None) -> Explanation:
    """Explain a subject of a business."""

    async def work(store: Store, tenant_id: UUID) -> Explanation:
        async with store.reader(tenant_id) as session:
            return await explain(session, subject)

    return in_books(home, {}, tenant, work)


def replay(
    home: Path,
    agents: Mapping[str, AgentClass],
    *,
    since: timedelta,
    agent: str | None,
    limit: int | None,
    tenant: str | None,
    progress: Callable[[Replay], None],
) -> Replay:
    """Make a business's decisions again from what they read."""

    async def work(store: Store, tenant_id: UUID) -> Replay:
        begin = utc_now() - since
        return await replaying.replay(
            store, tenant_id, agents, since=begin, agent=agent, limit=limit, progress=progress
        )

    return in_books(home, {}, tenant, work)


def refund(
    home: Path,
    routing: Routing,
    order: str,
    *,
    amount: str | None,
    reason: str,
    restock: bool,
    settled: bool | None,
    patience: float,
    tenant: str | None,
    asked: Callable[[RefundRequestView], None],
) -> RefundRequestView:
    """Ask for a refund and look for `patience` seconds what becomes of it; or, with `settled`, say whether the one in
    doubt was given. `asked` is told the wish once it is in the books."""

    async def work(store: Store, tenant_id: UUID) -> RefundRequestView:
        async with store.unit(tenant_id) as unit:
            order_id = await refunds.named_order(unit.session, order)
            if settled is not None:
                doubted = [row for row in await refunds.list_requests(unit.session, order_id) if row.state == "unknown"]
                if not doubted:
                    raise NotFound(f"no refund of order {order} is in doubt")
                return await refunds.settle(unit, doubted[0].id, given=settled)
            currency = await refunds.currency_of(unit.session, order_id)
            money = None if amount is None else _amount(amount, currency)
            view = await refunds.request(unit, order_id, amount=money, reason=reason, restock=restock)
        asked(view)
        deadline = time.monotonic() + patience
        while view.state == "asked" and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS / 2)
            async with store.reader(tenant_id) as session:
                view = await refunds.get(session, view.id)
        return view

    return in_books(home, routing, tenant, work)


def ship(home: Path, routing: Routing, order: str, parcel: HandedOver, tenant: str | None) -> ShipmentView:
    """Say that an order left in this parcel."""

    async def work(store: Store, tenant_id: UUID) -> ShipmentView:
        async with store.unit(tenant_id) as unit:
            return await parcels.hand_over(unit, await refunds.named_order(unit.session, order), parcel)

    return in_books(home, routing, tenant, work)


def label(
    home: Path,
    routing: Routing,
    order: str,
    *,
    parcel: Parcel | None,
    most: str | None,
    service: str,
    ship_from: Address | None,
    give_back: bool,
    settled: str | None,
    patience: float,
    tenant: str | None,
) -> tuple[LabelView, bytes | None]:
    """The order's label: asked for with a `parcel`, given back, settled, or only looked at; and its file.

    `settled`: the shipment's id on the channel, "" for one that was not bought.
    """

    async def work(store: Store, tenant_id: UUID) -> tuple[LabelView, bytes | None]:
        async with store.unit(tenant_id) as unit:
            order_id = await refunds.named_order(unit.session, order)
            known = await labels.of_order(unit.session, order_id)
            if parcel is not None:
                currency = await refunds.currency_of(unit.session, order_id)
                money = None if most is None else _amount(most, currency)
                view = await labels.request(unit, order_id, parcel, most=money, service=service, ship_from=ship_from)
            elif not known:
                raise NotFound(f"order {order} has no label", hint="give the parcel's weight and size to buy one")
            elif settled is not None:
                view = await labels.settle(unit, known[-1].id, external_id=settled or None)
            else:
                view = await labels.give_back(unit, known[-1].id) if give_back else known[-1]
        deadline = time.monotonic() + patience
        while view.state in ("asked", "cancelling") and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS / 2)
            async with store.reader(tenant_id) as session:
                view = await labels.get(session, view.id)
        if view.state != "bought":
            return view, None
        async with store.reader(tenant_id) as session:
            return view, (await labels.document(session, _box(home), tenant_id, view.id))[1]

    return in_books(home, routing, tenant, work)


def _amount(text: str, currency: str) -> Money:
    try:
        return Money.parse(text, currency)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def goals(home: Path, routing: Routing, tenant: str | None, change: GoalsChange | None) -> GoalsView:
    """The owner's goals, after `change` when one is given."""

    async def work(store: Store, tenant_id: UUID) -> GoalsView:
        if change is None:
            async with store.reader(tenant_id) as session:
                return await get_goals(session, tenant_id)
        async with store.unit(tenant_id) as unit:
            return await set_goals(unit, change)

    return in_books(home, routing, tenant, work)


def open_approvals(home: Path, tenant: str | None) -> list[ApprovalView]:
    """The questions that wait, newest first."""

    async def work(store: Store, tenant_id: UUID) -> list[ApprovalView]:
        async with store.reader(tenant_id) as session:
            page = await list_approvals(SessionReader(session), SortedRequest(limit=_MOST_QUESTIONS), "open")
        return list(page.items)

    return in_books(home, {}, tenant, work)


def answer_approvals(
    home: Path, routing: Routing, ids: Sequence[UUID] | None, approved: bool, note: str, tenant: str | None
) -> BulkAnswer:
    """Answer questions in the owner's name; `ids` None: all that wait."""

    async def work(store: Store, tenant_id: UUID) -> BulkAnswer:
        async with store.unit(tenant_id) as unit:
            wanted = ids
            if wanted is None:
                wanted = await reading_decisions.open_approvals(unit.session, limit=_MOST_QUESTIONS)
            by = await owner(unit.session)
            return await answer_all(unit, wanted, approved=approved, by=by, note=note)

    return in_books(home, routing, tenant, work)


def verify_audit(home: Path, tenant: str | None, anchor: str | None) -> dict[UUID, audit.Verdict]:
    """Check the audit log of one business, or of all."""
    if anchor is not None and tenant is None:
        raise InvalidInput("an anchor is of one business", hint="name it with --tenant")
    known = _anchor(anchor) if anchor is not None else None

    async def work(store: Store, tenants_: Sequence[UUID]) -> dict[UUID, audit.Verdict]:
        verdicts = {}
        for tenant_id in tenants_:
            async with store.reader(tenant_id) as session:
                verdicts[tenant_id] = await audit.verify(session, known)
        return verdicts

    if tenant is not None:
        return in_books(home, {}, tenant, lambda store, tenant_id: work(store, [tenant_id]))
    with open_books(home, {}) as store, open_worker_books(home) as lister:

        async def whole() -> dict[UUID, audit.Verdict]:
            try:
                async with lister.unbound() as session:
                    every = await tenants.all_ids(session)
                return await work(store, every)
            finally:
                await store.aclose()
                await lister.aclose()

        return asyncio.run(whole())


def _anchor(text: str) -> tuple[int, str]:
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InvalidInput(f"{text[:90]!r} is not an anchor", hint="give SEQ:HASH as `audit verify` printed it")
    return int(seq), digest


def try_channel(config: AccountConfig, credentials: Mapping[str, str]) -> ProbeReport:
    """Try a channel that is in no books."""

    async def work() -> ProbeReport:
        limits = SeenLimits()
        async with connect(config, _secret(credentials), limits, "probe") as connector:
            return await channel_probe.try_channel(connector, limits)

    return asyncio.run(work())


def connect_channel(
    home: Path,
    routing: Routing,
    config: AccountConfig,
    credentials: Mapping[str, str],
    *,
    name: str,
    stock_mode: StockMode,
    tenant: str | None,
) -> tuple[UUID, ProbeReport]:
    """Try a channel and put it in the books. Raises Rejected when it cannot be read; then nothing is written."""

    async def work(store: Store, tenant_id: UUID) -> tuple[UUID, ProbeReport]:
        vault, limits = MemoryVault(_secret(credentials)), SeenLimits()
        async with connect(config, vault.credentials, limits, "probe", vault) as connector:
            report = await channel_probe.try_channel(connector, limits)
        failed = [check for check in report.checks if not check.ok]
        if report.channel is None or not report.channel.can_read:
            raise Rejected(failed[0].detail, hint=failed[0].hint, auth=True)
        # a refresh token that was rotated by the trial is the only good one
        kept = {key: value.get_secret_value() for key, value in vault.credentials.items()}
        async with store.unit(tenant_id) as unit:
            account_id = await accounts.connect_account(
                unit,
                _box(home),
                vendor=config.vendor,
                name=name,
                config=config,
                credentials=kept,
                stock_mode=stock_mode,
                seller_id=report.channel.seller_id,
            )
        return account_id, report

    return in_books(home, routing, tenant, work)


def list_channels(home: Path, tenant: str | None) -> list[AccountSummary]:
    """The channels of a business, disconnected ones too."""

    async def work(store: Store, tenant_id: UUID) -> list[AccountSummary]:
        async with store.reader(tenant_id) as session:
            return await accounts.list_accounts(session)

    return in_books(home, {}, tenant, work)


def ask_consent(
    home: Path,
    routing: Routing,
    wish: Wish,
    *,
    channel: str | None,
    tenant: str | None,
    started: Callable[[ConsentView, str], None],
    waiting: Callable[[ConsentView], None],
) -> ConsentView:
    """Ask a seller for access to a new channel, or to `channel` again, and wait for what they say: how it ended.

    `started` is told the address to open, `waiting` each second how far it is. Raises Unavailable when no API runs that
    the vendor could send the seller back to.
    """
    public_url = os.environ.get("FLIPSYNC_PUBLIC_URL") or live_state(home).url("api")

    async def work(store: Store, tenant_id: UUID) -> ConsentView:
        consents = Consents(store, _box(home), Unlimited(), applications=installed_applications())
        async with store.unit(tenant_id) as unit:
            wanted = wish
            if channel is not None:
                account = channel_named(await accounts.list_accounts(unit.session), channel)
                wanted = replace(wish, account_id=account.id)
            owner_id = await owner(unit.session)
            view = await consents.start(unit, wanted, user_id=owner_id, public_url=public_url)
        started(view, await consents.url(tenant_id, view.id))
        while view.status in ("waiting", "redeeming"):
            await asyncio.sleep(_LOOK_SECONDS)
            async with store.reader(tenant_id) as session:
                view = await consents.look(session, view.id)
            waiting(view)
        return view

    return in_books(home, routing, tenant, work)


def probe_channel(home: Path, channel: str, tenant: str | None) -> tuple[ProbeReport, tuple[OpenFault, ...]]:
    """Try a connected channel with the credentials in the books; and what the channel watch has found out about it."""

    async def work(store: Store, tenant_id: UUID) -> tuple[ProbeReport, tuple[OpenFault, ...]]:
        box = _box(home)
        async with store.reader(tenant_id) as session:
            summary = channel_named(await accounts.list_accounts(session), channel)
            account = await accounts.load_account(session, box, summary.id)
        vault, limits = AccountVault(store, box, tenant_id, account.id), SeenLimits()
        async with connect(account.config, account.credentials, limits, str(account.id), vault) as connector:
            return await channel_probe.try_channel(connector, limits), summary.faults

    return in_books(home, {}, tenant, work)


def disconnect_channel(home: Path, channel: str, reason: str, tenant: str | None) -> tuple[AccountSummary, bool]:
    """Forget a channel's credentials; False when that was done before."""

    async def work(store: Store, tenant_id: UUID) -> tuple[AccountSummary, bool]:
        async with store.unit(tenant_id) as unit:
            summary = channel_named(await accounts.list_accounts(unit.session), channel)
            return summary, await accounts.disconnect_account(unit, summary.id, reason)

    return in_books(home, {}, tenant, work)


def channel_named(known: Sequence[AccountSummary], wanted: str) -> AccountSummary:
    """By its name or id. Raises NotFound, with the names there are."""
    for account in known:
        if wanted in (account.name, str(account.id)):
            return account
    names = ", ".join(repr(account.name) for account in known)
    raise NotFound(
        f"no channel is called {wanted!r}",
        hint=f"there are: {names}" if names else "connect one with `flipsync channels connect`",
    )


def _secret(credentials: Mapping[str, str]) -> dict[str, SecretStr]:
    return {name: SecretStr(value) for name, value in credentials.items()}


def _box(home: Path) -> SecretBox:
    return SecretBox(parse_keys(keys_of(home).secret))


def in_books(home: Path, routing: Routing, tenant: str | None, work: Callable[[Store, UUID], Awaitable[T]]) -> T:
    """Do some work in a business's books. Raises NotFound or InvalidInput when the business is not there."""
    with open_books(home, routing) as store, open_worker_books(home) as lister:

        async def whole() -> T:
            try:
                return await work(store, await tenant_named(lister, tenant))
            finally:
                await store.aclose()
                await lister.aclose()

        return asyncio.run(whole())


def with_agents(home: Path, seconds: float, work: Callable[[Rolling], Awaitable[T]]) -> T:
    """Do something with the agents of the running system, of all its businesses. Raises Unavailable where none runs."""
    waker = RedisWaker(live_state(home).url("redis"))
    with open_worker_books(home) as database:

        async def whole() -> T:
            try:
                return await work(Rolling(database, waker, seconds=seconds))
            finally:
                await waker.aclose()
                await database.aclose()

        return asyncio.run(whole())


async def tenant_named(lister: Any, wanted: str | None) -> UUID:
    async with lister.unbound() as session:
        known = await tenants.all_ids(session)
    if wanted is None:
        if not known:
            raise NotFound("there is no business yet", hint="`flipsync up` or `flipsync demo` makes one")
        return known[-1]
    try:
        tenant_id = UUID(wanted)
    except ValueError:
        raise InvalidInput(f"{wanted!r} is not the id of a business", hint="give its UUID") from None
    if tenant_id not in known:
        raise NotFound(f"there is no business {wanted}")
    return tenant_id
