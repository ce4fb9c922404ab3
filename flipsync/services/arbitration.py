"""Who may touch a part of a listing when two agents want to: the higher rank, of equal ranks the higher score.

Whoever is let through holds the part for a while (a lease), so that two agents do not undo each other by turns. Pure;
the same claims in the same order always end alike. Stock is nobody's to hold: quantities follow the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, Literal
from uuid import UUID

from flipsync.domain import commands as c
from flipsync.domain import events as e
from flipsync.domain.directives import BINDS, Directive, bearing

#: how long a part stays with the agent that changed it last (business time)
LEASE: Final = timedelta(minutes=30)
Part = Literal["price", "words", "presence"]
PARTS: Final[dict[type[c.Command], Part]] = {
    c.ChangePrice: "price",
    c.ReviseListing: "words",
    c.EndListing: "presence",
}
#: facts by which a person says what is to be done
PERSONS: Final = frozenset(
    fact.type_name() for fact in (e.PriceUnwanted, e.PriceWished, e.ListingUnwanted, e.ListingOutdated)
)


class Rank(IntEnum):
    """In whose name an agent acts; a higher one goes first."""

    SPECIALIST = 0
    COORDINATOR = 1
    DIRECTIVE = 2
    PERSON = 3

    def __str__(self) -> str:
        return {0: "a specialist", 1: "a coordinator", 2: "a directive", 3: "a person"}[self.value]


@dataclass(frozen=True)
class Claim:
    """What an agent wants a part by. `score` is the confidence that counts."""

    agent: str
    rank: Rank
    score: float
    decision_id: UUID


@dataclass(frozen=True)
class Held:
    """Whose the part is. `sent` where a change of theirs may be at the channel already, None where none is open."""

    agent: str
    rank: Rank
    score: float
    decision_id: UUID
    until: datetime
    sent: bool | None = None


def part_of(command: c.Command) -> Part | None:
    return PARTS.get(type(command))


def rank_of(fact: str, *, coordinates: bool) -> Rank:
    """Of who decided about that fact. That a directive binds the listing is seen where the proposal is judged."""
    if fact in PERSONS:
        return Rank.PERSON
    return Rank.COORDINATOR if coordinates else Rank.SPECIALIST


def directed(
    claim: Claim, directives: Sequence[Directive], now: datetime, account_id: UUID, category: str | None
) -> Claim:
    """The claim, in the name of the directive that binds this agent to move this price, where one does."""
    clears = claim.agent in BINDS["clear-stock"] and claim.rank < Rank.DIRECTIVE
    if clears and bearing(directives, now, "clear-stock", account_id, category) is not None:
        return replace(claim, rank=Rank.DIRECTIVE)
    return claim


def beaten(claim: Claim, held: Held | None, now: datetime) -> str:
    """Why the claim has to stand back; "" when it goes ahead."""
    if held is None or held.agent == claim.agent or (held.until <= now and held.sent is None):
        return ""
    if (claim.rank, claim.score) > (held.rank, held.score):
        return ""
    if claim.rank != held.rank:
        return f"{held.agent} acts for {held.rank}, which goes before {claim.rank}, until {held.until:%H:%M} UTC"
    return (
        f"{held.agent} was here first and is as sure or surer ({held.score:.0%}, {claim.agent} {claim.score:.0%}),"
        f" until {held.until:%H:%M} UTC"
    )
