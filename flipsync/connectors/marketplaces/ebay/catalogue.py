"""What is on sale on eBay of goods that need not be ours (Browse API): by barcode, else by words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from flipsync.connectors.marketplaces.ebay.rivals import Rivals, Summary
from flipsync.domain.money import Money
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion

Search = Callable[[list[tuple[str, str]]], Awaitable[Sequence[Summary]]]
#: what is offered of one article at most, and articles of one asking: each is a call
_OFFERS, _QUESTIONS = 20, 200


async def look_up(rivals: Rivals, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
    """eBay has no page of an article: an entry is what others offer under its barcode, by the title most of them use.

    Words alone find anything: an offer under them is of its own title, and each title is an entry.
    """
    entries: list[CatalogueEntry] = []
    for question in questions[:_QUESTIONS]:
        if question.gtin is not None:
            offers = await rivals.search([("gtin", spoken(question.gtin))])
            if offers:
                title = Counter(each.title for each in offers).most_common(1)[0][0]
                entries.append(_entry(question, question.gtin, title, (question.gtin,), offers))
        elif question.title:
            by_title: dict[str, list[Summary]] = {}
            for each in await rivals.search_words(question.title):
                by_title.setdefault(each.title, []).append(each)
            for title, offers in list(by_title.items())[:5]:
                entries.append(_entry(question, offers[0].legacy_item_id, title, (), offers))
    return entries


def spoken(gtin: str) -> str:
    """A GTIN of 14 digits as it is printed: EAN-13, UPC-12, or EAN-8."""
    for zeros in (6, 2, 1):
        if gtin.startswith("0" * zeros):
            return gtin[zeros:]
    return gtin


def _entry(
    question: CatalogueQuestion, name: str, title: str, codes: tuple[str, ...], offers: Sequence[Summary]
) -> CatalogueEntry:
    prices = [Money.parse(each.price.value, each.price.currency) for each in offers if each.price is not None]
    prices.sort(key=lambda money: money.amount_minor)
    return CatalogueEntry(
        key=question.key,
        external_id=name[:100],
        title=title[:500],
        codes=codes,
        offers=tuple(prices[:_OFFERS]),
    )
