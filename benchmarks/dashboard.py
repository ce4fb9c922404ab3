"""The dashboard and the heaviest analytics over a million orders; how fast figures are made, and whether they hold.

    python -m benchmarks.dashboard [--quick] [--json] [--orders 1000000] [--reads 200] [--checked 2000] [--seed 1]

A year of orders of one business (four channels, three currencies, 500 SKUs, lines without a known cost, told fees,
refunds, orders called off) goes straight into an empty PostgreSQL of its own. Measured: orders and figures a second of
the counting as the running system does it; p50, p95 of the services' reads (their JSON included, HTTP not), in turns; a
batch of late refunds until it is in the figures. Two of the channels tell who bought: a fifth of the buyers order most.
Beside it in the same run: the slow recount, order by order from the books, of the newest days with at least `--checked`
orders, to the cent; and by plain SQL sums of all orders, and all cohorts by name.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.measuring import Report, quantiles, saying
from flipsync.domain.ids import new_id
from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.services import analytics, customer_reading, sales_facts
from flipsync.services.analytics import SeriesFilter, Span
from flipsync.services.customer_reading import CohortFilter, CustomerOrderFilter, SegmentFilter
from flipsync.services.dashboard import dashboard
from flipsync.services.reading_page import MAX_LIMIT, PageRequest, View
from flipsync.services.sales_recount import recount
from flipsync.store import bootstrap
from flipsync.store.database import Database, SessionReader, driver_url
from flipsync.store.unit_of_work import Store

DAYS, SKUS = 365, 500
NOW = datetime(2026, 6, 30, 18, tzinfo=UTC)
VENDORS = ("custom", "ebay", "shopify", "woocommerce")
#: of so many orders each buyer is one's
ORDERS_A_BUYER = 3
AIM_MS = 200.0
_NOBODY = '{"name":"","line1":"","line2":"","city":"","region":"","postal_code":"","country":"","phone":"","email":""}'
_ORDER = (
    "id tenant_id account_id external_id number status vendor_status holds_stock state currency total_minor tax_minor"
    " shipping_minor fee_minor placed_at modified_at ship_to buyer_id created_at updated_at"
).split()
_LINE = (
    "id tenant_id order_id external_id sku title quantity total_minor tax_minor cost_minor reserved short shipped"
    " returned"
).split()
_REFUND = "id tenant_id order_id external_id amount_minor currency created_at".split()
_SQL_SUMS = """
    SELECT o.currency, count(*)::bigint, sum(o.shipping_minor)::bigint, sum(g.goods)::bigint, sum(g.units)::bigint,
           sum(coalesce(r.back, 0))::bigint
      FROM customer_order o
      JOIN (SELECT order_id, sum(total_minor) AS goods, sum(quantity) AS units FROM order_line GROUP BY 1) g
        ON g.order_id = o.id
      LEFT JOIN (SELECT order_id, sum(amount_minor) AS back FROM refund GROUP BY 1) r ON r.order_id = o.id
     WHERE o.status IN ('paid', 'shipped', 'refunded') GROUP BY 1 ORDER BY 1
"""
_KEPT_SUMS = """
    SELECT currency, sum(orders)::bigint, sum(shipping)::bigint, sum(goods)::bigint, sum(units)::bigint,
           sum(refunds)::bigint FROM channel_day GROUP BY 1 HAVING sum(orders) > 0 ORDER BY 1
"""
#: cohorts as the names in the books say; net revenue from the figures of orders
_SQL_COHORTS = """
    WITH sold AS (
        SELECT o.account_id, o.currency, lower(coalesce(nullif(o.buyer_id, ''), o.ship_to ->> 'email')) AS name,
               date_trunc('month', o.placed_at AT TIME ZONE 'UTC')::date AS month, f.net
          FROM customer_order o
          JOIN (SELECT order_id, sum(goods + shipping - refunds_before_tax) AS net FROM sale_fact GROUP BY 1) f
            ON f.order_id = o.id
         WHERE o.status IN ('paid', 'shipped', 'refunded')),
    begun AS (SELECT *, min(month) OVER (PARTITION BY account_id, currency, name) AS cohort FROM sold WHERE name <> '')
    SELECT account_id, currency, cohort, month, count(DISTINCT name), count(*), sum(net)::bigint
      FROM begun GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_KEPT_COHORTS = """
    SELECT account_id, currency, cohort, month, buyers, orders, net FROM cohort_month WHERE buyers > 0
     ORDER BY 1, 2, 3, 4
"""


class Books:
    """An empty database with one business in it."""

    def __init__(self, owner: str, seed: int) -> None:
        self.owner, self.tenant_id, self.random = owner, new_id(), random.Random(seed)
        self.accounts = [new_id() for _ in VENDORS]

    def fill(self, orders: int) -> None:
        """Straight into the tables; what triggers and references would do is of no use here."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            with connection.pipeline(), connection.transaction():
                self._goods(connection)
            with psycopg.connect(self.owner) as lines, psycopg.connect(self.owner) as refunds:
                for each in (lines, refunds):
                    each.execute("SET session_replication_role = replica")
                with (
                    connection.cursor().copy(_copy("customer_order", _ORDER)) as order_copy,
                    lines.cursor().copy(_copy("order_line", _LINE)) as line_copy,
                    refunds.cursor().copy(_copy("refund", _REFUND)) as refund_copy,
                ):
                    for order, sold, back in self._orders(orders):
                        order_copy.write_row(order)
                        for line in sold:
                            line_copy.write_row(line)
                        if back is not None:
                            refund_copy.write_row(back)
            connection.execute("VACUUM ANALYZE")

    def _goods(self, connection: psycopg.Connection[Any]) -> None:
        tenant, now = self.tenant_id, NOW - timedelta(days=DAYS)
        connection.execute(
            "INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
            " VALUES (%s, 'Bench', 'USD', '{}', %s, %s)",
            (tenant, now, now),
        )
        for vendor, account_id in zip(VENDORS, self.accounts, strict=True):
            connection.execute(
                "INSERT INTO marketplace_account (id, tenant_id, vendor, name, config, credentials_encrypted,"
                " webhook_token, status, status_reason, stock_mode, consecutive_failures, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, '{}', '', %s, 'connected', '', 'pooled', 0, %s, %s)",
                (account_id, tenant, vendor, vendor, str(account_id), now, now),
            )
        for number in range(SKUS):
            product, variant, item = new_id(), new_id(), new_id()
            connection.execute(
                "INSERT INTO product (id, tenant_id, handle, title, description_html, category, tags, images,"
                " option_names, published, version, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, '', %s, '[]', '[]', '[]', true, 1, %s, %s)",
                (product, tenant, f"p{number}", f"Goods {number}", f"Category {number % 20}", now, now),
            )
            connection.execute(
                "INSERT INTO variant (id, tenant_id, product_id, sku, sku_derived, options, currency, price_minor,"
                " cost_minor, created_at, updated_at) VALUES (%s, %s, %s, %s, false, '{}', 'USD', %s, %s, %s, %s)",
                (variant, tenant, product, f"SKU-{number:04}", 2_000 + number, 800 + number, now, now),
            )
            connection.execute(
                "INSERT INTO stock_item (id, tenant_id, variant_id, pool, mode, on_hand, reserved, allocated,"
                " created_at, updated_at) VALUES (%s, %s, %s, 'own', 'pooled', 40, 0, 0, %s, %s)",
                (item, tenant, variant, now, now),
            )
            for layer in range(6):
                connection.execute(
                    "INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta,"
                    " key, note, at) VALUES (%s, %s, %s, 'receive', 12, 0, %s, '', %s)",
                    (new_id(), tenant, item, f"in:{item}:{layer}", NOW - timedelta(days=50 * layer)),
                )

    def _orders(self, orders: int) -> Iterator[tuple[list[Any], list[list[Any]], list[Any] | None]]:
        draw, tenant = self.random, self.tenant_id
        # trade grows over the year; orders come in as they are placed
        ages = sorted(((1 - draw.random() ** 0.7) * DAYS * 86_400 for _ in range(orders)), reverse=True)
        buyers = max(1, orders // ORDERS_A_BUYER)
        for number, age in enumerate(ages):
            which = draw.randrange(len(VENDORS))
            currency = draw.choices(("USD", "EUR", "GBP"), (90, 6, 4))[0]
            placed = NOW - timedelta(seconds=age)
            order_id, sold, goods = new_id(), [], 0
            skus = draw.sample(range(SKUS), draw.choices((1, 2, 3), (75, 18, 7))[0])
            for index, sku in enumerate(skus):
                units, unit_price = draw.choices((1, 2, 5), (85, 12, 3))[0], 2_000 + sku
                goods += unit_price * units
                cost = None if sku % 97 == 0 else 800 + sku
                row = [new_id(), tenant, order_id, f"l{index}", f"SKU-{sku:04}", "Goods", units, unit_price * units, 0]
                sold.append([*row, cost, 0, 0, units, 0])
            shipping, tax = draw.choice((0, 499, 799)), goods // 12 if draw.random() < 0.5 else 0
            status = draw.choices(("shipped", "paid", "cancelled", "pending"), (90, 6, 3, 1))[0]
            fee = goods // 9 if draw.random() < 0.3 else None
            total = goods + shipping + tax
            head = [order_id, tenant, self.accounts[which], f"o{number}", str(number), status, status, False, "shipped"]
            # a fifth of the buyers have four fifths of the orders
            who = draw.randrange(buyers // 5 + 1) if draw.random() < 0.8 else draw.randrange(buyers)
            name = f"buyer{who}" if VENDORS[which] == "ebay" else ""
            mail = f"buyer{who}@mail.example" if VENDORS[which] == "woocommerce" else ""
            to = _NOBODY.replace('"email":""', f'"email":"{mail}"')
            order = [*head, currency, total, tax, shipping, fee, placed, placed, to, name, placed, placed]
            back = None
            if draw.random() < 0.03 and status != "pending":
                back = [new_id(), tenant, order_id, "r", max(1, total // draw.choice((1, 2, 5))), currency, placed]
            yield order, sold, back


def _copy(table: str, columns: list[str]) -> str:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN"


#: name → the read; the whole year, pages as long as they may be
_WHOLE = {"from": NOW.date() - timedelta(days=DAYS), "to": NOW.date()}
_PAGE = PageRequest(limit=MAX_LIMIT)


def _series(**query: str) -> Callable[[AsyncSession], Awaitable[View]]:
    where = SeriesFilter.model_validate(_WHOLE | query)
    return lambda session: analytics.profit(session, _PAGE, where, NOW.date())


READS: dict[str, Callable[[AsyncSession], Awaitable[View]]] = {
    "dashboard": lambda session: dashboard(SessionReader(session), NOW, questions=True, faults=True, agents=True),
    "profit by day": _series(by="day"),
    "profit by month and channel": _series(by="month", group="channel"),
    "profit by SKU, the whole year": _series(by="all", group="sku"),
    "profit by month and SKU": _series(by="month", group="sku"),
    "profit by month and category": _series(by="month", group="category"),
    "channels": lambda session: analytics.channels(session, Span.model_validate(_WHOLE), NOW.date()),
    "ageing": lambda session: analytics.ageing(session, _PAGE, None, NOW.date()),
    "sell-through": lambda session: analytics.sell_through(session, _PAGE, analytics.SellThroughFilter(), NOW.date()),
    "cohorts by channel": lambda session: customer_reading.cohorts(session, _PAGE, CohortFilter(group="channel")),
    "customers by segment": lambda session: customer_reading.customers(session, SegmentFilter(), NOW.date()),
    "orders of champions": lambda session: customer_reading.customer_orders(
        session, _PAGE, CustomerOrderFilter(segment="champions"), NOW.date()
    ),
    "orders of those at risk": lambda session: customer_reading.customer_orders(
        session, _PAGE, CustomerOrderFilter(segment="at_risk"), NOW.date()
    ),
    "rows of a week": lambda session: analytics.sale_rows(
        session, _PAGE, analytics.SalesFilter.model_validate({"from": NOW.date() - timedelta(days=6)}), NOW.date()
    ),
}


async def read_all(store: Store, tenant_id: UUID, reads: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each read, in turns."""
    times: dict[str, list[float]] = {name: [] for name in READS}
    for turn in range(reads + 2):
        for name, read in READS.items():
            if name not in ("dashboard",) and turn >= max(12, reads // 5):
                continue
            began = time.perf_counter()
            async with store.reader(tenant_id) as session:
                (await read(session)).model_dump_json()
            if turn > 1:  # the first two compile and fill caches
                times[name].append((time.perf_counter() - began) * 1e3)
    return {name: quantiles(each) for name, each in times.items()}


async def late_refunds(store: Store, books: Books, refunds: int) -> dict[str, Any]:
    """So many old orders get money back: until it is in the figures."""
    with psycopg.connect(books.owner, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO refund (id, tenant_id, order_id, external_id, amount_minor, currency, created_at)"
            " SELECT gen_random_uuid(), tenant_id, id, 'late', 100, currency, now() FROM customer_order"
            " WHERE status = 'shipped' AND placed_at < %s ORDER BY placed_at DESC LIMIT %s",
            (NOW - timedelta(days=1), refunds),
        )
    began = time.perf_counter()
    done = await count_all(store, books.tenant_id)
    assert done == refunds, (done, refunds)
    return {"orders": done, "seconds": time.perf_counter() - began}


async def count_all(store: Store, tenant_id: UUID) -> int:
    total = 0
    while True:
        done = await sales_facts.run(store, tenant_id)
        total += done.orders
        if not done.more:
            return total


async def check(store: Store, books: Books, at_least: int) -> dict[str, Any]:
    """The kept days against the slow recount of the newest days, and against plain sums of everything."""
    first = NOW.date()
    with psycopg.connect(books.owner, autocommit=True) as connection:
        while first > _WHOLE["from"]:
            found = connection.execute("SELECT count(*) FROM customer_order WHERE placed_at >= %s", (first,)).fetchone()
            if found is not None and found[0] >= at_least:
                break
            first -= timedelta(days=1)
        by_sql, kept = (connection.execute(query.encode()).fetchall() for query in (_SQL_SUMS, _KEPT_SUMS))
        by_name, cohorts = (connection.execute(query.encode()).fetchall() for query in (_SQL_COHORTS, _KEPT_COHORTS))
    began = time.perf_counter()
    async with store.reader(books.tenant_id) as session:
        slow = await recount(session, first, date(9000, 1, 1))
    seconds = time.perf_counter() - began
    orders = sum(
        figures.get("orders", 0) + figures.get("cancelled", 0) for key, figures in slow.books.items() if len(key) == 3
    )
    return {
        "recounted_days": (NOW.date() - first).days + 1,
        "recounted_orders": orders,
        "orders_per_second": orders / seconds,
        "differences": len(slow.differences),
        "sums_of_everything_differ": by_sql != kept,
        "cohort_months": len(cohorts),
        "cohorts_differ": by_name != cohorts,
    }


async def measure(urls: dict[str, str], orders: int, reads: int, checked: int, seed: int, report: Report) -> None:
    books = Books(urls["owner"], seed)
    with saying(f"{orders:,} orders into the books"):
        began = time.perf_counter()
        books.fill(orders)
        filled = time.perf_counter() - began
    store = Store(Database(urls["worker"], pool_size=2, name="bench"), {})
    try:
        with saying("counting"):
            began = time.perf_counter()
            counted = await count_all(store, books.tenant_id)
            seconds = time.perf_counter() - began
        with psycopg.connect(books.owner, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            rows, sku_days = (
                int(connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()[0])  # type: ignore[index]
                for table in ("sale_fact", "sku_day")
            )
        with saying("reading"):
            times = await read_all(store, books.tenant_id, reads)
        with saying("late refunds"):
            late = await late_refunds(store, books, min(1_000, orders // 20))
        with saying("the slow recount"):
            right = await check(store, books, checked)
    finally:
        await store.aclose()
    heaviest = max((name for name in times if name != "dashboard"), key=lambda name: times[name]["p95"])
    report.result = {
        "orders": orders,
        "fill_seconds": filled,
        "count": {
            "orders": counted,
            "fact_rows": rows,
            "sku_days": sku_days,
            "orders_per_second": counted / seconds,
            "fact_rows_per_second": rows / seconds,
        },
        "milliseconds": times,
        "heaviest": heaviest,
        "late_refunds": late,
        "check": right,
        "aim_ms": AIM_MS,
        "met": times["dashboard"]["p95"] < AIM_MS,
    }
    report.row("counting", f"{rows / seconds:,.0f} rows/s", f"{counted / seconds:,.0f} orders/s, {rows:,} rows")
    report.row("slow recount", f"{right['orders_per_second']:,.0f} orders/s", f"{right['recounted_orders']:,} orders")
    for name, each in times.items():
        report.row(name, f"p95 {each['p95']:.1f} ms", f"p50 {each['p50']:.1f} ms, of {each['n']:.0f}")
    report.row("late refunds", f"{late['seconds']:.2f} s", f"{late['orders']:,} orders until they are in the figures")
    report.row("differences", str(right["differences"]), "days of channels and SKUs, against the slow recount")
    report.row("sums of everything", "differ" if right["sums_of_everything_differ"] else "equal", "plain SQL")
    report.row(
        "cohorts", "differ" if right["cohorts_differ"] else "equal", f"{right['cohort_months']:,} months, by name"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.dashboard", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--reads", type=int, default=200)
    parser.add_argument("--checked", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.quick:
        options.orders, options.reads, options.checked = 1_500, 10, 120
    report = Report("dashboard")
    with tempfile.TemporaryDirectory(prefix="flipsync-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            owner = bootstrap.create_database(server.start().url(), "bench")
            bootstrap.install(owner, app_password="app", worker_password="worker")
            urls = {
                "owner": owner.set(drivername="postgresql").render_as_string(hide_password=False),
                "worker": bootstrap.role_url(driver_url(owner), bootstrap.WORKER_ROLE, "worker").render_as_string(
                    hide_password=False
                ),
            }
            asyncio.run(measure(urls, options.orders, options.reads, options.checked, options.seed, report))
        finally:
            server.stop()
    report.finish(as_json=options.as_json)
    right = report.result["check"]
    return 0 if not any(right[name] for name in ("differences", "sums_of_everything_differ", "cohorts_differ")) else 1


if __name__ == "__main__":
    sys.exit(main())
