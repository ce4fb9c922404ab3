"""Whatever the vendor, the words of a listing come back in one form, and an edit made elsewhere shows in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from flipsync.connectors.marketplaces import CONNECTORS
from flipsync.connectors.marketplaces.amazon import mapping, wire
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.money import usd
from flipsync.services.hand_edits import edited, glance, marks_of, shown_by, text_of

LAMP = Offer(
    sku="LAMP-1",
    title="Lamp & shade, 40 cm",
    description_html="<p>Brass.</p>",
    price=usd("19.90"),
    quantity=5,
    brand="Lumen",
    category="Lighting",
    images=("https://img.example/lamp.jpg",),
    attributes={"Color": "Brass"},
)


@pytest.fixture(params=sorted(CONNECTORS))
def channel(request: pytest.FixtureRequest, open_channel: Any) -> Iterator[Any]:
    yield open_channel(request.param)


async def test_list_and_read_tell_the_same_words(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(LAMP, "k1")
    whole = await connector.read_whole(made.external_id)
    assert whole is not None and {"title", "description_html", "images"} <= set(marks_of(text_of(whole)))
    shown = shown_by(whole)
    (listed,) = [state async for state in connector.listings()]
    assert edited(shown, text_of(listed)) == () and glance(shown, listed) == ""


async def test_a_sale_and_a_price_are_no_edit(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(LAMP, "k1")
    shown = shown_by(await connector.read_whole(made.external_id))
    channel.sell("LAMP-1")
    await connector.set_price(made.external_id, usd("21.00"), "k2")
    await connector.set_quantity(made.external_id, 3, "k3")
    whole = await connector.read_whole(made.external_id)
    assert whole is not None and edited(shown, text_of(whole)) == ()


EDITS: dict[str, dict[str, Any]] = {
    "title": {"title": "Lamp without a shade"},
    "description_html": {"description_html": "<p>Brass, dented.</p>"},
    "images": {"images": ("https://img.example/dent.jpg",)},
    "specifics": {"attributes": {"Color": "Copper"}},
}


# Shopify has no item specifics of its own
@pytest.mark.parametrize(
    ("channel", "field"),
    [pair for pair in itertools.product(sorted(CONNECTORS), EDITS) if pair != ("shopify", "specifics")],
    indirect=["channel"],
)
async def test_an_edit_shows(channel: Any, field: str) -> None:
    connector = channel.connector
    made = await connector.publish(LAMP, "k1")
    shown = shown_by(await connector.read_whole(made.external_id))
    await connector.revise(made.external_id, LAMP.model_copy(update=EDITS[field]), "k2")
    whole = await connector.read_whole(made.external_id)
    assert whole is not None
    assert edited(shown, text_of(whole)) == (field,)


@pytest.mark.parametrize("channel", ["shopify", "woocommerce"], indirect=True)  # elsewhere each has words of its own
async def test_the_words_of_a_group_are_told_as_its_own(channel: Any) -> None:
    connector = channel.connector
    group = OfferGroup(
        key="g", title="Shirt", description_html="<p>Cotton.</p>", options=("Size",), values={"Size": ("S", "M")}
    )
    made = [
        await connector.publish(
            Offer(sku=f"S-{size}", title=f"Shirt – {size}", price=usd("9"), quantity=2, group=group, choices=(size,)),
            f"k{size}",
        )
        for size in ("S", "M")
    ]
    texts = [(await connector.read_whole(state.external_id)).text for state in made]
    assert texts[0] == texts[1]
    assert (texts[0].title, texts[0].of_group) == ("Shirt", True)


def test_a_page_that_others_described_has_no_words_of_ours() -> None:
    item = wire.Item(sku="A", attributes={"condition_type": [{"value": "new_new"}]})
    state = mapping.listing(item, "ATVPDKIKX0DER")
    assert marks_of(text_of(state)) == {}
