"""How good a listing is: named checks with a weight and a source each, by what its channel documents. Pure.

A weight is the share of its sales a listing is thought to lose where the check fails altogether. No vendor publishes
such figures: they are our estimates, in the order of what the vendors say themselves (kept off sale, left out of
searches, found less). The score is the weighted mean of the checks that apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from uuid import UUID

from flipsync.domain.channel import Offer
from flipsync.domain.listing_care import Check

#: belongs to every mark: what was proposed by other rules may be proposed again
RULES = "1"
_WORD = re.compile(r"[^\W\d_]{2,}")
#: the words of our connectors' own refusals: what a category or product type requires
_LACKING = re.compile(r"(?:requires item specifics that the product has not|requires what the product has not): (.+)$")


@dataclass(frozen=True)
class Family:
    """The product's listings on the same account: how many are for sale, how many of them stand alone, and variants
    of which an option is not known."""

    variants: int = 1
    for_sale: int = 1
    alone: int = 0
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A listing as the books have it. `offer` is what its channel is to show, `told` what it was told last, `titles`
    the product's own (of the group too); `own_words`: what buyers read there is from us. `weekly_minor`: what it sells
    in a week, or would.

    `overridden` fields were written on the channel by hand and let stand; `edited`: one is not settled yet; `busy`:
    something is on its way there. `refused` is the mark of the offer that the channel refused since, `reason` why.
    """

    listing_id: UUID
    account_id: UUID
    account: str
    vendor: str
    product_id: UUID
    sku: str
    status: str
    reason: str
    currency: str
    titles: tuple[str, ...]
    offer: Offer | None
    told: Offer | None
    own_words: bool
    overridden: frozenset[str] = frozenset()
    edited: bool = False
    busy: bool = False
    published: bool = True
    refused: str = ""
    family: Family = Family()
    read: tuple[tuple[str, str], ...] = ()
    weekly_minor: int = 0

    @property
    def title(self) -> str:
        """The product's own, with this variation's choices."""
        return self.titles[0] if self.titles else ""


@dataclass(frozen=True)
class Rules:
    """What a channel documents. `title` characters are taken at most (`title_why`), of which `weighs` is lost beyond;
    `pictures`: so many are enough; without one it is `bare`."""

    title: int
    title_weighs: float
    title_why: str
    brand: float
    barcode: float
    category: float
    pictures: int
    pictures_why: str
    facts_why: str


@dataclass(frozen=True)
class Finding:
    """One check: `value` 1 is as it should be, 0 fails altogether; `says` what is the matter."""

    check: Check
    weight: float
    value: float
    says: str
    source: str


@dataclass(frozen=True)
class Quality:
    findings: tuple[Finding, ...]

    @property
    def score(self) -> float:
        whole = sum(each.weight for each in self.findings)
        return round(sum(each.weight * each.value for each in self.findings) / whole, 3) if whole else 1.0

    @property
    def keeps(self) -> float:
        """The share of its sales that it is thought to make as it is."""
        return prod(1 - each.weight * (1 - each.value) for each in self.findings)

    def with_mended(self, check: Check) -> Quality:
        mended = [each if each.check != check else Finding(check, each.weight, 1.0, "", each.source) for each in self]
        return Quality(tuple(mended))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def of(self, check: Check) -> Finding | None:
        return next((each for each in self.findings if each.check == check), None)


_AMAZON = Rules(
    title=200,
    title_weighs=0.6,
    title_why="Amazon, Product title requirements (G201100890): at most 200 characters, else left out of searches",
    brand=0.3,
    barcode=0.2,
    category=0.1,
    pictures=3,
    pictures_why="Amazon, Product image guide (G1881): a main image is required, six are recommended",
    facts_why="Amazon, Product Type Definitions API: brand, identifier and item type are required of most types",
)
_EBAY = Rules(
    title=80,
    title_weighs=0.15,
    title_why="eBay, Sell Inventory API, product.title: at most 80 characters; what is beyond is cut off",
    brand=0.15,
    barcode=0.12,
    category=0.1,
    pictures=3,
    pictures_why="eBay, Sell Inventory API, product.imageUrls: nothing is published without a picture",
    facts_why="eBay, Sell Inventory API, product.brand and product.ean: how buyers filter and the catalogue matches",
)
_SHOP = Rules(
    title=70,
    title_weighs=0.03,
    title_why="Shopify Help, Adding keywords for SEO: a page's title, made of the product's, shows 70 characters",
    brand=0.05,
    barcode=0.05,
    category=0.05,
    pictures=3,
    pictures_why="Google, Product data specification: an image is required where a shop's goods are shown",
    facts_why="Google, Product data specification: brand, gtin and product type of what a shop sells",
)
RULES_OF: dict[str, Rules] = {"amazon": _AMAZON, "ebay": _EBAY, "shopify": _SHOP, "woocommerce": _SHOP}
#: vendors that show variations as one listing with choices (their connectors' capabilities.groups)
GROUPS = frozenset(RULES_OF)
_OTHER = Rules(500, 0.0, "", 0.05, 0.05, 0.05, 1, "what buyers see of goods", "how buyers find goods")


def rules_of(vendor: str) -> Rules:
    return RULES_OF.get(vendor, _OTHER)


def judge(seen: Seen) -> Quality:
    """Every check that applies. Of words that are others', and of an offer that cannot be made, nothing is said."""
    return Quality(tuple(_findings(seen)))


def _findings(seen: Seen) -> Iterator[Finding]:
    rules, offer = rules_of(seen.vendor), seen.offer
    off = seen.status == "refused"
    yield Finding("on-sale", 1.0, 0.0 if off else 1.0, f"the channel refused it: {seen.reason}"[:400], "its channel")
    if seen.vendor in GROUPS and seen.family.variants > 1 and (seen.family.for_sale > 1 or seen.family.incomplete):
        yield _variations(seen)
    if offer is None or not (seen.own_words or off):
        return
    if lacking := lacking_of(seen.reason) if off else ():
        known = {name.casefold() for name in offer.attributes} | ({"brand"} if offer.brand else set())
        missing = [name for name in lacking if name.casefold() not in known]
        says = f"it asks for {', '.join(missing)}"
        yield Finding("specifics", 0.3, 0.0 if missing else 1.0, says, f"{seen.vendor}: its refusal of this listing")
    behind = () if seen.told is None or off else untold(seen)
    if seen.told is not None and not off:
        yield Finding("told", 0.1, float(not behind), f"it was not told our {', '.join(behind)}", "our own books")
    if rules.title_weighs:
        longest = max(len(offer.title), len(offer.group.title) if offer.group is not None else 0)
        says = f"the title has {longest} characters, {rules.title} are taken"
        yield Finding("title-length", rules.title_weighs, float(longest <= rules.title), says, rules.title_why)
    words = len(_WORD.findall(offer.title))
    told = words >= 3 and offer.title.casefold() != seen.sku.casefold()
    value = 1.0 if told else 0.0 if words < 2 else 0.5
    yield Finding("title-words", 0.15, value, f"the title says too little: “{offer.title[:60]}”", "our own rule")
    for check, weight, is_there in (
        ("brand", rules.brand, offer.brand),
        ("barcode", rules.barcode, offer.barcode),
        ("category", rules.category, offer.category),
    ):
        yield Finding(check, weight, float(bool(is_there)), f"it has no {check}", rules.facts_why)  # type: ignore[arg-type]
    shown = min(1.0, len(offer.images) / rules.pictures)
    says = "it has no picture" if not offer.images else f"it has {len(offer.images)} of {rules.pictures} pictures"
    yield Finding("pictures", 0.4, shown and 0.5 + 0.5 * shown, says, rules.pictures_why)
    described = bool(offer.description_html.strip())
    yield Finding("description", 0.15, float(described), "it has no description", rules.facts_why)


def _variations(seen: Seen) -> Finding:
    family = seen.family
    if family.incomplete:
        says = f"not every option is known of {', '.join(family.incomplete[:3])}, so they cannot be choices of one"
    else:
        says = f"{family.alone} of {family.for_sale} variations stand alone instead of as choices of one listing"
    wrong = bool(family.incomplete) or family.alone > 0
    source = f"{seen.vendor}: shows variations as choices of one listing"
    return Finding("variations", 0.1, float(not wrong), says, source)


def untold(seen: Seen) -> tuple[str, ...]:
    """Fields in which the channel was told something else than the books want by now; price and units go other ways,
    and words that were written on the channel are there already."""
    told, offer = seen.told, seen.offer
    if told is None or offer is None:
        return ()
    names = ("title", "description_html", "brand", "barcode", "category", "images", "weight_grams", "attributes")
    theirs = seen.overridden | ({"attributes"} if "specifics" in seen.overridden else set())
    differ = [name for name in names if name not in theirs and getattr(told, name) != getattr(offer, name)]
    return tuple(name.removesuffix("_html").replace("_grams", "") for name in differ)


def lacking_of(reason: str) -> tuple[str, ...]:
    """What a channel's category asks for and the goods have not, as our connectors say it."""
    found = _LACKING.search(reason)
    return tuple(part.strip() for part in found[1].split(",") if part.strip())[:20] if found else ()
