"""Goods that a channel offers already are recognised: codes first, then titles; what is not sure is asked about."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flipsync.domain.channel import ListingState
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.services.adoption import DOUBTFUL, SURE, OwnGoods, survey


def goods(sku: str, title: str, barcode: str | None = None) -> OwnGoods:
    return OwnGoods(new_id(), sku, title, barcode)


def listing(number: int, sku: str = "", title: str = "", barcode: str | None = None, **more: Any) -> ListingState:
    fields: dict[str, Any] = {"status": "active", "price": usd("9.00"), "quantity": 1, **more}
    return ListingState(external_id=str(number), sku=sku, title=title, barcode=barcode, **fields)


def test_the_same_sku_is_the_same_listing_whatever_its_title() -> None:
    lamp = goods("LAMP-1", "Brass lamp")
    found = survey([lamp], [listing(1, " lamp-1 ", "Old name"), listing(2, "LAMP-2", "Brass lamp")])
    assert [(m.variant_id, m.listing.external_id, m.by) for m in found.sure] == [(lamp.variant_id, "1", "sku")]
    assert found.sure[0].confidence >= SURE
    assert [state.external_id for state in found.unknown] == ["2"], "what is matched already is matched once"


def test_a_barcode_in_any_length_matches_and_contradicts() -> None:
    short, long = goods("A", "x", "036000291452"), goods("B", "y", "4006381333931")
    found = survey([short, long], [listing(1, "zz", "x", "0036000291452"), listing(2, "B", "y", "4006381333948")])
    assert [(m.by, m.listing.external_id) for m in found.sure] == [("barcode", "1")]
    (doubt,) = found.doubtful
    assert doubt.listing.external_id == "2" and DOUBTFUL <= doubt.confidence < SURE and "but barcode" in doubt.why


def test_a_code_on_several_listings_proves_nothing() -> None:
    twice = [listing(1, "A"), listing(2, "A")]
    assert survey([goods("A", "")], twice).sure == ()
    assert (
        survey(
            [goods("A", "", "4006381333931"), goods("B", "", "4006381333931")], [listing(1, "", "", "4006381333931")]
        ).sure
        == ()
    )


def test_a_title_alone_is_always_asked_about() -> None:
    ours = [goods("S-1", "Canon EOS 550D camera body, black"), goods("S-2", "Wool scarf – Red")]
    found = survey(ours, [listing(1, "x1", "CANON EOS 550D Camera Body (Black)"), listing(2, "x2", "Scarf Wool - Red")])
    assert found.sure == ()
    assert {(m.variant_id, m.listing.external_id) for m in found.doubtful} == {
        (ours[0].variant_id, "1"),
        (ours[1].variant_id, "2"),
    }
    assert all(m.by == "title" and DOUBTFUL <= m.confidence < SURE for m in found.doubtful)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("Phone 64 GB", "Phone 128 GB"),
        ("Canon EOS 550D body", "Canon EOS 600D body"),
        ("T-shirt size 38", "T-shirt size 40"),
        ("Garden hose", "Espresso machine"),
    ],
)
def test_different_goods_with_like_names_are_not_matched(here: str, there: str) -> None:
    found = survey([goods("a", here)], [listing(1, "b", there)])
    assert (found.sure, found.doubtful) == ((), ()) and len(found.unknown) == 1


def test_two_that_are_equally_alike_are_neither() -> None:
    found = survey([goods("a", "Blue vase")], [listing(1, "b", "Blue vase"), listing(2, "c", "Blue vase")])
    assert found.doubtful == () and len(found.unknown) == 2
    found = survey([goods("a", "Blue vase"), goods("b", "Blue vase")], [listing(1, "c", "Blue vase")])
    assert found.doubtful == ()


def test_ended_listings_are_left_to_publishing() -> None:
    found = survey([goods("A", "x")], [listing(1, "A", status="ended")])
    assert (found.sure, found.doubtful, found.unknown) == ((), (), ())


def test_a_large_catalogue_with_altered_titles_is_matched_rightly() -> None:
    """2,000 goods of 40 makers; titles there have words left out, moved and added, and no codes."""
    rng = random.Random(5)
    makers = [f"Maker{n:02d}" for n in range(40)]
    nouns = "lamp chair vase kettle scarf boots camera drill puzzle radio".split()
    colours = "red blue green black white brass oak grey".split()
    ours, seen, truth = [], [], {}
    for n in range(2000):
        words = [rng.choice(makers), rng.choice(nouns), rng.choice(colours), f"M{rng.randrange(10_000)}", "for home"]
        one = goods(f"S{n}", " ".join(words))
        ours.append(one)
        if n % 2:
            continue
        there = [*words, "new"]
        rng.shuffle(there)
        if rng.random() < 0.5:
            there.remove("for home")
        seen.append(listing(n, f"shop-{n}", " ".join(there)))
        truth[str(n)] = one.variant_id
    found = survey(ours, seen)
    wrong = [m for m in found.doubtful if truth[m.listing.external_id] != m.variant_id]
    assert found.sure == () and len(wrong) <= len(found.doubtful) * 0.01
    assert len(found.doubtful) >= 0.9 * len(seen)
