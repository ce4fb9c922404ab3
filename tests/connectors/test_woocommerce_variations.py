"""Groups on WooCommerce: a variable product with its variations, and many quantities in one call."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from pydantic import SecretStr

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.woocommerce import grouping, refusals, webhooks, wire
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import usd

GROUP = OfferGroup(
    key="TEE",
    title="Tee & more",
    description_html="<p>Cotton.</p>",
    options=("Size", "Color"),
    images=("https://img.example/tee.jpg",),
    values={"Size": ("S", "M"), "Color": ("Red", "Blue")},
)


def tee(size: str = "S", color: str = "Red", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": f"TEE-{size}-{color}",
        "title": f"Tee {size} {color}",
        "description_html": f"<p>In {color}.</p>",
        "price": usd("15.00"),
        "quantity": 4,
        "brand": "Loom",
        "images": (f"https://img.example/{color}.jpg",),
        "attributes": {"Size": size, "Color": color, "Material": "Cotton"},
        "group": GROUP,
        "choices": (size, color),
    }
    return Offer(**{**fields, **changes})


@pytest.fixture
def shop(open_channel: Any) -> Any:
    return open_channel("woocommerce", scheme="https")


async def call(shop: Any, method: str, path: str, body: Any = None) -> Any:
    """What the merchant does by hand."""
    server, books = shop.sandbox.woo, shop.sandbox.books
    with books.transaction():
        match = re.fullmatch(r"/products/(\d+)(?:/variations(?:/(\d+))?)?", path)
        if match is None:
            return server.products.create(body)
        parent, variation = int(match.group(1)), match.group(2)
        if "/variations" not in path:
            return server.products.update(parent, body)
        if variation is None:
            return server.variations.create(parent, body)
        return server.variations.update(parent, int(variation), body)


async def parents(shop: Any) -> list[wire.Product]:
    rows = shop.sandbox.books.listings("json_extract(doc, '$.type') = 'variable'", ())
    return [wire.Product.model_validate(shop.sandbox.woo.products.view(row, edit=True)) for row in rows]


async def test_a_group_becomes_one_product_with_variations(shop: Any) -> None:
    connector = shop.connector
    made = [
        await connector.publish(tee(size, color), f"k-{size}-{color}") for size in "SM" for color in ("Red", "Blue")
    ]
    (parent,) = await parents(shop)
    assert (parent.name, parent.sku, parent.status) == ("Tee & more", "TEE", "publish")
    assert [(row.name, row.variation, row.options) for row in parent.attributes] == [
        ("Size", True, ["S", "M"]),
        ("Color", True, ["Red", "Blue"]),
        ("Material", False, ["Cotton"]),
        ("Brand", False, ["Loom"]),
    ]
    assert {state.group_external_id for state in made} == {str(parent.id)}
    assert made[3].title == "Tee & more - M, Blue"
    assert (made[3].sku, made[3].status, made[3].price, made[3].quantity) == ("TEE-M-Blue", "active", usd("15.00"), 4)
    assert [state async for state in connector.listings()] == made
    assert [await connector.find_listing(state.sku) for state in made] == made
    again = await connector.publish(tee("S", "Red", quantity=99), "k-other")
    assert (again.external_id, again.quantity) == (made[0].external_id, 4)


async def test_two_variations_at_once_make_one_parent(shop: Any) -> None:
    sizes = ["S", "M"]
    made = await asyncio.gather(*(shop.connector.publish(tee(size), f"k{size}") for size in sizes))
    assert len(await parents(shop)) == 1
    assert len({state.external_id for state in made}) == 2


async def test_a_further_choice_joins_the_existing_parent(shop: Any) -> None:
    await shop.connector.publish(tee(), "k1")
    wider = GROUP.model_copy(update={"values": {"Size": ("S", "M", "XL"), "Color": ("Red", "Blue")}})
    made = await shop.connector.publish(tee("XL", group=wider), "k2")
    (parent,) = await parents(shop)
    assert parent.attributes[0].options == ["S", "M", "XL"]
    assert [row.name for row in parent.attributes] == ["Size", "Color", "Material", "Brand"]
    assert made.title == "Tee & more - XL, Red"
    # A choice the group does not list is offered nonetheless.
    assert (await shop.connector.publish(tee("XXL"), "k3")).title == "Tee & more - XXL, Red"


@pytest.mark.parametrize("sku", ["TEE", ""])
async def test_a_merchants_own_parent_is_adopted(shop: Any, sku: str) -> None:
    attributes = [
        {"id": 6, "name": "color", "variation": True, "visible": True, "options": ["red", "Blue"]},
        {"name": "Size", "variation": True, "visible": True, "options": ["S"]},
        {"name": "Wash", "visible": True, "options": ["30"]},
    ]
    own = await call(
        shop, "POST", "/products", {"name": "tee & more", "type": "variable", "sku": sku, "attributes": attributes}
    )
    choices = [{"id": 6, "option": "red"}, {"name": "Size", "option": "S"}]
    old = await call(
        shop, "POST", f"/products/{own['id']}/variations", {"regular_price": "9.00", "attributes": choices}
    )
    found = await shop.connector.publish(tee(), "k1")
    # Its own variation with these choices had no SKU: it gets ours, and keeps its price.
    assert (found.external_id, found.sku, found.price) == (f"{own['id']}/{old['id']}", "TEE-S-Red", usd("9.00"))
    other = await shop.connector.publish(tee("M", "Blue"), "k2")
    assert other.group_external_id == str(own["id"])
    (parent,) = await parents(shop)
    assert [(row.id, row.name, row.options) for row in parent.attributes] == [
        (6, "color", ["red", "Blue"]),
        (0, "Size", ["S", "M"]),
        (0, "Wash", ["30"]),
    ]
    with pytest.raises(Rejected) as refused:
        await shop.connector.publish(tee("S", "Red", sku="TEE-USED"), "k3")
    assert refused.value.vendor_code == "choices" and "TEE-S-Red" in refused.value.message


async def test_a_group_whose_key_is_a_single_products_sku(shop: Any) -> None:
    await call(shop, "POST", "/products", {"name": "Old tee", "sku": "TEE"})
    await shop.connector.publish(tee(), "k1")
    await shop.connector.publish(tee("M"), "k2")
    assert [parent.sku for parent in await parents(shop)] == ["TEE-group"]


async def test_a_variation_is_revised_with_its_parent(shop: Any) -> None:
    connector = shop.connector
    made = await connector.publish(tee(), "k1")
    count = len(shop.tap.requests)
    await connector.revise(made.external_id, tee(), "k2")
    assert [r.method for r in shop.tap.requests[count:]] == ["GET", "GET", "PUT"]
    assert "image" not in json.loads(shop.tap.requests[-1].content)
    renamed = GROUP.model_copy(update={"title": "Tee, organic", "images": ("https://img.example/new.jpg",)})
    changed = tee(
        group=renamed, choices=("S", "Green"), price=usd("1.00"), quantity=0, images=("https://img.example/g.jpg",)
    )
    state = await connector.revise(made.external_id, changed, "k3")
    assert (state.title, state.price, state.quantity) == ("Tee, organic - S, Green", usd("15.00"), 4)
    (parent,) = await parents(shop)
    assert parent.name == "Tee, organic" and parent.attributes[1].options == ["Red", "Blue", "Green"]
    # Without its group, the parent is left alone.
    alone = tee(group=None, choices=(), description_html="<p>Own.</p>")
    assert (await connector.revise(made.external_id, alone, "k4")).title == "Tee, organic - S, Green"


async def test_the_parent_leaves_with_its_last_variation_and_comes_back(shop: Any) -> None:
    connector = shop.connector
    small, medium = [await connector.publish(tee(size), f"k{size}") for size in "SM"]
    await connector.end(small.external_id, "k1")
    assert [parent.status for parent in await parents(shop)] == ["publish"]
    assert (await connector.read_listing(small.external_id)).status == "ended"
    assert (await connector.read_listing(medium.external_id)).status == "active"
    await connector.end(medium.external_id, "k2")
    await connector.end(medium.external_id, "k3")
    assert [parent.status for parent in await parents(shop)] == ["draft"]
    assert (await connector.read_listing(medium.external_id)).status == "ended"
    assert (await connector.publish(tee("M"), "kM")).status == "ended"  # an old repeat
    again = await connector.publish(tee("M", price=usd("18.00"), quantity=2), "k4")
    assert (again.external_id, again.status, again.price, again.quantity) == (
        medium.external_id,
        "active",
        usd("18.00"),
        2,
    )
    assert (await connector.read_listing(small.external_id)).status == "ended"
    for unknown in (f"{small.group_external_id}/424242", "424242/1", "nonsense"):
        await connector.end(unknown, "k5")


async def test_an_unknown_publish_of_a_variation_is_found_again(shop: Any) -> None:
    shop.sandbox.faults.configure("woo", {"error_after": 1.0})
    with pytest.raises(OutcomeUnknown):
        await shop.connector.publish(tee(), "k1")  # the parent was made
    with pytest.raises(OutcomeUnknown):
        await shop.connector.publish(tee(), "k1")  # the variation was made
    shop.sandbox.faults.configure("woo", {}, replace=True)
    made = await shop.connector.publish(tee(), "k1")
    assert [state async for state in shop.connector.listings()] == [made]
    assert len(await parents(shop)) == 1


async def test_variations_are_sold_and_given_back(shop: Any) -> None:
    connector = shop.connector
    made = await connector.publish(tee(), "k1")
    order_id = shop.sell("TEE-S-Red", 3)
    order = await connector.read_order(order_id)
    (line,) = order.lines
    assert (line.listing_external_id, line.sku, line.title) == (made.external_id, "TEE-S-Red", "Tee & more - S, Red")
    assert (await connector.read_listing(made.external_id)).quantity == 1
    books = shop.sandbox.books
    with books.transaction():
        held = books.order(int(order_id))
        shop.sandbox.market.orders.refund(held, {held.lines[0].id: (2, 3000)}, 3000, "", restock=True)
        books.save_order(held)
    order = await connector.read_order(order_id)
    assert [(refund.amount, refund.restocked) for refund in order.refunds] == [(usd("30.00"), {line.external_id: 2})]
    assert (await connector.read_listing(made.external_id)).quantity == 3


async def test_stock_counted_with_the_parent_is_sold_from_there(shop: Any) -> None:
    body = {"name": "Cap", "type": "variable", "sku": "CAP", "manage_stock": True, "stock_quantity": 3}
    body["attributes"] = [{"name": "Color", "variation": True, "options": ["Red"]}]
    own = await call(shop, "POST", "/products", body)
    await call(shop, "POST", f"/products/{own['id']}/variations", {"sku": "CAP-R", "regular_price": "5.00"})
    assert (await shop.connector.find_listing("CAP-R")).quantity == 3
    shop.sell("CAP-R", 2)
    assert (await shop.connector.find_listing("CAP-R")).quantity == 1


async def test_many_quantities_go_in_few_calls(shop: Any) -> None:
    connector = shop.connector
    with shop.sandbox.books.transaction():
        rows = [shop.sandbox.woo.products.create({"name": f"P{n}", "sku": f"P{n}"}) for n in range(130)]
    parts = [await connector.publish(tee(size, color), f"{size}{color}") for size in "SM" for color in ("Red", "Blue")]
    ids = [*(str(row["id"]) for row in rows), *(part.external_id for part in parts)]
    ids[5:5] = ["424242", "nonsense", f"{parts[0].group_external_id}/424242", "424242/1"]
    changes = [QuantityChange(external_id, number, f"k{number}") for number, external_id in enumerate(ids)]
    count = len(shop.tap.requests)
    outcomes = await connector.set_quantities(changes)
    assert [outcome.change for outcome in outcomes] == changes
    writes = [r for r in shop.tap.requests[count:] if r.method != "GET"]
    assert all(r.method == "POST" and r.url.path.endswith("/batch") for r in writes)
    assert [len(json.loads(r.content)["update"]) for r in writes] == [100, 31, 5]
    for outcome in outcomes[:5] + outcomes[9:]:
        assert outcome.error is None and outcome.state is not None
        assert (outcome.state.external_id, outcome.state.quantity) == (
            outcome.change.external_id,
            outcome.change.quantity,
        )
        assert await connector.read_listing(outcome.change.external_id) == outcome.state
    for outcome in outcomes[5:9]:
        assert outcome.state is None and isinstance(outcome.error, Rejected) and outcome.error.missing


async def test_a_lost_answer_leaves_every_row_of_its_batch_unknown(shop: Any) -> None:
    made = await shop.connector.publish(tee(group=None, choices=()), "k1")
    changes = [QuantityChange(made.external_id, 7, "k2"), QuantityChange("nonsense", 1, "k3")]
    shop.sandbox.faults.configure("woo", {"error_after": 1.0})
    unknown, refused = await shop.connector.set_quantities(changes)
    assert isinstance(unknown.error, OutcomeUnknown) and isinstance(refused.error, Rejected)
    shop.sandbox.faults.configure("woo", {}, replace=True)
    assert (await shop.connector.read_listing(made.external_id)).quantity == 7


async def test_a_notice_of_a_variation_names_it_with_its_parent(shop: Any) -> None:
    made = await shop.connector.publish(tee(), "k1")
    body = shop.sandbox.woo.render("product.updated", made.external_id.partition("/")[2])
    headers = {
        "X-WC-Webhook-Signature": webhooks.signature("s3cret", body),
        "X-WC-Webhook-Topic": "product.updated",
        "X-WC-Webhook-Delivery-ID": "1",
    }
    notice = shop.connector.parse_webhook(headers, body, SecretStr("s3cret"), shop.connector.config)
    assert (notice.kind, notice.resource_id) == ("listing", made.external_id)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID.", "data": {"status": 400}}, "missing"),
        ({"code": "x", "message": "no", "data": {"status": 401}}, "auth"),
        ({"code": "x", "message": "crash", "data": 500}, "unknown"),
        ({"code": "x", "message": "odd"}, "rejected"),
        ("odd", "rejected"),
    ],
)
def test_rows_of_a_batch_fail_each_in_its_way(body: Any, kind: str) -> None:
    error = refusals.row_error(body)
    if kind == "unknown":
        assert isinstance(error, OutcomeUnknown)
    else:
        assert isinstance(error, Rejected)
        assert (error.missing, error.auth) == (kind == "missing", kind == "auth")


def test_a_parent_with_another_groups_mark_is_not_ours() -> None:
    rows: dict[str, Any] = {
        "id": 1,
        "name": "Tee &amp; More",
        "type": "variable",
        "attributes": [{"name": "size", "variation": True}, {"name": "COLOR", "variation": True}],
    }
    assert grouping.is_parent_of(wire.Product.model_validate(rows), GROUP)
    marked = {**rows, "meta_data": [{"key": "_flipsync_group", "value": "OTHER"}]}
    assert not grouping.is_parent_of(wire.Product.model_validate(marked), GROUP)
    fewer = {**rows, "attributes": rows["attributes"][:1]}
    assert not grouping.is_parent_of(wire.Product.model_validate(fewer), GROUP)
