"""AutoInventoryAgent: what to buy of whom, how much, and when."""

from __future__ import annotations

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted
from flipsync.domain.money import Money, usd
from flipsync.domain.purchase_commands import BoughtLine, OfferPurchaseOrder, PlacePurchaseOrder, PlanPurchases
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.buying_desk import BuyLine, PurchaseReview, SupplierPlan

#: lines of an order that are told one by one
_SHOWN = 5
#: nine in ten orders are there by the latest date, where that rests on so many; else on the owner's word, which may err
_ENOUGH_ORDERS, _LEARNED, _STATED = 3, 0.9, 0.8


class AutoInventoryAgent(Agent[CycleStarted | PurchaseDue]):
    """Looks daily, and hourly where something runs low, at all goods at once, and orders from each supplier in one go.

    An order that costs more than the owner lets agents spend alone waits for the owner's word.
    """

    spec = AgentSpec(
        name="auto_inventory",
        ecosystem="logistics",
        reports_to="executive",
        authority=Authority(auto_above=0.5, max_stake=usd("1000.00")),
        # the whole catalogue is looked through once for several suppliers, so that cash is shared out once too
        batch=16,
    )

    async def decide(
        self, event: CycleStarted | PurchaseDue, ctx: Context
    ) -> Decision[PlanPurchases | PlacePurchaseOrder | OfferPurchaseOrder]:
        if isinstance(event, PurchaseDue):
            return await self._buy(event, ctx)
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's cycle")
        if event.cycle not in ("hourly", "daily"):
            return Decision.hold(f"a {event.cycle} review buys nothing")
        urgent = event.cycle == "hourly"
        review = await ctx.services.purchasing.review(urgent)
        if review.stopped:
            return Decision.hold(review.stopped)
        waits = f"; waiting: {'; '.join(review.waiting)}" if review.waiting else ""
        if not review.due:
            return Decision.hold(f"{review.goods} goods looked at, nothing is to be bought now{waits}"[:900])
        return Decision.propose(
            PlanPurchases(tenant_id=ctx.tenant_id, suppliers=review.due, urgent=urgent),
            why=_to_look_at(review, waits),
            evidence=[Evidence(kind="supplier", id=each) for each in review.due[:_SHOWN]],
        )

    async def _buy(
        self, event: PurchaseDue, ctx: Context
    ) -> Decision[PlanPurchases | PlacePurchaseOrder | OfferPurchaseOrder]:
        plan = await ctx.services.purchasing.plan(event.supplier_id)
        if plan is None:
            return Decision.hold("nothing of theirs is to be bought any more")
        alone = (await ctx.services.profile()).settings.purchasing.alone_minor
        order = OfferPurchaseOrder if plan.cost_minor > alone else PlacePurchaseOrder
        cost = Money(amount_minor=plan.cost_minor, currency=plan.currency)
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
            why=_why(plan, cost),
            confidence=_LEARNED if plan.lead.orders >= _ENOUGH_ORDERS else _STATED,
            evidence=[
                Evidence(kind="supplier", id=plan.supplier_id, note=plan.name[:200]),
                *(
                    Evidence(kind="stock_item", id=line.stock_item_id, note=_line(line, plan))
                    for line in plan.lines[:20]
                ),
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


def _to_look_at(review: PurchaseReview, waits: str) -> str:
    more = f" and {len(review.due) - len(review.names)} more" if len(review.due) > len(review.names) else ""
    return f"{review.goods} goods looked at; to buy from {', '.join(review.names)}{more}{waits}"[:900]


def _why(plan: SupplierPlan, cost: Money) -> str:
    told = "; ".join(_line(line, plan) for line in plan.lines[:_SHOWN])
    rest = len(plan.lines) - _SHOWN + plan.more
    more = f"; {rest} more" if rest > 0 else ""
    way = "by mail" if plan.mailed else "for you to place"
    known = f"seen in {plan.lead.orders} orders" if plan.lead.orders else "as you stated it"
    tight = "; cash does not reach for everything, so the best of it is bought" if plan.dearness > 0 else ""
    arrives = f"there in about {plan.lead.mean:.0f} days ({known}), nine in ten within {plan.lead.latest:.0f}"
    return f"order from {plan.name} for {cost}, {way}, {arrives}: {told}{more}{tight}"[:1500]


def _line(line: BuyLine, plan: SupplierPlan) -> str:
    coming = f", {line.on_order} of it on order" if line.on_order else ""
    return (
        f"{line.units} × {line.sku} ({line.position} there{coming}; {line.weekly:.1f} sell a week, {line.level:.0f} "
        f"cover {plan.days:.0f} days with a chance of {line.service:.0%})"
    )[:300]
