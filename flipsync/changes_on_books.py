"""What `flipsync undo`, `settings`, `plan` and `directives` do with the books. Who may run this may do everything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from flipsync.commands_on_books import in_books
from flipsync.domain.clock import utc_now
from flipsync.services import accounts, directives, strategy_desk, undo_changes
from flipsync.services import undo as undoing
from flipsync.services.advertising import reading as ad_reading
from flipsync.services.advertising.reading import AdView, LimitsView
from flipsync.services.directives import DirectiveFilter, DirectiveForm, DirectiveView
from flipsync.services.reading_page import PageRequest, SortedRequest
from flipsync.services.settings_changes import set_settings
from flipsync.services.strategy_desk import PlanView
from flipsync.services.tenant_settings import SETTINGS, profile, value_of
from flipsync.services.undo import UndoReport
from flipsync.services.undo_changes import ChangeReport, ChangeView
from flipsync.store.unit_of_work import Routing, Store


def undo(
    home: Path,
    routing: Routing,
    kind: str | None,
    subject: UUID | None,
    last: timedelta | None,
    *,
    dry_run: bool,
    again: bool,
    tenant: str | None,
) -> UndoReport:
    """Take back a decision, an effect, or all that was decided lately."""

    async def work(store: Store, tenant_id: UUID) -> UndoReport:
        how: dict[str, Any] = {"dry_run": dry_run, "again": again, "allowed": _anything}
        async with store.unit(tenant_id) as unit:
            if last is not None:
                return await undoing.undo_since(unit, utc_now() - last, **how)
            assert subject is not None, "the command asks for one of the two"
            return await (undoing.undo_effect if kind == "effect" else undoing.undo_decision)(unit, subject, **how)

    return in_books(home, routing, tenant, work)


def undo_change(home: Path, routing: Routing, change_id: UUID, *, dry_run: bool, tenant: str | None) -> ChangeReport:
    """Take back what a person changed."""

    async def work(store: Store, tenant_id: UUID) -> ChangeReport:
        async with store.unit(tenant_id) as unit:
            return await undo_changes.undo_change(unit, change_id, dry_run=dry_run, allowed=_anything)

    return in_books(home, routing, tenant, work)


def changes(home: Path, since: timedelta, limit: int, tenant: str | None) -> list[ChangeView]:
    """What persons changed lately, newest first."""

    async def work(store: Store, tenant_id: UUID) -> list[ChangeView]:
        async with store.reader(tenant_id) as session:
            return await undo_changes.list_changes(session, utc_now() - since, limit)

    return in_books(home, {}, tenant, work)


def settings(
    home: Path, change: Mapping[str, Any] | None, tenant: str | None, routing: Routing | None = None
) -> dict[str, Any]:
    """The settings by name, after `change` when one is given."""

    async def work(store: Store, tenant_id: UUID) -> dict[str, Any]:
        if change is not None:
            async with store.unit(tenant_id) as unit:
                if (fact := await set_settings(unit, change)) is not None:
                    unit.audit("settings.changed", "tenant", tenant_id, before=fact.before, after=fact.after)
        async with store.reader(tenant_id) as session:
            present = (await profile(session, tenant_id)).settings
        return {name: value_of(present, name) for name in (*SETTINGS, *(change or ()))}

    return in_books(home, routing or {}, tenant, work)


def plans(home: Path, most: int, tenant: str | None) -> list[PlanView]:
    """Plans with what came of them, newest first."""

    async def work(store: Store, tenant_id: UUID) -> list[PlanView]:
        async with store.reader(tenant_id) as session:
            page = PageRequest(limit=most)
            return (await strategy_desk.list_plans(session, page, store.clock.now())).items

    return in_books(home, {}, tenant, work)


def ads(home: Path, most: int, tenant: str | None) -> tuple[LimitsView, list[AdView]]:
    """The limits of advertising, and listings that are advertised or were."""

    async def work(store: Store, tenant_id: UUID) -> tuple[LimitsView, list[AdView]]:
        async with store.reader(tenant_id) as session:
            now = store.clock.now()
            found = await ad_reading.list_ads(session, SortedRequest(limit=most), ad_reading.AdFilter(), now)
            return await ad_reading.limits(session, tenant_id, now), found.items

    return in_books(home, {}, tenant, work)


def directives_of(home: Path, tenant: str | None, *, all_of_them: bool) -> list[DirectiveView]:
    """What binds agents now, or everything that ever did; newest first."""

    async def work(store: Store, tenant_id: UUID) -> list[DirectiveView]:
        async with store.reader(tenant_id) as session:
            page, wanted = PageRequest(limit=200), DirectiveFilter(in_force=not all_of_them)
            return (await directives.list_directives(session, page, wanted, store.clock.now())).items

    return in_books(home, {}, tenant, work)


def account_named(home: Path, name: str, tenant: str | None) -> UUID:
    async def work(store: Store, tenant_id: UUID) -> UUID:
        async with store.reader(tenant_id) as session:
            return await accounts.account_named(session, name)

    return in_books(home, {}, tenant, work)


def give_directive(home: Path, form: DirectiveForm, account: str | None, tenant: str | None) -> DirectiveView:
    """Bind agents, to what is said of the account of that name or of everything."""

    async def work(store: Store, tenant_id: UUID) -> DirectiveView:
        async with store.unit(tenant_id) as unit:
            wanted = form
            if account is not None:
                known = await accounts.account_named(unit.session, account)
                wanted = form.model_copy(update={"terms": form.terms.model_copy(update={"account_id": known})})
            return await directives.give(unit, wanted, None)

    return in_books(home, {}, tenant, work)


def end_directive(home: Path, directive_id: UUID, reason: str, tenant: str | None) -> DirectiveView:
    async def work(store: Store, tenant_id: UUID) -> DirectiveView:
        async with store.unit(tenant_id) as unit:
            return await directives.end(unit, directive_id, reason, None)

    return in_books(home, {}, tenant, work)


def _anything(_: str) -> bool:
    return True
