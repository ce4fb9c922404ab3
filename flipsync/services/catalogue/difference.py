"""What a file would change in the books: drafts compared with the products and variants that are known. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services.catalogue.model import ProductDraft, VariantDraft
from flipsync.services.catalogue.report import ImportReport
from flipsync.store.models import Product, Variant


@dataclass(slots=True)
class VariantPlan:
    """`values` are all columns of a new variant, only the changed ones of a known one (empty: nothing changed).

    `imported_quantity` is what earlier files accounted for, in units.
    """

    draft: VariantDraft
    id: UUID
    known: bool
    values: dict[str, Any]
    new_cost: Money | None
    imported_quantity: int | None = None


@dataclass(slots=True)
class Plan:
    """What one batch changes. `touched` maps the id of each new or changed product to whether it is new."""

    new_products: list[dict[str, Any]] = field(default_factory=list)
    changed_products: list[dict[str, Any]] = field(default_factory=list)
    unchanged_products: int = 0
    touched: dict[UUID, bool] = field(default_factory=dict)
    variants: list[VariantPlan] = field(default_factory=list)


def make_plan(
    batch: Sequence[ProductDraft],
    known_products: Mapping[str, Product],
    known_variants: Mapping[str, Variant],
    report: ImportReport,
) -> Plan:
    """Known products are given by handle, variants by SKU. A blank in the file never erases what is known."""
    plan = Plan()
    for draft in batch:
        drafts = [v for v in draft.variants if _same_currency(v, known_variants.get(v.sku), report)]
        if not drafts:
            continue
        product = known_products.get(draft.key)
        values = _product_values(draft)
        if product is None:
            product_id = new_id()
            plan.new_products.append(
                values | {"id": product_id, "handle": draft.key, "published": draft.published is not False}
            )
            plan.touched[product_id] = True
        else:
            product_id = product.id
            changes = {name: value for name, value in values.items() if value and value != getattr(product, name)}
            if draft.published is not None and draft.published != product.published:
                changes["published"] = draft.published
            if changes:
                plan.changed_products.append(changes | {"id": product_id, "version": product.version + 1})
                plan.touched[product_id] = False
            else:
                plan.unchanged_products += 1
        for variant in drafts:
            known = known_variants.get(variant.sku)
            if known is None:
                planned = _new_variant(variant, product_id)
            else:
                planned = _changed_variant(variant, product_id, known, report)
            plan.variants.append(planned)
            if planned.values:
                plan.touched.setdefault(product_id, False)
    return plan


def _same_currency(draft: VariantDraft, known: Variant | None, report: ImportReport) -> bool:
    if known is None or known.currency == draft.price.currency:
        return True
    report.reject(draft.line, "", f"the SKU is kept in {known.currency}: its prices cannot be replaced", draft.sku)
    return False


def _product_values(draft: ProductDraft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "description_html": draft.description_html,
        "brand": draft.brand or None,
        "category": draft.category or None,
        "tags": list(draft.tags),
        "images": list(draft.images),
        "option_names": list(draft.option_names),
    }


def _variant_values(draft: VariantDraft, product_id: UUID) -> dict[str, Any]:
    return {
        "product_id": product_id,
        "options": draft.options,
        "barcode": draft.barcode,
        "price_minor": draft.price.amount_minor,
        "compare_at_minor": _minor(draft.compare_at),
        "cost_minor": _minor(draft.cost),
        "floor_minor": _minor(draft.floor),
        "ceiling_minor": _minor(draft.ceiling),
        "weight_grams": draft.weight_grams,
        "condition": draft.condition,
        "image": draft.image,
    }


def _new_variant(draft: VariantDraft, product_id: UUID) -> VariantPlan:
    values = _variant_values(draft, product_id)
    values |= {"sku": draft.sku, "sku_derived": draft.sku_derived, "currency": draft.price.currency}
    values["imported_quantity"] = draft.quantity
    return VariantPlan(draft, new_id(), False, values, draft.cost)


def _changed_variant(draft: VariantDraft, product_id: UUID, known: Variant, report: ImportReport) -> VariantPlan:
    values = _variant_values(draft, product_id)
    if draft.cost_assumed and known.cost_minor is not None:
        del values["cost_minor"]  # an assumption never replaces knowledge
    changes = {
        name: value
        for name, value in values.items()
        # A variant may really lose its options; every other blank means "not said".
        if (value is not None or name == "options") and value != getattr(known, name)
    }
    floor = changes.get("floor_minor", known.floor_minor)
    ceiling = changes.get("ceiling_minor", known.ceiling_minor)
    if floor is not None and ceiling is not None and floor > ceiling:
        changes.pop("floor_minor", None)
        changes.pop("ceiling_minor", None)
        report.warn(draft.line, "", "floor and ceiling contradict the known bounds: both left as they were", draft.sku)
    new_cost = draft.cost if "cost_minor" in changes else None
    return VariantPlan(draft, known.id, True, changes, new_cost, known.imported_quantity)


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.amount_minor
