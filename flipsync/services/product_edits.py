"""What people change by hand: a product's words and pictures, whether it is sold, a variant's cost and price bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput, NotFound, VersionMismatch
from flipsync.domain.events import CostChanged, OfferChanged, ProductImported
from flipsync.domain.money import Money
from flipsync.services.catalogue.sanitise import image_url, plain, safe_html
from flipsync.services.listings import SHOWN_OF_PRODUCT, tell_outdated
from flipsync.services.reading_catalogue import ProductView, VariantView, product_view, variant_view
from flipsync.store.models import Variant
from flipsync.store.repositories import reading_catalogue as rows
from flipsync.store.repositories import reading_selling
from flipsync.store.unit_of_work import UnitOfWork

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProductEdit(BaseModel):
    """What is given is changed, what is left out stays. HTML is made safe."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(default=None, min_length=1, max_length=500)
    description_html: str | None = Field(default=None, max_length=200_000)
    brand: str | None = Field(default=None, max_length=200)
    category: str | None = Field(default=None, max_length=500)
    tags: list[str] | None = Field(default=None, max_length=250)
    images: list[str] | None = Field(default=None, max_length=250)
    published: bool | None = Field(
        default=None, description="false takes it off sale on every channel, true puts it back"
    )


class PriceTerms(BaseModel):
    """What is given is changed, null clears it, what is left out stays. Amounts are in the variant's currency."""

    model_config = ConfigDict(extra="forbid")

    cost: Money | None = Field(default=None, description="landed unit cost")
    floor: Money | None = Field(default=None, description="never sell below")
    ceiling: Money | None = Field(default=None, description="never ask more")


class EditMark(BaseModel):
    """Where the words of a field are from: the product's version they came with, when (microseconds of Unix time), and
    whose they are; nobody's where a file brought them. Kept in `Product.edits` by field."""

    version: int
    at: int
    user_id: UUID | None = None
    device_id: UUID | None = None


async def edit_product(
    unit: UnitOfWork, product_id: UUID, edit: ProductEdit, expected_version: int, *, mark: EditMark | None = None
) -> ProductView:
    """Change a product that is still at `expected_version`. Raises NotFound, VersionMismatch, InvalidInput.

    `mark` says whose words they are and of when; else they are of now and of whoever asks.
    """
    row = await rows.product(unit.session, product_id)
    if row is None:
        raise NotFound(f"no product {product_id}")
    VersionMismatch.check("the product", row.version, expected_version)
    before = {name: getattr(row, name) for name in ProductEdit.model_fields}
    given = edit.model_fields_set
    if edit.title is not None:
        row.title = _title(edit.title)
    if edit.description_html is not None:
        row.description_html = safe_html(edit.description_html)
    if "brand" in given:
        row.brand = _words(edit.brand)
    if "category" in given:
        row.category = _words(edit.category)
    if edit.tags is not None:
        row.tags = [tag for tag in map(_words, edit.tags) if tag]
    if edit.images is not None:
        row.images = [_image(address) for address in edit.images]
    if edit.published is not None:
        row.published = edit.published
    changed = {name for name, value in before.items() if getattr(row, name) != value}
    row.version += bool(changed)
    # the same words again are of the later time too: who wrote other words in between was earlier
    marked = given if mark is not None else changed
    if marked:
        mark = mark or EditMark(version=0, at=microseconds(unit.now), user_id=_person(unit))
        told = mark.model_copy(update={"version": row.version}).model_dump(mode="json")
        row.edits = {**row.edits, **dict.fromkeys(marked, told)}
        await unit.session.flush()
    if changed:
        unit.emit(ProductImported(product_id=product_id, created=False))
        if changed & SHOWN_OF_PRODUCT or ("published" in changed and not row.published):
            await tell_outdated(unit, [product_id])
    return product_view(row, await rows.variants_of(unit.session, [product_id]))


async def set_price_terms(unit: UnitOfWork, variant_id: UUID, terms: PriceTerms, expected_version: int) -> VariantView:
    """Change cost and bounds of a variant still at `expected_version` (see `version_of`), and have it repriced.

    Raises NotFound, VersionMismatch, InvalidInput.
    """
    row = await rows.variant(unit.session, variant_id)
    if row is None:
        raise NotFound(f"no variant {variant_id}")
    VersionMismatch.check("the variant", version_of(variant_view(row)), expected_version)
    cost_before, bounds_before = row.cost_minor, (row.floor_minor, row.ceiling_minor)
    given = terms.model_fields_set
    if "cost" in given:
        row.cost_minor = _minor(terms.cost, row, "cost")
        row.cost_as_of = unit.now if terms.cost is not None else None
    if "floor" in given:
        row.floor_minor = _minor(terms.floor, row, "floor")
    if "ceiling" in given:
        row.ceiling_minor = _minor(terms.ceiling, row, "ceiling")
    if row.floor_minor is not None and row.ceiling_minor is not None and row.ceiling_minor < row.floor_minor:
        raise InvalidInput("the ceiling is below the floor", hint="give both, the ceiling at least as high")
    unit.audit(
        "pricing.terms-changed", "variant", variant_id, sku=row.sku, **terms.model_dump(mode="json", include=given)
    )
    if terms.cost is not None and row.cost_minor != cost_before:
        unit.emit(CostChanged(variant_id=variant_id, cost=terms.cost))
    if (row.floor_minor, row.ceiling_minor) != bounds_before:
        await _have_repriced(unit, variant_id)
    await unit.session.flush()
    return variant_view(row)


def version_of(variant: VariantView) -> int:
    """A number that differs after every change of the variant: its last change in microseconds."""
    return microseconds(variant.updated_at)


def microseconds(moment: datetime) -> int:
    """Unix time in microseconds."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _person(unit: UnitOfWork) -> UUID | None:
    return unit.cause.actor.id if unit.cause.actor.kind == "user" else None


async def _have_repriced(unit: UnitOfWork, variant_id: UUID) -> None:
    for listing_id, account_id, vendor in await reading_selling.live_listings_of_variant(unit.session, variant_id):
        unit.emit(OfferChanged(listing_id=listing_id, account_id=account_id, vendor=cast(Vendor, vendor), cause="cost"))


def _minor(amount: Money | None, row: Variant, what: str) -> int | None:
    if amount is None:
        return None
    if amount.currency != row.currency:
        raise InvalidInput(f"the {what} is in {amount.currency}, the variant in {row.currency}")
    if amount.amount_minor <= 0:
        raise InvalidInput(f"a {what} of {amount} is not possible", hint="leave it null when it is not known")
    return amount.amount_minor


def _title(text: str) -> str:
    title = plain(text)
    if not title:
        raise InvalidInput("a product needs a title")
    return title


def _words(text: str | None) -> str | None:
    return (plain(text) or None) if text is not None else None


def _image(address: str) -> str:
    safe = image_url(address)
    if safe is None:
        raise InvalidInput(f"{address[:80]!r} is not the address of an image", hint="give an http or https address")
    return safe
