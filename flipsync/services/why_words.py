"""Facts and commands in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from flipsync.domain import commands as c
from flipsync.domain import events as e
from flipsync.domain import listing_care as care
from flipsync.domain import purchase_commands as b
from flipsync.domain import purchase_events as p
from flipsync.domain import steering_commands as steer
from flipsync.domain import steering_events as told
from flipsync.domain import workflow_messages as w
from flipsync.domain.advertising import AdRateSet, AdsRead, AdvertisedStockTurned, PullAds, SetAdRate
from flipsync.domain.called_off import PutBackUnits, TellBuyer, UnitsInDoubt, WriteByHand
from flipsync.domain.goods_reading import NoteReading
from flipsync.domain.payouts import PullPayouts
from flipsync.domain.sourcing import (
    CatalogueAnswered,
    LookUpGoods,
    RecordSourcingVerdict,
    SourcingAsked,
    SourcingListSent,
)
from flipsync.services.why_edits import edit_words
from flipsync.store.repositories.why import Subject

_FIELDS = {
    "listing_id": "listing",
    "order_id": "order",
    "account_id": "account",
    "product_id": "product",
    "variant_id": "variant",
    "stock_item_id": "stock_item",
    "directive_id": "directive",
    "purchase_order_id": "purchase_order",
    "supplier_id": "supplier",
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CAUSES = {
    "rivals": "a rival's offer changed",
    "sale": "a sale was made",
    "stock": "its stock changed",
    "cost": "its cost changed",
    "drift": "the channel shows another price than we set",
}


_AD_CAUSES = {
    "review": "it earns more without",
    "stock": "nothing to ship",
    "budget": "the month's money goes elsewhere",
    "off": "the owner wants no ads",
}


class Labels:
    """What people call things; what is not known is called by its kind and id."""

    def __init__(self, known: Mapping[Subject, str]) -> None:
        self._known = known
        self._by_id = {str(row_id): label for (_, row_id), label in known.items()}

    def __call__(self, kind: str, row_id: UUID) -> str:
        return self._known.get((kind, row_id)) or f"{kind.replace('_', ' ')} {row_id}"

    def within(self, words: str) -> str:
        """`words` with every id that is known replaced by its label."""
        return _UUID.sub(lambda found: self._by_id.get(found.group(), found.group()), words)


def mentioned(payload: Mapping[str, Any]) -> Iterator[Subject]:
    """What a fact's or a command's payload speaks of."""
    for field, kind in _FIELDS.items():
        if isinstance(value := payload.get(field), str) and _UUID.fullmatch(value):
            yield kind, UUID(value)
    shares = payload.get("shares")
    if isinstance(shares, dict):
        for listing_id in shares:
            yield "listing", UUID(listing_id)


def ids_within(words: str) -> Iterator[UUID]:
    for found in _UUID.findall(words):
        yield UUID(found)


def spaced(type_name: str) -> str:
    """ "ChangePrice" → "change price"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type_name).lower()


def units(count: int) -> str:
    return f"{count} unit" if count == 1 else f"{count} units"


def command_words(type_name: str, payload: dict[str, Any], label: Labels) -> str:
    """A command in the imperative; one this version cannot read is called by its name."""
    try:
        command = c.Command.from_store(type_name, payload)
    except (KeyError, ValidationError):
        return spaced(type_name)
    match command:
        case c.PublishListing():
            return f"publish {label('listing', command.listing_id)} at {command.offer.price}"
        case c.ReviseListing():
            return f"revise the text of {label('listing', command.listing_id)}"
        case c.EndListing():
            return f"take {label('listing', command.listing_id)} off sale: {command.reason}"
        case c.ChangePrice():
            before = "" if command.previous is None else f" from {command.previous}"
            return f"change the price of {label('listing', command.listing_id)}{before} to {command.price}"
        case c.SetChannelQuantity():
            last = ", the last unit" if command.last_unit else ""
            return f"show {units(command.quantity)} on {label('listing', command.listing_id)}{last}"
        case c.ConfirmShipment():
            parcel = f"{command.carrier} {command.tracking_number}".strip()
            return f"tell the channel that {label('order', command.order_id)} left with {parcel}"
        case c.IssueRefund():
            return f"give {command.amount} back for {label('order', command.order_id)}"
        case c.SettleRefund():
            return f"take the refund in doubt of {label('order', command.order_id)} for given"
        case c.BuyLabel():
            return f"buy a label for {label('order', command.order_id)}"
        case c.CancelLabel():
            return f"give the label of {label('order', command.order_id)} back"
        case c.EnsureWebhooks():
            return f"see that the webhooks of {label('account', command.account_id)} are on"
        case c.PullOrders():
            return f"fetch the orders of {label('account', command.account_id)}"
        case c.PullRivals():
            return f"fetch rivals' offers on {label('account', command.account_id)}"
        case c.VerifyListings():
            return f"compare the listings of {label('account', command.account_id)} with the channel"
        case c.ListOnChannel():
            return f"list “{label('product', command.product_id)}” on {label('account', command.account_id)}"
        case c.PullRefunds():
            return f"fetch what was given back on {label('account', command.account_id)}"
        case c.PullWarehouse():
            return f"compare our books with the warehouses of {label('account', command.account_id)}"
        case c.KeepEdit():
            return f"let {label('listing', command.listing_id)} say what was written on the channel"
        case c.AllocateStock():
            shares = ", ".join(f"{label('listing', listing)}: {share}" for listing, share in command.shares.items())
            return f"share out the {label('stock_item', command.stock_item_id)} ({shares})"
        case SetAdRate(rate_bps=0):
            return f"stop advertising {label('listing', command.listing_id)} ({_AD_CAUSES[command.cause]})"
        case SetAdRate():
            before = f", {command.was_bps / 100:.1f} % before" if command.was_bps else ""
            return f"advertise {label('listing', command.listing_id)} at {command.rate_bps / 100:.1f} %{before}"
        case PullAds():
            return f"ask what ads sold and cost on {label('account', command.account_id)}"
        case PullPayouts():
            return f"read what {label('account', command.account_id)} paid out"
        case c.RaiseRivalAlarm():
            return f"raise the alarm of a {command.alarm.replace('-', ' ')} at {label('listing', command.listing_id)}"
        case steer.IssueDirective():
            place = "" if command.terms.account_id is None else f" on {label('account', command.terms.account_id)}"
            return f"bind agents for {command.days} days: {command.terms.in_words()}{place}; {command.reason}"
        case steer.ShareBudgets():
            shares_of = {
                "the fleet's listings among the channels": command.listing_shares_bps,
                "its margin among the channels": command.margin_shares_bps,
                "cash among suppliers": command.cash_shares_bps,
                "ad money among accounts": command.ad_shares_bps,
            }
            divided = ", ".join(what for what, shares in shares_of.items() if shares is not None)
            return f"divide {divided or 'budgets'}: {command.reason}"
        case steer.AdoptPlan():
            return f"plan from {command.starts_at:%Y-%m-%d} to {command.ends_at:%Y-%m-%d}: {command.why}"
        case steer.SetTarget():
            return f"aim at: {command.title} ({command.probability:.0%} likely)"
        case steer.ClosePlan():
            return f"tell what came of the plan of {command.plan_starts_at:%Y-%m-%d}"
        case steer.RevokeDirective():
            return f"end a directive: {command.reason}"
        case c.MeasureChannels():
            return "measure how soon every channel hears of a sale on another"
        case c.ReserveStock():
            return f"reserve what {label('order', command.order_id)} still lacks"
        case c.CancelByHand():
            return f"cancel {label('order', command.order_id)} by hand on its channel, and look what the channel says"
        case c.HandOverUnits():
            given, taken = label("order", command.order_id), label("order", command.from_order_id)
            return f"give {given} the units of {taken}, which is then the one to cancel"
        case TellBuyer():
            return f"tell the buyer of {label('order', command.order_id)}: “{command.text}”"
        case WriteByHand():
            return f"write to the buyer of {label('order', command.order_id)} by hand"
        case PutBackUnits():
            return f"sell {units(sum(command.units.values()))} of {label('order', command.order_id)} again"
        case c.MarkOrderReady():
            return f"mark {label('order', command.order_id)} ready to pack"
        case c.EndorseDecision():
            return "let the decision go ahead"
        case c.OverruleDecision():
            return f"stop the decision: {command.reason}"
        case c.AskOwner():
            return f"ask the owner: {command.question}"
        case c.ExpireApproval():
            return "close the question to the owner: nobody answered in time"
        case c.PauseAccount():
            return f"pause {label('account', command.account_id)}: {command.reason}"
        case c.ResumeAccount():
            return f"write to {label('account', command.account_id)} again"
        case c.MakeForecasts():
            return f"forecast demand for all goods by {command.method}"
        case b.PlanPurchases():
            sent = f", and what to send to {len(command.warehouses)} warehouses" if command.warehouses else ""
            return f"look what to buy of {len(command.suppliers)} suppliers{sent}"
        case b.OfferTransfers():
            meant = units(sum(line.units for line in command.lines))
            return f"set {meant} aside for the warehouse of {label('account', command.account_id)}"
        case b.PlacePurchaseOrder():
            bought = units(sum(line.units for line in command.lines))
            return f"order {bought} from {label('supplier', command.supplier_id)} for {command.cost}"
        case care.PlanListingWork():
            return f"see to {len(command.listings)} listings that lack something"
        case care.FitListing():
            done = "fit the words of" if command.titles or command.specifics else "tell the channel our words of"
            again = ", and list it again" if command.relist else ""
            scores = f"score {command.score:.2f}, then {command.expected:.2f}"
            return f"{done} {label('listing', command.listing_id)}{again} ({scores})"
        case care.OfferProductFacts():
            fact = f"brand {command.brand}" if command.brand else f"category {command.category}"
            return f"write the {fact} into “{label('product', command.product_id)}”"
        case care.NoteListingNeeds():
            lacks = "; ".join(need.says for need in command.needs) or "nothing any more"
            return f"tell what {label('listing', command.listing_id)} needs of a person: {lacks}"
        case c.NoteTrend():
            return f"tell a trend ({command.kind}): {command.why}"
        case RecordSourcingVerdict():
            return f"advise: {command.verdict}. {command.why}"
        case LookUpGoods():
            return f"ask the catalogue of {label('account', command.account_id)} what goods are"
        case NoteReading():
            return f"note what was read about “{label('product', command.product_id)}”"
        case c.TrainPolicy():
            return f"search for a better {command.name} policy: {command.cause}"
        case c.MoveAuthority(to="full"):
            return f"let {command.agent} decide {spaced(command.kind)} alone again: {command.reason}"
        case c.MoveAuthority():
            return f"{command.agent}'s authority over {spaced(command.kind)} becomes {command.to}: {command.reason}"
        case c.PromotePolicy():
            return f"move a policy on to {command.to}: {command.reason}"
        case c.RollBackPolicy():
            return f"take a {command.name} policy back: {command.reason}"
        case _:
            return spaced(type_name)


def event_words(type_name: str, payload: dict[str, Any], label: Labels) -> str:
    """A fact in the past tense; one this version cannot read is called by its name."""
    try:
        event = e.Event.from_journal(type_name, payload)
    except (KeyError, ValidationError):
        return spaced(type_name)
    if isinstance(event, e.OrderEvent):
        return _order_words(event, label)
    if isinstance(event, e.ListingEvent):
        return _listing_words(event, label)
    match event:
        case e.ProductImported():
            return f"“{label('product', event.product_id)}” was {'imported' if event.created else 'changed by a file'}"
        case e.CostChanged():
            return f"the unit cost of {label('variant', event.variant_id)} is {event.cost}"
        case e.StockMoved(kind="short"):
            return f"{units(event.quantity)} of the {label('stock_item', event.stock_item_id)} sold that are not there"
        case e.StockMoved(kind="forgo"):
            return (
                f"no buyer waits for {units(event.quantity)} of the {label('stock_item', event.stock_item_id)} any more"
            )
        case e.StockMoved(kind="transfer"):
            return (
                f"{units(event.quantity)} of the {label('stock_item', event.stock_item_id)} were set aside"
                " for a channel's warehouse"
            )
        case e.StockMoved(kind="keep"):
            return f"{units(event.quantity)} of the {label('stock_item', event.stock_item_id)} were to be sent no more"
        case e.StockMoved():
            counted = f"{event.kind} {units(abs(event.quantity))}"
            return (
                f"{label('stock_item', event.stock_item_id)} moved ({counted}): "
                f"{event.on_hand} on hand, {event.reserved} reserved"
            )
        case e.WarehouseReconciled():
            return (
                f"the channel's warehouses reported {event.reported} to sell of the "
                f"{label('stock_item', event.stock_item_id)} where our books had {event.expected}"
            )
        case e.StockFreed():
            return f"units of the {label('stock_item', event.stock_item_id)} became free"
        case e.AccountConnected():
            return f"{label('account', event.account_id)} was connected"
        case SourcingListSent():
            return "a supplier's list was sent"
        case SourcingAsked():
            return "somebody asked what goods are and what they may cost"
        case CatalogueAnswered():
            return f"the catalogue of {label('account', event.account_id)} told of {event.found} pages"
        case e.ChannelCheckDue():
            return f"it was time to look at {label('account', event.account_id)}"
        case e.ListingCheckDue():
            return f"it was time to compare the listings of {label('account', event.account_id)}"
        case e.ListingsSurveyed():
            return (
                f"what {label('account', event.account_id)} offers was looked at: {event.adopted} taken over, "
                f"{event.doubtful} asked about, {event.unknown} of other goods"
            )
        case e.ListingRequested():
            return f"“{label('product', event.product_id)}” was wanted on {label('account', event.account_id)}"
        case e.EffectFailed():
            return f"{spaced(event.command)} ended {event.outcome}: {event.detail}"
        case e.AccountHealthChanged():
            health = "well again" if event.healthy else "unwell"
            return f"{label('account', event.account_id)} is {health}: {event.cause}"
        case e.CredentialsExpiring():
            when = f"on {event.ends_at:%Y-%m-%d}" if event.days else "now"
            return f"{spaced(event.credential)} of {label('account', event.account_id)} ends {when}"
        case e.CredentialsRenewed():
            return f"{spaced(event.credential)} of {label('account', event.account_id)} was renewed"
        case e.CycleStarted():
            return f"the {event.cycle} review was due"
        case e.RepricingDue():
            return "it was time to look at every price"
        case told.PlanDue():
            return "it was time to plan the weeks to come"
        case care.ListingsDue():
            return "it was time to look what listings lack"
        case AdsRead():
            return f"{label('account', event.account_id)} told of {event.advertised} advertised listings"
        case AdvertisedStockTurned(available=0):
            return f"{label('stock_item', event.stock_item_id)}, which is advertised, ran out"
        case AdvertisedStockTurned():
            goods = label("stock_item", event.stock_item_id)
            return f"{units(event.available)} of {goods}, which is to be advertised, could be shipped again"
        case e.TrendsDue():
            return "it was time to look what sells otherwise than before"
        case told.DirectiveIssued():
            return f"agents were bound for {event.days} days: {event.words}"
        case told.DirectiveEnded():
            return f"agents were bound no longer: {event.reason}"
        case told.DecisionOutranked():
            whose = f"{event.by_agent} took the {event.part} of {label('listing', event.listing_id)}"
            return f"{whose} from {event.agent}: {event.reason}"
        case told.BudgetRunningLow():
            return f"{event.share:.0%} of the hour's {event.budget.replace(':', ' ')} were done or promised"
        case p.PurchaseDue():
            pressing = "may run out before an order arrives" if event.urgent else "is to be bought"
            return f"something of {label('supplier', event.supplier_id)} {pressing}"
        case p.TransfersDue():
            pressing = "may run out before it arrives" if event.urgent else "is to be sent"
            return f"something for the warehouse of {label('account', event.account_id)} {pressing}"
        case p.PurchaseEvent():
            return _purchase_words(event, label)
        case e.DecisionEscalated():
            return f"{event.from_agent} passed the decision up to {event.to_agent}: {event.reason}"
        case e.ApprovalEscalated():
            return "nobody had answered the question, and the next person was told"
        case e.ApprovalAnswered():
            return f"the owner said {'yes' if event.approved else 'no'}"
        case w.StockToList():
            return f"“{label('product', event.product_id)}” was new, and it was time for its {event.part}"
        case w.WorkflowAsked():
            return f"the automation {event.name} asked: {event.question}"
        case _:
            return spaced(type_name)


def _order_words(event: e.OrderEvent, label: Labels) -> str:
    order = label("order", event.order_id)
    match event:
        case e.OrderReceived() if event.short_units:
            return f"{order} came in, short of {units(event.short_units)}"
        case e.OrderReceived():
            return f"{order} came in; every unit was reserved"
        case e.OrderChanged():
            return f"the channel changed {order} to {event.status}"
        case UnitsInDoubt():
            after = "after its parcel was handed over" if event.parcel else "before it left"
            return f"{order} was called off {after}, with {units(sum(event.units.values()))}"
        case e.OrderReady():
            return f"{order} was ready to pack"
        case e.ParcelHandedOver():
            return f"the parcel of {order} was handed to {event.carrier} as {event.tracking_number}"
        case e.RefundRequested():
            return f"a person asked for {event.amount} back for {order}"
        case e.RefundIssued():
            return f"the channel gave {event.amount} back for {order}"
        case e.LabelRequested():
            return f"a person asked for a label for {order}"
        case e.LabelUnwanted():
            return f"the label of {order} was to be given back"
        case e.LabelBought():
            return f"a label for {order} was bought for {event.cost}: {event.carrier} {event.tracking_number}"
        case e.ShipmentConfirmed():
            return f"the channel knew that {order} was shipped"
        case _:
            return f"{order}: {spaced(event.type_name())}"


def _purchase_words(event: p.PurchaseEvent, label: Labels) -> str:
    order = f"{label('purchase_order', event.purchase_order_id)} with {label('supplier', event.supplier_id)}"
    match event:
        case p.PurchasePlaced():
            return f"{order} for {event.cost} {'was to be mailed' if event.by_mail else 'was left to you to place'}"
        case p.PurchaseOrdered():
            return f"the supplier had {order}, expected on {event.expected_at:%Y-%m-%d}"
        case p.PurchaseMailFailed(outcome="unknown"):
            return f"nobody could tell whether the mail about {order} arrived: {event.detail}"
        case p.PurchaseMailFailed():
            return f"the mail about {order} was refused: {event.detail}"
        case p.PurchaseReceived():
            rest = "nothing is still to come" if event.complete else "more is to come"
            return f"{units(event.units)} of {order} arrived for {event.landed}, {rest}"
        case p.PurchaseEnded(partly=True):
            return f"what never came of {order} was given up: {event.reason}"
        case p.PurchaseEnded():
            return f"{order} was called off: {event.reason}"
        case _:
            return f"{order}: {spaced(event.type_name())}"


def _listing_words(event: e.ListingEvent, label: Labels) -> str:
    listing = label("listing", event.listing_id)
    match event:
        case e.QuantityDrifted(overwritten=True):
            return (
                f"{listing} was changed on the channel to {event.seen} units where the ledger allows {event.expected}:"
                " ours were written over them"
            )
        case e.QuantityDrifted():
            return f"{listing} showed {event.seen} units where the ledger allows {event.expected}"
        case e.ListingRecognised():
            return f"a listing found on the channel may be {listing}: {event.why}"
        case e.ListingPublished():
            return f"the channel showed {listing}"
        case e.ListingRefused():
            return f"the channel refused {listing}: {event.reason}"
        case care.RevisionRefused():
            return f"the channel refused new words of {listing}: {event.reason}"
        case care.ListingLacking():
            return f"{listing} was seen to lack something"
        case e.ListingVanished():
            return f"the channel no longer knew {listing}"
        case e.ListingUnwanted():
            return f"the owner wanted {listing} off sale: {event.reason}"
        case e.ListingOutdated(again=True):
            return f"{listing} was to be told our words again"
        case e.ListingOutdated():
            return f"the product behind {listing} was edited or withdrawn"
        case e.ListingEdited(fields=("price",)):
            return f"the price of {listing} was set to {event.price_theirs} on the channel: {event.note}"
        case e.ListingEdited():
            return f"{listing} was edited on the channel: {edit_words(event)}"
        case e.OfferChanged():
            return f"the market around {listing} moved: {_CAUSES[event.cause]}"
        case e.PriceUnwanted():
            return f"a person wanted {listing} at {event.price} again, not at {event.replaces}"
        case e.PriceWished():
            return f"a person wanted {listing} at {event.price} instead of {event.seen}"
        case AdRateSet(rate_bps=0):
            return f"{listing} was advertised no more"
        case AdRateSet():
            return f"{listing} was advertised at {event.rate_bps / 100:.1f} %"
        case e.PriceSet():
            return f"{listing} showed {event.price}"
        case _:
            return f"{listing}: {spaced(event.type_name())}"
