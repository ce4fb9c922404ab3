"""A buyer whose name is known wherever it stands, for tests that forget buyers."""

from __future__ import annotations

import zlib
from typing import Any
from uuid import UUID

from shop import Shop
from sqlalchemy import create_engine, text

from flipsync.domain.channel import Address, ChannelOrder
from flipsync.services import orders
from flipsync.services.orders import AccountRef
from flipsync.store.database import driver_url

MARK = "Qz7xv"
BUYER = Address(
    name=f"Ann {MARK}-Quartermain",
    company=f"{MARK} Pottery & Sons",
    line1=f"77 {MARK} (rear) Way",
    line2=f'Flat "{MARK}" 2b',
    city=f"{MARK}ville",
    region="OR",
    postal_code=f"{MARK}97",
    country="US",
    phone=f"+1 (555) {MARK} 01",
    email=f"ann.{MARK}@mail.example",
)
BUYER_ID = f"{MARK}-buys"


def told(shop: Shop, sku: str, external_id: str, **changes: Any) -> ChannelOrder:
    order = shop.order({sku: 1}, external_id=external_id, status=changes.pop("status", "paid"))
    return order.model_copy(update={"ship_to": BUYER, "buyer_id": BUYER_ID} | changes)


async def sell(shop: Shop, account: AccountRef, order: ChannelOrder) -> UUID:
    async with shop.unit() as unit:
        return (await orders.ingest_order(unit, account, order)).order_id


def dump(url: str, tenant_id: UUID) -> dict[str, str]:
    """Every row of every table that is not another business's, as text; what is packed is unpacked."""
    owned = (
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'"
    )
    every = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        of_tenants = set(connection.execute(text(owned)).scalars())
        found = {}
        for table in connection.execute(text(every)).scalars().all():
            mine = f"WHERE t.tenant_id = '{tenant_id}'" if table in of_tenants else ""
            found[table] = "\n".join(connection.execute(text(f'SELECT t::text FROM "{table}" t {mine}')).scalars())
        query = text("SELECT packed FROM decision_notes WHERE packed <> '' AND tenant_id = :tenant")
        for packed in connection.execute(query, {"tenant": tenant_id}).scalars():
            found["decision_notes"] += zlib.decompress(packed).decode()
    engine.dispose()
    return found


def holding(url: str, shop: Shop) -> set[str]:
    """Tables with the mark in them, in whatever case, or as bytes."""
    needles = (MARK.lower(), MARK.encode().hex())
    return {name for name, rows in dump(url, shop.tenant_id).items() if any(each in rows.lower() for each in needles)}
