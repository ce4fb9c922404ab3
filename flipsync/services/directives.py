"""Directives given and ended: by the executive's decisions, or by a person; and what people see of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.directives import BINDS, MOST_DAYS, MOST_IN_FORCE, DirectiveKind, Terms
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.steering_commands import IssueDirective, RevokeDirective
from flipsync.domain.steering_events import DirectiveEnded, DirectiveIssued
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.repositories import directives as rows
from flipsync.store.unit_of_work import UnitOfWork

_NEWER, _OVER = "a newer one takes its place", "its time was over"


class DirectiveForm(BaseModel):
    """What a person binds agents to."""

    model_config = ConfigDict(extra="forbid")

    terms: Terms
    days: int = Field(ge=1, le=MOST_DAYS)
    reason: str = Field(min_length=1, max_length=500)


class DirectiveEnd(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class DirectiveFilter(BaseModel):
    in_force: bool = Field(default=False, description="only those that bind now")


class DirectiveView(View):
    """A directive, whom it binds, and by whose word. Times are business time."""

    id: UUID
    kind: DirectiveKind
    words: str
    account_id: UUID | None
    account: str | None
    category: str | None
    patience_days: int | None
    limit_minor: int | None
    binds: tuple[str, ...]
    reason: str
    starts_at: Moment
    ends_at: Moment
    ended_at: Moment | None
    ended_why: str
    decision_id: UUID | None
    given_by: UUID | None


async def issue(unit: UnitOfWork, command: IssueDirective) -> UUID:
    """By a decision. Raises NotFound, and Conflict when too many are in force."""
    return await _give(unit, command.terms, command.days, command.reason, decision_id=unit.cause.causation_id)


async def give(unit: UnitOfWork, form: DirectiveForm, by: UUID | None) -> DirectiveView:
    """By a person. Raises as `issue` does."""
    directive_id = await _give(unit, form.terms, form.days, form.reason, by=by)
    unit.audit("directive.given", "directive", directive_id, **form.model_dump(mode="json"))
    return await get(unit.session, directive_id)


async def revoke(unit: UnitOfWork, command: RevokeDirective) -> None:
    """By a decision. Raises Conflict when it is over."""
    await _end(unit, command.directive_id, command.reason, None)


async def end(unit: UnitOfWork, directive_id: UUID, reason: str, by: UUID | None) -> DirectiveView:
    """By a person. Raises NotFound, and Conflict when it is over."""
    await get(unit.session, directive_id)
    await _end(unit, directive_id, reason, by)
    unit.audit("directive.ended", "directive", directive_id, reason=reason)
    return await get(unit.session, directive_id)


async def end_overdue(unit: UnitOfWork) -> None:
    """Those whose time is over bind nobody any more; here the books say so too."""
    for directive_id in await rows.end_overdue(unit.session, unit.now, _OVER):
        unit.emit(DirectiveEnded(directive_id=directive_id, reason=_OVER))


async def get(session: AsyncSession, directive_id: UUID) -> DirectiveView:
    row = await rows.get(session, directive_id)
    if row is None:
        raise NotFound(f"no directive {directive_id}", hint="`flipsync directives list` shows them")
    return _view(row)


async def list_directives(
    session: AsyncSession, request: PageRequest, wanted: DirectiveFilter, now: datetime
) -> Page[DirectiveView]:
    """Newest first."""
    moment = now if wanted.in_force else None
    found = await rows.page(session, limit=request.limit + 1, after=request.after_id(), now=moment)
    return cut(found, request.limit, _view, lambda row: [str(row[0].id)])


async def _give(
    unit: UnitOfWork,
    terms: Terms,
    days: int,
    reason: str,
    *,
    decision_id: UUID | None = None,
    by: UUID | None = None,
) -> UUID:
    await rows.hold(unit.session, unit.tenant_id)
    if terms.account_id is not None and not await rows.account_exists(unit.session, terms.account_id):
        raise NotFound(f"no connected account {terms.account_id}")
    await end_overdue(unit)
    for older in await rows.end_alike(unit.session, terms, unit.now, _NEWER):
        unit.emit(DirectiveEnded(directive_id=older, reason=_NEWER, by=by))
    if await rows.count_open(unit.session) >= MOST_IN_FORCE:
        raise Conflict(f"{MOST_IN_FORCE} directives are in force", hint="end one of them first")
    ends_at = unit.now + timedelta(days=days)
    directive_id = await rows.add(unit, terms, reason=reason, ends_at=ends_at, decision_id=decision_id, given_by=by)
    unit.emit(DirectiveIssued(directive_id=directive_id, words=terms.in_words(), days=days, by=by))
    return directive_id


async def _end(unit: UnitOfWork, directive_id: UUID, reason: str, by: UUID | None) -> None:
    await rows.hold(unit.session, unit.tenant_id)
    if not await rows.end(unit.session, directive_id, unit.now, reason):
        raise Conflict("the directive is over already")
    unit.emit(DirectiveEnded(directive_id=directive_id, reason=reason, by=by))


def _view(found: Any) -> DirectiveView:
    row, account = found
    kind = cast(DirectiveKind, row.kind)
    columns = (
        *("id", "account_id", "category", "patience_days", "limit_minor", "reason", "starts_at", "ends_at"),
        *("ended_at", "ended_why", "decision_id", "given_by"),
    )
    told = {name: getattr(row, name) for name in columns}
    terms = Terms(
        kind=kind, **{name: told[name] for name in ("account_id", "category", "patience_days", "limit_minor")}
    )
    return DirectiveView(**told, kind=kind, words=terms.in_words(), account=account, binds=BINDS[kind])
