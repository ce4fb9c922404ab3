"""What was edited by hand on channels, as readers see it: what was changed, and what became of it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import ListingText, Vendor
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import EditedField, ListingEdited
from flipsync.domain.money import Money
from flipsync.services.approvals import answer_approval
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.repositories import reading_edits as rows
from flipsync.store.unit_of_work import UnitOfWork

Winner = Literal["ours", "theirs"]
EditState = Literal["open", "ours", "theirs", "settled", "noticed"]


class HandEditView(View):
    """Somebody edited a listing on the channel's own page."""

    id: UUID
    listing_id: UUID
    account_id: UUID
    vendor: Vendor
    at: Moment
    fields: list[EditedField]
    ours: ListingText = Field(description="what the channel was told, of the edited fields")
    theirs: ListingText = Field(description="what the channel shows")
    listings: list[UUID] = Field(description="all that show these words: choices of one listing")
    price_ours: Money | None
    price_theirs: Money | None
    state: EditState = Field(
        description="open: waits for an answer; ours or theirs: whose words somebody chose; settled: by the owner's "
        "setting or by time; noticed: no agent has looked at it yet"
    )
    why: str = Field(description="what the agent made of it")
    approval_id: UUID | None = Field(description="the question, where one was asked")
    expires_at: Moment | None
    answered_at: Moment | None
    answered_by: UUID | None


class EditFilter(View):
    listing_id: UUID | None = None
    state: Literal["open"] | None = Field(default=None, description="open: only those that wait for an answer")


async def list_edits(session: AsyncSession, page: PageRequest, where: EditFilter) -> Page[HandEditView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.edits(
        session,
        limit=page.limit + 1,
        after=page.after_id(),
        listing_id=where.listing_id,
        only_open=where.state == "open",
    )
    return cut(found, page.limit, _view, lambda row: [str(row.id)])


async def get_edit(session: AsyncSession, edit_id: UUID) -> HandEditView:
    """Raises NotFound."""
    found = await rows.edits(session, limit=1, edit_id=edit_id)
    if not found:
        raise NotFound(f"no edit {edit_id}")
    return _view(found[0])


async def answer_edit(unit: UnitOfWork, edit_id: UUID, *, keep: Winner, by: UUID, note: str = "") -> None:
    """Say whose words stay. Raises NotFound, and Conflict when nobody asks (any more)."""
    edit = await get_edit(unit.session, edit_id)
    if edit.approval_id is None:
        raise Conflict(
            f"nobody asks about this edit: it is {edit.state}",
            hint="change the product, or the owner's setting of whose words win",
        )
    await answer_approval(unit, edit.approval_id, approved=keep == "theirs", by=by, note=note)


def _view(row: rows.EditRow) -> HandEditView:
    told = ListingEdited.model_validate(row.payload)
    return HandEditView(
        id=row.id,
        listing_id=told.listing_id,
        account_id=told.account_id,
        vendor=told.vendor,
        at=row.occurred_at,
        fields=list(told.fields),
        ours=told.ours,
        theirs=told.theirs,
        listings=list(told.listings),
        price_ours=told.price_ours,
        price_theirs=told.price_theirs,
        state=_state(row),
        why=row.rationale or told.note,
        approval_id=row.approval_id,
        expires_at=row.expires_at,
        answered_at=row.answered_at,
        answered_by=row.answered_by,
    )


def _state(row: rows.EditRow) -> EditState:
    states: dict[str, EditState] = {"open": "open", "approved": "theirs", "refused": "ours"}
    if row.approval_state is not None:
        return states.get(row.approval_state, "settled")
    return "settled" if row.rationale is not None else "noticed"
