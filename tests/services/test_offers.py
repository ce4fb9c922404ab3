"""What channels are told of our goods: one form alone, or one listing with choices."""

from __future__ import annotations

from typing import Any

from flipsync.domain.ids import new_id
from flipsync.services.offers import group_of, offer_of
from flipsync.store.models import Product, Variant


def product(**fields: Any) -> Product:
    given = {"title": "Boots", "description_html": "<p>Warm.</p>", "images": ["https://img.example/1.jpg"]}
    return Product(id=new_id(), handle="boots", tags=[], **{"option_names": ["Size", "Color"], **given, **fields})


def variant(goods: Product, **options: str) -> Variant:
    return Variant(id=new_id(), product_id=goods.id, sku="B-1", options=options, currency="USD", price_minor=5900)


def test_variations_are_one_listing_with_choices_in_the_owners_order() -> None:
    boots = product()
    choices = [
        {"Size": "38", "Color": "black"},
        {"Size": "40", "Color": "black"},
        {"Size": "38", "Color": "brown"},
    ]
    offer = offer_of(variant(boots, Color="brown", Size="38"), boots, choices)
    assert offer is not None and offer.group is not None
    assert offer.group.options == ("Size", "Color")
    assert offer.group.values == {"Size": ("38", "40"), "Color": ("black", "brown")}
    assert offer.choices == ("38", "brown"), "in the order of the options, not of the variant"
    assert (offer.group.title, offer.group.key) == ("Boots", str(boots.id))
    assert offer.title == "Boots – brown / 38"


def test_goods_in_one_form_have_no_choices() -> None:
    plain = product(option_names=[])
    offer = offer_of(variant(plain), plain, [{}])
    assert offer is not None
    assert (offer.group, offer.choices, offer.title) == (None, (), "Boots")
    only = product(option_names=["Size"])
    assert group_of(only, [{"Size": "38"}]) is None, "one form is no choice"


def test_a_form_that_is_not_fully_described_keeps_all_of_them_apart() -> None:
    boots = product()
    assert group_of(boots, [{"Size": "38", "Color": "black"}, {"Size": "40"}]) is None


def test_goods_without_a_price_are_not_offered() -> None:
    boots = product()
    unpriced = variant(boots, Size="38", Color="black")
    unpriced.price_minor = None
    assert offer_of(unpriced, boots, []) is None
