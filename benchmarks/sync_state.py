"""What a million listings' sync state takes: on disk in the books, and in memory of an effect worker.

    python -m benchmarks.sync_state [--quick] [--json] [--listings 1000000] [--remembered 20000]

Disk is measured with `--listings` real rows of each table that says what a channel shows and should show, indexes
included, after a full push of all of them: listings, shares, knowledge, effects and receipts. Memory is what the
connectors of a worker remember at most of an account, measured on `--remembered` listings of each vendor and multiplied
(each listing is a few objects in a dictionary: it grows with their number). The peer: the bytes of the same facts
(listing, channel's id, shown, target) in PostgreSQL rows without anything else.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.installation import temporary_home
from benchmarks.measuring import Report, saying
from benchmarks.stocked import fill_books
from flipsync.connectors.knowledge import MOST, Remembered
from flipsync.connectors.marketplaces.amazon.feeds import Supply
from flipsync.connectors.marketplaces.ebay import wire as ebay
from flipsync.connectors.marketplaces.shopify import wire as shopify
from flipsync.connectors.marketplaces.shopify.stock import Counted

_TABLES = ("listing", "allocation", "listing_knowledge", "effect", "receipt")
_RECEIPTS = """
    INSERT INTO listing_knowledge (id, tenant_id, listing_id, external_id, facts, learnt_at)
    SELECT gen_random_uuid(), tenant_id, id, external_id, '{"own": true, "type": "HOME", "warehouses": []}', now()
      FROM listing;
    INSERT INTO receipt (id, tenant_id, effect_id, attempt, outcome, detail, vendor_code, started_at, finished_at)
    SELECT md5('receipt' || id)::uuid, tenant_id, id, 1, 'confirmed', '7 on offer', '', now(), now() FROM effect;
    UPDATE effect SET state = 'confirmed', attempts = 1, epoch = 1, finished_at = now(),
           lease_owner = 'effects-0:' || id, result = '{"detail": "7 on offer"}'
"""
_LEAST = """
    CREATE TABLE least AS
    SELECT l.id, l.external_id, l.quantity_shown, a.target FROM listing l JOIN allocation a ON a.listing_id = l.id
"""


def _disk(connection: psycopg.Connection[dict[str, Any]], listings: int) -> dict[str, Any]:
    def size(table: str) -> dict[str, int]:
        row = connection.execute(
            b"SELECT pg_table_size(%(t)s::regclass) AS rows, pg_indexes_size(%(t)s::regclass) AS indexes", {"t": table}
        ).fetchone()
        assert row is not None
        return {"rows": int(row["rows"]), "indexes": int(row["indexes"])}

    with saying("the push is booked"):
        for statement in _RECEIPTS.split(";\n"):
            connection.execute(statement.encode())
        connection.execute(b"VACUUM FULL ANALYZE effect")
        connection.execute(_LEAST.encode())
        connection.execute(b"ALTER TABLE least ADD PRIMARY KEY (id)")
    tables = {table: size(table) for table in _TABLES}
    state = sum(sum(tables[table].values()) for table in ("listing", "allocation", "listing_knowledge"))
    return {
        "listings": listings,
        "bytes": tables,
        "state_bytes_per_listing": state / listings,
        "push_bytes_per_listing": sum(sum(tables[table].values()) for table in ("effect", "receipt")) / listings,
        "least_bytes_per_listing": sum(size("least").values()) / listings,
    }


def _amazon(number: int) -> tuple[object, ...]:
    return f"B{number:06d}", Supply("HOME", own_stock=True, warehouses=())


def _ebay(number: int) -> tuple[object, ...]:
    sku = f"B{number:06d}"
    item = ebay.Item.model_validate(
        {
            "sku": sku,
            "condition": "NEW",
            "availability": {"shipToLocationAvailability": {"quantity": 5}},
            "product": {
                "title": f"Thing {sku}",
                "description": f"<p>Thing {sku}</p>",
                "aspects": {"Brand": ["B"]},
                "imageUrls": [f"https://img.example/{sku}.jpg"],
            },
        }
    )
    offer = ebay.Offer.model_validate(
        {
            "offerId": str(7_000_000_000 + number),
            "sku": sku,
            "marketplaceId": "EBAY_US",
            "status": "PUBLISHED",
            "listingDescription": f"<p>Thing {sku}</p>",
            "pricingSummary": {"price": {"currency": "USD", "value": "39.90"}},
            "listing": {"listingId": str(110_000_000_000 + number), "listingStatus": "ACTIVE"},
        }
    )
    return sku, item, offer


def _shopify(number: int) -> tuple[object, ...]:
    row = shopify.Variant.model_validate(
        {
            "id": f"gid://shopify/ProductVariant/{number}",
            "title": "Default Title",
            "sku": f"B{number:06d}",
            "price": "39.90",
            "updatedAt": "2026-03-02T14:00:00Z",
            "barcode": None,
            "inventoryPolicy": "DENY",
            "inventoryItem": {
                "id": f"gid://shopify/InventoryItem/{number}",
                "tracked": True,
                "inventoryLevel": {"quantities": [{"name": "available", "quantity": 5}]},
            },
            "product": {
                "id": f"gid://shopify/Product/{number}",
                "title": f"Thing {number}",
                "status": "ACTIVE",
                "hasOnlyDefaultVariant": True,
                "updatedAt": "2026-03-02T14:00:00Z",
            },
        }
    )
    return row.id, Counted.of(row, "USD")


def _remembered(make: Callable[[int], tuple[object, ...]], count: int) -> float:
    """Bytes a listing of what a connector keeps of it, its place in the dictionary included."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept: list[Remembered[object]] = []
    for number in range(count):
        name, *values = make(number)
        kept = kept or [Remembered(lambda _: {}, lambda facts: facts, lasts=1e9) for _ in values]
        for remembered, value in zip(kept, values, strict=True):
            remembered.keep(str(name), value)
    for remembered in kept:
        remembered.learnt()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / count


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with temporary_home() as home:
        folder: Path = home.parent
        with saying(f"{options.listings:,} listings in the books"), fill_books(folder, options.listings) as connection:
            disk = _disk(connection, options.listings)
    makers = {"amazon": _amazon, "ebay": _ebay, "shopify": _shopify}
    with saying(f"{options.remembered:,} listings of each vendor remembered"):
        memory = {vendor: _remembered(make, options.remembered) for vendor, make in makers.items()}
    return {
        "disk": disk,
        "memory": {"listings": options.remembered, "bytes_per_listing": memory | {"woocommerce": 0.0}},
    }


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--listings", type=int, default=1_000_000, help="rows in the books")
    parser.add_argument("--remembered", type=int, default=20_000, help="listings held in memory, of each vendor")
    options = parser.parse_args(argv)
    if options.quick:
        options.listings, options.remembered = 2_000, 500
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("sync_state")
    report.result = result = measure(options)
    disk, million = result["disk"], 1_000_000
    for table, each in disk["bytes"].items():
        rows, indexes = (each[part] / disk["listings"] for part in ("rows", "indexes"))
        report.row(f"disk: {table}", f"{rows + indexes:,.0f} B a listing", f"rows {rows:,.0f}, indexes {indexes:,.0f}")
    state, push, least = (disk[f"{name}_bytes_per_listing"] for name in ("state", "push", "least"))
    report.row("disk: state of 1M listings", f"{state * million / 1e6:,.0f} MB", f"{state / least:.1f}× the bare facts")
    report.row("disk: each full push of 1M more", f"{push * million / 1e6:,.0f} MB", "one effect and one receipt each")
    for vendor, each in result["memory"]["bytes_per_listing"].items():
        most = f"{each * MOST / 1e6:,.0f} MB"
        report.row(f"memory: a {vendor} account, at most", most, f"{each:,.0f} B a listing, {MOST:,} kept")
    if disk["listings"] != million:
        report.notes.append(f"disk is multiplied from {disk['listings']:,} listings")
    report.notes.append(f"memory is multiplied from {result['memory']['listings']:,} listings of each vendor")
    report.notes.append("memory is one worker's, for the accounts it serves; WooCommerce's connector remembers nothing")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
