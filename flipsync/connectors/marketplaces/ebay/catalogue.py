"""What eBay knows of goods that need not be ours: its catalogue's articles, and what is on sale of them (Browse)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flipsync.connectors.marketplaces.ebay.products import Product, Products
from flipsync.connectors.marketplaces.ebay.rivals import Rivals, Summary
from flipsync.domain.money import Money
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion

#: what is offered of one article at most, articles of one asking, and entries of a title: each is a call or two
_OFFERS, _QUESTIONS, _ALIKE = 20, 200, 3


async def look_up(products: Products, rivals: Rivals, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
    """By barcode, else by words.

    An article that the catalogue has not, or has more than once, is what others offer under its barcode, by the title
    most of them use. Words alone find anything: without the catalogue each title on sale is an entry.
    """
    entries: list[CatalogueEntry] = []
    for question in questions[:_QUESTIONS]:
        if question.gtin is not None:
            entry = await _of_code(products, rivals, question, question.gtin)
            entries += [entry] if entry is not None else []
        elif question.title:
            found = (await products.of_words(question.title))[:_ALIKE]
            for product in found:
                offers = await rivals.search([("epid", product.epid)])
                entries.append(_entry(question, product.epid, product, offers))
            entries += [] if found else await _on_sale(rivals, question)
    return entries


async def _of_code(products: Products, rivals: Rivals, question: CatalogueQuestion, gtin: str) -> CatalogueEntry | None:
    code = spoken(gtin)
    product = await products.of_code(code, gtin)
    offers = await rivals.search([("gtin", code)])
    if product is None:
        if not offers:
            return None
        title = Counter(each.title for each in offers).most_common(1)[0][0]
        return _entry(question, gtin, Product(title=title, gtin=(gtin,)), offers)
    if not offers:  # not every seller tells the barcode
        offers = await rivals.search([("epid", product.epid)])
    return _entry(question, product.epid, product, offers)


async def _on_sale(rivals: Rivals, question: CatalogueQuestion) -> list[CatalogueEntry]:
    by_title: dict[str, list[Summary]] = {}
    for each in await rivals.search_words(question.title):
        by_title.setdefault(each.title, []).append(each)
    return [
        _entry(question, offers[0].legacy_item_id, Product(title=title), offers)
        for title, offers in list(by_title.items())[:5]
    ]


def spoken(gtin: str) -> str:
    """A GTIN of 14 digits as it is printed: EAN-13, UPC-12, or EAN-8."""
    for zeros in (6, 2, 1):
        if gtin.startswith("0" * zeros):
            return gtin[zeros:]
    return gtin


def _entry(question: CatalogueQuestion, name: str, product: Product, offers: Sequence[Summary]) -> CatalogueEntry:
    prices = [Money.parse(each.price.value, each.price.currency) for each in offers if each.price is not None]
    prices.sort(key=lambda money: money.amount_minor)
    return CatalogueEntry(
        key=question.key,
        external_id=name[:100],
        title=product.title[:500],
        brand=product.brand[:200],
        codes=tuple(sorted(product.codes)),
        offers=tuple(prices[:_OFFERS]),
    )
