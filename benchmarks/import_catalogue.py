"""Catalogue import: rows a second and peak memory for 100,000 variants, against csv.reader alone on the same file.

    python -m benchmarks.import_catalogue [--variants 100000] [--format shopify|generic] [--store] [--json]

With --store the file is also imported into an embedded PostgreSQL, three times: all new, nothing changed, then with one
unit more of everything. Peak memory is that of the importing process, without the server.

Each measurement runs in a process of its own, so that peak memory is its own too.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_SHOPIFY_HEADER = [
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Type",
    "Tags",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Option2 Name",
    "Option2 Value",
    "Variant SKU",
    "Variant Grams",
    "Variant Inventory Tracker",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Requires Shipping",
    "Variant Taxable",
    "Variant Barcode",
    "Image Src",
    "Image Position",
    "Gift Card",
    "SEO Title",
    "SEO Description",
    "Variant Image",
    "Variant Weight Unit",
    "Cost per item",
    "Status",
]
_SIZES = ("XS", "S", "M", "L", "XL")


def _check_digit(payload: str) -> str:
    total = 3 * sum(map(int, payload[::-2])) + sum(map(int, payload[-2::-2]))
    return str(-total % 10)


def write_shopify(path: Path, variants: int, more: int = 0) -> None:
    """Products of five variants; every price, SKU and barcode differs as in a real shop. `more` units of each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_SHOPIFY_HEADER)
        for i in range(variants):
            product, size = divmod(i, len(_SIZES))
            first = size == 0
            gtin = f"952{i:09d}"
            writer.writerow(
                [
                    f"product-{product}",
                    f"Jacket No. {product}, waxed cotton" if first else "",
                    f"<p>Jacket <b>{product}</b> in waxed cotton.</p><ul><li>Two pockets</li><li>Lined</li></ul>"
                    if first
                    else "",
                    "Carrow" if first else "",
                    "Outerwear" if first else "",
                    "waxed, cotton, winter" if first else "",
                    "true" if first else "",
                    "Size" if first else "",
                    _SIZES[size],
                    "",
                    "",
                    f"JKT-{product:06d}-{_SIZES[size]}",
                    str(800 + i % 900),
                    "shopify",
                    str(i % 7 + more),
                    "deny",
                    f"{20 + i % 180}.{i % 100:02d}",
                    f"{220 + i % 80}.00",
                    "true",
                    "true",
                    gtin + _check_digit(gtin),
                    f"https://img.example/{product}.jpg" if first else "",
                    "1" if first else "",
                    "false",
                    "",
                    "",
                    "",
                    "kg",
                    f"{8 + i % 10}.50",
                    "active" if first else "",
                ]
            )


def write_generic(path: Path, variants: int, more: int = 0) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "title", "price", "cost", "quantity", "barcode", "weight_grams"])
        for i in range(variants):
            gtin = f"952{i:09d}"
            writer.writerow(
                [
                    f"S{i}",
                    f"Thing {i}",
                    f"{5 + i % 90}.{i % 100:02d}",
                    "3.20",
                    i % 9 + more,
                    gtin + _check_digit(gtin),
                    100 + i % 900,
                ]
            )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit(path: str, out: Any) -> None:
    before = _peak_mb()
    start = time.perf_counter()
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    seconds = time.perf_counter() - start
    out.put({"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "memory_mb": _peak_mb() - before})


def _import(path: str, out: Any) -> None:
    from flipsync.services.catalogue import read_catalogue

    before = _peak_mb()
    start = time.perf_counter()
    catalogue = read_catalogue(Path(path), currency="USD")
    recognised = time.perf_counter() - start
    for _ in catalogue:
        pass
    seconds = time.perf_counter() - start
    report = catalogue.report
    out.put(
        {
            "rows": report.rows,
            "seconds": seconds,
            "first_pass_seconds": recognised,
            "rows_per_second": report.rows / seconds,
            "memory_mb": _peak_mb() - before,
            "products": report.products,
            "variants": report.variants,
            "problems": report.rejected + report.warnings,
        }
    )


def _store(path: str, out: Any) -> None:
    import asyncio

    with tempfile.TemporaryDirectory(prefix="fsb-") as folder:
        Path(folder).chmod(0o711)  # the server runs as another account when we are root
        out.put(asyncio.run(_import_into_store(Path(path), Path(folder))))


async def _import_into_store(path: Path, folder: Path) -> dict[str, float]:
    from flipsync.domain.ids import new_id
    from flipsync.embedded.postgres import EmbeddedPostgres
    from flipsync.services.catalogue import read_catalogue
    from flipsync.services.catalogue_import import import_catalogue
    from flipsync.store.bootstrap import APP_ROLE, create_database, install, role_url
    from flipsync.store.database import Database
    from flipsync.store.models import Tenant
    from flipsync.store.unit_of_work import Store

    server = EmbeddedPostgres(folder / "postgres")
    address = server.start()
    try:
        owner = create_database(address.url(), "benchmark")
        install(owner, app_password="app", worker_password="worker")
        store = Store(Database(role_url(owner, APP_ROLE, "app")), routing={})
        tenant_id = new_id()
        async with store.unit(tenant_id) as unit:
            unit.session.add(Tenant(id=tenant_id, name="Benchmark"))
        result: dict[str, float] = {}
        before = _peak_mb()
        for run, file in (("first", path), ("again", path), ("restocked", _restocked(path))):
            start, cpu = time.perf_counter(), time.process_time()
            catalogue = read_catalogue(file, currency="USD")
            outcome = await import_catalogue(store, tenant_id, catalogue, file_name=file.name)
            seconds = time.perf_counter() - start
            result[f"{run}_rows_per_second"] = outcome.report.rows / seconds
            result[f"{run}_cpu_seconds"] = time.process_time() - cpu
            result[f"{run}_changed_variants"] = outcome.variants_created + outcome.variants_updated
            result[f"{run}_units_received"] = outcome.units_received
        result["memory_mb"] = _peak_mb() - before
        await store.aclose()
        return result
    finally:
        server.stop()


def _restocked(path: Path) -> Path:
    return path.with_name("restocked.csv")


def _alone(target: Any, path: Path) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=target, args=(str(path), out))
    process.start()
    result: dict[str, float] = out.get(timeout=600)
    process.join()
    return result


def measure(kind: str, variants: int, *, with_store: bool = False) -> dict[str, Any]:
    """One result object: the import and, in the same run, its limit (csv.reader once over the file)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.csv"
        write = write_shopify if kind == "shopify" else write_generic
        write(path, variants)
        if with_store:
            write(_restocked(path), variants, more=1)
        limit, ours = _alone(_limit, path), _alone(_import, path)
        stored = {"store": _alone(_store, path)} if with_store else {}
        return stored | {
            "benchmark": "import_catalogue",
            "format": kind,
            "file_mb": path.stat().st_size / 1e6,
            "import": ours,
            "limit_csv_reader": limit,
            "share_of_limit": ours["rows_per_second"] / limit["rows_per_second"],
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variants", type=int, default=100_000)
    parser.add_argument("--format", choices=["shopify", "generic"], action="append")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--store", action="store_true")
    arguments = parser.parse_args()
    results = [
        measure(kind, arguments.variants, with_store=arguments.store)
        for kind in arguments.format or ["shopify", "generic"]
    ]
    if arguments.json:
        print(json.dumps(results, indent=2))
        return 0
    print(f"{'format':10}{'rows':>9}{'MB':>7}{'rows/s':>10}{'peak MB':>9}{'limit rows/s':>14}{'share':>7}")
    for r in results:
        ours, limit = r["import"], r["limit_csv_reader"]
        print(
            f"{r['format']:10}{ours['rows']:>9,}{r['file_mb']:>7.1f}{ours['rows_per_second']:>10,.0f}"
            f"{ours['memory_mb']:>9.1f}{limit['rows_per_second']:>14,.0f}{r['share_of_limit']:>7.1%}"
        )
        if stored := r.get("store"):
            rates = [f"{run} {stored[f'{run}_rows_per_second']:,.0f} rows/s" for run in ("first", "again", "restocked")]
            print(f"  into PostgreSQL: {', '.join(rates)}, peak {stored['memory_mb']:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
