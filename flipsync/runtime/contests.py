"""Two agents that want contradictory things of one listing, and whose word that is.

The fixed arbitration (services.arbitration) settles most: the higher rank, the surer of equal ranks. It does not settle
what is one way as sure as the other, and what has more at stake than either agent may decide alone. Such a contest goes
up to the executive, once, with both ways; until it has decided, who holds the part keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Verdict
from flipsync.domain.steering_events import DecisionOutranked
from flipsync.services import arbitration
from flipsync.services.arbitration import Claim, Held, Rank
from flipsync.store.repositories import decisions as decision_rows
from flipsync.store.repositories import listing_leases
from flipsync.store.repositories.decisions import DecisionRow
from flipsync.store.unit_of_work import UnitOfWork

#: the rule by which the gate sends a proposal up
CONTESTED: Final = "contested"
_PRICE = ChangePrice.type_name()


async def contest(
    unit: UnitOfWork,
    command: ChangePrice,
    claim: Claim,
    held: Held | None,
    stake: int,
    most_of: Callable[[str], int],
    now: datetime,
) -> Verdict | None:
    """Ask, where the claim is against what `held` wants and that is not for the two to settle; None where it is not so.

    `stake`: minor units that could be lost by the claim; `most_of`: what an agent may stake alone.
    """
    if held is None or held.agent == claim.agent or held.rank is not claim.rank or claim.rank is not Rank.SPECIALIST:
        return None  # ranks settle it
    if held.until <= now and held.sent is None:
        return None
    row = await decision_rows.get(unit.session, held.decision_id)
    theirs = None if row is None else _wanted(row, command)
    if row is None or theirs is None or _direction(theirs) * _direction(command) >= 0:
        return None
    together = stake + (row.stake_minor or 0) // max(1, len(row.proposals))
    most = min(most_of(claim.agent), most_of(held.agent))
    if claim.score != held.score and together <= most:
        return None
    if await decision_rows.is_contested(unit.session, CONTESTED, _PRICE, command.listing_id):
        return Verdict.deny("arbitration", f"the executive is asked already who of {claim.agent} and {held.agent} may")
    why = (
        f"{claim.agent} wants {command.price}, {held.agent} {theirs.price}"
        f" ({claim.score:.0%} and {held.score:.0%} sure, {together} minor units at stake together)"
    )
    return Verdict.ask(CONTESTED, why)


async def others(unit: UnitOfWork, agent: str, listings: Sequence[UUID]) -> tuple[tuple[UUID, ...], int]:
    """The decisions that hold these listings' prices against an agent, and their stakes in them together."""
    found: dict[UUID, int] = {}
    for listing_id in listings:
        held = await listing_leases.contested(unit.session, _PRICE, listing_id, "price")
        if held.decision_id is None or held.agent == agent:
            continue
        row = await decision_rows.get(unit.session, held.decision_id)
        share = 0 if row is None else (row.stake_minor or 0) // max(1, len(row.proposals))
        found[held.decision_id] = found.get(held.decision_id, 0) + share
    return tuple(found), sum(found.values())


async def lost(unit: UnitOfWork, row: DecisionRow, reason: str) -> None:
    """A contest was decided against who came second: it is told, and who holds the part keeps it for a while as if a
    coordinator had acted: nobody asks again."""
    for each in row.proposals:
        if each.rule != CONTESTED:
            continue
        wanted = ChangePrice.model_validate(each.payload)
        found = await listing_leases.contested(unit.session, _PRICE, wanted.listing_id, "price")
        if found.decision_id is None or found.agent in (None, row.agent):
            continue
        assert found.agent is not None and found.score is not None and found.rank is not None
        holder = {"agent": found.agent, "score": found.score, "decision_id": found.decision_id}
        rank = max(found.rank, Rank.COORDINATOR)
        unit.lease(wanted.listing_id, "price", **holder, rank=int(rank), until=unit.now + arbitration.LEASE)
        unit.emit(
            DecisionOutranked(
                decision_id=row.id,
                listing_id=wanted.listing_id,
                part="price",
                agent=row.agent,
                by_agent=found.agent,
                by_decision_id=found.decision_id,
                reason=reason,
            )
        )


def _wanted(row: DecisionRow, command: ChangePrice) -> ChangePrice | None:
    """What a decision wants of the same price."""
    for each in row.proposals:
        if each.command != _PRICE:
            continue
        wanted = ChangePrice.model_validate(each.payload)
        if wanted.listing_id == command.listing_id:
            return wanted
    return None


def _direction(command: ChangePrice) -> int:
    """Up, down (-1), or neither."""
    if command.previous is None:
        return 0
    to, was = command.price.amount_minor, command.previous.amount_minor
    return (to > was) - (to < was)
