"""FulfillmentAgent: the life of an order from the first reserved unit to the confirmed shipment."""

from __future__ import annotations

from flipsync.domain.called_off import PutBackUnits, TellBuyer, UnitsInDoubt
from flipsync.domain.commands import (
    BuyLabel,
    CancelByHand,
    CancelLabel,
    ConfirmShipment,
    HandOverUnits,
    IssueRefund,
    MarkOrderReady,
    ReserveStock,
)
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import (
    LabelRequested,
    LabelUnwanted,
    OrderChanged,
    OrderReceived,
    ParcelHandedOver,
    RefundRequested,
    StockFreed,
)
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.called_off import question
from flipsync.services.oversold import way_out

OrderFact = (
    OrderReceived
    | OrderChanged
    | StockFreed
    | ParcelHandedOver
    | RefundRequested
    | LabelRequested
    | LabelUnwanted
    | UnitsInDoubt
)


class FulfillmentAgent(Agent[OrderFact]):
    """Reserves what an order lacks, marks it ready when it is whole, confirms its shipment, gives money back.

    Where units do not exist, the owner is asked about the cheapest way out; where an order came to nothing when it was
    packed already, whether its units lie on the shelf.
    """

    spec = AgentSpec(
        name="fulfillment",
        ecosystem="logistics",
        reports_to="executive",
        version="2",
        authority=Authority(auto_above=0.5),
        pace=0.25,  # the packing table does not mind
    )

    async def decide(
        self, event: OrderFact, ctx: Context
    ) -> Decision[
        ReserveStock
        | MarkOrderReady
        | ConfirmShipment
        | IssueRefund
        | BuyLabel
        | CancelLabel
        | CancelByHand
        | HandOverUnits
        | PutBackUnits
        | TellBuyer
    ]:
        if isinstance(event, StockFreed):
            waiting = await ctx.services.stock.short_orders(event.stock_item_id)
            if not waiting:
                return Decision.hold("no order waits for these units")
            # marking ready is denied by the books while an order still lacks something: the next freed unit asks again
            commands = [
                step for order in waiting for step in (ReserveStock(order_id=order), MarkOrderReady(order_id=order))
            ]
            return Decision.propose(
                *commands,
                why=f"{len(waiting)} orders wait for these units, oldest first",
                evidence=[Evidence(kind="order", id=order) for order in waiting],
            )
        order = await ctx.services.orders.get(event.order_id)
        if order is None:
            return Decision.hold("the order is not in the books")
        evidence = [Evidence(kind="order", id=order.order_id, note=f"{order.number}: {order.status}, {order.state}")]
        if isinstance(event, RefundRequested):
            refund = IssueRefund(
                account_id=event.account_id,
                order_id=event.order_id,
                refund_id=event.refund_id,
                amount=event.amount,
                reason=event.reason,
            )
            why = f"a person wants {event.amount} given back" + (f": {event.reason}" if event.reason else "")
            return Decision.propose(refund, why=why, evidence=evidence)
        if isinstance(event, UnitsInDoubt):
            return question(event, order.number, order.status, evidence)
        if isinstance(event, LabelRequested):
            label = BuyLabel(account_id=event.account_id, order_id=event.order_id, label_id=event.label_id)
            return Decision.propose(label, why="a person wants a label for the packed parcel", evidence=evidence)
        if isinstance(event, LabelUnwanted):
            cancel = CancelLabel(account_id=event.account_id, order_id=event.order_id, label_id=event.label_id)
            called_off = "the order was called off while its label was bought"
            why = called_off if order.state == "cancelled" else "a person wants the label given back"
            return Decision.propose(cancel, why=why, evidence=evidence)
        if isinstance(event, ParcelHandedOver):
            if order.state not in ("ready", "shipped"):
                return Decision.hold(f"the order is {order.state}: nothing may leave", evidence=evidence)
            return Decision.propose(
                ConfirmShipment(
                    account_id=order.account_id,
                    order_id=order.order_id,
                    carrier=event.carrier,
                    tracking_number=event.tracking_number,
                ),
                why=f"parcel handed to {event.carrier}: the buyer should know",
                evidence=evidence,
            )
        if not order.holds_stock:
            return Decision.hold(f"the channel says {order.status}: nothing to ship", evidence=evidence)
        if order.pool != "own":
            return Decision.hold("the channel ships it from its own warehouse", evidence=evidence)
        if order.short_units:
            found = await ctx.services.orders.oversold(order.order_id)
            return way_out(order.number, order.short_units, found, evidence)
        if order.state != "reserved":
            return Decision.hold(f"the order is {order.state} already", evidence=evidence)
        return Decision.propose(
            MarkOrderReady(order_id=order.order_id), why="every unit is reserved: pack it", evidence=evidence
        )
