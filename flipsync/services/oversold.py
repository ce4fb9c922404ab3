"""An order of goods that are not there: what can be done about it, and what each way costs.

No connector cancels an order: that is the owner's to do on the channel's own page. With the owner's yes the buyer is
told where the channel takes messages (Amazon, WooCommerce). What FlipSync can do itself is wait for units, and hand
over those another order still holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.called_off import TellBuyer
from flipsync.domain.commands import CancelByHand, HandOverUnits
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.domain.events import OrderChanged
from flipsync.domain.money import Money
from flipsync.services import stock
from flipsync.services.account_health import RULES, HealthCost, Standing, cost_of_cancelling
from flipsync.services.fees.engine import predict, predict_refund
from flipsync.services.order_profit import sale_of
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories import orders as order_rows
from flipsync.store.repositories import oversold as rows
from flipsync.store.unit_of_work import UnitOfWork

#: of what is missing so many goods are named to the buyer, each title so long at most
_NAMED, _TITLE = 3, 120


@dataclass(frozen=True)
class Remedy:
    """One way out. Costs are minor units of the order's currency; `command` is None where FlipSync can do nothing."""

    name: str
    why: str
    lost_profit: int = 0
    fees_kept: int = 0
    health: HealthCost | None = None
    command: CancelByHand | HandOverUnits | None = None
    #: what the buyer who is let down is told; None where the channel takes no messages, or nobody is yet
    tell: TellBuyer | None = None
    #: what is not in the cost because nobody knows it; "" when nothing is left out
    left_out: str = ""

    @property
    def standing(self) -> int:
        return self.health.minor if self.health else 0

    @property
    def cost(self) -> int:
        return self.lost_profit + self.fees_kept + self.standing

    def scores(self) -> dict[str, float]:
        """Minor units, higher is better; none where FlipSync can do nothing."""
        if self.command is None:
            return {}
        parts = {"lost_profit_minor": self.lost_profit, "fees_kept_minor": self.fees_kept}
        costs = {"cost_minor": self.cost, **parts, "account_health_minor": self.standing}
        return {name: -float(minor) for name, minor in costs.items()}


@dataclass(frozen=True)
class Oversold:
    """`coming`: units that no buyer has and a channel will give up, which are enough. Remedies are cheapest first."""

    coming: bool
    remedies: tuple[Remedy, ...]
    currency: str


async def remedies(session: AsyncSession, order_id: UUID, choices: PricingChoices, now: datetime) -> Oversold | None:
    """None when the order lacks nothing of ours."""
    order, missing = await rows.order(session, order_id), await rows.missing(session, order_id)
    if order is None or not missing:
        return None
    if all(item.unsold >= item.owed for item in missing):
        return Oversold(True, (), order.currency)
    found = [await _cancelling(session, order_id, order_id, choices, now)]
    if len(missing) == 1:
        for holder in await rows.holders(session, order_id, missing[0].id, missing[0].short):
            found.append(await _cancelling(session, order_id, holder, choices, now))
    found.sort(key=lambda remedy: (remedy.left_out != "", remedy.cost))  # what is not known in full is not the cheapest
    units = sum(item.short for item in missing)
    known = all(item.cost_minor is not None for item in missing)
    again = sum(item.short * (item.cost_minor or 0) for item in missing)
    money = Money(amount_minor=again, currency=order.currency)
    price = f"about {money} at what they last cost" if known else "their cost is not known"
    found.append(Remedy("buy them again", f"{units} units, {price}: receive them and the order is filled by itself"))
    if elsewhere := sum(item.elsewhere for item in missing):
        words = f"{elsewhere} units lie in a channel's own warehouse: FlipSync cannot send them from there"
        found.append(Remedy("ship from another warehouse", words))
    found.append(Remedy("offer something else", "what else they would take is asked on the channel's page"))
    return Oversold(False, tuple(found), order.currency)


async def _cancelling(
    session: AsyncSession, order_id: UUID, cancelled: UUID, choices: PricingChoices, now: datetime
) -> Remedy:
    """The cost of cancelling one of the orders that want the same units."""
    order, lines = await rows.order(session, cancelled), await rows.lines(session, cancelled)
    kept, profit, left_out = 0, 0, ""
    try:
        prediction = predict(sale_of(order, lines, choices))
        refunded = predict_refund(prediction, prediction.gross)
        kept = max(0, prediction.fee_total + sum(fee.amount for fee in refunded.fees))
        if any(line.cost_minor is None for line in lines):
            left_out = "the lost profit, as the goods' cost is not known"
        else:
            cost = sum(line.cost_minor * line.quantity for line in lines if line.cost_minor is not None)
            profit = max(0, prediction.gross - prediction.fee_total - cost)
    except InvalidInput as error:
        left_out = f"fees and lost profit ({error.message})"
    rule = RULES.get(order.vendor)
    since = now - timedelta(days=rule.days if rule else 30)
    health = cost_of_cancelling(
        order.vendor, Standing(*await rows.standing(session, order.account_id, order.currency, since))
    )
    refund = f"{Money(amount_minor=order.total_minor, currency=order.currency)} go back to the buyer"
    tell = None
    if cancelled == order_id:
        command: CancelByHand | HandOverUnits = CancelByHand(order_id=order_id, account_id=order.account_id)
        if connector_class(order.vendor).capabilities.buyer_messages != "none":
            tell = TellBuyer(account_id=order.account_id, order_id=order_id, text=_sorry(order.number, lines))
        name = f"cancel this order ({order.number} on {order.account})"
    else:
        command = HandOverUnits(order_id=order_id, from_order_id=cancelled)
        name = f"give it the units of {order.number} on {order.account}, and cancel that one"
    return Remedy(name, f"{refund}; {health.words}", profit, kept, health, command, tell, left_out)


def _sorry(number: str, lines: Sequence[Any]) -> str:
    """What the buyer of an order is told of which units are not there. Plain text, no longer than any channel takes."""
    short = [line for line in lines if line.short]
    goods = ", ".join(f"{line.short} × {line.title[:_TITLE]}" for line in short[:_NAMED])
    goods += f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
    return (
        f"We are sorry: we cannot send your order {number}, for {goods} turned out not to be in stock."
        " The order is being cancelled, and you get back all that you paid."
    )


def way_out(
    number: str, short: int, found: Oversold | None, evidence: Sequence[Evidence]
) -> Decision[CancelByHand | HandOverUnits | TellBuyer]:
    """Every way out with its cost; the cheapest of those that can be carried out is put to the owner."""
    if found is None:
        return Decision.hold(f"{short} units are missing of goods we have no stock of", evidence=evidence)
    if found.coming:
        why = f"{short} units are still with other channels: the order gets them as they are let go of"
        return Decision.hold(why, evidence=evidence)
    best = found.remedies[0]
    assert best.command is not None, "an order can always be cancelled by hand"

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=found.currency)

    told = () if best.tell is None else (best.tell,)
    by_hand = isinstance(best.command, CancelByHand) and not told
    and_write = ". The channel takes no messages from here: write to the buyer there too" if by_hand else ""
    sure = f"at least {money(best.cost)}, without {best.left_out}" if best.left_out else f"{money(best.cost)}"
    return Decision.propose(
        best.command,
        *told,
        why=f"{short} units of order {number} do not exist. Cheapest: {best.name}, {best.why}. "
        f"It costs {sure}: {money(best.lost_profit)} of profit, {money(best.fees_kept)} of fees kept, "
        f"{money(best.standing)} of the account's standing{and_write}",
        confidence=0.9,
        evidence=evidence,
        alternatives=tuple(
            Alternative(
                name=each.name,
                scores=each.scores(),
                why=f"{each.why}; not counted: {each.left_out}" if each.left_out else each.why,
                chosen=each is best,
            )
            for each in found.remedies
        ),
    )


async def hand_over_units(unit: UnitOfWork, command: HandOverUnits) -> None:
    """Units set aside for one order are set aside for the other. Raises Conflict when that cannot be done any more."""
    first, second = sorted((command.order_id, command.from_order_id))
    locked = {key: await order_rows.lock_order_by_id(unit.session, key) for key in (first, second)}
    short, giving = locked[command.order_id], locked[command.from_order_id]
    if short is None or giving is None or not short.holds_stock or not giving.holds_stock:
        raise Conflict("one of the two orders is gone or wants nothing any more")
    if giving.state not in ("reserved", "ready") or await order_rows.is_handed_over(unit.session, giving.id):
        raise Conflict(f"order {giving.number} is on its way already")
    lines = list(await order_rows.lines_of(unit.session, short.id))
    others = list(await order_rows.lines_of(unit.session, giving.id))
    items = await order_rows.stock_items_of_lines(unit.session, [*lines, *others])
    moved = 0
    for line in lines:
        for other in others:
            item = items.get(line.listing_id) if line.listing_id else None
            if item is None or other.listing_id is None or items.get(other.listing_id) != item:
                continue
            moved += await stock.reassign(unit, other, line, item, min(line.short, other.reserved))
    if not moved:
        raise Conflict("nothing is missing any more, or the units are not there")
    giving.state, giving.oversold = "received", max(giving.oversold, moved)
    if not any(line.short for line in lines):
        short.state = "reserved"
    for order in (giving, short):  # both are looked at anew
        vendor = (await rows.order(unit.session, order.id)).vendor
        unit.emit(OrderChanged(order_id=order.id, account_id=order.account_id, vendor=vendor, status=order.status))
