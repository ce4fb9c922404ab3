"""`flipsync report`: tables, files only the owner reads, and the slow recount."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from command import Flipsync
from shop import Shop, open_store
from sqlalchemy import create_engine, text

from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.services import orders, payouts
from flipsync.services.orders import AccountRef
from flipsync.store import bootstrap
from flipsync.store.database import driver_url


async def _sell(url: str, tenant_id: Any) -> None:
    store = open_store(url, pool_size=1)
    shop = Shop(store, tenant_id)
    account, goods = await shop.account(name="=cmd|' /C calc'!A0"), await shop.variant(units=9, cost=1_000)
    await shop.listing(account, goods, units=9)
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, shop.order({goods.sku: 2}))
    await store.aclose()


@pytest.fixture(scope="module")
def sold(flipsync: Flipsync, books: dict[str, str], roles: tuple[str, str]) -> str:
    """The business has sold something; the worker's address of its books."""
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.connect() as connection:
        tenant_id = connection.execute(text("SELECT id FROM tenant ORDER BY id DESC LIMIT 1")).scalar_one()
    engine.dispose()
    worker = bootstrap.role_url(books["DATABASE_URL"], bootstrap.WORKER_ROLE, roles[1])
    url = worker.render_as_string(hide_password=False)
    asyncio.run(_sell(url, tenant_id))
    return url


def test_a_report_is_a_table_json_and_files(sold: str, flipsync: Flipsync, tmp_path: Path) -> None:
    shown = flipsync("report", "sales")
    assert shown.returncode == 0, shown.stderr
    assert "59.98 USD" in shown.stdout
    files = {form: tmp_path / f"sales.{form}" for form in ("csv", "xlsx", "pdf")}
    told = flipsync(
        "report", "sales", "--json", *(word for form, to in files.items() for word in (f"--{form}", str(to)))
    )
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert report["rows"][0][-1] == {"amount_minor": 5998, "currency": "USD"}
    assert sorted(report["files"]) == sorted(str(path) for path in files.values())
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    with files["csv"].open(encoding="utf-8-sig", newline="") as lines:
        _, row = csv.reader(lines)
    assert row[1].startswith("'=cmd")


def test_the_check_finds_what_somebody_changed(sold: str, flipsync: Flipsync, books: dict[str, str]) -> None:
    right = flipsync("report", "sales", "--check", "--json")
    assert (right.returncode, json.loads(right.stdout)) == (0, {"compared": 2, "differences": 0})
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.begin() as connection:
        connection.execute(text("UPDATE channel_day SET fees = fees + 1"))
    engine.dispose()
    wrong = flipsync("report", "sales", "--check", "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)) == (1, {"compared": 2, "differences": 1})


def test_a_span_that_is_none_is_one_line_and_a_hint(sold: str, flipsync: Flipsync) -> None:
    told = flipsync("report", "tax", "--from", "2026-03-02", "--to", "2026-03-01")
    assert told.returncode == 1 and "2026-03-02 to 2026-03-01" in told.stderr
    long_ago = flipsync("report", "tax", "--from", "0001-01-01")
    assert long_ago.returncode == 1 and "Traceback" not in long_ago.stderr


def test_a_report_is_scheduled_listed_and_ended(sold: str, flipsync: Flipsync) -> None:
    made = flipsync("reports", "schedule", "profit", "--every", "monthly", "--day", "3", "--at", "06:30", "--json")
    assert made.returncode == 0, made.stderr
    schedule_id = json.loads(made.stdout)["id"]
    (listed,) = json.loads(flipsync("reports", "schedules", "--json").stdout)
    assert (listed["id"], listed["day"], listed["at"], listed["newest"]) == (schedule_id, 3, "06:30", None)
    ended = flipsync("reports", "end", schedule_id)
    assert ended.returncode == 0 and "ended by a person" in ended.stdout
    wrong = flipsync("reports", "schedule", "profit", "--every", "hourly")
    assert wrong.returncode != 0 and "rhythm" in wrong.stderr


async def _pay_out(url: str, tenant_id: UUID, account_id: UUID) -> None:
    store = open_store(url, pool_size=1)
    now = store.clock.now()
    line = ChannelPayoutLine(
        external_id="1",
        kind="sale",
        vendor_kind="[b]SALE[/]",
        amount=usd("57.00"),
        fee=usd("2.98"),
        order_external_id="nobodys",
        booked_at=now,
    )
    paid = ChannelPayout(
        external_id="p1", state="paid", vendor_state="SUCCEEDED", amount=usd("56.99"), fee=usd("0.00"), sent_at=now
    )
    async with store.unit(tenant_id) as unit:
        assert await payouts.book(unit, AccountRef(account_id, "custom"), paid, [line])
    await store.aclose()


def test_payouts_their_lines_and_what_differs(sold: str, flipsync: Flipsync, books: dict[str, str]) -> None:
    assert "no payout is known yet" in flipsync("payouts").stdout
    assert "nothing that is known of payouts differs" in flipsync("payouts", "--differences").stdout
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.connect() as connection:
        ids = connection.execute(text("SELECT tenant_id, id FROM marketplace_account")).one()
    engine.dispose()
    asyncio.run(_pay_out(sold, *ids))
    shown = flipsync("payouts")
    assert shown.returncode == 0, shown.stderr
    assert "56.99 USD" in shown.stdout and "0.01 USD" in shown.stdout
    (paid,) = json.loads(flipsync("payouts", "--json").stdout)["payouts"]
    one = flipsync("payouts", paid["id"])
    assert one.returncode == 0 and "[b]SALE[/]" in one.stdout and "nobodys" in one.stdout
    told = json.loads(flipsync("payouts", paid["id"], "--json").stdout)
    assert (told["payout"]["kinds"][0]["kind"], len(told["lines"])) == ("sale", 1)
    found = json.loads(flipsync("payouts", "--differences", "--json").stdout)["differences"]
    assert {each["named"] for each in found} == {"sum", "unknown_order"}
    shown = flipsync("payouts", "--differences")
    assert "56.99 USD" in shown.stdout and "nobodys" in shown.stdout, "amounts are not broken, however narrow it is"
    nobodys = flipsync("payouts", str(new_id()))
    assert nobodys.returncode == 1 and "no payout" in nobodys.stderr
