"""New stock on its way to a listing: is it what it says, what words and what price it gets. Rules, no model.

Words are made of what is known and of nothing else. A price is found as the owner prices other goods, above the lowest
that earns the owner's least margin after fees (services.pricing.economics); how many others it rests on says how sure.
"""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.money import Money
from flipsync.domain.workflow_messages import ConfirmIdentity, SetListPrice, WriteContent
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.quotes import fee_schedule
from flipsync.services.tenant_settings import PricingChoices, TenantProfile
from flipsync.store.repositories import new_stock as rows
from flipsync.store.repositories import reading_catalogue
from flipsync.store.repositories.new_stock import Markups, ProductRow, VariantRow
from flipsync.store.unit_of_work import UnitOfWork

#: the shortest limit of the channels we know (eBay)
TITLE_LIMIT = 80
#: with so many others priced alike a price is as sure as `_SURE`, with half of them as `_FAIR`, else `_GUESS`
_MANY = 10
_SURE, _FAIR, _GUESS = 0.8, 0.65, 0.45
_WORD = re.compile(r"[^\W\d_]{2,}", re.UNICODE)


@dataclass(frozen=True)
class Priced:
    """A list price for a variant that has none, and what it rests on."""

    variant_id: UUID
    price: Money
    units: int
    confidence: float
    why: str


@dataclass(frozen=True)
class Words:
    """What can be filled in; None where what is there is good, or nothing is known to say."""

    title: str | None
    description_html: str | None


@dataclass(frozen=True)
class NewStock:
    """A product before it is listed. `doubts`: why it may not be what it says; `confirmed`: a person says it is."""

    product: ProductRow
    variants: tuple[VariantRow, ...]
    doubts: tuple[str, ...]
    confirmed: bool
    words: Words
    prices: tuple[Priced, ...]
    unpriced: tuple[str, ...]


class NewStockDesk:
    """Questions about new stock, from one read-only transaction."""

    def __init__(
        self, session: AsyncSession, tenant_id: UUID, now: datetime, profile: Callable[[], Awaitable[TenantProfile]]
    ) -> None:
        self._session, self._tenant_id, self._now, self._profile = session, tenant_id, now, profile

    async def looked_after(self, product_id: UUID, *, created: bool) -> bool:
        """Whether AutoListingAgent lists it, so that nobody else places it meanwhile."""
        return await rows.looked_after(self._session, self._tenant_id, product_id, "auto-listing", created=created)

    async def being_listed(self) -> list[UUID]:
        """Products that AutoListingAgent is at."""
        return await rows.being_listed(self._session, self._tenant_id, "auto-listing")

    async def look(self, product_id: UUID, vendors: list[tuple[str, str]]) -> NewStock | None:
        """The product, for accounts of these (vendor, currency); None where there is none."""
        found = await rows.product(self._session, product_id)
        if found is None:
            return None
        product, variants = found
        codes = [each.barcode for each in variants if each.barcode]
        shared = await rows.same_barcodes(self._session, product_id, codes)
        twins = await rows.same_titles(self._session, product_id, product.title)
        choices = (await self._profile()).settings.pricing
        prices, unpriced = [], []
        for variant in variants:
            if variant.price_minor is None:
                markups = await rows.markups(self._session, product_id, product.category, variant.currency)
                priced = list_price(variant, markups, vendors, choices, self._now)
                if priced is None:
                    unpriced.append(variant.sku)
                else:
                    prices.append(priced)
        return NewStock(
            product=product,
            variants=tuple(variants),
            doubts=doubts(product, variants, shared, twins),
            confirmed=await rows.identity_confirmed(self._session, product_id),
            words=words(product, variants),
            prices=tuple(prices),
            unpriced=tuple(unpriced),
        )


def doubts(
    product: ProductRow, variants: Sequence[VariantRow], shared: Sequence[str], twins: Sequence[str]
) -> tuple[str, ...]:
    """Why the product may not be what it says. A wrong identity sells somebody the wrong thing."""
    check_digit = importlib.import_module("flipsync.services.catalogue.units").check_digit  # brings HTML parsers
    found = []
    for variant in variants:
        code = variant.barcode
        if code and (not code.isascii() or not code.isdigit() or check_digit(code[:-1]) != code[-1]):
            found.append(f"the barcode {code[:20]} of {variant.sku} cannot be: its check digit is wrong")
    if shared:
        found.append(f"its barcode is that of {', '.join(shared[:3])} too")
    if twins and not any(variant.barcode for variant in variants):
        found.append(f"{', '.join(twins[:3])} has the same title, and no barcode tells them apart")
    if not any(variant.barcode for variant in variants) and not product.brand and len(_words(product.title)) < 3:
        found.append("no barcode, no brand, and a title that could be anything")
    return tuple(found)


def _words(title: str) -> list[str]:
    return _WORD.findall(title)


def words(product: ProductRow, variants: Sequence[VariantRow]) -> Words:
    """Title and description where they are missing, from what is known of the product."""
    skus = {variant.sku.casefold() for variant in variants}
    title = None
    if product.title.casefold() in skus or not _words(product.title):
        known = [product.brand, product.category, *(variants[0].options.values() if len(variants) == 1 else ())]
        told = " ".join(dict.fromkeys(each.strip() for each in known if each and each.strip()))
        # a SKU that says nothing is better than a title that leaves open what it is
        title = _cut(told, TITLE_LIMIT) if len(_words(told)) >= 2 else None
    return Words(title, None if product.description_html.strip() else _description(product, variants))


def _description(product: ProductRow, variants: Sequence[VariantRow]) -> str | None:
    facts = [("Brand", product.brand), ("Category", product.category)]
    if len(variants) == 1:
        only = variants[0]
        facts += list(only.options.items())
        facts.append(("Condition", only.condition))
        facts.append(("Weight", f"{only.weight_grams} g" if only.weight_grams else None))
        facts.append(("GTIN", only.barcode))
    lines = [f"<li>{html.escape(name)}: {html.escape(value)}</li>" for name, value in facts if value]
    return f"<p>{html.escape(product.title)}</p><ul>{''.join(lines)}</ul>" if lines else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit + 1].rsplit(" ", 1)[0][:limit]


def list_price(
    variant: VariantRow,
    markups: Markups,
    vendors: Sequence[tuple[str, str]],
    choices: PricingChoices,
    now: datetime,
) -> Priced | None:
    """A list price by the owner's own markup, and never below what earns the least margin on the cheapest channel.

    None where the cost is not known, or no price earns that.
    """
    if not variant.cost_minor:
        return None
    floors = []
    for vendor, currency in vendors:
        fees = fee_schedule(vendor, currency, choices) if currency == variant.currency else None
        if fees is not None:
            floors.append(
                UnitEconomics(
                    terms=fees.terms(now),
                    unit_cost=variant.cost_minor,
                    shipping_cost=choices.shipping_cost_minor,
                    shipping_charged=choices.shipping_charged_minor,
                    tax_bps=choices.tax_bps,
                    margin_bps=choices.min_margin_bps,
                ).floor_price()
            )
    least = min((floor for floor in floors if floor is not None), default=None)
    if least is None:
        return None
    near = markups.near_markup is not None and markups.near >= _MANY // 2
    count, markup = (markups.near, markups.near_markup) if near else (markups.everywhere, markups.markup)
    by_markup = round(variant.cost_minor * markup) if markup is not None and count >= _MANY // 2 else 0
    minor = _pretty(max(least, by_markup))
    if by_markup:
        where = "in its category" if near else "in all"
        confidence = _SURE if near and count >= _MANY else _FAIR
        why = f"{markup:.2f} times its cost, as the median of {count} goods {where}"
        if by_markup < least:
            confidence, why = _FAIR, f"{why} would not earn the least margin: the lowest price that does"
    else:
        confidence, why = _GUESS, "the lowest price that earns the least margin: too few other goods to go by"
    return Priced(variant.id, Money(amount_minor=minor, currency=variant.currency), variant.units, confidence, why)


def _pretty(minor: int) -> int:
    """Up to the next price that ends in 9."""
    return minor + (9 - minor % 10)


# -- carrying out -----------------------------------------------------------------------------------------------------


async def confirm_identity(unit: UnitOfWork, command: ConfirmIdentity) -> None:
    """A person said so; that they did is what is kept. Raises NotFound."""
    if await reading_catalogue.product(unit.session, command.product_id) is None:
        raise NotFound(f"no product {command.product_id}")


async def write_content(unit: UnitOfWork, command: WriteContent) -> None:
    """Fill in what still is missing. Raises NotFound, and Conflict where words have come meanwhile."""
    found = await rows.product(unit.session, command.product_id)
    if found is None:
        raise NotFound(f"no product {command.product_id}")
    row = await reading_catalogue.product(unit.session, command.product_id)
    assert row is not None
    wanted = words(*found)
    edit = {
        name: value
        for name in ("title", "description_html")
        if (value := getattr(command, name)) is not None and getattr(wanted, name) is not None
    }
    if not edit:
        raise Conflict("it has words by now")
    edits = importlib.import_module("flipsync.services.product_edits")  # brings an HTML parser
    await edits.edit_product(unit, command.product_id, edits.ProductEdit(**edit), row.version)


async def set_list_price(unit: UnitOfWork, command: SetListPrice) -> None:
    """Raises Conflict where there is a price by now, or no such variant."""
    price = command.price
    done = await rows.set_price(
        unit.session, command.product_id, command.variant_id, price.amount_minor, price.currency
    )
    if not done:
        raise Conflict("the variant has a price by now, or is gone")
