"""A transfer to a channel's own warehouse explained: who wanted it and why, and how far it has come."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.reading_transfers import TransferView, get_transfer
from flipsync.services.why_chain import Teller, origins_of, read
from flipsync.services.why_explanation import Chain, Explanation, Line, Named, clock
from flipsync.services.why_words import Labels, units
from flipsync.store.database import SessionReader
from flipsync.store.repositories import why as rows


async def explain_transfer(session: AsyncSession, transfer_id: UUID) -> Explanation:
    """From the decision, where an agent made it, to the channel's own count. Raises NotFound."""
    told = await get_transfer(session, transfer_id)
    label = Labels(await rows.labels(SessionReader(session), [("account", told.account_id)]))
    where = f"the warehouse of {label('account', told.account_id)}"
    by = "an agent proposed it and a person said yes" if told.decision_id is not None else "a person wrote it"
    arrived = f"{told.received} of {units(told.sent)} on sale there" if told.sent else "nothing was sent yet"
    return Explanation(
        subject=Named(kind="stock_transfer", id=transfer_id, label=f"transfer {told.number}"),
        title=f"Transfer {told.number} of {told.sku} to {where}",
        summary=f"{units(told.planned)} meant for {where}; {by}. It is {told.state}, {arrived}.",
        now=_now(told),
        chains=await _decided(session, told.decision_id) if told.decision_id is not None else [],
        notes=[],
    )


async def _decided(session: AsyncSession, decision_id: UUID) -> list[Chain]:
    found = await rows.decisions(session, ids=[decision_id])
    if not found:  # decisions are forgotten before goods are
        return []
    event = (await rows.events(session, [found[0].row.event_id]))[0]
    origins = await origins_of(session, event)
    teller = Teller(await read(session, decision_ids=[decision_id], origins=origins))
    for origin in [*origins, event]:
        teller.origin(origin)
    teller.decision(decision_id, 1)
    return [Chain(title="Why so many", steps=teller.steps)]


def _now(told: TransferView) -> list[Line]:
    lines = [Line(name="planned", text=f"{units(told.planned)} at {clock(told.planned_at)}")]
    if told.sent_at is not None:
        lines.append(Line(name="sent", text=f"{units(told.sent)} at {clock(told.sent_at)}"))
    if told.under_way and told.due_at is not None:
        late = f"told as missing after {told.due_at:%Y-%m-%d}"
        lines.append(Line(name="under way", text=f"{units(told.under_way)}, {late}"))
    for name, count in (("on sale there", told.received), ("came back", told.came_back), ("missing", told.missing)):
        if count:
            lines.append(Line(name=name, text=units(count)))
    if told.cancelled_at is not None:
        lines.append(Line(name="called off", text=f"at {clock(told.cancelled_at)}"))
    for name, words in (("reason", told.reason), ("note", told.note)):
        if words:
            lines.append(Line(name=name, text=words))
    return lines
