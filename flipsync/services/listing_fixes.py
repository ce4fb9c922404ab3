"""What is done about a listing that lacks something, in which order, and who has to say so. Pure.

What takes words from the owner's own product data and loses none is done by itself; what is concluded from other goods
or read from a text is asked about; what is known nowhere is told to a person. Expected gain (services.listing_rules)
over a person's minutes says what goes first. Words that somebody wrote on the channel are never touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from flipsync.domain.channel import Offer
from flipsync.domain.listing_care import Check, Need
from flipsync.services.listing_rules import RULES, Finding, Quality, Seen, lacking_of, rules_of

#: minutes of a person's: to answer a question, and to put right what only a person can
_ANSWER = 1
MINUTES: dict[Check, int] = {
    "on-sale": 10,
    "pictures": 10,
    "description": 8,
    "variations": 8,
    "specifics": 4,
    "barcode": 3,
    "title-length": 3,
    "title-words": 3,
    "brand": 2,
    "category": 2,
}
#: goods of the owner's that have to agree before something is concluded from them
LEAST_ALIKE = 3
#: how alike two titles are that are taken for the same kind of goods (shared words over all)
_ALIKE = 0.5
#: so common a word tells nothing about the kind
_COMMON = 300
#: checks that a refusal is about
_REVIVES = frozenset({"on-sale", "specifics", "title-length"})
#: outcomes that count as much as the belief before there are any
_BELIEF = 4
_MODEL = re.compile(r"(?=.*\d)[\w./+-]+")
#: words that tell models of one name apart
_EDITIONS = frozenset("air lite max mini plus pro ultra xl xxl".split())
_LOOSE = frozenset("– - / & + | , with for and of in by the a an to mit für und von".split())

Kind = Literal["fit", "tell", "relist", "ask", "facts", "content", "need"]


@dataclass(frozen=True)
class Action:
    """One thing to do. `mark`: of what it rests on; the same is not proposed twice. `gain_minor`: expected, a week."""

    kind: Kind
    check: Check
    mark: str
    says: str
    gain_minor: int
    minutes: int
    expected: float
    titles: dict[str, str] = field(default_factory=dict)
    specifics: dict[str, str] = field(default_factory=dict)
    relist: bool = False
    brand: str | None = None
    category: str | None = None
    description_html: str | None = None

    @property
    def alone(self) -> bool:
        """Whether it needs nobody's word."""
        return self.kind in ("fit", "tell", "relist", "content")

    @property
    def worth(self) -> tuple[bool, float, float]:
        """What goes first: what needs nobody, then the most for a person's minute, then the better score."""
        return (self.alone, self.gain_minor / max(1, self.minutes), self.expected)


@dataclass(frozen=True)
class Goods:
    """What the owner's other goods tell: brands by how many bear them, and the category of titles alike."""

    brands: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    titles: Sequence[tuple[frozenset[str], str]] = ()
    by_word: Mapping[str, Sequence[int]] = field(default_factory=dict)


def goods_of(products: Sequence[tuple[str, str | None, str | None]]) -> Goods:
    """From (title, brand, category) of products."""
    brands: dict[str, tuple[str, int]] = {}
    titles: list[tuple[frozenset[str], str]] = []
    by_word: dict[str, list[int]] = {}
    for title, brand, category in products:
        if brand:
            spelled, count = brands.get(brand.casefold(), (brand, 0))
            brands[brand.casefold()] = (spelled, count + 1)
        if category:
            words = _words(title)
            for word in words:
                by_word.setdefault(word, []).append(len(titles))
            titles.append((words, category))
    return Goods(brands, titles, by_word)


def _words(title: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[^\W_]{2,}", title.casefold()) if word not in _LOOSE)


def mark_of(*parts: Any) -> str:
    spelled = json.dumps([RULES, *parts], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2s(spelled.encode(), digest_size=12).hexdigest()


def offer_mark(offer: Offer) -> str:
    """Of all that an offer says but price and units."""
    return mark_of(offer.model_dump(mode="json", exclude={"price", "quantity"}))


def plan(
    seen: Seen,
    quality: Quality,
    goods: Goods,
    known: Collection[tuple[str, str]],
    outcomes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> list[Action]:
    """What to do about a listing, the most worth first; nothing where a person or a write is at it. `known`: (check,
    mark) of what was proposed before; `outcomes`: of earlier fixes by check, how many came out right, and of how many.
    """
    if seen.offer is None or not seen.published or seen.edited or seen.busy:
        return []
    found = [
        action
        for each in quality
        if each.value < 1
        for action in [_action(seen, quality, each, goods)]
        if action is not None and (action.kind == "need" or (action.check, action.mark) not in known)
    ]
    if any(each.relist or each.check == "specifics" for each in found):  # the refusal is seen to by that
        found = [each for each in found if each.check != "on-sale" or each.kind != "need"]
    found = [replace(each, gain_minor=round(each.gain_minor * _odds(outcomes.get(each.check)))) for each in found]
    return sorted(found, key=lambda each: (each.worth, each.check), reverse=True)


def _odds(came: tuple[int, int] | None) -> float:
    """How much of the expected gain is believed: all of it, until this business's own fixes say otherwise."""
    right, known = came or (0, 0)
    return (right + _BELIEF) / (known + _BELIEF)


def _action(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    make = {
        "on-sale": _refused,
        "told": _told,
        "title-length": _title,
        "specifics": _specifics,
        "brand": _brand,
        "category": _category,
        "description": _content,
        "title-words": _content,
    }.get(finding.check, _need)
    action = make(seen, quality, finding, goods)
    return action if action is not None else _need(seen, quality, finding, goods)


def _gain(seen: Seen, quality: Quality, check: Check) -> int:
    """Sales a week more, where the check fails no longer."""
    now, then = quality.keeps, quality.with_mended(check).keeps
    # what is refused sells nothing now: `weekly_minor` is what its like sell
    base = seen.weekly_minor if seen.status == "refused" else seen.weekly_minor / max(now, 0.05)
    return max(0, round(base * (then - now)))


def _made(kind: Kind, seen: Seen, quality: Quality, finding: Finding, says: str, *marked: Any, **more: Any) -> Action:
    after = quality.with_mended(finding.check)
    # what a person mends of a refused listing has it listed again too
    revives = bool(more.get("relist")) or (kind == "need" and seen.status == "refused" and finding.check in _REVIVES)
    if revives:
        after = after.with_mended("on-sale")
    gain = seen.weekly_minor if revives else _gain(seen, quality, finding.check)
    minutes = MINUTES.get(finding.check, _ANSWER) if kind == "need" else _ANSWER if kind in ("ask", "facts") else 0
    mark = mark_of(finding.check, *marked)
    return Action(kind, finding.check, mark, says, gain, minutes, after.score, **more)


def _need(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    if finding.check == "told":
        return None  # it is told, or the channel refuses it, which is said as such
    if finding.check == "title-length" and rules_of(seen.vendor).title_weighs < 0.1:
        return None  # a recommendation
    if finding.check == "title-words" and finding.value > 0:
        return None
    if finding.check == "pictures" and finding.value > 0:
        return None
    return _made("need", seen, quality, finding, f"{finding.says}. {_HOW.get(finding.check, '')}".strip())


_HOW: dict[str, str] = {
    "pictures": "Add one to the product",
    "barcode": "Type in the number under the bars, or leave it where there is none",
    "brand": "Say the product's brand",
    "category": "Say the product's category",
    "description": "Write one for the product",
    "title-words": "Say in the product's title what it is",
    "title-length": "Shorten the product's title: too much of it is needed to be cut by rule",
    "specifics": "Add them to the product",
    "variations": "Give every variant its options; take those that stand alone off sale and list them again",
    "on-sale": "Change the product as it says: it is then listed again by itself",
}


def _refused(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """What was changed since the channel refused it may be taken now. What is too long is seen to by another check."""
    assert seen.offer is not None
    now = offer_mark(seen.offer)
    lacking = quality.of("specifics")
    if not seen.refused or seen.refused == now or (lacking is not None and lacking.value < 1):
        return None
    says = "the product was changed since the channel refused it: list it again"
    return _made("relist", seen, quality, finding, says, now, relist=True)


def _told(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    assert seen.offer is not None
    now = offer_mark(seen.offer)
    if seen.refused == now:
        says = f"the channel refuses its new words: {seen.reason}"
        return _made("need", seen, quality, finding, says[:400], now)
    return _made("tell", seen, quality, finding, finding.says, now)


def _title(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """A shorter title of the same words. Where a word goes that may be a name, the owner is asked; in a shop of one's
    own always, since the long one is shown there."""
    rules, offer = rules_of(seen.vendor), seen.offer
    assert offer is not None
    if "title" in seen.overridden:
        return None
    long = [title for title in dict.fromkeys(seen.titles) if len(title) > rules.title]
    shorter = {title: fit_title(title, rules.title, keep_of(offer)) for title in long}
    titles = {title: told for title, told in shorter.items() if told}
    if not titles or len(titles) < len(long):
        return None
    gone = {word for of, to in titles.items() for word in set(of.split()) - set(to.split())}
    alone = rules.title_weighs >= 0.1 and not any(word[:1].isupper() for word in gone)
    says = f"{finding.says}: “{titles[long[0]]}” keeps brand, model and choices"
    relist = seen.status == "refused"
    return _made("fit" if alone else "ask", seen, quality, finding, says, titles, titles=titles, relist=relist)


def _specifics(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """What the category asks for, where it was read from the product's own text."""
    assert seen.offer is not None
    if "specifics" in seen.overridden:
        return None
    known = {name.casefold() for name in seen.offer.attributes} | ({"brand"} if seen.offer.brand else set())
    missing = [name for name in lacking_of(seen.reason) if name.casefold() not in known]
    read = {name.casefold(): value for name, value in seen.read}
    if not missing or any(name.casefold() not in read for name in missing):
        return None
    told = {name: read[name.casefold()] for name in missing}
    words = ", ".join(f"{name}: {value}" for name, value in told.items())
    says = f"{finding.says}; the product's own text says {words}"
    return _made("ask", seen, quality, finding, says, told, specifics=told, relist=seen.status == "refused")


def _brand(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """A title that begins with a brand that other goods of the owner bear."""
    for length in (3, 2, 1):
        first = " ".join(seen.title.split()[:length])
        spelled, count = goods.brands.get(first.casefold(), ("", 0))
        if count >= LEAST_ALIKE:
            says = f"“{seen.title[:60]}” has no brand: it begins with {spelled}, which {count} other goods bear"
            return _made("facts", seen, quality, finding, says, seen.title, spelled, brand=spelled)
    return None


def _category(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """The category on which all goods with titles alike agree."""
    words = _words(seen.title)
    near: set[int] = set()
    for word in words:
        if len(found := goods.by_word.get(word, ())) <= _COMMON:
            near.update(found)
    votes = [
        category
        for theirs, category in (goods.titles[at] for at in sorted(near))
        if len(words & theirs) >= _ALIKE * len(words | theirs)
    ]
    if len(votes) < LEAST_ALIKE or len(set(votes)) > 1:
        return None
    says = f"“{seen.title[:60]}” has no category: {len(votes)} goods with titles like it are in {votes[0]}"
    return _made("facts", seen, quality, finding, says, seen.title, votes[0], category=votes[0])


def _content(seen: Seen, quality: Quality, finding: Finding, goods: Goods) -> Action | None:
    """Words made of what is known, where something is (services.new_stock.words fills in what is missing)."""
    offer = seen.offer
    assert offer is not None
    if finding.check == "title-words":
        return None  # a title that says little is the owner's: only they know what it should say
    if "description_html" in seen.overridden or not (offer.brand or offer.category or offer.attributes):
        return None
    says = "it has no description: one is made of what is known about the product"
    return _made("content", seen, quality, finding, says, seen.title, offer.brand, offer.category, offer.attributes)


def needs_of(actions: Sequence[Action]) -> tuple[Need, ...]:
    """What only a person can do, the most for a minute first."""
    return tuple(
        Need(check=each.check, says=each.says[:400], minutes=each.minutes, gain_minor=each.gain_minor)
        for each in actions
        if each.kind == "need"
    )


# Titles


def keep_of(offer: Offer) -> tuple[str, ...]:
    """Words without which a title does not say what is sold: brand, and the values of choices."""
    return (*((offer.brand,) if offer.brand else ()), *offer.attributes.values(), *offer.choices)


def fit_title(title: str, limit: int, keep: Collection[str]) -> str | None:
    """The title with words left out from its end until it fits; brand, choices, editions and whatever has a number in
    it stay, and so do its first three words. None where these alone are too long. No word is added, none is changed."""
    words = title.split()
    kept = _EDITIONS | {_bare(part) for each in keep for part in each.split()}
    stays = [at < 3 or _bare(word) in kept or bool(_MODEL.fullmatch(_bare(word))) for at, word in enumerate(words)]
    left = list(range(len(words)))
    for at in reversed(range(len(words))):
        if len(_joined(words, left)) <= limit:
            break
        if not stays[at]:
            left.remove(at)
    told = _joined(words, left)
    return told if told and len(told) <= limit else None


def _bare(word: str) -> str:
    return word.casefold().strip(",;:()")


def _joined(words: Sequence[str], left: Sequence[int]) -> str:
    """Without a word that only joins, where what it joined is gone."""
    told: list[int] = []  # from the end
    for at in reversed(left):
        if _bare(words[at]) in _LOOSE and (at == 0 or not told or told[-1] != at + 1):
            continue
        told.append(at)
    return " ".join(words[at] for at in reversed(told)).rstrip(" ,;:-–/&+|")
