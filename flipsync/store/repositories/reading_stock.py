"""Queries that show the stock ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, func, or_, select

from flipsync.store.models import Allocation, Listing, Product, StockItem, StockMovement, Variant
from flipsync.store.reading import Question, where
from flipsync.store.sorting import SortedQuestion, Sorts

_ITEM = (
    select(*StockItem.__table__.c, Variant.sku, Product.title)
    .join(Variant, Variant.id == StockItem.variant_id)
    .join(Product, Product.id == Variant.product_id)
)


def _items(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    return where(
        _ITEM,
        given,
        variant_id=StockItem.variant_id == bindparam("variant_id"),
        sku=Variant.sku == bindparam("sku"),
        pool=StockItem.pool == bindparam("pool"),
        available_at_most=StockItem.on_hand - StockItem.reserved <= bindparam("available_at_most"),
    )


def _movements(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    query = select(*StockMovement.__table__.c).where(StockMovement.stock_item_id == bindparam("stock_item_id"))
    return where(
        query.order_by(StockMovement.id.desc()).limit(bindparam("limit")),
        given,
        after=StockMovement.id < bindparam("after"),
        kind=StockMovement.kind == bindparam("kind"),
    )


ITEM_SORTS = Sorts(StockItem.id)
#: any of variant_id, sku, pool, available_at_most (on the shelf and not a buyer's)
ITEMS = SortedQuestion(ITEM_SORTS, _items)
#: stock_item_id; how often units came onto the shelf or left it, or somebody counted: what a count is based on
SHELF_MOVES = Question(
    lambda _: select(func.count().label("moves")).where(
        StockMovement.stock_item_id == bindparam("stock_item_id"),
        or_(StockMovement.on_hand_delta != 0, StockMovement.kind == "count"),
    )
)
#: stock_item_id
ITEM = Question(lambda _: _ITEM.where(StockItem.id == bindparam("stock_item_id")))
#: stock_item_id; with the listing's account_id
SHARES = Question(
    lambda _: (
        select(*Allocation.__table__.c, Listing.account_id)
        .join(Listing, Listing.id == Allocation.listing_id)
        .where(Allocation.stock_item_id == bindparam("stock_item_id"))
        .order_by(Allocation.id)
    )
)
#: stock_item_id, limit, and any of after, kind; newest first
MOVEMENTS = Question(_movements)
