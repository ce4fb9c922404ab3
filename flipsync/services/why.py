"""Why something is as it is: from any id, or what a person would type, the chain from fact to receipt.

A subject is the id of anything in the books or the journal, a SKU, "SKU@account name", a product's handle, an account's
or a supplier's name, an order's number, a purchase order's ("PO-12"), a transfer's ("TR-3"), or a channel's own id of
an order or a listing.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.services.why_chain import Journal, Teller, origins_of, read
from flipsync.services.why_explanation import Chain, Explanation, Line, Named, Step, clock
from flipsync.services.why_goods import explain_account, explain_goods, explain_listing
from flipsync.services.why_order import explain_order
from flipsync.services.why_outcomes import last_times
from flipsync.services.why_purchase import explain_purchase_order, explain_supplier
from flipsync.services.why_transfer import explain_transfer
from flipsync.services.why_words import Labels, command_words, event_words
from flipsync.store.database import SessionReader
from flipsync.store.models import Effect
from flipsync.store.repositories import why as rows
from flipsync.store.repositories.why import Subject

__all__ = ["Chain", "Explanation", "Line", "Named", "Step", "explain"]

MAX_DECISIONS = 50
_CANDIDATES = 10


async def explain(session: AsyncSession, subject: str, *, decisions: int = 10) -> Explanation:
    """The chain behind `subject`; goods and listings show their newest `decisions`.

    Raises NotFound when nothing is called so, and InvalidInput when several things are; both name candidates.
    """
    if not 1 <= decisions <= MAX_DECISIONS:
        raise InvalidInput(f"{decisions} decisions cannot be shown", hint=f"give 1 to {MAX_DECISIONS}")
    kind, row_id = await find(session, subject)
    match kind:
        case "order":
            return await explain_order(session, row_id)
        case "decision":
            return await _decision(session, row_id)
        case "effect":
            return await _effect(session, row_id)
        case "event":
            return await _event(session, row_id)
        case "directive":
            given = await rows.events_about(session, [("directive", row_id)], 10)
            return await _event(session, given[0].id)
        case "listing":
            return await explain_listing(session, row_id, decisions)
        case "account":
            return await explain_account(session, row_id, decisions)
        case "purchase_order":
            return await explain_purchase_order(session, row_id)
        case "stock_transfer":
            return await explain_transfer(session, row_id)
        case "supplier":
            return await explain_supplier(session, row_id, decisions)
        case _:
            return await explain_goods(session, kind, row_id, decisions)


async def find(session: AsyncSession, subject: str) -> Subject:
    """The one thing that is meant. Raises NotFound and InvalidInput, naming candidates."""
    name = subject.strip()
    if not name:
        raise InvalidInput("nothing was asked about", hint="name a SKU, an order number or an id")
    if (row_id := _as_uuid(name)) is not None:
        return await _find_by_id(session, row_id)
    found = _goods_first(await rows.named(session, name, _CANDIDATES))
    pairs = [(name[:at].strip(), name[at + 1 :].strip()) for at, sign in enumerate(name) if sign == "@"]
    if pairs:
        found |= {("listing", each) for each in await rows.listings_named(session, pairs)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise InvalidInput(f"“{name}” means {len(found)} things", hint="give one of: " + await _list(session, found))
    close = await rows.similar(session, name.partition("@")[0].strip() or name, _CANDIDATES)
    same = _goods_first({(kind, row_id) for kind, row_id, label in close if label.casefold() == name.casefold()})
    if len(same) == 1:
        return same.pop()
    near = await _list(session, [(kind, row_id) for kind, row_id, _ in close])
    raise NotFound(
        f"nothing is called “{name}”",
        hint=f"did you mean: {near}" if near else "name a SKU, SKU@account, an order number or an id",
    )


def _goods_first(found: set[Subject]) -> set[Subject]:
    """A SKU means the variant, though products and channels often use it as their own name too."""
    if any(kind == "variant" for kind, _ in found):
        return {(kind, row_id) for kind, row_id in found if kind not in ("product", "listing")}
    return found


def _as_uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


async def _find_by_id(session: AsyncSession, row_id: UUID) -> Subject:
    kinds = await rows.kinds_of(session, row_id)
    if not kinds:
        raise NotFound(f"nothing has the id {row_id}")
    kind = kinds[0]
    if kind in ("proposal", "approval", "receipt"):
        owner = await rows.owner_of(session, kind, row_id)
        assert owner is not None, "the row is there, and it belongs to one"
        return ("effect" if kind == "receipt" else "decision", owner)
    return kind, row_id


async def _list(session: AsyncSession, subjects: Collection[Subject]) -> str:
    label = Labels(await rows.labels(SessionReader(session), subjects))
    shown = sorted(subjects, key=lambda subject: (subject[0], str(subject[1])))[:_CANDIDATES]
    return "; ".join(f"{row_id} ({kind.replace('_', ' ')}: {label(kind, row_id)})" for kind, row_id in shown)


# -- one chain --------------------------------------------------------------------------------------------------------


async def _decision(session: AsyncSession, decision_id: UUID) -> Explanation:
    decision = (await rows.decisions(session, ids=[decision_id]))[0].row
    event = (await rows.events(session, [decision.event_id]))[0]
    origins = await origins_of(session, event)
    journal = await read(session, decision_ids=[decision_id], origins=origins)
    teller = Teller(journal)
    for origin in [*origins, event]:
        teller.origin(origin)
    teller.decision(decision_id, 1)
    named = Named(kind="decision", id=decision_id, label=f"decision of {decision.agent}")
    title = f"Decision of {decision.agent} at {clock(decision.decided_at)}"
    told = _explained(named, title, _decision_summary(journal, decision_id), teller, title="From fact to receipt")
    return told.model_copy(update={"chains": [*told.chains, *await last_times(session, decision_id)]})


async def _effect(session: AsyncSession, effect_id: UUID) -> Explanation:
    effect = await rows.effect(session, effect_id)
    assert effect is not None, "it was just found"
    decision_id = await rows.decision_of_effect(session, effect_id)
    subject = (effect.subject_kind, effect.subject_id)
    if decision_id is None:
        journal = await read(session, orphans=[effect], focus=[subject], extra_labels=[("account", effect.account_id)])
        teller = Teller(journal)
        teller.effect(effect)
    else:
        decision = (await rows.decisions(session, ids=[decision_id]))[0].row
        event = (await rows.events(session, [decision.event_id]))[0]
        origins = await origins_of(session, event)
        journal = await read(session, decision_ids=[decision_id], focus=[subject], origins=origins)
        teller = Teller(journal)
        for origin in [*origins, event]:
            teller.origin(origin)
        teller.decision(decision_id, 1)
    words = command_words(effect.command, effect.payload, journal.label)
    if decision_id is None:
        summary = f"No agent's decision stands behind it. {_effect_sentence(journal, effect)}"
    else:
        summary = _decision_summary(journal, decision_id, effect)
    named = Named(kind="effect", id=effect_id, label=words)
    return _explained(named, f"Effect: {words}", summary, teller, title="From fact to receipt")


async def _event(session: AsyncSession, event_id: UUID) -> Explanation:
    event = (await rows.events(session, [event_id]))[0]
    origins = await origins_of(session, event)
    journal = await read(session, event_ids=[event_id], origins=origins)
    teller = Teller(journal)
    for origin in origins:
        teller.origin(origin)
    teller.fact(event_id)
    words = event_words(event.type, event.payload, journal.label)
    told = [_decision_summary(journal, each) for each in journal.of_event[event_id]]
    if not told:
        told = [f"The fact: {words}. No agent had to decide anything about it."]
    named = Named(kind="event", id=event_id, label=words)
    return _explained(named, f"Fact: {words}", " ".join(told), teller, title="From fact to receipt")


def _explained(subject: Named, heading: str, summary: str, teller: Teller, *, title: str) -> Explanation:
    return Explanation(subject=subject, title=heading, summary=summary, chains=[Chain(title=title, steps=teller.steps)])


def _decision_summary(journal: Journal, decision_id: UUID, effect: Effect | None = None) -> str:
    """A decision and what came of it (of `effect`, when given), in a few sentences."""
    row = journal.decisions[decision_id].row
    event = journal.events[row.event_id]
    fact = event_words(event.type, event.payload, journal.label)
    rationale = f"{row.rationale.rstrip('.')} ({row.confidence:.0%} sure)."
    shown = [each for each in journal.proposals_to_tell(decision_id) if effect is None or each.id == effect.proposal_id]
    if not shown:
        return f"The fact: {fact}. So {row.agent} held: {rationale}"
    proposal = shown[0]
    wanted = command_words(proposal.command, proposal.payload, journal.label)
    more = journal.decisions[decision_id].proposals - 1
    also = f", and {more} more" if more > 0 else ""
    told = [f"The fact: {fact}. So {row.agent} proposed to {wanted}{also}: {rationale}"]
    if row.state in _BECAME:
        told.append(f"The decision {_BECAME[row.state]}.")
    if proposal.verdict in _ANSWERS:
        told.append(f"{_ANSWERS[proposal.verdict]} ({proposal.rule}): {proposal.reason.rstrip('.')}.")
    told += [_effect_sentence(journal, each) for each in journal.effects[proposal.id]]
    return " ".join(told)


_BECAME = {
    "escalated": "is above its authority and lies with its superior",
    "awaiting": "waits for the owner's answer",
    "overruled": "was stopped",
}
_ANSWERS = {"deny": "It was blocked", "ask": "The owner has to agree", "mutate": "The gate changed it"}


def _effect_sentence(journal: Journal, effect: Effect) -> str:
    receipts = journal.receipts[effect.id]
    if effect.state == "superseded":
        return "A newer one made it pointless before it was sent."
    if not receipts:
        return f"It has not been tried yet ({effect.state})."
    last = receipts[-1]
    tries = "at the first attempt" if last.attempt == 1 else f"at attempt {last.attempt}"
    if effect.state == "confirmed":
        return f"The channel confirmed {tries}: {last.detail}."
    if effect.finished_at is None:
        return f"It is being tried again; {tries} it was {last.outcome}: {last.detail}."
    return f"It ended {effect.state} {tries}: {last.detail}."
