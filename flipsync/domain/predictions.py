"""What a decision's confidence is about: for each command a statement that time proves right or wrong, or why none is.

A confidence belongs to the decision, and so to each of its proposals: every one is graded by what its command predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flipsync.domain import commands as c
from flipsync.domain import events as e
from flipsync.domain import listing_care as care
from flipsync.domain import purchase_commands as b
from flipsync.domain import steering_commands as steer
from flipsync.domain import workflow_messages as w
from flipsync.domain.advertising import AdvertisedStockTurned, SetAdRate
from flipsync.domain.called_off import PutBackUnits, TellBuyer, WriteByHand
from flipsync.domain.commands import Command
from flipsync.domain.goods_reading import NoteReading
from flipsync.domain.sourcing import RecordSourcingVerdict

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Prediction:
    """`says` is what comes true when the decision was right, known `within` that time of it (business time).

    `may_wait`: nothing gets worse while somebody else looks at it first, so authority over it can be taken away.
    """

    kind: str
    says: str
    within: timedelta
    may_wait: bool = False


@dataclass(frozen=True)
class NoPrediction:
    """Nothing that happens afterwards can tell whether it was right: `why`."""

    kind: str
    why: str


PRICE = Prediction("price-move", "the listing earns more an hour than at the price before", 7 * _DAY, may_wait=True)
STOCK = Prediction("stock-push", "the channel shows it, and nothing is sold that is not there until the next one", _DAY)
PUBLISH = Prediction("publish", "the channel takes the listing and still shows it a day later", _DAY, may_wait=True)
REVISE = Prediction("revise", "the channel takes the new words", _DAY, may_wait=True)
END = Prediction("end", "the channel takes the listing off sale", _DAY)
ORDER = Prediction("order-step", "the channel takes it, and it is seen there", _DAY)
MEND = Prediction("fault-mend", "the fault is seen no more", _DAY)
WEBHOOKS = Prediction("webhooks", "the channel takes the subscription", _DAY)
ALARM = Prediction(
    "rival-alarm", "a war goes on down, or the hijacker is still far below us, within three days", 3 * _DAY, True
)
POLICY = Prediction("policy-step", "the policy is not taken back within two weeks", 14 * _DAY, may_wait=True)
PLACEMENT = Prediction("placement", "what it sells in thirty days earns after fees and shipping", 30 * _DAY, True)
ENDORSE = Prediction("endorsement", "what was let go ahead turns out right", 8 * _DAY)
ADVICE = Prediction("advice", "goods advised to buy earn what the owner asks, once they are bought and sold", 90 * _DAY)
TARGET = Prediction("plan-target", "the figure reaches its target within the plan's four weeks", 29 * _DAY)
PURCHASE = Prediction(
    "purchase", "all of it arrives by the time by which nine in ten of their orders do", 30 * _DAY, may_wait=True
)
MENDED = Prediction(
    "listing-fix", "a fortnight later what was wrong is gone, and it sells no worse than its like", 14 * _DAY, True
)
AD = Prediction(
    "ad-rate", "the listing earns more a day after its ad fees than at the rate before", 14 * _DAY, may_wait=True
)
OWNER = Prediction("owner-question", "the owner says yes", 3 * _DAY)

Known = Prediction | NoPrediction

HOLD = NoPrediction("hold", "what would have come of acting is not seen")
READ = NoPrediction("read", "reading changes nothing")
WISH = NoPrediction("wish", "a person wanted it: nothing was predicted")
_BY_COMMAND: Final[dict[type[Command], Known]] = {
    c.ChangePrice: PRICE,
    c.SetChannelQuantity: STOCK,
    c.PublishListing: PUBLISH,
    c.ReviseListing: REVISE,
    c.EndListing: END,
    c.ConfirmShipment: ORDER,
    c.IssueRefund: ORDER,
    c.BuyLabel: ORDER,
    c.CancelLabel: ORDER,
    c.EnsureWebhooks: WEBHOOKS,
    c.RaiseRivalAlarm: ALARM,
    SetAdRate: AD,
    c.PromotePolicy: POLICY,
    c.ListOnChannel: PLACEMENT,
    steer.SetTarget: TARGET,
    c.EndorseDecision: ENDORSE,
    c.AdoptListing: OWNER,
    c.OfferEdit: OWNER,
    c.SettleRefund: OWNER,
    c.CancelByHand: OWNER,
    c.HandOverUnits: OWNER,
    PutBackUnits: OWNER,
    TellBuyer: OWNER,
    WriteByHand: OWNER,
    c.KeepEdit: NoPrediction("books", "the owner's own rule, carried out"),
    c.AllocateStock: NoPrediction("books", "the books follow their ledger in the same transaction"),
    c.ReserveStock: NoPrediction("books", "units are there or not: the books know at once"),
    c.MarkOrderReady: NoPrediction("books", "units are there or not: the books know at once"),
    c.MeasureChannels: NoPrediction("books", "measuring predicts nothing"),
    c.NoteTrend: NoPrediction("trend", "what the goods would have sold at the old rate is not seen"),
    NoteReading: NoPrediction("reading", "what is read from a text stands in it, or it is not kept"),
    c.MakeForecasts: NoPrediction("forecast", "each week of each forecast is compared with what sold, by itself"),
    c.OverruleDecision: NoPrediction("overruling", "what was stopped is not seen"),
    c.AskOwner: NoPrediction("asking", "a question predicts nothing"),
    c.ExpireApproval: NoPrediction("books", "the clock says so"),
    c.PauseAccount: NoPrediction("pause", "what was not written cannot be refused"),
    c.ResumeAccount: NoPrediction("books", "the owner wanted it"),
    c.MoveAuthority: NoPrediction("authority", "what would have come of the other is not seen"),
    RecordSourcingVerdict: ADVICE,
    steer.IssueDirective: NoPrediction("directive", "what agents would have done unbound is not seen"),
    steer.RevokeDirective: NoPrediction("directive", "what agents would have done bound is not seen"),
    steer.ShareBudgets: NoPrediction("budget", "what other shares would have brought is not seen"),
    steer.AdoptPlan: NoPrediction("plan", "its targets are graded one by one"),
    steer.ClosePlan: NoPrediction("books", "the books say what was sold"),
    care.FitListing: MENDED,
    care.OfferListingFix: OWNER,
    care.OfferProductFacts: OWNER,
    care.PlanListingWork: NoPrediction("plan", "what is done about each listing predicts for itself"),
    care.NoteListingNeeds: NoPrediction("need", "whether a person sees to it is not the agent's doing"),
    b.PlacePurchaseOrder: PURCHASE,
    b.OfferPurchaseOrder: PURCHASE,
    b.PlanPurchases: NoPrediction("plan", "the orders and transfers that follow predict for themselves"),
    b.OfferTransfers: OWNER,
    c.TrainPolicy: NoPrediction("training", "what a search finds is judged when it is promoted"),
    w.ContinueWorkflow: OWNER,
    w.ConfirmIdentity: OWNER,
    w.WriteContent: NoPrediction("content", "the listing it is for is graded when it is published"),
    w.SetListPrice: NoPrediction("list-price", "what the goods would have earned at another price is not seen"),
    c.RollBackPolicy: NoPrediction("roll-back", "what the policy would have earned is not seen"),
}
#: the fact that led to it makes another prediction of a command, or none
_BY_FACT: Final[dict[tuple[type[e.Event], type[Command]], Known]] = {
    (e.PriceUnwanted, c.ChangePrice): WISH,
    (e.ListingUnwanted, c.EndListing): WISH,
    (AdvertisedStockTurned, SetAdRate): NoPrediction("ad-stock", "units are there or not: the books know at once"),
    (e.ChannelFaultFound, c.EnsureWebhooks): MEND,
    (e.ChannelFaultFound, c.PullOrders): MEND,
    (e.ChannelFaultFound, c.VerifyListings): MEND,
}
#: facts that have a say in what is predicted
TELLING: Final[frozenset[str]] = frozenset(fact.type_name() for fact, _ in _BY_FACT)


def prediction(command: str | None, fact: str) -> Known:
    """What was predicted by proposing `command` (None: nothing was) about a fact, both by their type's name.

    A type this version does not know predicts nothing it could check.
    """
    if command is None:
        return HOLD
    kind = Command._registry.get(command)
    known = next(
        (found for (told, proposed), found in _BY_FACT.items() if (told.type_name(), proposed) == (fact, kind)), None
    )
    if known is not None:
        return known
    if kind is None:
        return NoPrediction("unknown", f"this version knows no {command}")
    if kind.scope == "read":
        return READ
    return _BY_COMMAND.get(kind, NoPrediction("unknown", f"nobody has said what {command} predicts"))


#: every prediction that can be graded, by its kind
PREDICTIONS: Final[dict[str, Prediction]] = {
    known.kind: known for known in (*_BY_COMMAND.values(), *_BY_FACT.values()) if isinstance(known, Prediction)
}
