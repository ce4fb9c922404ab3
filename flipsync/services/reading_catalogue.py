"""Products and variants as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, money, sorted_by
from flipsync.store.reading import Reader, contains
from flipsync.store.repositories import reading_catalogue as rows

ProductSort = Annotated[str | None, sorted_by(rows.PRODUCT_SORTS)]


class VariantView(View):
    """One stock-keeping unit. `cost` is the landed unit cost; null means unknown, never zero."""

    id: UUID
    product_id: UUID
    sku: str
    sku_derived: bool
    options: dict[str, str]
    barcode: str | None
    price: Money | None
    compare_at: Money | None
    cost: Money | None
    cost_as_of: Moment | None
    floor: Money | None
    ceiling: Money | None
    weight_grams: int | None
    image: str | None
    updated_at: Moment


class ProductSummary(View):
    id: UUID
    handle: str
    title: str
    brand: str | None
    category: str | None
    tags: list[str]
    image: str | None
    variant_count: int
    version: int = Field(description="goes up with every change; the product's ETag")
    created_at: Moment
    updated_at: Moment


class ProductView(View):
    id: UUID
    handle: str
    title: str
    description_html: str
    brand: str | None
    category: str | None
    tags: list[str]
    images: list[str]
    option_names: list[str]
    published: bool
    variants: list[VariantView]
    version: int
    created_at: Moment
    updated_at: Moment


class ProductFilter(View):
    """`q` is a part of the title or handle; the others are exact."""

    q: str | None = None
    brand: str | None = None
    category: str | None = None
    sku: str | None = None
    barcode: str | None = None


async def list_products(reader: Reader, page: SortedRequest, where: ProductFilter) -> Page[ProductSummary]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.PRODUCT_SORTS)
    asked = rows.PRODUCTS(
        place,
        part=contains(where.q),
        brand=where.brand,
        category=where.category,
        sku=where.sku,
        barcode=where.barcode,
    )
    (found,) = await reader.ask(asked)
    return cut(found, page.limit, _summary, place.cursor_of)


async def get_product(reader: Reader, product_id: UUID) -> ProductView:
    """The product with its variants. Raises NotFound."""
    found, variants = await reader.ask(rows.PRODUCT(product_id=product_id), rows.VARIANTS(product_id=product_id))
    if not found:
        raise NotFound(f"no product {product_id}")
    return product_view(found[0], variants)


async def get_variant(reader: Reader, variant_id: UUID) -> VariantView:
    """Raises NotFound."""
    (found,) = await reader.ask(rows.VARIANTS(variant_id=variant_id))
    if not found:
        raise NotFound(f"no variant {variant_id}")
    return variant_view(found[0])


def product_view(row: Any, variants: Sequence[Any]) -> ProductView:
    return ProductView(
        id=row.id,
        handle=row.handle,
        title=row.title,
        description_html=row.description_html,
        brand=row.brand,
        category=row.category,
        tags=row.tags,
        images=row.images,
        option_names=row.option_names,
        published=row.published,
        variants=[variant_view(variant) for variant in variants],
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def variant_view(row: Any) -> VariantView:
    return VariantView(
        id=row.id,
        product_id=row.product_id,
        sku=row.sku,
        sku_derived=row.sku_derived,
        options={name: str(value) for name, value in row.options.items()},
        barcode=row.barcode,
        price=money(row.price_minor, row.currency),
        compare_at=money(row.compare_at_minor, row.currency),
        cost=money(row.cost_minor, row.currency),
        cost_as_of=row.cost_as_of,
        floor=money(row.floor_minor, row.currency),
        ceiling=money(row.ceiling_minor, row.currency),
        weight_grams=row.weight_grams,
        image=row.image,
        updated_at=row.updated_at,
    )


def _summary(row: Any) -> ProductSummary:
    return ProductSummary(
        id=row.id,
        handle=row.handle,
        title=row.title,
        brand=row.brand,
        category=row.category,
        tags=row.tags,
        image=row.images[0] if row.images else None,
        variant_count=row.variant_count,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
