"""Persons' changes taken back: settings, goals, products. Each by the service that a person's own change takes.

A value goes back only while it is still what the change wrote, and nobody has written it since: what came after is
somebody's newer wish. Taking back is a change itself, on record with what it undoes, and can be taken back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Forbidden, InvalidInput, NotFound
from flipsync.domain.events import ProductEdited, SettingsChanged
from flipsync.security.roles import Permission
from flipsync.services.product_edits import ProductEdit, edit_product
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import TenantSettings, known, value_of
from flipsync.services.undo import Allowed
from flipsync.store.repositories import changes as rows
from flipsync.store.repositories import reading_catalogue, tenants
from flipsync.store.repositories import undo as undo_rows
from flipsync.store.repositories.changes import ChangeRow
from flipsync.store.unit_of_work import UnitOfWork

_SETTINGS, _PRODUCT = SettingsChanged.type_name(), ProductEdited.type_name()
NEEDS: Mapping[str, Permission] = {_SETTINGS: "strategy:write", _PRODUCT: "catalogue:write"}
_KINDS = tuple(NEEDS)
_MOST_WORDS = 60

ChangeOutcome = Literal["undone", "undoable", "already-undone", "moved-on", "impossible"]


class ChangedValue(BaseModel):
    """One value of a change, and what becomes of taking it back. `why` says it in words."""

    name: str
    before: Any
    after: Any
    outcome: ChangeOutcome
    why: str


class ChangeUndo(BaseModel):
    """How a change is to be taken back."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="only say what would be put back")


class ChangeReport(BaseModel):
    """With `dry_run` nothing was changed: what could be taken back is `undoable`."""

    change_id: UUID
    subject_kind: str
    subject_id: UUID
    dry_run: bool
    parts: list[ChangedValue]


class ChangeView(View):
    """A change on record. `undoes` is the one it took back."""

    id: UUID
    at: Moment
    subject_kind: str
    subject_id: UUID
    by: UUID | None
    undoes: UUID | None
    before: dict[str, Any]
    after: dict[str, Any]


async def list_changes(session: AsyncSession, moment: datetime, limit: int) -> list[ChangeView]:
    """What persons changed since then (wall clock), newest first."""
    return [_view(row) for row in await rows.since(session, _KINDS, moment, limit)]


async def changes_of_settings(session: AsyncSession, tenant_id: UUID, page: PageRequest) -> Page[ChangeView]:
    """Newest first."""
    return await _page(session, "tenant", tenant_id, page)


async def changes_of_product(session: AsyncSession, product_id: UUID, page: PageRequest) -> Page[ChangeView]:
    """Newest first. Raises NotFound."""
    if not await reading_catalogue.product_exists(session, product_id):
        raise NotFound(f"no product {product_id}")
    return await _page(session, "product", product_id, page)


async def _page(session: AsyncSession, kind: str, subject_id: UUID, page: PageRequest) -> Page[ChangeView]:
    found = await rows.of(session, _KINDS, kind, subject_id, page.after_id(), page.limit + 1)
    return cut(found, page.limit, _view, lambda row: [str(row.id)])


def _view(row: ChangeRow) -> ChangeView:
    return ChangeView(
        id=row.id,
        at=row.recorded_at,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        **{name: row.payload[name] for name in ("by", "undoes", "before", "after")},
    )


async def undo_change(
    unit: UnitOfWork,
    change_id: UUID,
    *,
    about: tuple[str, UUID] | None = None,
    dry_run: bool = False,
    allowed: Allowed,
) -> ChangeReport:
    """Put back what was there before a change. Raises NotFound, also where it is not `about` that (kind and id).

    Raises Forbidden where a right is lacking.
    """
    await undo_rows.hold(unit.session, unit.tenant_id)
    change = await rows.get(unit.session, _KINDS, change_id)
    if change is None or about not in (None, (change.subject_kind, change.subject_id)):
        raise NotFound(f"no change {change_id}", hint="`flipsync undo changes` lists them")
    if not allowed(NEEDS[change.type]):
        raise Forbidden("you may not take this back", hint=f"it needs {NEEDS[change.type]}")
    # held from here on: who changes it meanwhile waits, and what was changed before is seen
    present, version = await (
        _settings(unit, change) if change.type == _SETTINGS else _product(unit, change.subject_id)
    )
    parts = _judge(change, present, await rows.later(unit.session, _KINDS, change))
    back = {part.name: part.before for part in parts if part.outcome == "undoable"}
    if back and not dry_run:
        outcome, words = "undone", ""
        try:
            async with unit.session.begin_nested():  # all of it or nothing
                await _put_back(unit, change, back, version)
        except (InvalidInput, ValidationError) as error:
            outcome, words = "impossible", f"what was there before is not allowed any more: {_first(error)}"
        told = {"outcome": outcome} | ({"why": words} if words else {})
        parts = [each.model_copy(update=told) if each.name in back else each for each in parts]
    return ChangeReport(
        change_id=change.id,
        subject_kind=change.subject_kind,
        subject_id=change.subject_id,
        dry_run=dry_run,
        parts=parts,
    )


async def _put_back(unit: UnitOfWork, change: ChangeRow, back: dict[str, Any], version: int) -> None:
    if change.type == _PRODUCT:
        edit = ProductEdit.model_validate(back)
        await edit_product(unit, change.subject_id, edit, version, undoes=change.id)
    elif (fact := await set_settings(unit, back, undoes=change.id)) is not None:
        unit.audit("settings.changed", "tenant", unit.tenant_id, before=fact.before, after=fact.after)


async def _settings(unit: UnitOfWork, change: ChangeRow) -> tuple[dict[str, Any], int]:
    tenant = await tenants.lock(unit.session, unit.tenant_id)
    if tenant is None:
        raise NotFound(f"tenant {unit.tenant_id} does not exist")
    settings = TenantSettings.model_validate(tenant.settings)
    return {name: value_of(settings, name) for name in change.payload["after"] if known(name)}, 0


async def _product(unit: UnitOfWork, product_id: UUID) -> tuple[dict[str, Any], int]:
    row = await reading_catalogue.product(unit.session, product_id)
    if row is None:
        return {}, 0
    return {name: getattr(row, name) for name in ProductEdit.model_fields}, row.version


def _judge(change: ChangeRow, present: Mapping[str, Any], later: Sequence[ChangeRow]) -> list[ChangedValue]:
    before, after = change.payload["before"], change.payload["after"]
    parts = []
    for name in sorted(after):
        newest = next((each for each in reversed(later) if name in each.payload["after"]), None)
        told: dict[str, Any]
        if name not in present:
            told = _because("impossible", "there is no such thing any more")
        elif newest is not None and newest.payload["undoes"] == str(change.id):
            told = _because("already-undone", f"it was taken back by {newest.id}")
        elif newest is not None:
            told = _because("moved-on", f"it was changed again by {newest.id}: take back that one first")
        elif present[name] != after[name]:
            told = _because("moved-on", f"it is {_short(present[name])} by now, by no change of a person's")
        else:
            told = _because("undoable", f"it goes back from {_short(after[name])} to {_short(before[name])}")
        parts.append(ChangedValue(name=name, before=before[name], after=after[name], **told))
    return parts


def _because(outcome: ChangeOutcome, why: str) -> dict[str, Any]:
    return {"outcome": outcome, "why": why}


def _short(value: Any) -> str:
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"


def _first(error: InvalidInput | ValidationError) -> str:
    return error.message if isinstance(error, InvalidInput) else str(error.errors()[0]["msg"])
