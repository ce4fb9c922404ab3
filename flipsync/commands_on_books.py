"""What the command line does with the books, of a running system or of one that is only opened for the moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.errors import InvalidInput, NotFound, Rejected
from flipsync.security.passwords import Passwords
from flipsync.security.roles import ROLES, as_role
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, channel_probe, identity
from flipsync.services.account_vault import AccountVault
from flipsync.services.accounts import AccountSummary, StockMode
from flipsync.services.approvals import BulkAnswer
from flipsync.services.approvals import answer_approvals as answer_all
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.services.channel_faults import OpenFault
from flipsync.services.channel_probe import ProbeReport
from flipsync.services.consent_wish import Wish
from flipsync.services.consents import Consents, ConsentView, owner
from flipsync.services.goals import GoalsChange, GoalsView, get_goals, set_goals
from flipsync.services.reading_decisions import ApprovalView, list_approvals
from flipsync.services.reading_page import PageRequest
from flipsync.services.tenant_settings import profile
from flipsync.services.why import Explanation, explain
from flipsync.settings import installed_applications
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

    return _in_books(home, routing, tenant, work)


def why(home: Path, subject: str, tenant: str | None) -> Explanation:
    """Explain a subject of a business."""

    async def work(store: Store, tenant_id: UUID) -> Explanation:
        async with store.reader(tenant_id) as session:
            return await explain(session, subject)

    return _in_books(home, {}, tenant, work)


def goals(home: Path, tenant: str | None, change: GoalsChange | None) -> GoalsView:
    """The owner's goals, after `change` when one is given."""

    async def work(store: Store, tenant_id: UUID) -> GoalsView:
        if change is None:
            async with store.reader(tenant_id) as session:
                return await get_goals(session, tenant_id)
        async with store.unit(tenant_id) as unit:
            return await set_goals(unit, change)

    return _in_books(home, {}, tenant, work)


def open_approvals(home: Path, tenant: str | None) -> list[ApprovalView]:
    """The questions that wait, newest first."""

    async def work(store: Store, tenant_id: UUID) -> list[ApprovalView]:
        async with store.reader(tenant_id) as session:
            return list((await list_approvals(session, PageRequest(limit=_MOST_QUESTIONS), "open")).items)

    return _in_books(home, {}, tenant, work)


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

    return _in_books(home, routing, tenant, work)


def add_user(home: Path, email: str, password: str, role: str, tenant: str | None) -> UUID:
    """Let somebody sign in to a business."""

    if role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role", hint=f"one of: {', '.join(ROLES)}")

    async def work(store: Store, tenant_id: UUID) -> UUID:
        passwords = Passwords()
        try:
            async with store.unit(tenant_id) as unit:
                return await identity.add_user(unit, passwords, email=email, password=password, role=as_role(role))
        finally:
            passwords.close()

    return _in_books(home, {}, tenant, work)


def try_channel(config: AccountConfig, credentials: Mapping[str, str]) -> ProbeReport:
    """Try a channel that is in no books."""

    async def work() -> ProbeReport:
        async with connect(config, _secret(credentials), Unlimited(), "probe") as connector:
            return await channel_probe.try_channel(connector)

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
        vault = MemoryVault(_secret(credentials))
        async with connect(config, vault.credentials, Unlimited(), "probe", vault) as connector:
            report = await channel_probe.try_channel(connector)
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

    return _in_books(home, routing, tenant, work)


def list_channels(home: Path, tenant: str | None) -> list[AccountSummary]:
    """The channels of a business, disconnected ones too."""

    async def work(store: Store, tenant_id: UUID) -> list[AccountSummary]:
        async with store.reader(tenant_id) as session:
            return await accounts.list_accounts(session)

    return _in_books(home, {}, tenant, work)


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
                account = _channel(await accounts.list_accounts(unit.session), channel)
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

    return _in_books(home, routing, tenant, work)


def probe_channel(home: Path, channel: str, tenant: str | None) -> tuple[ProbeReport, tuple[OpenFault, ...]]:
    """Try a connected channel with the credentials in the books; and what the channel watch has found out about it."""

    async def work(store: Store, tenant_id: UUID) -> tuple[ProbeReport, tuple[OpenFault, ...]]:
        box = _box(home)
        async with store.reader(tenant_id) as session:
            summary = _channel(await accounts.list_accounts(session), channel)
            account = await accounts.load_account(session, box, summary.id)
        vault = AccountVault(store, box, tenant_id, account.id)
        async with connect(account.config, account.credentials, Unlimited(), str(account.id), vault) as connector:
            return await channel_probe.try_channel(connector), summary.faults

    return _in_books(home, {}, tenant, work)


def disconnect_channel(home: Path, channel: str, reason: str, tenant: str | None) -> tuple[AccountSummary, bool]:
    """Forget a channel's credentials; False when that was done before."""

    async def work(store: Store, tenant_id: UUID) -> tuple[AccountSummary, bool]:
        async with store.unit(tenant_id) as unit:
            summary = _channel(await accounts.list_accounts(unit.session), channel)
            return summary, await accounts.disconnect_account(unit, summary.id, reason)

    return _in_books(home, {}, tenant, work)


def _channel(known: Sequence[AccountSummary], wanted: str) -> AccountSummary:
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


def _in_books(home: Path, routing: Routing, tenant: str | None, work: Callable[[Store, UUID], Awaitable[T]]) -> T:
    with open_books(home, routing) as store, open_worker_books(home) as lister:

        async def whole() -> T:
            try:
                return await work(store, await _tenant(lister, tenant))
            finally:
                await store.aclose()
                await lister.aclose()

        return asyncio.run(whole())


async def _tenant(lister: Any, wanted: str | None) -> UUID:
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
