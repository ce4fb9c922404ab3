"""What Amazon's catalogue has of goods that need not be ours (Catalog Items 2022-04-01), and what they go for there
(competitive pricing, Pricing v0: the prices Amazon itself compares offers with)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from flipsync.connectors.marketplaces.amazon import wire, wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.unread import Rows
from flipsync.domain.money import Money
from flipsync.domain.sourcing import CATALOGUES, CatalogueEntry, CatalogueQuestion

_BATCH = CATALOGUES["amazon"]
#: questions by title of one asking: each is a call of its own, two a second
_TITLES, _PAGES = 20, 5
_SHOWN = "summaries,identifiers,salesRanks"


async def look_up(api: SellerApi, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
    """Pages by barcode and ASIN, twenty a call; by title only where nothing else is known."""
    entries: list[CatalogueEntry | None] = []
    aside = Rows("pages of the catalogue", "asin")

    def entry(question: CatalogueQuestion, item: wire.CatalogItem) -> CatalogueEntry | None:
        return aside.read(partial(_entry, question), item)

    by_asin = [question for question in questions if question.asin]
    by_code = [question for question in questions if question.gtin and not question.asin]
    for kind, alike in (("ASIN", by_asin), ("GTIN", by_code)):
        names: defaultdict[str, list[CatalogueQuestion]] = defaultdict(list)
        for question in alike:
            names[question.asin or question.gtin or ""].append(question)
        for some in _batches(list(names)):
            found = await _search(api, [("identifiers", ",".join(some)), ("identifiersType", kind)])
            for item in found:
                told = {item.asin} if kind == "ASIN" else set(_codes(item))
                entries += [entry(question, item) for name in some if name in told for question in names[name]]
    for question in [each for each in questions if not each.gtin and not each.asin and each.title][:_TITLES]:
        found = await _search(api, [("keywords", question.title.replace(",", " "))])
        entries += [entry(question, item) for item in found[:_PAGES]]
    read = [each for each in entries if each is not None]
    if not read:
        aside.tell()
    prices = await _prices(api, list(dict.fromkeys(each.external_id for each in read)))
    return [each.model_copy(update={"offers": prices.get(each.external_id, ())}) for each in read]


async def _search(api: SellerApi, question: list[tuple[str, str]]) -> list[wire.CatalogItem]:
    params = [*api.here, *question, ("includedData", _SHOWN), ("pageSize", "20")]
    aside = Rows("pages of the catalogue", "asin")
    decode = partial(wire.CatalogSearch.model_validate, context=aside.context)
    found = await api.call("searchCatalogItems", decode, params=params)
    if not found.items:
        aside.tell()
    return [
        item
        for item in found.items
        if not any(summary.item_classification == "VARIATION_PARENT" for summary in item.summaries)
    ]


async def _prices(api: SellerApi, asins: Sequence[str]) -> dict[str, tuple[Money, ...]]:
    """New goods of others, cheapest first; pages nobody sells on have none."""
    prices: dict[str, tuple[Money, ...]] = {}
    for some in _batches(asins):
        params = [("MarketplaceId", api.marketplace_id), ("Asins", ",".join(some)), ("ItemType", "Asin")]
        found = await api.call("getCompetitivePricing", wire_market.CompetitivePricing.model_validate, params=params)
        for row in found.payload:
            if row.product is None or row.product.competitive_pricing is None:
                continue
            told = []
            for price in row.product.competitive_pricing.competitive_prices:
                if price.condition.casefold() == "new" and not price.belongs_to_requester:
                    with suppress(ValueError):  # a price nobody can read is none
                        told.append(price.price.listing_price.money())
            prices[row.asin] = tuple(sorted(told, key=lambda money: money.amount_minor))
    return prices


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]


def _codes(item: wire.CatalogItem) -> tuple[str, ...]:
    told = (row for place in item.identifiers for row in place.identifiers)
    codes = (row.identifier for row in told if row.identifier_type in ("EAN", "GTIN", "ISBN", "UPC"))
    return tuple(sorted({code.zfill(14) for code in codes if code.isascii() and code.isdigit() and len(code) <= 14}))


def _entry(question: CatalogueQuestion, item: wire.CatalogItem) -> CatalogueEntry:
    summary = item.summaries[0] if item.summaries else None
    ranks = [rank.rank for place in item.sales_ranks for rank in place.display_group_ranks if rank.rank > 0]
    return CatalogueEntry(
        key=question.key,
        external_id=item.asin,
        title=(summary.item_name if summary else "")[:500],
        brand=(summary.brand if summary else "")[:200],
        codes=_codes(item),
        sales_rank=min(ranks, default=None),
    )
