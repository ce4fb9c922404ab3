"""Which of our goods a channel offers already: by SKU, by barcode, then by title, each with how sure that is. Pure.

A title alone never settles it: figures, sizes and colours that differ make different goods, however alike the words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from rapidfuzz import fuzz

from flipsync.domain.channel import ListingState

MatchedBy = Literal["sku", "barcode", "catalogue", "title"]

#: at least this sure: taken over without asking; between the two: a person is asked; below: other goods
SURE, DOUBTFUL = 0.95, 0.60
_CONFIDENCE: dict[MatchedBy, float] = {"sku": 0.99, "barcode": 0.96, "catalogue": 0.96, "title": 0.90}
#: the best title must be this much more alike than the next best, on the scale 0 to 1
_LEAD = 0.08
#: words in more listings than this say nothing about which is which
_COMMON = 200
_NOBODY = UUID(int=0)
_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)?", re.UNICODE)
_FIGURE = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class OwnGoods:
    """A variant that the account does not list yet. `title` with its choices, as we would publish it."""

    variant_id: UUID
    sku: str
    title: str
    barcode: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A listing of the channel and the goods it seems to offer. `why` is for people."""

    variant_id: UUID
    listing: ListingState
    by: MatchedBy
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found on a channel. `unknown` are listings of goods that are not in our books."""

    sure: tuple[Match, ...]
    doubtful: tuple[Match, ...]
    unknown: tuple[ListingState, ...]


def survey(
    ours: Sequence[OwnGoods], seen: Iterable[ListingState], pages: Mapping[str, UUID] = MappingProxyType({})
) -> Survey:
    """Match a channel's live listings with our goods; each listing at most once, and each of our goods too, but for
    several listings on one page.

    `pages` are the channel's pages that another SKU of ours is on already, with its variant: the same article.

    Ended listings are left out: publishing finds them by SKU and puts them on sale again.
    """
    left = [state for state in seen if state.status != "ended"]
    open_goods = {goods.variant_id: goods for goods in ours}
    matches: list[Match] = []
    for by in ("sku", "barcode", "catalogue", "title"):
        if by == "catalogue":
            found = _by_page(open_goods, left, pages)
        else:
            found = _by_title(open_goods.values(), left) if by == "title" else _by_code(by, open_goods.values(), left)
        matches += found
        for match in found:
            open_goods.pop(match.variant_id, None)
        taken = {match.listing.external_id for match in found}
        left = [state for state in left if state.external_id not in taken]
    return Survey(
        sure=tuple(match for match in matches if match.confidence >= SURE),
        doubtful=tuple(match for match in matches if match.confidence < SURE),
        unknown=tuple(left),
    )


def _by_code(by: MatchedBy, ours: Iterable[OwnGoods], seen: Sequence[ListingState]) -> list[Match]:
    """Equal codes that are on one of ours and one of theirs. A code on several of either is no proof of anything."""
    goods_of: dict[str, list[OwnGoods]] = defaultdict(list)
    states_of: dict[str, list[ListingState]] = defaultdict(list)
    for goods in ours:
        goods_of[_sku(goods.sku) if by == "sku" else gtin_of(goods.barcode)].append(goods)
    for state in seen:
        states_of[_sku(state.sku) if by == "sku" else gtin_of(state.barcode)].append(state)
    matches = []
    for code, goods_list in goods_of.items():
        states = states_of.get(code, [])
        if not code or len(goods_list) != 1 or len(states) != 1:
            continue
        goods, state = goods_list[0], states[0]
        confidence, why = _CONFIDENCE[by], f"same {'SKU' if by == 'sku' else 'barcode'} {code}"
        ours_code, theirs = gtin_of(goods.barcode), gtin_of(state.barcode)
        if by == "sku" and ours_code and theirs and ours_code != theirs:
            # one SKU used for two articles: what the article is decides
            confidence, why = DOUBTFUL, f"{why}, but barcode {theirs} there and {ours_code} here"
        matches.append(Match(goods.variant_id, state, by, confidence, why))
    return matches


def _by_page(ours: Mapping[UUID, OwnGoods], seen: Sequence[ListingState], pages: Mapping[str, UUID]) -> list[Match]:
    """Listings on a page where another SKU of ours is: all of them are the same article."""
    matches = []
    for state in seen:
        goods = ours.get(pages.get(state.catalogue_id or "", _NOBODY))
        if goods is not None:
            why = f"on page {state.catalogue_id} like our SKU {goods.sku}"
            matches.append(Match(goods.variant_id, state, "catalogue", _CONFIDENCE["catalogue"], why))
    return matches


def _by_title(ours: Iterable[OwnGoods], seen: Sequence[ListingState]) -> list[Match]:
    """The most alike title with a lead over every other, on both sides, and with no figure that differs."""
    titles = [words_of(state.title) for state in seen]
    postings: dict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(titles):
        for word in set(words):
            postings[word].append(place)
    claims: list[tuple[float, float, OwnGoods, int]] = []
    for goods in ours:
        words = words_of(goods.title)
        near: Counter[int] = Counter()
        for word in set(words):
            places = postings.get(word, ())
            if len(places) <= _COMMON:
                near.update(places)
        scored = sorted(((alike(words, titles[place]), place) for place, _ in near.most_common(20)), reverse=True)
        if not scored:
            continue
        best, place = scored[0]
        lead = best - (scored[1][0] if len(scored) > 1 else 0.0)
        claims.append((best, lead, goods, place))
    best_claims: dict[int, list[float]] = defaultdict(list)
    for best, _, _, place in claims:
        best_claims[place].append(best)
    matches = []
    for best, lead, goods, place in claims:
        rivals = sorted(best_claims[place], reverse=True)
        contested = len(rivals) > 1 and rivals[0] - rivals[1] < _LEAD
        confidence = round(best * _CONFIDENCE["title"], 2)
        if best < rivals[0] or contested or lead < _LEAD or confidence < DOUBTFUL:
            continue
        state = seen[place]
        codes = (gtin_of(goods.barcode), gtin_of(state.barcode))
        if all(codes) and codes[0] != codes[1]:
            continue
        matches.append(
            Match(goods.variant_id, state, "title", confidence, f"“{state.title}” reads like “{goods.title}”")
        )
    return matches


def alike(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """0 to 1. Goods whose figures differ (64 GB, 128 GB) are different goods; missing words cost less than others."""
    figures = ({word for word in words if _FIGURE.search(word)} for words in (ours, theirs))
    here, there = figures
    if here and there and not (here <= there or there <= here):
        return 0.0
    one, other = " ".join(sorted(ours)), " ".join(sorted(theirs))
    return (fuzz.token_sort_ratio(one, other) + fuzz.token_set_ratio(one, other)) / 200


def words_of(title: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", title).casefold())


def _sku(text: str) -> str:
    return text.strip().casefold()


def gtin_of(text: str | None) -> str:
    """GTIN-8, -12, -13 and -14 of one article are one number with leading zeros (GS1 General Specifications 3.3)."""
    digits = (text or "").strip()
    return digits.zfill(14) if digits.isascii() and digits.isdigit() and 8 <= len(digits) <= 14 else ""
