"""What ListingAgent finds and does, on drawn shops with labelled defects, against two usual ways.

Each seed draws 160 listings on Amazon, eBay and Shopify with their sales of eight weeks. Defects are drawn, and with
each what is right to do: by itself, asked with the right answer, told, or nothing (somebody edited the listing on its
channel). Some titles only seem to name a brand, some goods are titled like those of another category, and some long
titles end in a word that tells models apart, half of which no rule knows. Hits are told from the labels, not from the
agent's own rules. What a defect costs is drawn apart from the agent's weights: around them (log-normal, a factor of
two), and, as a second world, without any regard to them. Wrong words cost too (a tenth of sales for a title without its
model or for an edit that is lost, a twentieth for a wrong brand or category).

The owner has two hours. Compared: a checklist (titles cut at the limit, a brand from the title's first word, the
commonest category, hand edits written over, oldest listing first), and nothing. The order alone is compared on the same
findings: by gain for a minute, by age, most defects first, best sellers first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.intervals import wilson
from benchmarks.measuring import Report
from flipsync.domain.channel import Offer
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.learning.protocol import bootstrap
from flipsync.services.listing_fixes import MINUTES, Action, Goods, goods_of, keep_of, offer_mark, plan
from flipsync.services.listing_rules import Family, Seen, judge, rules_of

_LISTINGS, _FIRST_SEED, _MINUTES, _MARGIN, _WEEKS = 160, 700, 120.0, 0.25, 8
_BRANDS = ("Bosch", "Makita", "Lego", "Philips", "Brother", "Canon", "Kärcher", "Tefal")
_NOUNS = {
    "Drills": "cordless hammer drill driver",
    "Printers": "wireless laser office printer",
    "Lamps": "dimmable desk reading lamp",
    "Kettles": "steel electric water kettle",
    "Toys": "buildable space rocket toy",
}
_FILLERS = "with a warm finish and easy care for every home or workshop that wants something which lasts".split()
#: words that tell models apart; the agent knows the first half of them
_EDITIONS = ("Pro", "Max", "Mini", "Neo", "Evo", "Elite")
_WRONG_TITLE, _WRONG_FACT = 0.10, 0.05


@dataclass
class Drawn:
    """A listing with what is wrong: check → (what is right, the right answer, share of sales it costs)."""

    seen: Seen
    age: int
    rate_minor: float
    right: dict[str, tuple[str, Any]] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    untouchable: bool = False
    essential: set[str] = field(default_factory=set)

    def weekly(self, mended: set[str], harm: float = 0.0) -> float:
        """Profit a week once these are mended."""
        keeps = float(np.prod([1 - cost for check, cost in self.costs.items() if check not in mended]))
        return self.rate_minor * keeps * (1 - harm) * _MARGIN


def draw(seed: int, *, by_weights: bool) -> tuple[list[Drawn], Goods]:
    rng = np.random.default_rng(seed)
    every = [_listing(rng, at, by_weights) for at in range(_LISTINGS)]
    known = [(each.seen.title, each.seen.offer.brand, each.seen.offer.category) for each in every if each.seen.offer]
    return every, goods_of(known)


def _listing(rng: np.random.Generator, age: int, by_weights: bool) -> Drawn:
    vendor = str(rng.choice(["amazon", "ebay", "shopify"]))
    brand, category = str(rng.choice(_BRANDS)), str(rng.choice(list(_NOUNS)))
    model = f"{rng.choice(list('ABGKX'))}{rng.integers(100, 999)}"
    title = f"{brand} {model} {_NOUNS[category]}"
    right: dict[str, tuple[str, Any]] = {}
    trap = float(rng.random())
    essential: set[str] = set()
    colour = str(rng.choice(["Red", "Blue", "Green"])) if rng.random() < 0.3 else ""
    if rng.random() < 0.2 and vendor != "shopify":
        words = [str(each) for each in rng.choice(_FILLERS, 40 if vendor == "amazon" else 14)]
        edition = f" {rng.choice(_EDITIONS)}" if rng.random() < 0.4 else ""
        essential = {edition.strip()} - {""}
        title = f"{title} {' '.join(words)} {rng.integers(2, 9)}0V{edition}"
    told_brand: str | None = brand
    if rng.random() < 0.15:
        kind = rng.random()
        told_brand = None
        if kind < 0.5:
            right["brand"] = ("facts", brand)
        elif kind < 0.7:
            title, right["brand"] = f"Unused {_NOUNS[category]} {model}", ("need", None)
        elif kind < 0.8:  # goods like a brand's, and not of it
            title, right["brand"] = f"{brand} compatible {_NOUNS[category]} {model}", ("need", None)
        else:  # goods that fit a brand
            title, right["brand"] = f"Case for {brand} {model} {_NOUNS[category]}", ("need", None)
    told_category: str | None = category
    if rng.random() < 0.1:
        told_category, right["category"] = None, ("facts or need", category)
        if rng.random() < 0.15:  # titled like others, and something else
            right["category"] = ("need", None)
    if colour:
        title = f"{title} – {colour}"
    offer = Offer(
        sku=f"S{age}",
        title=title[:500],
        description_html="" if rng.random() < 0.1 else "<p>As described</p>",
        price=Money(amount_minor=int(rng.integers(900, 9000)), currency="USD"),
        quantity=0,
        barcode=None if rng.random() < 0.2 else "4006381333931",
        brand=told_brand,
        category=told_category,
        images=() if rng.random() < 0.1 and vendor != "ebay" else ("a", "b", "c"),
        attributes={"Colour": colour} if colour else {},
    )
    for check, missing, what in (
        ("description", not offer.description_html, "content"),
        ("barcode", offer.barcode is None, "need"),
        ("pictures", not offer.images, "need"),
        ("title-length", len(title) > rules_of(vendor).title, "fit"),
    ):
        if missing:
            right[check] = ("fit or ask" if check == "title-length" else what, None)
    if "description" in right and not (told_brand or told_category or colour):
        right["description"] = ("need", None)
    seen = _standing(rng, vendor, age, offer, right)
    untouchable = trap < 0.08
    if untouchable:
        seen = replace(seen, edited=True) if trap < 0.05 else replace(seen, busy=True)
    costs: dict[str, float] = {}
    for each in judge(seen):
        if each.value < 1 and each.check in right:
            spread = each.weight * float(rng.lognormal(-0.24, 0.7)) if by_weights else float(rng.uniform(0, 0.5))
            costs[each.check] = 1.0 if each.check == "on-sale" else min(0.95, spread)
    rate = float(rng.gamma(1.2, 1.6)) * offer.price.amount_minor
    drawn = Drawn(seen, age, rate, right, costs, untouchable, essential)
    sells = drawn.weekly(set()) / _MARGIN / offer.price.amount_minor
    units = rng.poisson(sells * _WEEKS)
    weekly = 1.2 * 1.6 * 4950 * 0.7 if seen.status == "refused" else units * offer.price.amount_minor / _WEEKS
    drawn.seen = replace(seen, weekly_minor=round(weekly))
    return drawn


def _standing(rng: np.random.Generator, vendor: str, age: int, offer: Offer, right: dict[str, tuple[str, Any]]) -> Seen:
    """The listing on its channel: refused, told otherwise, alone among variations, or as it should be."""
    told: Offer | None = offer
    status, reason, refused = "active", "", ""
    read: tuple[tuple[str, str], ...] = ()
    family = Family()
    kind = rng.random()
    if "title-length" in right and vendor == "amazon" and kind < 0.5:
        status, reason, told, refused = "refused", "item_name is too long", None, offer_mark(offer)
        right["on-sale"] = ("with title-length", None)
    elif kind < 0.03:
        status, reason, told, refused = "refused", "the brand is restricted", None, offer_mark(offer)
        right["on-sale"] = ("need", None)
    elif kind < 0.06:
        before = offer.model_copy(update={"weight_grams": 900})
        status, reason, told, refused = "refused", "weight is missing", None, offer_mark(before)
        right["on-sale"] = ("relist", None)
    elif kind < 0.10:
        reason = "requires item specifics that the product has not: Material"
        status, told, refused = "refused", None, offer_mark(offer)
        if rng.random() < 0.5:
            read, right["specifics"] = (("Material", "Steel"),), ("ask", "Steel")
            right["on-sale"] = ("with specifics", None)
        else:
            right["specifics"], right["on-sale"] = ("need", None), ("with specifics", None)
    elif kind < 0.18:
        told = offer.model_copy(update={"brand": None, "description_html": "older"})
        right["told"] = ("tell", None)
    elif kind < 0.23:
        family, right["variations"] = Family(3, 3, 3), ("need", None)
    return Seen(
        listing_id=new_id(),
        account_id=new_id(),
        account=vendor,
        vendor=vendor,
        product_id=new_id(),
        sku=f"S{age}",
        status=status,
        reason=reason,
        currency="USD",
        titles=(offer.title,),
        offer=offer,
        told=told,
        own_words=told is not None,
        family=family,
        read=read,
        refused=refused,
    )


def ours(drawn: Drawn, goods: Goods) -> list[Action]:
    return plan(drawn.seen, judge(drawn.seen), goods, ())


def checklist(drawn: Drawn, goods: Goods) -> list[Action]:
    """What lists of tips say, whoever edited what."""
    seen, quality = replace(drawn.seen, edited=False), judge(drawn.seen)
    offer = seen.offer
    assert offer is not None
    told = []
    for each in quality:
        if each.value >= 1:
            continue
        made = Action("need", each.check, "", each.says, 0, MINUTES.get(each.check, 5), 1.0)
        if each.check == "title-length":
            cut = offer.title[: rules_of(seen.vendor).title].rsplit(" ", 1)[0]
            made = replace(made, kind="fit", minutes=0, titles={offer.title: cut}, relist=seen.status == "refused")
        elif each.check == "brand":
            made = replace(made, kind="facts", minutes=0, brand=offer.title.split()[0])
        elif each.check == "category":
            common = Counter(category for _, category in goods.titles).most_common(1)[0][0]
            made = replace(made, kind="facts", minutes=0, category=common)
        elif each.check == "told":
            made = replace(made, kind="tell", minutes=0)
        elif each.check == "description":
            made = replace(made, kind="content", minutes=0)
        told.append(made)
    return told


def is_right(drawn: Drawn, action: Action) -> bool:
    """Whether the labels say so."""
    if drawn.untouchable and action.kind != "need":
        return False
    what, answer = drawn.right.get(action.check, ("", None))
    if drawn.untouchable:
        return False
    if action.check == "title-length" and action.titles:
        (kept,) = action.titles.values()
        offer = drawn.seen.offer
        assert offer is not None
        words = {word for word in offer.title.split() if any(sign.isdigit() for sign in word)} | drawn.essential
        words |= {*keep_of(offer)}
        limit = rules_of(drawn.seen.vendor).title
        return what == "fit or ask" and len(kept) <= limit and words <= {*kept.split()}
    if action.kind == "facts":
        return "facts" in what and answer in (action.brand, action.category)
    if action.kind == "need" and what == "facts or need":
        return True
    if action.kind == "ask" and action.specifics:
        return what == "ask" and answer in action.specifics.values()
    return action.kind == what


def tally(every: Sequence[Drawn], goods: Goods, way: Callable[[Drawn, Goods], list[Action]]) -> tuple[int, int, int]:
    """Right actions, all actions, and defects that something is right to do about."""
    right = wrong = wanted = 0
    for drawn in every:
        found = way(drawn, goods)
        hits = {each.check for each in found if is_right(drawn, each)}
        right += len(hits)
        wrong += len(found) - len(hits)
        if not drawn.untouchable:
            wanted += sum(1 for what, _ in drawn.right.values() if not what.startswith("with"))
    return right, right + wrong, wanted


def shares(every: Sequence[Drawn], goods: Goods) -> dict[str, tuple[int, int]]:
    """Of ours, by who is needed: right, and all."""
    told: dict[str, tuple[int, int]] = {}
    for drawn in every:
        for each in ours(drawn, goods):
            who = "by itself" if each.alone else "told" if each.kind == "need" else "asked"
            right, whole = told.get(who, (0, 0))
            told[who] = (right + is_right(drawn, each), whole + 1)
    return told


def _harm(drawn: Drawn, action: Action) -> float:
    if is_right(drawn, action) or action.kind == "need":
        return 0.0
    return _WRONG_FACT if action.kind in ("facts", "ask") else _WRONG_TITLE


def _mends(drawn: Drawn, action: Action) -> set[str]:
    """What the channel refused for want of item specifics is listed again once they are there."""
    return {action.check, "on-sale"} if action.relist or action.check == "specifics" else {action.check}


def regained(
    every: Sequence[Drawn], goods: Goods, way: Callable[[Drawn, Goods], list[Action]], order: Callable[..., Any]
) -> tuple[float, float]:
    """Profit a week more than doing nothing: by itself, and by the owner's two hours in this order. Minor units.

    An owner who is asked something wrong says no: it costs the minute.
    """
    mended: dict[int, set[str]] = {}
    harm: dict[int, float] = {}
    asked_of_owner: list[tuple[Drawn, Action]] = []
    base = sum(drawn.weekly(set()) for drawn in every)
    for drawn in every:
        mine = mended.setdefault(drawn.age, set())
        for action in way(drawn, goods):
            if action.minutes:
                asked_of_owner.append((drawn, action))
            elif is_right(drawn, action):
                mine |= _mends(drawn, action)
            else:
                harm[drawn.age] = harm.get(drawn.age, 0.0) + _harm(drawn, action)
    alone = sum(each.weekly(mended[each.age], harm.get(each.age, 0.0)) for each in every)
    counts = Counter(drawn.age for drawn, _ in asked_of_owner)
    left = _MINUTES
    for drawn, action in sorted(asked_of_owner, key=lambda each: order(each[0], each[1], counts), reverse=True):
        if action.minutes > left:
            continue
        left -= action.minutes
        if is_right(drawn, action):
            mended[drawn.age] |= _mends(drawn, action)
    after = sum(each.weekly(mended[each.age], harm.get(each.age, 0.0)) for each in every)
    return alone - base, after - alone


ORDERS: dict[str, Callable[[Drawn, Action, Counter[int]], Any]] = {
    "gain for a minute": lambda drawn, action, counts: action.worth,
    "oldest first": lambda drawn, action, counts: -drawn.age,
    "most defects first": lambda drawn, action, counts: (counts[drawn.age], -drawn.age),
    "best sellers first": lambda drawn, action, counts: (drawn.seen.weekly_minor, -drawn.age),
}


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = range(_FIRST_SEED, _FIRST_SEED + (3 if quick else 24))
    result: dict[str, Any] = {"seeds": len(seeds), "listings": _LISTINGS, "owner_minutes": _MINUTES}
    hours = _MINUTES / 60
    for world, by_weights in (("costs around our weights", True), ("costs without regard to them", False)):
        told: dict[str, list[float]] = {}
        found: dict[str, list[tuple[int, int, int]]] = {"ours": [], "checklist": []}
        whose: Counter[str] = Counter()
        for seed in seeds:
            every, goods = draw(seed, by_weights=by_weights)
            for name, way in (("ours", ours), ("checklist", checklist)):
                found[name].append(tally(every, goods, way))
            for who, (right, whole) in shares(every, goods).items():
                whose.update({f"{who} right": right, f"{who} whole": whole})
            for name, order in ORDERS.items():
                alone, owner = regained(every, goods, ours, order)
                told.setdefault("by itself", []).append(alone / 100)
                told.setdefault(f"owner's hour, {name}", []).append(owner / 100 / hours)
                told.setdefault(f"ours, {name}", []).append((alone + owner) / 100)
            alone, owner = regained(every, goods, checklist, ORDERS["oldest first"])
            told.setdefault("checklist", []).append((alone + owner) / 100)
        kept: dict[str, Any] = {}
        for who in ("by itself", "asked", "told"):
            kept[f"precision, {who}"] = wilson(whose[f"{who} right"], max(1, whose[f"{who} whole"]))
        for name, rows in found.items():
            precision = bootstrap([right / max(1, all_) for right, all_, _ in rows])
            recall = bootstrap([right / max(1, wanted) for right, _, wanted in rows])
            kept[name] = {"precision": precision.mean, "recall": recall.mean}
            words = f"{precision.low:.3f} to {precision.high:.3f}; recall {recall.mean:.3f} ({recall.low:.3f} to"
            if by_weights:
                report.row(f"listing: precision of {name}", f"{precision.mean:.3f}", f"{words} {recall.high:.3f})")
        if by_weights:
            parts = ((who, kept[f"precision, {who}"]) for who in ("by itself", "asked", "told"))
            words = "; ".join(f"{who} {part['share']:.3f} of {part['of']}" for who, part in parts)
            report.row("listing: right of what ours does", "", words)
        for name in ("ours, gain for a minute", "checklist"):
            each = bootstrap(told[name])
            kept[f"profit a week, {name}"] = {"mean": each.mean, "low": each.low, "high": each.high}
            report.row(f"listing: profit a week regained, {name}, {world}", f"{each.mean:.0f} USD", _span(each))
        for name in ORDERS:
            each = bootstrap(told[f"owner's hour, {name}"])
            kept[f"owner's hour, {name}"] = {"mean": each.mean, "low": each.low, "high": each.high}
            what = f"listing: profit a week for an owner's hour, {name}, {world}"
            report.row(what, f"{each.mean:.0f} USD", _span(each))
        best = np.array(told["owner's hour, gain for a minute"])
        for name in list(ORDERS)[1:]:
            better = bootstrap(best - np.array(told[f"owner's hour, {name}"]))
            kept[f"gain for a minute over {name}"] = {"mean": better.mean, "low": better.low, "high": better.high}
        over = bootstrap(np.array(told["ours, gain for a minute"]) - np.array(told["checklist"]))
        kept["ours over checklist"] = {"mean": over.mean, "low": over.low, "high": over.high}
        result[world] = kept
    report.result["listing"] = result


def _span(each: Any) -> str:
    return f"{each.low:.0f} to {each.high:.0f}"
