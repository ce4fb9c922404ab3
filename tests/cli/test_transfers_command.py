"""`flipsync transfers`: set aside, sent, called off, and listed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from command import Flipsync
from shop import Shop, open_store
from sqlalchemy import create_engine, text

from flipsync.store import bootstrap
from flipsync.store.database import driver_url
from flipsync.store.models import Listing


async def _stock(url: str, tenant_id: Any) -> str:
    store = open_store(url, pool_size=1)
    shop = Shop(store, tenant_id)
    goods, account = await shop.variant(units=9), await shop.account("amazon", name="Amazon [bold]US")
    async with shop.unit() as unit:
        unit.session.add(
            Listing(
                tenant_id=tenant_id,
                account_id=account.id,
                variant_id=goods.variant_id,
                sku=f"{goods.sku}-FBA",
                external_id=f"{goods.sku}-FBA",
                status="active",
                title=goods.sku,
                currency="USD",
                pool="fba",
            )
        )
    await store.aclose()
    return goods.sku


def test_units_are_set_aside_sent_and_called_off(
    flipsync: Flipsync, books: dict[str, str], roles: tuple[str, str]
) -> None:
    assert "nothing is on its way" in flipsync("transfers", "list").stdout
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.connect() as connection:
        tenant_id = connection.execute(text("SELECT id FROM tenant ORDER BY id DESC LIMIT 1")).scalar_one()
    engine.dispose()
    worker = bootstrap.role_url(books["DATABASE_URL"], bootstrap.WORKER_ROLE, roles[1])
    sku = asyncio.run(_stock(worker.render_as_string(hide_password=False), tenant_id))
    planned = flipsync("transfers", "plan", sku, "5", "Amazon [bold]US")
    assert planned.returncode == 0 and "TR-1" in planned.stdout and "planned 5" in planned.stdout, planned.stderr
    sent = flipsync("transfers", "send", "TR-1", "--units", "4", "--json")
    assert (json.loads(sent.stdout)["state"], json.loads(sent.stdout)["under_way"]) == ("sent", 4), sent.stderr
    assert "under way 4" in flipsync("transfers", "show", "tr-1").stdout
    (told,) = json.loads(flipsync("transfers", "list", "--json").stdout)["items"]
    assert (told["number"], told["sku"], told["sent"]) == (1, sku, 4)
    ended = flipsync("transfers", "cancel", "1", "--came-back", "3", "--reason", "a [bold] box broke")
    assert ended.returncode == 0 and "came back 3, missing 1" in ended.stdout and "[bold]" in ended.stdout, ended.stderr
    assert "nothing is on its way" in flipsync("transfers", "list").stdout
    assert "TR-1" in flipsync("transfers", "list", "--every").stdout
    assert "Amazon [bold]US" in flipsync("transfers", "plan", sku, "1", "nobody").stderr, "the names there are"
    for wrong in (["show", "TR-7"], ["plan", "NOTHING", "1", "Amazon [bold]US"], ["plan", sku, "1", "nobody"]):
        refused = flipsync("transfers", *wrong)
        assert refused.returncode == 1 and "error:" in refused.stderr and "Traceback" not in refused.stderr
