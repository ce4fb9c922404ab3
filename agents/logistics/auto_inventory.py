"""AutoInventoryAgent: what to buy of whom, what to send to a channel's own warehouse, how much, and when."""

from __future__ import annotations

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted
from flipsync.domain.money import usd
from flipsync.domain.purchase_commands import (
    BoughtLine,
    OfferPurchaseOrder,
    OfferTransfers,
    PlacePurchaseOrder,
    PlanPurchases,
    SentLine,
)
from flipsync.domain.purchase_events import PurchaseDue, TransfersDue
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.buying_desk import PurchaseReview, SupplierPlan
from flipsync.services.transfer_desk import SendReview

#: so many rows are pointed at
_SHOWN = 5
#: nine in ten orders are there by the latest date, where that rests on so many; else on the owner's word, which may err
_ENOUGH_ORDERS, _LEARNED, _STATED = 3, 0.9, 0.8
#: that the owner says yes to packing a parcel: nobody knows yet, and answers will tell (services.recalibrating)
_PACKED = 0.7

_Proposed = PlanPurchases | PlacePurchaseOrder | OfferPurchaseOrder | OfferTransfers


class AutoInventoryAgent(Agent[CycleStarted | PurchaseDue | TransfersDue]):
    """Looks daily, and hourly where something runs low, at all goods at once, and orders from each supplier in one go.
    What sells from a channel's own warehouse is to be sent there in time, as far as the shelf can spare it.

    An order that costs more than the owner lets agents spend alone waits for the owner's word, and so does every
    transfer: a person has to pack it.
    """

    spec = AgentSpec(
        name="auto_inventory",
        ecosystem="logistics",
        reports_to="executive",
        version="2",
        authority=Authority(auto_above=0.5, max_stake=usd("1000.00")),
        # the whole catalogue is looked through once for several suppliers, so that cash is shared out once too
        batch=16,
    )

    async def decide(self, event: CycleStarted | PurchaseDue | TransfersDue, ctx: Context) -> Decision[_Proposed]:
        if isinstance(event, PurchaseDue):
            return await self._buy(event, ctx)
        if isinstance(event, TransfersDue):
            return await self._send(event, ctx)
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's cycle")
        if event.cycle not in ("hourly", "daily"):
            return Decision.hold(f"a {event.cycle} review buys nothing")
        urgent = event.cycle == "hourly"
        review = await ctx.services.purchasing.review(urgent)
        sending = await ctx.services.transfers.review(urgent)
        if not review.due and not sending.due:
            return Decision.hold(_nothing(review, sending))
        return Decision.propose(
            PlanPurchases(tenant_id=ctx.tenant_id, suppliers=review.due, urgent=urgent, warehouses=sending.due),
            why=_to_look_at(review, sending),
            evidence=[
                *(Evidence(kind="supplier", id=each) for each in review.due[:_SHOWN]),
                *(Evidence(kind="account", id=each) for each in sending.due[:_SHOWN]),
            ],
        )

    async def _send(self, event: TransfersDue, ctx: Context) -> Decision[_Proposed]:
        plan = await ctx.services.transfers.plan(event.account_id)
        if plan is None:
            return Decision.hold("nothing is to be sent there any more")
        return Decision.propose(
            OfferTransfers(
                account_id=plan.account_id,
                origin=ctx.now,
                lines=tuple(SentLine(variant_id=line.variant_id, units=line.units) for line in plan.lines),
            ),
            why=plan.words(),
            confidence=_PACKED,
            evidence=[
                Evidence(kind="account", id=plan.account_id, note=plan.name[:200]),
                *(Evidence(kind="stock_item", id=each.stock_item_id, note=each.words()) for each in plan.lines[:20]),
            ],
            alternatives=(
                Alternative(
                    name="send now",
                    scores={"missed_margin_minor": -plan.missed(sent=True)},
                    why=f"{plan.saved():.1f} units more can be sold, in both places together",
                    chosen=True,
                ),
                Alternative(
                    name="keep all on the shelf",
                    scores={"missed_margin_minor": -plan.missed(sent=False)},
                    why="it can still be sent later, and is then there later",
                ),
            ),
        )

    async def _buy(self, event: PurchaseDue, ctx: Context) -> Decision[_Proposed]:
        plan = await ctx.services.purchasing.plan(event.supplier_id)
        if plan is None:
            return Decision.hold("nothing of theirs is to be bought any more")
        alone = (await ctx.services.profile()).settings.purchasing.alone_minor
        order = OfferPurchaseOrder if plan.cost_minor > alone else PlacePurchaseOrder
        cost = plan.cost
        lacking = sum(line.short_without for line in plan.lines)
        missed = sum(line.short_without * line.margin_minor for line in plan.lines)
        still = sum(line.short_with * line.margin_minor for line in plan.lines)
        return Decision.propose(
            order(
                supplier_id=plan.supplier_id,
                origin=ctx.now,
                lines=tuple(
                    BoughtLine(variant_id=line.variant_id, units=line.units, cost_minor=line.cost_minor)
                    for line in plan.lines
                ),
                cost=cost,
                expected_days=round(plan.lead.mean, 2),
                latest_days=round(plan.lead.latest, 2),
            ),
            why=plan.words(),
            confidence=_LEARNED if plan.lead.orders >= _ENOUGH_ORDERS else _STATED,
            evidence=[
                Evidence(kind="supplier", id=plan.supplier_id, note=plan.name[:200]),
                *(Evidence(kind="stock_item", id=each.stock_item_id, note=plan.line(each)) for each in plan.lines[:20]),
                *policies(plan),
            ],
            stake=cost,
            alternatives=(
                Alternative(
                    name="order now",
                    scores={"missed_margin_minor": -round(still, 1), "cash_minor": -float(plan.cost_minor)},
                    why=f"{lacking - sum(line.short_with for line in plan.lines):.1f} units more can be sold",
                    chosen=True,
                ),
                Alternative(
                    name="wait for the next review",
                    scores={"missed_margin_minor": -round(missed, 1), "cash_minor": 0.0},
                    why=f"{lacking:.1f} units are expected to be asked for and not there",
                ),
                *_otherwise(plan),
            ),
            choices=plan.choices,
            source="policy" if plan.choices else "rules",
        )


def policies(plan: SupplierPlan) -> list[Evidence]:
    """The policies of the registry that were asked, each once, with their part in it."""
    asked = {(each.policy_id, each.role): each.version for each in plan.choices if each.policy_id is not None}
    return [
        Evidence(kind="policy", id=policy_id, note=f"{version}, {role}")
        for (policy_id, role), version in asked.items()
        if policy_id is not None
    ]


def _otherwise(plan: SupplierPlan) -> tuple[Alternative, ...]:
    """What the rule as shipped would have bought, where another acts, and what one that looks on would have."""
    acting = [each for each in plan.choices if each.role != "shadow"]
    shadow = [each for each in plan.choices if each.role == "shadow"]
    told = []
    if any(each.policy_id is not None for each in acting):
        units = sum(each.shipped_units for each in acting)
        told.append(Alternative(name="as the rule ships", scores={"units": units}, why="without a learned policy"))
    if shadow:
        units, name = sum(each.units for each in shadow), f"as policy {shadow[0].version} says"
        told.append(Alternative(name=name, scores={"units": units}, why="looks on, does not act"))
    return tuple(told)


def _to_look_at(review: PurchaseReview, sending: SendReview) -> str:
    more = f" and {len(review.due) - len(review.names)} more" if len(review.due) > len(review.names) else ""
    told = [f"{review.goods} goods looked at"] if review.goods else []
    told += [f"to buy from {', '.join(review.names)}{more}"] if review.due else []
    told += [f"to send to the warehouses of {', '.join(sending.names[:_SHOWN])}"] if sending.due else []
    return ("; ".join(told) + _waits(review, sending))[:900]


def _nothing(review: PurchaseReview, sending: SendReview) -> str:
    told = review.stopped or f"{review.goods} goods looked at, nothing is to be bought now"
    if sending.goods:
        told += f"; {sending.goods} goods in channels' warehouses, nothing is to be sent there"
    return (told + _waits(review, sending))[:900]


def _waits(review: PurchaseReview, sending: SendReview) -> str:
    waiting = (*review.waiting, *sending.waiting)
    return f"; waiting: {'; '.join(waiting)}" if waiting else ""
