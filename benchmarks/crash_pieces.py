"""The pieces of a reseller's day that the runtime is killed in: what people and buyers do, and nothing of ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from flipsync.demo.run import parcels_are_home
from flipsync.domain.channel import Address, Parcel
from flipsync.domain.events import ChannelCheckDue
from flipsync.domain.money import Money
from flipsync.sandbox.client import SandboxClient
from flipsync.services import labels, orders, refunds, stock
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.services.orders import AccountRef
from flipsync.services.product_edits import PriceTerms, ProductEdit, edit_product, set_price_terms, version_of
from flipsync.services.reading_catalogue import variant_view
from flipsync.store.models import (
    LabelPurchase,
    Order,
    OrderLine,
    Product,
    Shipment,
    Variant,
)
from flipsync.store.unit_of_work import Store

#: what a buyer is given back, less than half of what was paid: the channels would take it twice
REFUND_MINOR = 500
AMAZON_SKU = "A-1"
_SENDER = Address(
    name="Chaos Ltd",
    line1="1 Dock St",
    city="Seattle",
    region="WA",
    postal_code="98101",
    country="US",
    phone="5550100",
    email="chaos@benchmark.invalid",
)


@dataclass(frozen=True)
class AmazonBusiness:
    """A second business, which sells on Amazon alone: labels come from there."""

    tenant_id: UUID
    account: AccountRef


@dataclass
class Trade:
    """One business on a market of its own, and the goods in hand."""

    store: Store
    tenant_id: UUID
    accounts: list[AccountRef]
    amazon: AmazonBusiness | None
    market: SandboxClient
    sku: str = ""

    async def variant(self) -> Variant:
        async with self.store.reader(self.tenant_id) as session:
            return (await session.scalars(select(Variant).where(Variant.sku == self.sku))).one()


# -- the pieces of a day: what people and buyers do, after which the runtime has to bring everything in line -----------


async def offer(trade: Trade) -> None:
    sheet = io.StringIO()
    rows = [["sku", "title", "price", "cost", "quantity"], [trade.sku, f"Thing {trade.sku}", "39.90", "12.50", "4"]]
    csv.writer(sheet).writerows(rows)
    catalogue = read_catalogue(sheet.getvalue().encode(), currency="USD")
    await import_catalogue(trade.store, trade.tenant_id, catalogue, file_name=trade.sku)


async def sell(trade: Trade) -> None:
    for channel in ("custom", "woo"):
        await trade.market.place_order(channel, trade.sku)
    await trade.market.place_order("amazon", AMAZON_SKU)
    await _look(trade)
    assert trade.amazon is not None
    async with trade.store.unit(trade.amazon.tenant_id) as unit:
        unit.emit(ChannelCheckDue(account_id=trade.amazon.account.id, vendor="amazon"))


async def _look(trade: Trade) -> None:
    async with trade.store.unit(trade.tenant_id) as unit:
        for account in trade.accounts:
            unit.emit(ChannelCheckDue(account_id=account.id, vendor=account.vendor))


async def reprice(trade: Trade) -> None:
    variant = await trade.variant()
    floor = Money(amount_minor=4190, currency="USD")
    async with trade.store.unit(trade.tenant_id) as unit:
        await set_price_terms(unit, variant.id, PriceTerms(floor=floor), version_of(variant_view(variant)))


async def ship(trade: Trade) -> None:
    by_id = {account.id: account for account in trade.accounts}
    for order_id, account_id in (await _ready(trade)).items():
        async with trade.store.unit(trade.tenant_id) as unit:
            number = f"9400{order_id.int % 10**18:018d}"
            await orders.hand_over(unit, by_id[account_id], order_id, "USPS", number)


async def _ready(trade: Trade) -> dict[UUID, UUID]:
    """Orders that are packed and still here, each with its account."""
    async with trade.store.reader(trade.tenant_id) as session:
        ready = await session.execute(
            select(Order.id, Order.account_id)
            .outerjoin(Shipment, Shipment.order_id == Order.id)
            .where(Order.state == "ready", Shipment.id.is_(None))
        )
        return dict(ready.all())


async def label(trade: Trade) -> None:
    """Labels for what Amazon sold, from Amazon."""
    parcel = Parcel(weight_grams=700, length_mm=300, width_mm=200, height_mm=100)
    assert trade.amazon is not None
    async with trade.store.reader(trade.amazon.tenant_id) as session:
        wanted = select(Order.id).outerjoin(LabelPurchase, LabelPurchase.order_id == Order.id)
        found = list(await session.scalars(wanted.where(Order.state == "ready", LabelPurchase.id.is_(None))))
    for order_id in found:
        async with trade.store.unit(trade.amazon.tenant_id) as unit:
            await labels.request(unit, order_id, parcel, ship_from=_SENDER)


async def give_back(trade: Trade) -> None:
    """A part of what each of this article's buyers paid."""
    for order_id in await _orders_of(trade):
        async with trade.store.unit(trade.tenant_id) as unit:
            await refunds.request(
                unit, order_id, amount=Money(amount_minor=REFUND_MINOR, currency="USD"), reason="a scratch"
            )


async def _orders_of(trade: Trade) -> list[UUID]:
    async with trade.store.reader(trade.tenant_id) as session:
        found = await session.scalars(
            select(Order.id).join(OrderLine, OrderLine.order_id == Order.id).where(OrderLine.sku == trade.sku)
        )
        return sorted(found)


async def sell_more(trade: Trade) -> None:
    """Two orders that come to nothing."""
    for channel in ("custom", "woo"):
        await trade.market.place_order(channel, trade.sku)
    await _look(trade)


async def call_off(trade: Trade) -> None:
    """Their parcels are handed over; then one channel cancels, the other gives all money back, and neither was told."""
    found = await _ready(trade)
    await ship(trade)
    async with trade.store.reader(trade.tenant_id) as session:
        names = dict((await session.execute(select(Order.id, Order.external_id).where(Order.id.in_(found)))).all())
    vendors = {account.id: account.vendor for account in trade.accounts}
    for order_id, account_id in found.items():
        if vendors[account_id] == "custom":
            await trade.market.call_off("custom", names[order_id], "cancellation")
        else:
            await trade.market.call_off("woo", names[order_id], "refund")
    await _look(trade)


async def put_back(trade: Trade) -> None:
    """The owner says of cancelled parcels that they are home, as the market has it."""
    async with trade.store.unit(trade.tenant_id) as unit:
        await parcels_are_home(unit, trade.tenant_id)


async def restock(trade: Trade) -> None:
    variant = await trade.variant()
    async with trade.store.unit(trade.tenant_id) as unit:
        await stock.receive(unit, variant.id, 3, key=f"more:{trade.sku}", mode="escrow")


async def rename(trade: Trade) -> None:
    await _edit(trade, ProductEdit(title=f"Better thing {trade.sku}"))


async def end(trade: Trade) -> None:
    await _edit(trade, ProductEdit(published=False))


async def _edit(trade: Trade, edit: ProductEdit) -> None:
    variant = await trade.variant()
    async with trade.store.unit(trade.tenant_id) as unit:
        version = await unit.session.scalar(select(Product.version).where(Product.id == variant.product_id))
        await edit_product(unit, variant.product_id, edit, version or 0)


PIECES: dict[str, Callable[[Trade], Awaitable[None]]] = {
    piece.__name__: piece
    for piece in (
        *(offer, sell, reprice, ship, label, give_back, restock),
        *(sell_more, call_off, put_back, rename, end),
    )
}
