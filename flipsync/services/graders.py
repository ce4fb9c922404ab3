"""Whether what a proposal predicted came true: one small grader a kind, pure. What they have in common is in `Grader`.

A grade is given when its time has come and not before, whatever is known earlier: failures that show sooner than
successes would otherwise count for more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from flipsync.domain import predictions as told
from flipsync.domain.money import Money
from flipsync.domain.predictions import Prediction
from flipsync.learning.evaluation.rates import chance_better
from flipsync.store.repositories.grades import DueRow
from flipsync.store.repositories.grading_facts import AdFacts, BoughtFacts, PriceFacts, RivalFacts, Sign
from flipsync.store.repositories.listing_care import SoldAround
from flipsync.store.repositories.plans import TargetFacts

#: after so many times its own time what is not known by then never will be
PATIENCE = 3
#: a price needs so many hours, and so sure a difference, before its sales say anything
_LEAST_HOURS, _CLEAR = 24.0, 0.9
#: a step down that counts, and how far below our price a hijacker asks (services.competitors)
_STEP, _FAR_BELOW = 0.004, 0.75
_LEAST_AD_DAYS = 3.0
_PART = {"price-war": "nobody went further down", "hijack": "the offer came near ours"}


@dataclass(frozen=True)
class Grade:
    """`outcome` 1 or 0; None: it can never be known. `evidence` is the row to look at, as (kind, id).

    `money` is what it brought or lost, where that is known; what it counts, each kind says (services.memory).
    """

    outcome: int | None
    why: str
    evidence: tuple[str, UUID] | None = None
    money: Money | None = None


@dataclass(frozen=True)
class Earned:
    """What a sale earns at a price and at the one before, in minor units; None where costs or fees are not known."""

    facts: PriceFacts
    now_minor: int | None
    before_minor: int | None


@dataclass(frozen=True)
class Mended:
    """A listing a fortnight after it was seen to: status, score, and what it and its like sold before and after."""

    status: str
    score: float
    sold: SoldAround | None


@dataclass(frozen=True)
class Parts:
    """Of the decision that was let go ahead: how many of its parts came out right and wrong, and wait still."""

    decision_id: UUID
    right: int
    wrong: int
    waiting: int


@dataclass(frozen=True)
class EarnedByAd:
    """What a sale leaves before the ad's fee, in minor units; None where costs or fees are not known."""

    facts: AdFacts
    net_minor: int | None


class Grader(ABC):
    """One kind of prediction. `outcome` is asked only about what was carried out, with the kind's own facts."""

    prediction: Prediction
    #: whether it leaves the house: then the channel has to have confirmed it
    external = True

    def grade(self, row: DueRow, facts: Any, now: datetime) -> Grade | None:
        """None: not known yet."""
        grade = self._carried_out(row) or self._confirmed(row) or self.outcome(row, facts)
        if grade is not _WAIT:
            return grade
        if now < row.decided_at + (row.due_at - row.decided_at) * PATIENCE:
            return None
        return Grade(None, "what became of it is not known")

    def _carried_out(self, row: DueRow) -> Grade | None:
        if row.decision_state in ("escalated", "awaiting"):
            return _WAIT
        if row.decision_state == "overruled":
            return Grade(None, "it was not carried out: overruled")
        if row.verdict == "deny":
            return Grade(None, f"it was not carried out: {row.rule}")
        return _WAIT if row.verdict in (None, "ask") else None

    def _confirmed(self, row: DueRow) -> Grade | None:
        if not self.external:
            return None
        match row.effect_state:
            case None:
                return Grade(None, "it was not carried out: no effect")
            case "superseded":
                return Grade(None, "a newer one took its place before it was sent")
            case "rejected":
                return Grade(0, "the channel refused it", self._effect(row))
            case "confirmed":
                return None
        return _WAIT

    @abstractmethod
    def outcome(self, row: DueRow, facts: Any) -> Grade:
        """`_WAIT` while it is open."""

    @staticmethod
    def _effect(row: DueRow) -> tuple[str, UUID] | None:
        return None if row.effect_id is None else ("effect", row.effect_id)


_WAIT: Final = Grade(None, "")


class Taken(Grader):
    """The channel took it; a read-back is part of its confirmation."""

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction

    def outcome(self, row: DueRow, facts: Any) -> Grade:
        return Grade(1, "the channel took it", self._effect(row))


class Published(Taken):
    def outcome(self, row: DueRow, facts: Sign | None) -> Grade:
        if facts is not None:
            return Grade(0, "the channel did not show it any more", ("event", facts.id))
        return Grade(1, "the channel took it and went on showing it", self._effect(row))


class StockPushed(Grader):
    prediction = told.STOCK

    def outcome(self, row: DueRow, facts: Sign | None) -> Grade:
        if facts is not None:
            return Grade(0, "something was sold that was not there", ("event", facts.id))
        return Grade(1, "the channel showed it, and nothing was sold twice", self._effect(row))


class PriceMoved(Grader):
    """Against the price before, from units and hours at both; only a clear difference says anything."""

    prediction = told.PRICE

    def outcome(self, row: DueRow, facts: Earned | None) -> Grade:
        if facts is None:
            return Grade(None, "the price did not change")
        seen, evidence = facts.facts, ("price_change", facts.facts.change_id)
        if facts.now_minor is None or facts.before_minor is None:
            return Grade(None, "costs or fees are not known", evidence)
        if seen.emptied:
            return Grade(None, "the shelf was empty in between", evidence)
        if min(seen.hours_before, seen.hours_after) < _LEAST_HOURS:
            return Grade(None, "a price stood for less than a day", evidence)
        better = chance_better(
            seen.units_after,
            seen.hours_after,
            facts.now_minor,
            seen.units_before,
            seen.hours_before,
            facts.before_minor,
        )
        if 1 - _CLEAR < better < _CLEAR:
            return Grade(None, "too few sales to tell the prices apart", evidence)
        sold = (
            f"{seen.units_after} in {seen.hours_after:.0f} h, {seen.units_before} in {seen.hours_before:.0f} h before"
        )
        more = 24 * (
            seen.units_after * facts.now_minor / seen.hours_after
            - seen.units_before * facts.before_minor / seen.hours_before
        )
        words = f"it earns {'more' if better >= _CLEAR else 'less'}: {sold}"
        return Grade(int(better >= _CLEAR), words, evidence, Money(amount_minor=round(more), currency=seen.currency))


class AdRated(Grader):
    """Against the rate before, from whole days with something to sell at both, the ads' fees taken off."""

    prediction = told.AD

    def outcome(self, row: DueRow, facts: EarnedByAd | None) -> Grade:
        if facts is None or facts.net_minor is None:
            return Grade(None, "costs or fees are not known")
        seen, evidence = facts.facts, self._effect(row)
        if min(seen.days_before, seen.days_after) < _LEAST_AD_DAYS:
            return Grade(None, f"a rate stood for less than {_LEAST_AD_DAYS:.0f} whole days", evidence)
        before, after = (
            facts.net_minor - round(fees / max(1, units))
            for fees, units in ((seen.fees_before, seen.units_before), (seen.fees_after, seen.units_after))
        )
        spans = seen.days_before * 24, seen.days_after * 24
        better = chance_better(seen.units_after, spans[1], after, seen.units_before, spans[0], before)
        if 1 - _CLEAR < better < _CLEAR:
            return Grade(None, "too few sales to tell the rates apart", evidence)
        sold = f"{seen.units_after} in {seen.days_after:.0f} days, {seen.units_before} in {seen.days_before:.0f} before"
        return Grade(int(better >= _CLEAR), f"it earns {'more' if better >= _CLEAR else 'less'}: {sold}", evidence)


class FaultMended(Grader):
    prediction = told.MEND

    def outcome(self, row: DueRow, facts: Sign | None) -> Grade:
        fault = ("channel_fault", UUID(str(row.event_payload["fault_id"])))
        return Grade(1, "it was seen no more", fault) if facts else Grade(0, "it went on", fault)


class Alarmed(Grader):
    prediction = told.ALARM
    external = False

    def outcome(self, row: DueRow, facts: RivalFacts | None) -> Grade:
        if facts is None:
            return Grade(None, "the rival's moves are not kept any more")
        evidence, alarm = ("rival_move", facts.move_id), str(row.payload["alarm"])
        if alarm == "price-war":
            right = facts.least_minor <= facts.then_minor * (1 - _STEP)
            return Grade(int(right), "the rival went on down" if right else _PART[alarm], evidence)
        if not facts.in_stock or facts.ours_minor is None:
            return Grade(None, "the offer is gone, and nobody says why", evidence)
        right = facts.last_minor < facts.ours_minor * _FAR_BELOW
        return Grade(int(right), "the offer stayed far below ours" if right else _PART[alarm], evidence)


class PolicyMoved(Grader):
    prediction = told.POLICY
    external = False

    def outcome(self, row: DueRow, facts: Sign | None) -> Grade:
        if row.payload["to"] == "shadow":
            return Grade(None, "looking on risks nothing")
        if facts is None:
            return Grade(1, "it was not taken back", ("policy", row.subject_id))
        if facts.note.endswith("takes its place"):
            return Grade(None, "a newer policy took its place", ("policy_stage", facts.id))
        return Grade(0, "it was taken back", ("policy_stage", facts.id))


class Placed(Grader):
    """`facts` is what its sales earned, None for none."""

    prediction = told.PLACEMENT
    external = False

    def outcome(self, row: DueRow, facts: Money | None) -> Grade:
        if facts is None:
            return Grade(None, "nothing was sold there, or costs or fees are not known")
        right = facts.amount_minor > 0
        words = f"its sales {'earned' if right else 'lost'} money"
        return Grade(int(right), words, ("product", row.subject_id), facts)


class Advised(Grader):
    """`facts` is what a unit earned, and what the owner asked of it in minor units."""

    prediction = told.ADVICE
    external = False

    def outcome(self, row: DueRow, facts: tuple[Money, int] | None) -> Grade:
        line = ("sourcing_line", row.subject_id)
        if row.payload["verdict"] != "buy":
            return Grade(None, "what was not advised to buy is not seen", line)
        if facts is None:
            return _WAIT
        unit, asked = facts
        earned = unit.amount_minor
        words = f"{earned} minor units a unit, {asked} were asked"
        told = f"it earned {words}" if earned >= asked else f"it fell short: {words}"
        return Grade(int(earned >= asked), told, line, unit)


class TargetReached(Grader):
    prediction = told.TARGET
    external = False

    def outcome(self, row: DueRow, facts: TargetFacts | None) -> Grade:
        if facts is None or facts.reached is None:
            return _WAIT
        words = f"{facts.reached:,.0f} of {facts.target:,.0f}"
        return Grade(int(facts.reached >= facts.target), words, ("initiative", facts.initiative_id))


class Bought(Grader):
    prediction = told.PURCHASE
    external = False

    def outcome(self, row: DueRow, facts: BoughtFacts | None) -> Grade:
        if facts is None:
            return Grade(None, "no order came of it")
        order = ("purchase_order", facts.order_id)
        match facts.state:
            case "cancelled":
                return Grade(None, "the order was called off", order)
            case "received" if facts.given_up:
                return Grade(0, "a part of it never came", order)
            case "received":
                return Grade(int(not facts.late), f"it arrived {'late' if facts.late else 'in time'}", order)
        return Grade(0, "it had not arrived by then", order) if facts.late else _WAIT


class ListingMended(Grader):
    """The score is read again. Sales say no only where they clearly fell against all others of the account."""

    prediction = told.MENDED
    external = False

    def outcome(self, row: DueRow, facts: Mended | None) -> Grade:
        listing = ("listing", row.subject_id)
        if facts is None or facts.status in ("ended", "recognised"):
            return Grade(None, "it is not for sale any more", listing)
        if facts.status != "active":
            return Grade(0, f"the listing is {facts.status}", listing)
        before, expected = float(row.payload["score"]), float(row.payload["expected"])
        words = f"it scores {facts.score:.2f}, {before:.2f} before"
        if facts.score < min(expected, before + (expected - before) / 2):
            return Grade(0, f"{words}, {expected:.2f} was expected", listing)
        if (sold := facts.sold) is not None and sold.before:
            trend = (sold.others_after + 1) / (sold.others_before + 1)
            if chance_better(sold.after, trend, 1.0, sold.before, 1.0, 1.0) <= 1 - _CLEAR:
                return Grade(0, f"{words}, and sells less: {sold.after} units, {sold.before} before", listing)
        return Grade(1, words, listing)


class Endorsed(Grader):
    prediction = told.ENDORSE
    external = False

    def outcome(self, row: DueRow, facts: Parts | None) -> Grade:
        if facts is None or not (facts.right or facts.wrong or facts.waiting):
            return Grade(None, "what was let go ahead predicts nothing that can be checked")
        evidence = ("decision", facts.decision_id)
        if facts.wrong:
            return Grade(0, "a part of it turned out wrong", evidence)
        return _WAIT if facts.waiting else Grade(1, "all of it that can be known turned out right", evidence)


class OwnerAnswered(Grader):
    prediction = told.OWNER
    external = False

    def grade(self, row: DueRow, facts: Any, now: datetime) -> Grade | None:
        evidence = None if row.approval_id is None else ("approval", row.approval_id)
        match row.answer:
            case "approved":
                return Grade(1, "the owner said yes", evidence)
            case "refused":
                return Grade(0, "the owner said no", evidence)
            case "expired" | "superseded":
                return Grade(None, f"the question was not answered: {row.answer}", evidence)
        if row.answer is None and row.decision_state not in ("escalated", "awaiting"):
            return Grade(None, "the owner was not asked")
        late = now >= row.decided_at + (row.due_at - row.decided_at) * PATIENCE * 10
        return Grade(None, "what became of it is not known") if late else None

    def outcome(self, row: DueRow, facts: Any) -> Grade:
        return _WAIT


_ALL: Sequence[Grader] = (
    PriceMoved(),
    AdRated(),
    StockPushed(),
    Published(told.PUBLISH),
    *(Taken(each) for each in (told.REVISE, told.END, told.ORDER, told.WEBHOOKS)),
    FaultMended(),
    Alarmed(),
    PolicyMoved(),
    Placed(),
    Advised(),
    TargetReached(),
    Bought(),
    ListingMended(),
    Endorsed(),
    OwnerAnswered(),
)
GRADERS: Final[dict[str, Grader]] = {each.prediction.kind: each for each in _ALL}


def look_again(row: DueRow, now: datetime) -> datetime:
    """When to ask next about what is not known yet."""
    return now + max((row.due_at - row.decided_at) / 4, timedelta(hours=1))
