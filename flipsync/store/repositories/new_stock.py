"""Statements about goods that are about to be listed: what is known of them, and of others like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.workflow_messages import ConfirmIdentity
from flipsync.store.models import Product, Proposal, StockItem, Variant


@dataclass(frozen=True)
class VariantRow:
    """A variant with the units of it on our own shelf."""

    id: UUID
    sku: str
    barcode: str | None
    options: dict[str, str]
    currency: str
    price_minor: int | None
    cost_minor: int | None
    weight_grams: int | None
    condition: str | None
    units: int


@dataclass(frozen=True)
class ProductRow:
    id: UUID
    title: str
    description_html: str
    brand: str | None
    category: str | None
    images: int
    published: bool


async def product(session: AsyncSession, product_id: UUID) -> tuple[ProductRow, list[VariantRow]] | None:
    found = await session.get(Product, product_id)
    if found is None:
        return None
    rows = await session.execute(
        select(Variant, StockItem.on_hand)
        .outerjoin(StockItem, (StockItem.variant_id == Variant.id) & (StockItem.pool == "own"))
        .where(Variant.product_id == product_id)
        .order_by(Variant.sku)
    )
    variants = [
        VariantRow(
            *(each.id, each.sku, each.barcode, {str(k): str(v) for k, v in each.options.items()}, each.currency),
            *(each.price_minor, each.cost_minor, each.weight_grams, each.condition, units or 0),
        )
        for each, units in rows
    ]
    about = ("id", "title", "description_html", "brand", "category")
    row = ProductRow(
        **{name: getattr(found, name) for name in about}, images=len(found.images), published=found.published
    )
    return row, variants


async def same_barcodes(session: AsyncSession, product_id: UUID, barcodes: Sequence[str]) -> Sequence[str]:
    """SKUs of other products that bear one of these barcodes, whatever zeros it begins with."""
    if not barcodes:
        return []
    rows = await session.execute(
        _SAME_BARCODE, {"codes": [each.lstrip("0") for each in barcodes], "product": product_id}
    )
    return list(rows.scalars())


_SAME_BARCODE = text(
    "SELECT sku FROM variant WHERE ltrim(barcode, '0') = ANY(:codes) AND product_id <> :product ORDER BY sku LIMIT 20"
)


async def same_titles(session: AsyncSession, product_id: UUID, title: str) -> Sequence[str]:
    """Handles of other products of exactly this title."""
    query = select(Product.handle).where(Product.title == title, Product.id != product_id)
    return (await session.scalars(query.order_by(Product.handle).limit(20))).all()


async def identity_confirmed(session: AsyncSession, product_id: UUID) -> bool:
    """Whether a person has said that the product is what the books say."""
    query = select(Proposal.id).where(
        Proposal.subject_kind == "product",
        Proposal.subject_id == product_id,
        Proposal.command == ConfirmIdentity.type_name(),
        Proposal.verdict == "proceed",
    )
    return await session.scalar(query.limit(1)) is not None


_MARKUPS = text(
    """
    SELECT count(*) FILTER (WHERE p.category = :category)::int AS near,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY v.price_minor::float8 / v.cost_minor)
               FILTER (WHERE p.category = :category) AS near_markup,
           count(*)::int AS everywhere,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY v.price_minor::float8 / v.cost_minor) AS markup
      FROM variant v JOIN product p ON p.id = v.product_id
     WHERE v.price_minor > 0 AND v.cost_minor > 0 AND v.currency = :currency AND p.id <> :product
    """
)


@dataclass(frozen=True)
class Markups:
    """How the owner prices other goods: the median of list price over unit cost, in the category and in all."""

    near: int
    near_markup: float | None
    everywhere: int
    markup: float | None


async def markups(session: AsyncSession, product_id: UUID, category: str | None, currency: str) -> Markups:
    values = {"product": product_id, "category": category, "currency": currency}
    return Markups(*(await session.execute(_MARKUPS, values)).one())


async def set_price(session: AsyncSession, product_id: UUID, variant_id: UUID, price_minor: int, currency: str) -> bool:
    """Give a variant that has none a list price; False when there is no such variant, or it has one."""
    done = await session.execute(
        update(Variant)
        .where(
            Variant.id == variant_id,
            Variant.product_id == product_id,
            Variant.price_minor.is_(None),
            Variant.currency == currency,
        )
        .values(price_minor=price_minor)
        .returning(Variant.id)
    )
    return done.scalar() is not None


_LOOKED_AFTER = text(
    """
    SELECT EXISTS (SELECT FROM workflow_run r JOIN workflow w ON w.id = r.workflow_id
                    WHERE r.tenant_id = :tenant_id AND r.subject_id = :product AND r.ended_at IS NULL
                      AND w.name = :name AND w.origin = 'built-in')
        OR (:created AND EXISTS (SELECT FROM workflow
                                  WHERE tenant_id = :tenant_id AND name = :name AND state = 'active'))
    """
)


async def looked_after(session: AsyncSession, tenant_id: UUID, product_id: UUID, name: str, *, created: bool) -> bool:
    """Whether the automation of that name lists this product, or will: it is new, and the automation is on."""
    values = {"tenant_id": tenant_id, "product": product_id, "name": name, "created": created}
    return bool(await session.scalar(_LOOKED_AFTER, values))


_BEING_LISTED = text(
    """
    SELECT r.subject_id FROM workflow w JOIN workflow_run r ON r.workflow_id = w.id
     WHERE w.tenant_id = :tenant_id AND w.name = :name AND w.origin = 'built-in' AND r.ended_at IS NULL
    """
)


async def being_listed(session: AsyncSession, tenant_id: UUID, name: str) -> list[UUID]:
    """The products of the runs under way."""
    return list((await session.execute(_BEING_LISTED, {"tenant_id": tenant_id, "name": name})).scalars())
