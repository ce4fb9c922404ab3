"""Which article somebody means: by its code, else by its title, with how sure that is. Pure.

The matcher is that of adoption (services.adoption): a code that one article bears is nearly proof, a title never is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flipsync.services.adoption import DOUBTFUL, alike, gtin_of, words_of

if TYPE_CHECKING:
    from flipsync.store.models import CatalogueFind, SourcingLine
    from flipsync.store.repositories.sourcing_facts import GoodsRow

IdentifiedBy = Literal["barcode", "catalogue", "title", "nothing"]
#: how sure a code and the best title are (as in adoption); the lead the best title needs
CODE, TITLE, LEAD = 0.96, 0.90, 0.08
#: a title so far from that of the article with the same code, and without a word of it: one of the two is wrong
OTHERWISE = 0.55
_COMMON, _NEAREST = 200, 20


@dataclass(frozen=True, slots=True)
class Article:
    """Something that may be meant: goods of ours (`key` is the variant's id), or a page of a channel's catalogue."""

    key: str
    title: str
    codes: tuple[str, ...] = ()
    #: whose it is: "" for ours, else the account of the catalogue
    source: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What was recognised; `article` is None when nothing was. `rivals`: others that read nearly as alike."""

    article: Article | None
    by: IdentifiedBy
    confidence: float
    why: str
    rivals: tuple[Article, ...] = ()


UNKNOWN = Identity(None, "nothing", 0.0, "nothing like it is known")


class Articles:
    """All that may be meant, ready to be asked many times."""

    def __init__(self, articles: Iterable[Article]) -> None:
        self._articles = list(articles)
        self._words: list[list[str]] = []
        self._of_code: dict[str, list[int]] = defaultdict(list)
        self._of_word: dict[str, list[int]] = defaultdict(list)
        for place, article in enumerate(self._articles):
            words = words_of(article.title)
            self._words.append(words)
            for code in article.codes:
                self._of_code[code].append(place)
            for word in set(words):
                self._of_word[word].append(place)

    def identify(self, code: str | None, title: str) -> Identity:
        """By code where anything bears it, else by title. A code that others bear rules an article out."""
        bearers = self._of_code.get(code, []) if code else []
        if bearers:
            return self._by_code(bearers, title)
        return self._by_title(title, without_code=code)

    def _by_code(self, bearers: Sequence[int], title: str) -> Identity:
        ours = [place for place in bearers if not self._articles[place].source]
        places = ours or bearers
        words = words_of(title)
        likeness = [(alike(words, self._words[place]) if words else 1.0, place) for place in places]
        likeness.sort(key=lambda each: (-each[0], each[1]))
        best, place = likeness[0]
        article = self._articles[place]
        by: IdentifiedBy = "barcode" if ours else "catalogue"
        others = tuple(self._articles[other] for _, other in likeness[1:6])
        twice = [other for other in others if other.source == article.source]
        if words and best < OTHERWISE and not set(words) & set(self._words[place]):
            return Identity(article, by, DOUBTFUL, f"same barcode, but it reads “{article.title}” there", others)
        if twice and best - likeness[1][0] < LEAD:
            return Identity(article, by, DOUBTFUL, f"{len(twice) + 1} articles bear this barcode", others)
        return Identity(article, by, CODE, f"same barcode as “{article.title}”", others)

    def _by_title(self, title: str, *, without_code: str | None) -> Identity:
        words = words_of(title)
        near: Counter[int] = Counter()
        for word in set(words):
            places = self._of_word.get(word, ())
            if len(places) <= _COMMON:
                near.update(places)
        scored = sorted(
            (
                (alike(words, self._words[place]), not self._articles[place].source, -place)
                for place, _ in near.most_common(_NEAREST)
                if not (without_code and self._articles[place].codes)
            ),
            reverse=True,
        )
        if not scored:
            return UNKNOWN
        best, place = scored[0][0], -scored[0][2]
        article = self._articles[place]
        confidence = round(best * TITLE, 2)
        near_best = [self._articles[-other] for score, _, other in scored[1:] if best - score < LEAD]
        others = tuple(other for other in near_best if other.source == article.source)[:5]
        if confidence < DOUBTFUL:
            return UNKNOWN
        if others:
            return Identity(article, "title", min(confidence, DOUBTFUL), "several articles read like it", others)
        return Identity(article, "title", confidence, f"reads like “{article.title}”")


def identify_all(
    lines: Sequence[SourcingLine], ours: Sequence[GoodsRow], found: Sequence[CatalogueFind]
) -> list[Identity]:
    """Which article each line is about: one of ours, else a page of a catalogue that was asked about that line."""
    shelf = Articles(Article(str(row.variant_id), row.title, _codes(row.barcode)) for row in ours)
    pages: dict[object, list[CatalogueFind]] = defaultdict(list)
    for row in found:
        pages[row.line_id].append(row)
    return [_identify(line, shelf, pages[line.id]) for line in lines]


def _identify(line: SourcingLine, shelf: Articles, pages: Sequence[CatalogueFind]) -> Identity:
    if line.gtin or line.title:
        at_home = shelf.identify(line.gtin, line.title)
        if at_home.by == "barcode":
            return at_home
    else:
        at_home = UNKNOWN
    articles = [Article(row.external_id, row.title, tuple(row.codes), str(row.account_id)) for row in pages]
    named = [article for article in articles if line.asin and article.key == line.asin]
    for article in named:  # a page by its own number: which of our goods bear its barcode?
        for code in article.codes:
            known = shelf.identify(code, "")
            if known.by == "barcode":
                return known
    if named:
        return Identity(named[0], "catalogue", CODE, f"page {line.asin}: “{named[0].title}”")
    told = Articles(articles).identify(line.gtin, line.title)
    return told if told.confidence > at_home.confidence else at_home


def _codes(barcode: str | None) -> tuple[str, ...]:
    code = gtin_of(barcode)
    return (code,) if code else ()
