"""Strikes out what a model may not say: numbers that are not those of the facts it cites, links, what cannot be seen.

    kept, dropped = verified(claims, facts)

A sentence stands whole or not at all. What is checked is numbers, in digits and in English words; that a true number
stands in a misleading sentence no program can tell, which is why a claim never changes what is done.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from flipsync.intelligence.language.question import Fact


class Claim(BaseModel):
    """A sentence and the facts it rests on."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=300)
    cites: list[str] = Field(default_factory=list, max_length=6)


@dataclass(frozen=True)
class Dropped:
    text: str
    why: str


#: signs and codes that belong to a number, where they stand beside it
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_NUMBER = re.compile(
    r"(?P<minus>-)?(?P<before>[$€£¥₹]|\b[A-Z]{3}(?=\s?[-\d]))?(?:(?<=[A-Z])\s)?(?P<sign>-)?"
    r"(?P<digits>\d[\d,]*(?:\.\d+)?)(?P<after>\s?(?:%|percent\b|per cent\b|[$€£¥₹]|[A-Z]{3}\b)|[^\s\W\d]+)?"
)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_PER_CENT = ("%", "percent", "per cent")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = {word: 10 * at for at, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
#: words that are numbers by themselves
_WORDS = {word: Decimal(at) for at, word in enumerate(_SMALL)} | {word: Decimal(n) for word, n in _TENS.items()}
#: words that make a number of others, or hide one: no fact is written so
_VAGUE = frozenset(
    "hundred hundreds thousand thousands million millions billion billions trillion dozen dozens half halves halve"
    " halved halving quarter quarters third thirds fifth tenth double doubled doubles doubling twice thrice triple"
    " tripled treble quadruple twofold threefold tenfold couple pct bps bn nil nought".split()
)
_LINK = re.compile(
    r"https?:|www\.|\S@\S|[<>{}\[\]`\\|]|\b[\w-]+\.(?:com|net|org|io|co|shop|store|info|biz|ru|cn|de|uk|me|ly|app|xyz)\b",
    re.IGNORECASE,
)


def verified(claims: Sequence[Claim], facts: Sequence[Fact]) -> tuple[list[Claim], list[Dropped]]:
    """What may be said, and what not with the reason."""
    by_ref = {fact.ref: fact for fact in facts}
    kept, dropped = [], []
    for claim in claims:
        why = check(claim.text, claim.cites, by_ref)
        if why:
            dropped.append(Dropped(claim.text, why))
        else:
            kept.append(claim)
    return kept, dropped


def check(text: str, cites: Sequence[str], facts: Mapping[str, Fact]) -> str:
    """Why a sentence that cites these facts may not stand; "" when it may."""
    if unknown := [ref for ref in cites if ref not in facts]:
        return f"cites {unknown[0][:20]!r}, which is no fact"
    cited = [facts[ref] for ref in cites]
    if any(unicodedata.category(each)[0] == "C" for each in text):
        return "holds characters that cannot be seen"
    plain = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("\u2010", "-").replace("\u2011", "-")
    if _LINK.search(plain):
        return "holds a link, an address or markup"
    if strange := [each for each in text if not each.isascii() and unicodedata.numeric(each, None) is not None]:
        return f"writes a number as {strange[0]!r}"
    return _figures(plain, cited) or _words(plain, cited)


def holds_link(text: str) -> bool:
    """Whether it has a link, an address or markup in it."""
    return _LINK.search(unicodedata.normalize("NFKC", text)) is not None


def _figures(text: str, cited: Sequence[Fact]) -> str:
    for found in _NUMBER.finditer(text):
        written = found["digits"].rstrip(",")
        if not _GROUPED.fullmatch(written):
            return f"writes a number as {written[:20]!r}"
        first = next(found.start(part) for part in ("minus", "before", "sign", "digits") if found[part])
        glued = _joined(text[first - 1 : first])
        minus = (found["sign"] or found["minus"]) and not glued
        value = Decimal(written.replace(",", "")) * (-1 if minus else 1)
        units = [_unit(found["before"]), _unit(found["after"])]
        if glued or not any(_same(fact, value, units) for fact in cited):
            return f"says {found[0].strip()[:30]}, which is no cited fact's"
    return ""


def _joined(character: str) -> bool:
    """Whether a number that follows this is a part of something longer (4.5.6, A4, 3/4)."""
    return bool(character) and (character.isalnum() or character in "./_,-")


def _unit(beside: str | None) -> str | None:
    """The unit that stands beside a number; None: none. A word glued to it ("5k") is no unit that a fact has."""
    if beside is None or not (written := beside.strip()):
        return None
    if written in _PER_CENT:
        return "%"
    return _SYMBOLS.get(written, written)


def _same(fact: Fact, value: Decimal, units: Sequence[str | None]) -> bool:
    told = [unit for unit in units if unit is not None]
    if fact.unit == "%" and not told:
        return False
    return Decimal(fact.value) == value and all(unit == fact.unit for unit in told)


def _words(text: str, cited: Sequence[Fact]) -> str:
    words = re.findall(r"[a-z]+", text.lower())
    for word in words:
        if word in _VAGUE:
            return f"says {word!r}, which is no number a fact has"
        value = _WORDS.get(word)
        if value is not None and not any(fact.unit != "%" and Decimal(fact.value) == value for fact in cited):
            return f"says {word!r}, which is no cited fact's"
    return ""
