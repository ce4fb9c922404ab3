"""What eBay paid out and kept (Sell Finances API): every movement of the seller's funds, and payouts of them.

eBay wants these calls signed with a key of the application's own for sellers in the EU and the UK; they are refused
there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, Field, WrapValidator

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.wire import Amount, Page, Shape
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside, one_by_one
from flipsync.domain.errors import Unreadable
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine, LineKind, PayoutState

PageT = TypeVar("PageT", bound=Page)
_ROOT = "/sell/finances/v1"
_PAGE = "200"
#: a range of dates may be 36 months long
_RANGE = timedelta(days=1_000)
#: eBay's words; one that is not among them is not read as another
_STATES: dict[str, PayoutState] = {
    "INITIATED": "initiated",
    "SUCCEEDED": "paid",
    "RETRYABLE_FAILED": "delayed",
    "TERMINAL_FAILED": "failed",
    "REVERSED": "returned",
}
_KINDS: dict[str, LineKind] = {
    "SALE": "sale",
    "REFUND": "refund",
    "NON_SALE_CHARGE": "fee",
    "SHIPPING_LABEL": "label",
    "DISPUTE": "dispute",
    "TRANSFER": "transfer",
}


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of funds. `amount` is what the seller's balance changes by, below zero when it leaves.

    `fees` is what eBay kept of it (already taken off `amount`); `kind` is eBay's own word (SALE, REFUND, …), and so is
    `fee_kind` of what was charged apart from a sale. `item_id` is the number of the listing that was charged for.
    """

    id: str
    kind: str
    status: str
    amount: Money
    fees: Money
    order_id: str | None
    payout_id: str | None
    booked_at: datetime
    memo: str = ""
    fee_kind: str = ""
    item_id: str = ""


class _Reference(Shape):
    reference_id: str = ""
    reference_type: str = ""


class _Transaction(Shape):
    transaction_id: str
    transaction_type: str
    transaction_status: str = ""
    booking_entry: str
    amount: Amount
    total_fee_amount: Amount | None = None
    order_id: str | None = None
    payout_id: str | None = None
    transaction_date: AwareDatetime
    transaction_memo: str = ""
    fee_type: str = ""
    references: tuple[_Reference, ...] = ()

    def about(self, kind: str) -> str:
        return next((each.reference_id for each in self.references if each.reference_type == kind), "")


class _Page(Page):
    transactions: Annotated[list[_Transaction], WrapValidator(one_by_one)] = Field(default_factory=list)


class _Instrument(Shape):
    instrument_type: str = ""
    account_last_four_digits: str = ""


class _Payout(Shape):
    payout_id: str
    payout_status: str
    amount: Amount
    total_fee: Amount | None = None
    payout_date: AwareDatetime
    payout_instrument: _Instrument = _Instrument()


class _Payouts(Page):
    payouts: Annotated[list[_Payout], WrapValidator(one_by_one)] = Field(default_factory=list)


class Finances:
    """The funds of one account."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api

    async def movements(self, since: datetime, until: datetime, kind: str = "") -> AsyncIterator[Movement]:
        """Movements booked between two times (UTC-aware), each once, oldest first; of one kind, if it is given.

        Raises Unreadable after all others where some cannot be read.
        """
        between = f"transactionDate:[{_stamp(since)}..{_stamp(until)}]"
        async for each in self._movements(between + (f",transactionType:{{{kind}}}" if kind else "")):
            yield each

    async def payouts(self, since: datetime) -> AsyncIterator[ChannelPayout]:
        """Payouts begun at or after `since`, oldest first. Raises Unreadable after all others where some cannot be
        read."""
        aside = Aside()
        seen: set[str] = set()
        where = f"payoutDate:[{_stamp(since)}..{_stamp(since + _RANGE)}]"
        async for page in self._pages("payout", _Payouts, aside, where, "payoutDate"):
            for row in page.payouts:
                if row.payout_id in seen:
                    continue
                seen.add(row.payout_id)
                try:
                    payout = _payout(row)
                except (LookupError, ValueError) as error:
                    aside.keep(row, error)
                    continue
                yield payout
        _tell(aside, "payouts")

    async def lines(self, payout_id: str) -> AsyncIterator[ChannelPayoutLine]:
        """The movements one payout is made of. Raises Unreadable where some cannot be read."""
        async for each in self._movements(f"payoutId:{{{payout_id}}}"):
            yield _line(each)

    async def _movements(self, where: str) -> AsyncIterator[Movement]:
        aside = Aside()
        seen: set[tuple[str, str]] = set()
        async for page in self._pages("transaction", _Page, aside, where, "transactionDate"):
            for row in page.transactions:
                # the same id names an order's sale and its fees
                key = (row.transaction_id, row.transaction_type)
                if key in seen:
                    continue
                seen.add(key)
                try:
                    movement = _movement(row)
                except ValueError as error:
                    aside.keep(row, error)
                    continue
                yield movement
        _tell(aside, "movements of funds")

    def _pages(self, path: str, shape: type[PageT], aside: Aside, where: str, sort: str) -> AsyncIterator[PageT]:
        headers = {"X-EBAY-C-MARKETPLACE-ID": self._api.site.id}

        async def fetch(params: Params) -> PageT:
            return await self._api.call(
                "GET",
                f"{_ROOT}/{path}",
                # 204: none
                lambda data: shape() if data is None else shape.model_validate(data, context=aside.context),
                limits.FINANCES,
                params=params,
                headers=headers,
                other_host=True,
            )

        return walk(fetch, [("filter", where), ("sort", sort), ("limit", _PAGE), ("offset", "0")])


def _tell(aside: Aside, what: str) -> None:
    if aside.unread:
        raise Unreadable(f"{len(aside.unread)} {what} cannot be read: {aside.unread[0].reason}")


def _payout(row: _Payout) -> ChannelPayout:
    """Raises LookupError for a state that is none of eBay's, and ValueError for an amount its currency cannot have."""
    amount, by = Money.parse(row.amount.value, row.amount.currency), row.payout_instrument
    fee = row.total_fee
    return ChannelPayout(
        external_id=row.payout_id,
        state=_STATES[row.payout_status],
        vendor_state=row.payout_status,
        amount=amount,
        fee=Money.zero(amount.currency) if fee is None else Money.parse(fee.value, fee.currency),
        sent_at=row.payout_date,
        bank=" ".join(filter(None, (by.instrument_type, by.account_last_four_digits))),
    )


def _line(movement: Movement) -> ChannelPayoutLine:
    kind = _KINDS.get(movement.kind, "other")
    if kind == "fee" and movement.fee_kind == "AD_FEE":
        kind = "ad_fee"
    return ChannelPayoutLine(
        external_id=f"{movement.kind}:{movement.id}",
        kind=kind,
        vendor_kind=movement.fee_kind or movement.kind,
        amount=movement.amount,
        # of a refund it is what eBay gave back
        fee=-movement.fees if kind == "refund" else movement.fees,
        order_external_id=movement.order_id,
        booked_at=movement.booked_at,
    )


def _movement(row: _Transaction) -> Movement:
    value = Money.parse(row.amount.value, row.amount.currency)
    fee = row.total_fee_amount
    return Movement(
        id=row.transaction_id,
        kind=row.transaction_type,
        status=row.transaction_status,
        amount=-value if row.booking_entry == "DEBIT" else value,
        fees=Money.zero(value.currency) if fee is None else Money.parse(fee.value, fee.currency),
        order_id=row.order_id or row.about("ORDER_ID") or None,
        payout_id=row.payout_id,
        booked_at=row.transaction_date,
        memo=row.transaction_memo,
        fee_kind=row.fee_type,
        item_id=row.about("ITEM_ID"),
    )


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
