"""`flipsync suppliers` and `flipsync purchasing`: who sells to you, and what is on its way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from command import Flipsync
from shop import Shop, open_store
from sqlalchemy import create_engine, text

from flipsync.services import purchase_orders, suppliers
from flipsync.services.purchase_orders import Wanted
from flipsync.services.suppliers import SupplierForm
from flipsync.store import bootstrap
from flipsync.store.database import driver_url


async def _buy(url: str, tenant_id: Any) -> str:
    store = open_store(url, pool_size=1)
    shop = Shop(store, tenant_id)
    goods = await shop.variant()
    async with shop.unit() as unit:
        made = await suppliers.create(unit, SupplierForm(name="Teapots [bold]wholesale", lead_mean_days=9))
        order = await purchase_orders.draft(unit, made.id, {goods.variant_id: Wanted(12, 4800)})
        await purchase_orders.place(unit, order.id)
    await store.aclose()
    return goods.sku


def test_suppliers_and_what_is_on_its_way_are_told(
    flipsync: Flipsync, books: dict[str, str], roles: tuple[str, str]
) -> None:
    assert "nothing is on its way" in flipsync("purchasing").stdout
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.connect() as connection:
        tenant_id = connection.execute(text("SELECT id FROM tenant ORDER BY id DESC LIMIT 1")).scalar_one()
    engine.dispose()
    worker = bootstrap.role_url(books["DATABASE_URL"], bootstrap.WORKER_ROLE, roles[1])
    sku = asyncio.run(_buy(worker.render_as_string(hide_password=False), tenant_id))
    shown = flipsync("purchasing")
    assert shown.returncode == 0, shown.stderr
    assert "PO-1" in shown.stdout and "48.00" in shown.stdout and "[bold]" in shown.stdout
    (told,) = json.loads(flipsync("purchasing", "--json").stdout)["items"]
    assert (told["state"], told["lines"][0]["sku"]) == ("placing", sku)
    (supplier,) = json.loads(flipsync("suppliers", "--json").stdout)["items"]
    assert supplier["lead_time"]["mean_days"] == 9.0
    listed = flipsync("suppliers")
    assert listed.returncode == 0 and "by your hand" in listed.stdout
    why = flipsync("why", "PO-1")
    assert why.returncode == 0 and "a person wrote it" in why.stdout, why.stderr
