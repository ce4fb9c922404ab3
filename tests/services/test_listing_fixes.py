"""Titles that are fitted, scores that are made of checks, and what goes first."""

from __future__ import annotations

from dataclasses import replace

from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services.listing_fixes import fit_title, goods_of, plan
from flipsync.services.listing_rules import Family, Seen, judge, lacking_of, untold
from flipsync.services.offers import with_fitted

DRILL = Offer(
    sku="D1",
    title="Bosch GSR 18V-55 cordless drill",
    description_html="<p>A drill</p>",
    price=Money(amount_minor=9900, currency="USD"),
    quantity=0,
    barcode="4006381333931",
    brand="Bosch",
    category="Drills",
    images=("a", "b", "c"),
)


def seen(offer: Offer = DRILL, vendor: str = "ebay", **more: object) -> Seen:
    about = dict.fromkeys(("listing_id", "account_id", "product_id"), new_id())
    known = {"account": vendor, "vendor": vendor, "sku": offer.sku, "status": "active", "reason": "", "currency": "USD"}
    return Seen(**(about | known | {"titles": (offer.title,), "offer": offer, "told": offer, "own_words": True} | more))  # type: ignore[arg-type]


def test_a_title_loses_its_end_and_neither_brand_model_nor_choices() -> None:
    long = "Bosch professional cordless drill with lamp and a very long talk about nothing GSR18 – Red / XL"
    assert fit_title(long, 60, ("Bosch", "Red", "XL")) == "Bosch professional cordless drill with lamp GSR18 Red XL"
    assert fit_title(long, 30, ("Bosch", "Red", "XL")) is None, "what is needed is longer than that"
    assert fit_title("short", 80, ()) == "short"
    assert fit_title("x" * 300, 200, ()) is None and fit_title("", 80, ()) is None
    for limit in range(20, 100):
        shorter = fit_title(long, limit, ("Bosch",))
        assert shorter is None or (len(shorter) <= limit and set(shorter.split()) <= set(long.split()))


def test_nothing_lacks_and_then_something_does() -> None:
    assert judge(seen()).score == 1.0 and plan(seen(), judge(seen()), goods_of([]), ()) == []
    bare = DRILL.model_copy(update={"images": (), "barcode": None})
    quality = judge(seen(bare))
    assert 0 < quality.score < 1 and quality.keeps < 0.6
    assert all(each.source for each in quality)
    actions = plan(seen(bare, weekly_minor=10_000), quality, goods_of([]), ())
    assert [each.check for each in actions] == ["pictures", "barcode"]
    assert actions[0].gain_minor > actions[1].gain_minor > 0
    assert judge(seen(vendor="custom")).of("title-length") is None, "no limit is documented"


def test_what_came_of_earlier_fixes_says_how_much_is_believed() -> None:
    bare = DRILL.model_copy(update={"images": (), "barcode": None})
    each = seen(bare, weekly_minor=10_000)
    before = {row.check: row.gain_minor for row in plan(each, judge(each), goods_of([]), ())}
    after = plan(each, judge(each), goods_of([]), (), {"pictures": (0, 60), "barcode": (9, 9)})
    assert [row.check for row in after] == ["barcode", "pictures"]
    assert after[0].gain_minor == before["barcode"] and after[1].gain_minor == round(before["pictures"] * 4 / 64)


def test_a_word_that_may_be_a_name_is_asked_about() -> None:
    filler = " ".join(["and a long talk about nothing at all"] * 2)
    plain = DRILL.model_copy(update={"title": f"{DRILL.title} {filler} more"})
    named = DRILL.model_copy(update={"title": f"{DRILL.title} {filler} Evo"})
    for offer, kind in ((plain, "fit"), (named, "ask")):
        (action,) = plan(seen(offer), judge(seen(offer)), goods_of([]), ())
        assert (action.check, action.kind) == ("title-length", kind)
        assert plan(seen(offer), judge(seen(offer)), goods_of([]), {(action.check, action.mark)}) == [], "once"
    overridden = seen(plain, overridden=frozenset({"title"}))
    assert [each.kind for each in plan(overridden, judge(overridden), goods_of([]), ())] == ["need"]


def test_words_that_were_written_on_the_channel_are_not_told_to_it() -> None:
    edited = DRILL.model_copy(update={"title": "Bosch drill, by hand", "brand": "BOSCH"})
    each = seen(edited, told=DRILL, overridden=frozenset({"title"}))
    assert untold(each) == ("brand",)
    assert untold(replace(each, overridden=frozenset())) == ("title", "brand")


def test_of_a_listing_that_somebody_is_at_nothing_is_planned() -> None:
    bare = DRILL.model_copy(update={"images": ()})
    for busy in ({"edited": True}, {"busy": True}, {"published": False}, {"offer": None}):
        each = replace(seen(bare), **busy)
        assert plan(each, judge(each), goods_of([]), ()) == []


def test_what_other_goods_tell_has_to_agree() -> None:
    same = [(f"Bosch cordless hammer drill {n}", "Bosch", "Drills") for n in range(3)]
    bare = DRILL.model_copy(update={"title": "Bosch cordless hammer drill", "category": None})
    (action,) = plan(seen(bare), judge(seen(bare)), goods_of(same), ())
    assert (action.kind, action.category) == ("facts", "Drills")
    mixed = goods_of([*same, ("Bosch cordless hammer drill toy", "Bosch", "Toys")])
    (action,) = plan(seen(bare), judge(seen(bare)), mixed, ())
    assert action.kind == "need"


def test_a_group_of_which_one_option_is_missing_says_whose() -> None:
    each = seen(vendor="shopify", family=Family(3, 2, 1, ("D3",)))
    (action,) = plan(each, judge(each), goods_of([]), ())
    assert action.check == "variations" and "D3" in action.says


def test_fitted_words_stand_for_what_they_were_made_from_alone() -> None:
    group = OfferGroup(key="k", title="Long", options=("Size",), values={"Size": ("S",)})
    offer = DRILL.model_copy(update={"group": group, "choices": ("S",), "attributes": {"Size": "S"}})
    fitted = {"titles": {DRILL.title: "Bosch drill", "Long": "Short"}, "specifics": {"Voltage": "18 V", "Size": "L"}}
    told = with_fitted(offer, fitted)
    assert told.title == "Bosch drill" and told.group is not None and told.group.title == "Short"
    assert told.attributes == {"Voltage": "18 V", "Size": "S"}, "the owner's own go first"
    assert with_fitted(DRILL.model_copy(update={"title": "Other"}), {"titles": {DRILL.title: "x"}}).title == "Other"
    assert with_fitted(DRILL, {}) is DRILL


def test_what_a_refusal_names() -> None:
    reason = "Amazon's product type DRILL requires what the product has not: Voltage (voltage), Wattage (wattage)"
    assert lacking_of(reason) == ("Voltage (voltage)", "Wattage (wattage)")
    assert lacking_of("something else") == ()
