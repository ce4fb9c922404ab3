"""Brings a catalogue file into the books: new goods are added, known ones updated, stock follows through the ledger.

    catalogue = read_catalogue(path, currency="USD")
    outcome = await import_catalogue(store, tenant_id, catalogue, file_name=path.name)

Products are known by handle, variants by SKU, so the same file twice changes nothing the second time. Quantities are
booked as the difference from the file before (see catalogue.stock_difference), so units sold in between stay sold. A
batch is one transaction: an import that is cut off has kept whole products, and importing again finishes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.events import CostChanged, ProductImported
from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.services.catalogue import Catalogue, ImportReport, ProductDraft
from flipsync.services.catalogue.difference import Plan, make_plan
from flipsync.services.catalogue.stock_difference import Quantities, StockPlan, may_move, plan_stock
from flipsync.services.listings import SHOWN_OF_PRODUCT, SHOWN_OF_VARIANT, tell_outdated
from flipsync.store.repositories import catalogue as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

__all__ = ["ImportOutcome", "Progress", "Quantities", "import_catalogue"]

_BATCH_VARIANTS = 1_000
_POOL = "own"


@dataclass(slots=True)
class ImportOutcome:
    """What an import changed (or, as a dry run, would change); `report` says what became of the file's rows.

    `units_received` came onto the shelf; `stock_counts` is for how many variants the shelf was put right.
    """

    run_id: UUID | None
    dry_run: bool
    format: str
    products_created: int = 0
    products_updated: int = 0
    products_unchanged: int = 0
    variants_created: int = 0
    variants_updated: int = 0
    variants_unchanged: int = 0
    units_received: int = 0
    stock_counts: int = 0
    report: ImportReport = field(default_factory=ImportReport)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        result = self.counts()
        result["run_id"] = str(self.run_id) if self.run_id else None
        return result | {"dry_run": self.dry_run, "format": self.format, "report": self.report.as_dict()}

    def counts(self) -> dict[str, Any]:
        result = asdict(self)
        for name in ("report", "run_id", "dry_run", "format"):
            del result[name]
        return result


Progress = Callable[[ImportOutcome], None]


async def import_catalogue(
    store: Store,
    tenant_id: UUID,
    catalogue: Catalogue,
    *,
    file_name: str,
    dry_run: bool = False,
    quantities: Quantities = "difference",
    stock_mode: str = "escrow",
    cause: Cause | None = None,
    progress: Progress | None = None,
) -> ImportOutcome:
    """Import every product of the file, batch by batch. With `dry_run` nothing is written, everything is compared.

    A blank cell never erases what is known, and an assumed cost never replaces a known one. `quantities` says what the
    file's figure for a known variant means: "difference" books how it changed since the last file, so that units sold
    meanwhile do not come back; "count" takes it as a count of the shelf, for files made from the shelf or from books
    that know every sale; "first" leaves the stock of known goods alone. `stock_mode` is the mode of new stock items.
    """
    run_id = None if dry_run else new_id()
    outcome = ImportOutcome(run_id, dry_run, catalogue.format)
    if run_id is not None:
        async with store.unit(tenant_id, cause) as unit:
            await rows.begin_run(unit, run_id, file_name, catalogue.format)
    categories: set[str] = set()
    if run_id is not None:
        async with store.reader(tenant_id) as session:
            categories = await rows.categories(session)
    products = iter(catalogue)
    # Parsing is bound by the processor; in a thread it does not hold up the event loop.
    while batch := await asyncio.to_thread(_take, products):
        outcome.report = catalogue.report
        if run_id is None:
            async with store.reader(tenant_id) as session:
                plan, stock_plan = await _compare(session, batch, catalogue.report, quantities, lock=False)
        else:
            async with store.unit(tenant_id, cause) as unit:
                await rows.take_turn(unit)
                plan, stock_plan = await _compare(unit.session, batch, catalogue.report, quantities, lock=True)
                await _write(unit, plan, categories)
                await _book(unit, stock_plan, run_id, stock_mode)
        _count(plan, stock_plan, outcome)
        if progress is not None:
            progress(outcome)
    outcome.report = catalogue.report
    if run_id is not None:
        told = outcome.report.as_dict()
        problems = told.pop("problems")
        async with store.unit(tenant_id, cause) as unit:
            await rows.finish_run(unit, run_id, told | outcome.counts(), problems)
    return outcome


def _take(products: Iterator[ProductDraft]) -> list[ProductDraft]:
    """The next products, at least `_BATCH_VARIANTS` variants of them while there are any."""
    batch: list[ProductDraft] = []
    variants = 0
    for product in products:
        batch.append(product)
        variants += len(product.variants)
        if variants >= _BATCH_VARIANTS:
            break
    return batch


async def _compare(
    session: AsyncSession, batch: list[ProductDraft], report: ImportReport, quantities: Quantities, *, lock: bool
) -> tuple[Plan, StockPlan]:
    products = await rows.products_by_handle(session, [p.key for p in batch], lock=lock)
    variants = await rows.variants_by_sku(session, [v.sku for p in batch for v in p.variants], lock=lock)
    plan = make_plan(batch, products, variants, report)
    moving = [v.id for v in plan.variants if may_move(v, quantities)]
    known_stock = await rows.stock_of_variants(session, moving, pool=_POOL, lock=lock)
    return plan, plan_stock(plan.variants, known_stock, quantities, report)


def _count(plan: Plan, stock_plan: StockPlan, outcome: ImportOutcome) -> None:
    outcome.products_created += len(plan.new_products)
    outcome.products_updated += len(plan.changed_products)
    outcome.products_unchanged += plan.unchanged_products
    for variant in plan.variants:
        if not variant.known:
            outcome.variants_created += 1
        elif variant.values:
            outcome.variants_updated += 1
        else:
            outcome.variants_unchanged += 1
    for booking in stock_plan.bookings:
        if booking.kind == "receive":
            outcome.units_received += booking.units
        else:
            outcome.stock_counts += 1


async def _write(unit: UnitOfWork, plan: Plan, categories: set[str]) -> None:
    """`categories` are those the business has had; new ones are added."""
    now = unit.now
    await rows.insert_products(unit, plan.new_products)
    await rows.update_products(unit, plan.changed_products)
    await rows.insert_variants(
        unit,
        ({"id": v.id, "cost_as_of": now if v.new_cost else None, **v.values} for v in plan.variants if not v.known),
    )
    await rows.update_variants(
        unit,
        (
            {"id": v.id, **v.values, **({"cost_as_of": now} if v.new_cost else {})}
            for v in plan.variants
            if v.known and v.values
        ),
    )
    first: set[UUID] = set()
    for product in plan.new_products:
        if (category := product["category"]) and category not in categories:
            categories.add(category)
            first.add(product["id"])
    for product_id, created in plan.touched.items():
        fact = ProductImported(product_id=product_id, created=created, new_category=product_id in first)
        unit.emit(fact)
    for variant in plan.variants:
        if (
            variant.known and variant.new_cost is not None
        ):  # a new variant is offered nowhere yet: no price depends on it
            unit.emit(CostChanged(variant_id=variant.id, cost=variant.new_cost))
    await tell_outdated(
        unit,
        {
            change["id"]
            for change in plan.changed_products
            if not SHOWN_OF_PRODUCT.isdisjoint(change) or change.get("published") is False
        },
        {v.id for v in plan.variants if v.known and not SHOWN_OF_VARIANT.isdisjoint(v.values)},
    )


async def _book(unit: UnitOfWork, plan: StockPlan, run_id: UUID, mode: str) -> None:
    """What is offered somewhere is booked one by one and told to whoever shares it out. What is not listed yet is
    booked in bulk and told to nobody: its first listing will ask for it."""
    item_ids = {variant_id: new_id() for variant_id in plan.without_item}
    silent: list[dict[str, Any]] = []
    told = []
    for booking in plan.bookings:
        known = booking.stock
        if known is not None and (known.listed or known.item.pending_count is not None):
            told.append((booking, known.item))
            continue
        silent.append(
            {
                "id": new_id(),
                "stock_item_id": known.item.id if known else item_ids[booking.variant_id],
                "kind": booking.kind,
                "on_hand_delta": booking.units,
                "reserved_delta": 0,
                "key": _key(run_id, booking.variant_id),
                "note": "catalogue import",
                "at": unit.now,
            }
        )
    await rows.insert_stock_items(
        unit,
        ({"id": id_, "variant_id": variant_id, "pool": _POOL, "mode": mode} for variant_id, id_ in item_ids.items()),
    )
    await rows.insert_movements(unit, silent)
    await rows.set_imported_quantities(unit, plan.imported)
    for booking, item in told:
        key, note = _key(run_id, booking.variant_id), "catalogue import"
        if booking.kind == "receive" and item.pending_count is None:
            await stock.receive(unit, booking.variant_id, booking.units, key=key, mode=item.mode, note=note)
        else:
            await stock.count(unit, item.id, booking.target, key=key, note=note)


def _key(run_id: UUID, variant_id: UUID) -> str:
    return f"import:{run_id}:{variant_id}"
