"""What eBay paid out and kept (Sell Finances API): every movement of the seller's funds, for settlement.

eBay wants these calls signed with a key of the application's own for sellers in the EU and the UK; they are refused
there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, WrapValidator

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.wire import Amount, Page, Shape
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside, one_by_one
from flipsync.domain.errors import Unreadable
from flipsync.domain.money import Money

_ROOT = "/sell/finances/v1"
_PAGE = "200"


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


class Finances:
    """The funds of one account."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api

    async def movements(self, since: datetime, until: datetime, kind: str = "") -> AsyncIterator[Movement]:
        """Movements booked between two times (UTC-aware), each once, oldest first; of one kind, if it is given.

        Raises Unreadable after all others where some cannot be read.
        """
        aside = Aside()
        headers = {"X-EBAY-C-MARKETPLACE-ID": self._api.site.id}

        async def fetch(params: Params) -> _Page:
            return await self._api.call(
                "GET",
                f"{_ROOT}/transaction",
                lambda data: _page(data, aside),
                limits.FINANCES,
                params=params,
                headers=headers,
                other_host=True,
            )

        between = f"transactionDate:[{_stamp(since)}..{_stamp(until)}]"
        if kind:
            between += f",transactionType:{{{kind}}}"
        seen: set[tuple[str, str]] = set()
        async for page in walk(
            fetch, [("filter", between), ("sort", "transactionDate"), ("limit", _PAGE), ("offset", "0")]
        ):
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
        if aside.unread:
            raise Unreadable(f"{len(aside.unread)} movements of funds cannot be read: {aside.unread[0].reason}")


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


def _page(data: Any, aside: Aside) -> _Page:
    # 204: none
    return _Page() if data is None else _Page.model_validate(data, context=aside.context)
