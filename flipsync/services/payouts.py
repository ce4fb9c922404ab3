"""What channels paid out: booked once as they tell it, and held against the books.

Of a payout, its lines and what it came to never change in the books, only its state does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine, LineKind, PayoutState
from flipsync.services.fees.engine import TAX_IS_OURS_TO_PAY
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, money, sorted_by
from flipsync.store.repositories import payouts as rows
from flipsync.store.repositories.payouts import Named
from flipsync.store.unit_of_work import UnitOfWork

#: how far back the first look goes, and how far before the last one each other: a bank may send money back late
FIRST, AGAIN = timedelta(days=90), timedelta(days=30)
#: a payout that is under way for longer than this is not asked for any more
LONGEST = timedelta(days=365)
#: sold and shipped, or given back, for so long, it has to be in a payout
LATE = timedelta(days=14)
#: how far back differences are looked for
LOOKED_AT = timedelta(days=90)

PayoutSort = Annotated[str | None, sorted_by(rows.SORTS)]
LineSort = Annotated[str | None, sorted_by(rows.LINE_SORTS)]
DifferenceSort = Annotated[str | None, sorted_by(rows.DIFFERENCE_SORTS)]

_WHY: dict[Named, str] = {
    "sum": "the lines of the payout do not add up to it",
    "currency": "the channel tells amounts in several currencies, which cannot be compared",
    "not_received": "the bank did not take it",
    "sale": "the channel counts goods and shipping of the order otherwise",
    "fees": "the channel kept other fees than it told with the order",
    "refunds": "the channel took back other refunds than the books have",
    "not_paid_out": f"shipped more than {LATE.days} days ago, and in no payout",
    "unknown_order": "the channel pays for an order that is not in the books",
}


async def read_from(session: AsyncSession, account_id: UUID, now: datetime) -> datetime:
    """From when on the channel is to be asked for payouts."""
    since = await rows.read_since(session, account_id, again=AGAIN)
    return now - FIRST if since is None else max(since, now - LONGEST)


async def book(
    unit: UnitOfWork, account: AccountRef, payout: ChannelPayout, lines: Sequence[ChannelPayoutLine] | None
) -> bool:
    """Whether that was news. `lines` are all of a payout that is new, None of one that is in the books."""
    if lines is not None and await rows.add(unit, account.id, payout, lines):
        return True
    return await rows.set_state(unit, account.id, payout)


# -- what people read -------------------------------------------------------------------------------------------------


class PayoutView(View):
    """`amount` goes to the bank (below zero: from it). With the fee for paying out it is what the lines add up to;
    `difference` is what they add up to beyond that, null where some are in other currencies."""

    id: UUID
    account_id: UUID
    account: str
    vendor: Vendor
    external_id: str
    state: PayoutState
    vendor_state: str
    amount: Money
    fee: Money
    difference: Money | None
    lines: int
    sent_at: Moment = Field(description="when the channel began to pay it out")
    changed_at: Moment = Field(description="since when it is known to be in this state")
    bank: str = Field(description="kind and last digits of the account, as far as the channel tells them")


class KindSum(View):
    """What the lines of one kind and currency come to: `amount` for the balance, `fee` what the channel kept of it."""

    kind: LineKind
    lines: int
    amount: Money
    fee: Money


class PayoutDetail(PayoutView):
    kinds: list[KindSum]


class PayoutLineView(View):
    """`amount` is what the balance changed by, `fee` what the channel kept of it, off already."""

    id: UUID
    external_id: str
    kind: LineKind
    vendor_kind: str
    amount: Money
    fee: Money
    order_id: UUID | None = Field(description="null: the line is of no order, or of one that is not in the books")
    order_number: str | None
    order_external_id: str | None
    booked_at: Moment


class PayoutFilter(View):
    account_id: UUID | None = None
    state: PayoutState | None = None
    sent_from: AwareDatetime | None = None
    sent_before: AwareDatetime | None = None


class DifferenceView(View):
    """`amount` is what the channel tells beyond what is expected (below zero: less); null where that is not known."""

    id: UUID
    named: Named
    why: str
    account_id: UUID
    account: str
    vendor: Vendor
    payout_id: UUID | None
    order_id: UUID | None
    order_external_id: str | None
    expected: Money | None
    told: Money | None
    amount: Money | None
    at: Moment


class OrderPaidLine(View):
    """A line of a payout that names the order."""

    payout_id: UUID
    payout_state: PayoutState
    kind: LineKind
    vendor_kind: str
    amount: Money
    fee: Money
    booked_at: Moment


class OrderPaid(View):
    """What payouts have of the order, in its currency; those that failed or came back do not count. `paid` is what
    reached the balance in all: sale less fees and refunds, fees given back, and what else names the order (labels,
    ads, disputes)."""

    sale: Money
    fees: Money
    refunds: Money
    fees_returned: Money
    paid: Money


class OrderExpected(View):
    """What the books say: goods and shipping (with the tax, where the channel pays that out), the fees that the channel
    told with the order (null: none were told), and what was given back."""

    sale: Money
    fees: Money | None
    refunds: Money


class OrderPayment(View):
    order_id: UUID
    account_id: UUID
    order_external_id: str
    expected: OrderExpected
    told: OrderPaid | None = Field(description="null: no payout has it, or amounts are in several currencies")
    lines: list[OrderPaidLine]


class DifferenceFilter(View):
    account_id: UUID | None = None
    named: Named | None = None


async def list_payouts(session: AsyncSession, page: SortedRequest, where: PayoutFilter) -> Page[PayoutView]:
    """Last sent first. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.listed(session, place, **{name: getattr(where, name) for name in PayoutFilter.model_fields})
    return cut(found, page.limit, lambda row: PayoutView(**_payout(row)), place.cursor_of)


async def get_payout(session: AsyncSession, payout_id: UUID) -> PayoutDetail:
    """Raises NotFound."""
    row = await rows.one(session, payout_id)
    if row is None:
        raise NotFound(f"no payout {payout_id}")
    kinds = [
        KindSum(kind=each.kind, lines=each.lines, **_amounts(each)) for each in await rows.by_kind(session, payout_id)
    ]
    return PayoutDetail(**_payout(row), kinds=kinds)


async def list_lines(session: AsyncSession, payout_id: UUID, page: SortedRequest) -> Page[PayoutLineView]:
    """As the channel told them. Raises NotFound, and InvalidInput for a foreign cursor."""
    place = page.place(rows.LINE_SORTS)
    if await rows.one(session, payout_id) is None:
        raise NotFound(f"no payout {payout_id}")
    found = await rows.lines_of(session, payout_id, place)
    return cut(found, page.limit, _line, place.cursor_of)


async def order_payment(session: AsyncSession, order_id: UUID, now: datetime) -> OrderPayment:
    """What was expected and what was paid for one order. Raises NotFound."""
    row = await rows.of_order(session, order_id, now=now, ours=TAX_IS_OURS_TO_PAY)
    if row is None:
        raise NotFound(f"no order {order_id}")

    def amount(minor: int) -> Money:
        return Money(amount_minor=minor, currency=row.currency)

    told = None
    if row.named:
        told = OrderPaid(
            sale=amount(row.told_sale),
            fees=amount(row.told_fees),
            refunds=amount(row.told_refunds),
            fees_returned=amount(row.fees_returned),
            paid=amount(row.paid),
        )
    lines = await rows.lines_of_order(session, row.account_id, row.external_id)
    return OrderPayment(
        order_id=order_id,
        account_id=row.account_id,
        order_external_id=row.external_id,
        expected=OrderExpected(
            sale=amount(row.sale), fees=money(row.fee_minor, row.currency), refunds=amount(row.refunds)
        ),
        told=told,
        lines=[
            OrderPaidLine(
                payout_id=line.payout_id,
                payout_state=line.state,
                kind=line.kind,
                vendor_kind=line.vendor_kind,
                booked_at=line.booked_at,
                **_amounts(line),
            )
            for line in lines
        ],
    )


async def list_differences(
    session: AsyncSession, page: SortedRequest, where: DifferenceFilter, now: datetime
) -> Page[DifferenceView]:
    """Between what channels paid out in the last 90 days and the books, latest first. Raises InvalidInput for a foreign
    cursor."""
    place = page.place(rows.DIFFERENCE_SORTS)
    found = await rows.differences(
        session,
        place,
        since=now - LOOKED_AT,
        now=now,
        late=LATE,
        ours=TAX_IS_OURS_TO_PAY,
        account_id=where.account_id,
        named=where.named,
    )
    return cut(found, page.limit, _difference, place.cursor_of)


def _amounts(row: Any) -> dict[str, Money]:
    return {
        "amount": Money(amount_minor=row.amount_minor, currency=row.currency),
        "fee": Money(amount_minor=row.fee_minor, currency=row.currency),
    }


def _payout(row: Any) -> dict[str, Any]:
    beyond = None if row.others else row.adds_up - row.amount_minor - row.fee_minor
    told = {name: getattr(row, name) for name in PayoutView.model_fields if hasattr(row, name)}
    return told | _amounts(row) | {"difference": money(beyond, row.currency)}


def _line(row: Any) -> PayoutLineView:
    told = {name: getattr(row, name) for name in PayoutLineView.model_fields if hasattr(row, name)}
    return PayoutLineView(**told | _amounts(row))


def _difference(row: Any) -> DifferenceView:
    told = {name: getattr(row, name) for name in DifferenceView.model_fields if hasattr(row, name)}
    amounts = {name: money(getattr(row, name), row.currency) for name in ("expected", "told", "amount")}
    return DifferenceView(**told | amounts | {"why": _WHY[row.named]})
