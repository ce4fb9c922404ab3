"""A business that sold goods for a while, and is asked about others."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from shop import Shop
from sqlalchemy import insert

from flipsync.domain.channel import Vendor
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services.orders import AccountRef
from flipsync.services.sourcing import scans
from flipsync.store.models import Listing, Product, SkuDay, Variant
from flipsync.store.models.sales import FIGURES

CODE = "4006381333931"


async def sells(shop: Shop, account: AccountRef, *barcodes: str | None, title: str = "Highlighter") -> list[UUID]:
    """Goods listed 60 days ago at 30.00, one sold at about that on every second day since. Their variants."""
    async with shop.unit() as unit:
        products = [Product(tenant_id=shop.tenant_id, handle=new_id().hex, title=title) for _ in barcodes]
        unit.session.add_all(products)
        await unit.session.flush()
        known = {"tenant_id": shop.tenant_id, "currency": "USD", "price_minor": 3000}
        goods = [
            Variant(**known, product_id=product.id, sku=product.handle, barcode=code)
            for product, code in zip(products, barcodes, strict=True)
        ]
        unit.session.add_all(goods)
        await unit.session.flush()
        since = {"status": "active", "title": title, "published_at": unit.now - timedelta(days=60)}
        unit.session.add_all(
            Listing(**known, **since, account_id=account.id, variant_id=each.id, sku=each.sku, external_id=each.sku)
            for each in goods
        )
        day = {"tenant_id": shop.tenant_id, "account_id": account.id, "currency": "USD", "orders": 1, "units": 1}
        none = dict.fromkeys(set(FIGURES) - {"orders", "units", "goods"}, 0)
        sold = [
            {
                **day,
                **none,
                "sku": each.sku,
                "day": (unit.now - timedelta(days=2 * n + 1)).date(),
                "goods": 2960 + 40 * n % 120,
            }
            for each in goods
            for n in range(30)
        ]
        await unit.session.execute(insert(SkuDay), sold)
        return [each.id for each in goods]


async def experienced(shop: Shop, vendor: Vendor = "ebay") -> AccountRef:
    """A business whose books teach: eight goods that sold at about their list price."""
    account = await shop.account(vendor)
    await sells(shop, account, *[None] * 8, title="Desk lamp")
    return account


async def ask(shop: Shop, text: str, *, cost: Money | None = None, units: int = 1, title: str = "") -> UUID:
    async with shop.unit() as unit:
        return (await scans.ask(unit, [scans.read_question(text, title=title, cost=cost, units=units)])).id
