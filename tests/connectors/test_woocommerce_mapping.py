"""WooCommerce's shapes become FlipSync's values: the official examples, and what real shops do beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from flipsync.connectors.marketplaces.woocommerce import mapping, refusals, wire
from flipsync.domain.channel import Offer, RefundOrder
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import Money, usd

Load = Callable[[str], Any]


def examples(load: Load, path: str, *, rows: bool = True) -> list[dict[str, Any]]:
    """Every response example whose path ends so; lists taken apart."""
    found: list[dict[str, Any]] = []
    for example in load("wc-v3.examples.json")["examples"]:
        body = example.get("response_body")
        if example["path"].endswith(path) and body is not None:
            found += body if isinstance(body, list) else [body]
    return found


def test_every_order_example_maps(woocommerce_document: Load) -> None:
    rows = examples(woocommerce_document, "/orders") + examples(woocommerce_document, "/orders/<id>")
    batch = examples(woocommerce_document, "/orders/batch")[0]
    rows += [row for name in ("create", "update", "delete") for row in batch.get(name, [])]
    assert len(rows) >= 8
    for row in rows:
        order = mapping.order(wire.Order.model_validate(row), ())
        assert order.external_id == str(row["id"]) and order.vendor_status == row["status"]
        assert order.total.plain() == row["total"] and order.shipping.plain() == row["shipping_total"]
        assert [line.total.plain() for line in order.lines] == [line["total"] for line in row["line_items"]]
        assert order.placed_at == datetime.fromisoformat(row["date_created_gmt"] + "Z")
        assert order.ship_to.email == row["billing"]["email"]


def test_the_official_order_in_full(woocommerce_document: Load) -> None:
    row = next(row for row in examples(woocommerce_document, "/orders") if row["id"] == 727)
    order = mapping.order(wire.Order.model_validate(row), ())
    assert (order.status, order.holds_stock, order.total, order.tax) == ("paid", True, usd("29.35"), usd("1.35"))
    assert order.placed_at == datetime(2017, 3, 22, 19, 28, 2, tzinfo=UTC)
    plain, variation = order.lines
    assert (plain.listing_external_id, plain.quantity, plain.total) == ("93", 2, usd("6.00"))
    assert (variation.listing_external_id, variation.sku) == ("22/23", "Bar3")
    assert variation.title == "Ship Your Idea – Color: Black, Size: M Test"
    assert order.ship_to.model_dump() == {
        "name": "John Doe",
        "company": "",
        "line1": "969 Market",
        "line2": "",
        "city": "San Francisco",
        "region": "CA",
        "postal_code": "94103",
        "country": "US",
        "phone": "(555) 555-5555",
        "email": "john.doe@example.com",
    }


def test_every_product_and_variation_example_maps(woocommerce_document: Load) -> None:
    rows = examples(woocommerce_document, "/products") + examples(woocommerce_document, "/products/<id>")
    assert len(rows) >= 6
    parent = wire.Product(id=22, name="Ship Your Idea", sku="ship", type="variable")
    for row in rows:
        state = mapping.product_listing(wire.Product.model_validate(row), "USD")
        assert (state.external_id, state.sku, state.status) == (str(row["id"]), row["sku"], "active")
        assert (None if state.price is None else state.price.decimal()) == (
            None if row["price"] == "" else Money.parse(row["price"], "USD").decimal()
        )
    variations = examples(woocommerce_document, "/variations") + examples(woocommerce_document, "/variations/<id>")
    assert len(variations) >= 4
    for row in variations:
        if not isinstance(row.get("status"), str):
            continue  # one example's "status": true is a documentation error
        state = mapping.variation_listing(wire.Variation.model_validate(row), parent, "USD")
        assert state.external_id == f"22/{row['id']}"
        assert state.title.startswith("Ship Your Idea - ") and row["attributes"][0]["option"] in state.title


def test_every_refund_example_maps(woocommerce_document: Load) -> None:
    rows = examples(woocommerce_document, "/refunds") + examples(woocommerce_document, "/refunds/<refund_id>")
    assert len(rows) >= 4
    refunds = [wire.Refund.model_validate(row) for row in rows]
    order = mapping.order(order_row(lines=[line_row(311, 87, 1, "9.00")]), refunds)
    assert len(order.refunds) == len(rows)
    by_id = {refund.external_id: refund for refund in order.refunds}
    assert (by_id["726"].amount, by_id["726"].restocked) == (usd("10.00"), {})
    assert by_id["724"].amount == usd("9.00") and by_id["724"].restocked == {"311": 1}
    assert by_id["724"].created_at == datetime(2017, 3, 21, 19, 55, 37, tzinfo=UTC)


def line_row(line_id: int, product_id: int, quantity: Any, total: str, **more: Any) -> dict[str, Any]:
    row = {"id": line_id, "product_id": product_id, "quantity": quantity, "total": total, "total_tax": "0.00"}
    return {**row, "name": "Thing", "sku": f"S{product_id}", "meta_data": [], **more}


def order_row(**changes: Any) -> wire.Order:
    row: dict[str, Any] = {
        "id": 9,
        "number": "9",
        "status": "processing",
        "currency": "USD",
        "date_created_gmt": "2026-01-01T10:00:00",
        "date_modified_gmt": "2026-01-02T10:00:00",
        "date_paid_gmt": "2026-01-01T10:00:01",
        "shipping_total": "0.00",
        "total": "9.00",
        "total_tax": "0.00",
        "line_items": changes.pop("lines", []),
        "refunds": [],
    }
    return wire.Order.model_validate({**row, **changes})


@pytest.mark.parametrize(
    ("vendor", "status", "holds"),
    [
        ("pending", "pending", False),
        ("on-hold", "pending", True),
        ("processing", "paid", True),
        ("completed", "shipped", True),
        ("cancelled", "cancelled", False),
        ("failed", "failed", False),
        ("refunded", "refunded", True),  # a refund by amount alone gives nothing back
        ("checkout-draft", "pending", False),
        ("trash", "cancelled", True),  # nor does deleting an order
        ("wc-plugins-own", "paid", True),
    ],
)
def test_statuses(vendor: str, status: str, holds: bool) -> None:
    order = mapping.order(order_row(status=vendor), ())
    assert (order.status, order.vendor_status, order.holds_stock) == (status, vendor, holds)


def test_a_status_that_moves_nothing_holds_only_what_was_taken() -> None:
    unpaid = {"date_paid_gmt": None}
    assert not mapping.order(order_row(status="refunded", **unpaid), ()).holds_stock
    taken = line_row(1, 2, 3, "9.00", meta_data=[{"key": "_reduced_stock", "value": "3"}])
    assert mapping.order(order_row(status="trash", lines=[taken], **unpaid), ()).holds_stock
    assert mapping.order(order_row(status="plugin", **unpaid), ()).status == "pending"


def refund(refund_id: int, day: int, line_id: int | None, quantity: int, product_id: int = 2) -> wire.Refund:
    meta = [] if line_id is None else [{"key": "_refunded_item_id", "value": str(line_id)}]
    rows = [line_row(50, product_id, quantity, "-3.00", meta_data=meta)] if quantity else []
    return wire.Refund.model_validate(
        {"id": refund_id, "amount": "3.00", "date_created_gmt": f"2026-01-{day:02d}T00:00:00", "line_items": rows}
    )


def restocked(line_meta: dict[str, Any], *refunds: wire.Refund) -> list[dict[str, int]]:
    meta = [{"key": key, "value": value} for key, value in line_meta.items()]
    order = mapping.order(order_row(lines=[line_row(1, 2, 3, "9.00", meta_data=meta)]), refunds)
    return [row.restocked for row in order.refunds]


def test_refunds_say_what_went_back_on_sale() -> None:
    # Without the shop's own notes: line items go back, an amount alone does not.
    assert restocked({}, refund(7, 3, 1, -2)) == [{"1": 2}]
    assert restocked({}, refund(7, 3, None, 0)) == [{}]
    # A line that is not named is found by its article; one that is unknown is not guessed.
    assert restocked({}, refund(7, 3, None, -2)) == [{"1": 2}]
    assert restocked({}, refund(7, 3, None, -2, product_id=77)) == [{}]
    # `api_restock: false`: still counted as taken, and nothing put back.
    assert restocked({"_reduced_stock": "3"}, refund(7, 3, 1, -2)) == [{}]
    # One of two put back; oldest first.
    notes = {"_reduced_stock": 1, "_restock_refunded_items": 2}
    assert restocked(notes, refund(8, 4, 1, -1), refund(7, 3, 1, -2)) == [{"1": 2}, {}]
    assert restocked({"_reduced_stock": 0, "_restock_refunded_items": "3"}, refund(7, 3, 1, -3)) == [{"1": 3}]


def test_line_totals_are_taken_as_they_are() -> None:
    row = line_row(1, 2, 3, "10.00", price=3.3333333333333335)
    (line,) = mapping.order(order_row(lines=[row]), ()).lines
    assert (line.quantity, line.total) == (3, usd("10.00"))


def test_money_of_shops_with_other_decimals() -> None:
    assert mapping.amount("39.8", "USD") == usd("39.80")
    assert mapping.amount("39.8000", "USD") == usd("39.80")
    assert mapping.amount("3.335", "USD") == usd("3.34")
    assert mapping.amount("26", "JPY") == Money(amount_minor=26, currency="JPY")
    assert mapping.amount("1.234", "KWD") == Money(amount_minor=1234, currency="KWD")
    assert mapping.amount("", "USD") == usd("0")
    for text in ("12,5", "abc", "NaN"):
        with pytest.raises(ValueError):
            mapping.amount(text, "USD")


def test_an_order_without_an_address_of_its_own_ships_to_the_payer() -> None:
    billing = {"first_name": "A &amp; B", "address_1": "1 Road", "country": "DE", "phone": "1", "email": "a@b.example"}
    order = mapping.order(order_row(billing=billing, shipping=[]), ())
    assert (order.ship_to.name, order.ship_to.line1, order.ship_to.country) == ("A & B", "1 Road", "DE")


def test_lenient_about_what_plug_ins_send() -> None:
    row = line_row(1, 0, 0.5, "", sku=None, meta_data=None, total_tax=None)
    order = mapping.order(order_row(lines=[row], number=9, refunds=None), ())
    (line,) = order.lines
    assert (line.quantity, line.listing_external_id, line.sku, line.total) == (1, None, "", usd("0"))
    with pytest.raises(ValueError, match="no date"):
        mapping.order(order_row(date_created_gmt=None, date_modified_gmt=None), ())


def product(**changes: Any) -> wire.Product:
    row: dict[str, Any] = {"id": 5, "name": "A &amp; B", "sku": "S", "price": "5", "regular_price": "6"}
    return wire.Product.model_validate({**row, "manage_stock": True, "stock_quantity": 4, **changes})


def test_products_as_shops_show_them() -> None:
    state = mapping.product_listing(product(), "USD")
    assert (state.title, state.price, state.quantity) == ("A & B", usd("5.00"), 4)
    assert mapping.product_listing(product(price="", regular_price=""), "USD").price is None
    assert mapping.product_listing(product(price="-5"), "USD").price == usd("-5")
    assert mapping.product_listing(product(stock_quantity=-42), "USD").quantity == -42
    assert mapping.product_listing(product(manage_stock=False), "USD").quantity is None
    ended = [{"key": mapping.ENDED_META, "value": "yes"}]
    for status, meta, expected in (
        ("publish", ended, "active"),
        ("draft", ended, "ended"),
        ("draft", [], "draft"),
        ("private", [], "draft"),
        ("trash", [], "ended"),
    ):
        assert mapping.product_listing(product(status=status, meta_data=meta), "USD").status == expected


def variation(**changes: Any) -> wire.Variation:
    row = {"id": 7, "sku": "S-red", "price": "5", "manage_stock": True, "stock_quantity": 2}
    row["attributes"] = [{"name": "Color", "option": "Red"}, {"name": "Size", "option": "M"}]
    return wire.Variation.model_validate({**row, **changes})


def test_variations_are_not_folded_together() -> None:
    parent = product(type="variable")
    own = mapping.variation_listing(variation(), parent, "USD")
    assert (own.external_id, own.sku, own.title, own.quantity) == ("5/7", "S-red", "A & B - Red, M", 2)
    assert own.group_external_id == "5", "its name is the parent's"
    shared = [
        mapping.variation_listing(variation(id=n, sku="S", manage_stock="parent", stock_quantity=4), parent, "USD")
        for n in (8, 9)
    ]
    # Each shows its parent's SKU and stock: the SKU is not theirs, the stock they share.
    assert [(state.external_id, state.sku, state.quantity) for state in shared] == [("5/8", "", 4), ("5/9", "", 4)]
    assert mapping.variation_listing(variation(status="private"), parent, "USD").status == "ended"
    assert mapping.variation_listing(variation(), product(status="draft"), "USD").status == "draft"
    assert mapping.variation_listing(variation(manage_stock=False), parent, "USD").quantity is None


def test_external_ids() -> None:
    assert mapping.split_id("12") == (12, None)
    assert mapping.split_id("12/34") == (12, 34)
    for text in ("", "a", "12/", "/1", "1/2/3", "-1", "١", "1" * 30):
        with pytest.raises(ValueError):
            mapping.split_id(text)


def test_what_is_sent_for_an_offer() -> None:
    offer = Offer(
        sku="S",
        title="A & B",
        price=usd("12.50"),
        quantity=3,
        barcode="4006381333931",
        brand="Lumen",
        images=("https://img.example/1.jpg",),
        weight_grams=1000,
        attributes={"Color": "Red"},
    )
    body = mapping.creation_body(offer, "key-1", weight_unit="lbs", category_id=9)
    assert (body["regular_price"], body["sale_price"]) == ("12.50", "")
    assert (body["manage_stock"], body["stock_quantity"], body["status"]) == (True, 3, "publish")
    assert body["weight"] == "2.2046"
    assert [(row["name"], row["options"]) for row in body["attributes"]] == [("Color", ["Red"]), ("Brand", ["Lumen"])]
    assert {"key": "_flipsync_key", "value": "key-1"} in body["meta_data"]
    bare = mapping.creation_body(
        Offer(sku="S", title="T", price=Money(amount_minor=26, currency="JPY"), quantity=0, barcode="no code"),
        "k",
        weight_unit=None,
        category_id=None,
    )
    assert bare["regular_price"] == "26"
    assert not {"weight", "categories", "global_unique_id"} & set(bare)
    assert mapping.weight_text(1250, "kg") == "1.25" and mapping.weight_text(1000, "g") == "1000"


@pytest.mark.parametrize(
    ("status", "body", "auth", "missing", "hint"),
    [
        (401, {"code": "woocommerce_rest_cannot_view", "message": "Sorry, you cannot list resources."}, 1, 0, "key"),
        (
            401,
            {
                "code": "woocommerce_rest_authentication_error",
                "message": "The API key provided does not have write permissions.",
            },
            1,
            0,
            "read/write",
        ),
        (401, {"code": "woocommerce_rest_authentication_error", "message": "Invalid timestamp."}, 1, 0, "clock"),
        (400, {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."}, 0, 1, ""),
        (404, {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."}, 0, 1, ""),
        (400, {"code": "woocommerce_rest_shop_order_invalid_id", "message": "Invalid ID.", "data": None}, 0, 1, ""),
        (400, {"code": "product_invalid_sku", "message": "Taken", "data": {"status": 400}}, 0, 0, ""),
        (500, {"code": "woocommerce_rest_cannot_create_order_refund", "message": "x", "data": 500}, 0, 0, ""),
        (502, None, 0, 0, ""),
        (500, ["<p>critical</p>"], 0, 0, ""),
    ],
)
def test_error_bodies(status: int, body: Any, auth: int, missing: int, hint: str) -> None:
    found = refusals.read_error(status, body)
    assert (found.auth, found.missing) == (bool(auth), bool(missing))
    assert hint in found.hint
    assert found.code == (body["code"] if isinstance(body, dict) else "")


def test_times_in_queries_have_no_zone() -> None:
    moment = datetime.fromisoformat("2026-03-02T09:00:00.750-05:00")
    assert mapping.gmt_query(moment) == "2026-03-02T14:00:00"


# As PHP and plug-ins have it


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ({"sku": None, "global_unique_id": None, "stock_quantity": "", "manage_stock": None}, ("", None)),
        ({"sku": 4711, "manage_stock": "yes", "stock_quantity": "3.0000"}, ("4711", 3)),
        ({"sku": False, "manage_stock": 1, "stock_quantity": 2.0, "parent_id": None}, ("", 2)),
        ({"sku": "A", "manage_stock": "parent", "stock_quantity": 4, "meta_data": {}, "attributes": {}}, ("A", 4)),
        ({"sku": "A", "manage_stock": "0", "stock_quantity": 4, "images": {}, "date_modified_gmt": ""}, ("A", None)),
        ({"sku": "A", "manage_stock": True, "stock_quantity": -42, "status": None}, ("A", -42)),
    ],
)
def test_a_product_as_plug_ins_leave_it(told: dict[str, Any], seen: tuple[str, int | None]) -> None:
    state = mapping.product_listing(wire.Product.model_validate({"id": 7, "name": None, **told}), "USD")
    assert (state.sku, state.quantity) == seen


def test_a_list_that_lost_a_row_comes_as_a_map() -> None:
    row = wire.Product.model_validate(
        {
            "id": 7,
            "attributes": {
                "1": {"id": None, "name": "Size", "variation": "1", "visible": "", "options": {"0": "S", "2": "L"}}
            },
            "meta_data": {"3": {"key": 5, "value": "x"}},
        }
    )
    (attribute,) = row.attributes
    assert (attribute.options, attribute.variation, attribute.visible) == (["S", "L"], True, False)
    assert wire.meta_value(row.meta_data, "5") == "x"


@pytest.mark.parametrize(
    ("price", "regular_price", "seen"),
    [("", "", None), (" ", "", None), ("from 5.00", "", None), ("NaN", "5", usd("5")), (19.9, "", usd("19.9"))],
)
def test_a_price_that_is_none(price: Any, regular_price: str, seen: Money | None) -> None:
    row = wire.Product.model_validate({"id": 7, "price": price, "regular_price": regular_price})
    assert mapping.product_listing(row, "USD").price == seen


def test_an_order_without_utc_times_goes_by_the_shops_own() -> None:
    row = {"id": 9, "status": "processing", "currency": "USD", "date_created_gmt": None, "date_modified_gmt": ""}
    row |= {"date_modified": "2026-03-02T09:00:00"}
    told = mapping.order(wire.Order.model_validate(row), ())
    assert told.modified_at == told.placed_at == datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_an_order_as_plug_ins_leave_it() -> None:
    line = {
        "id": 1,
        "product_id": None,
        "variation_id": "",
        "quantity": "",
        "total": None,
        "sku": False,
        "meta_data": "",
    }
    row = {"id": 9, "status": "processing", "currency": "USD", "date_created_gmt": "2026-03-02T09:00:00"}
    bare: dict[str, Any] = {"billing": [], "shipping": None, "refunds": None, "customer_note": None, "total": "5.00 "}
    told = mapping.order(wire.Order.model_validate({**row, **bare, "line_items": {"0": line}}), ())
    assert (told.total, told.lines[0].quantity, told.lines[0].listing_external_id) == (usd("5"), 0, None)


def test_a_note_of_restocked_units_that_is_none_is_passed_over() -> None:
    line = {"id": 1, "quantity": 2, "meta_data": [{"key": "_restock_refunded_items", "value": "two"}]}
    row = {"id": 9, "status": "processing", "currency": "USD", "date_created_gmt": "2026-03-02T09:00:00"}
    order = wire.Order.model_validate({**row, "line_items": [line], "refunds": [{"id": 3}]})
    refund = {"id": 3, "amount": "-5.00", "line_items": [{"id": 4, "quantity": -1, "meta_data": []}]}
    (told,) = mapping.order(order, [wire.Refund.model_validate(refund)]).refunds
    assert told.amount == usd("5")


# Odd states of orders


def stored(**told: Any) -> wire.Order:
    row = {"id": 9, "status": "processing", "currency": "USD", "date_created_gmt": "2026-03-02T09:00:00", **told}
    return wire.Order.model_validate(row)


@pytest.mark.parametrize(
    ("before", "holds"), [("wc-processing", True), ("wc-cancelled", False), ("wc-failed", False), ("on-hold", True)]
)
def test_the_bin_moves_no_stock(before: str, holds: bool) -> None:
    """Merchants clear cancelled orders away: that their units went back stays true."""
    binned = stored(
        status="trash",
        date_paid_gmt="2026-03-02T09:01:00",
        meta_data=[{"id": 1, "key": "_wp_trash_meta_status", "value": before}],
    )
    assert (mapping.order(binned, ()).status, mapping.holds_stock(binned)) == ("cancelled", holds)


@pytest.mark.parametrize(
    ("told", "may"),
    [
        ({"status": "awaiting-shipment", "date_paid_gmt": "2026-03-02T09:01:00"}, True),
        ({"status": "awaiting-shipment"}, False),
        ({"status": "on-hold"}, True),
        ({"status": "completed"}, True),
        ({"status": "pending", "date_paid_gmt": "2026-03-02T09:01:00"}, False),
        ({"status": "refunded", "date_paid_gmt": "2026-03-02T09:01:00"}, False),
        ({"status": "trash", "date_paid_gmt": "2026-03-02T09:01:00"}, False),
    ],
)
def test_a_paid_order_in_a_status_of_a_plug_ins_can_be_shipped(told: dict[str, Any], may: bool) -> None:
    assert mapping.can_be_shipped(stored(**told)) is may


def test_a_refund_of_half_a_unit_names_its_share() -> None:
    row = stored(line_items=[{"id": 1, "product_id": 7, "quantity": 0.5, "total": "4.00"}])
    wish = RefundOrder(
        order_external_id="9", amount=usd("4.00"), reason="goods", reference="R1", units={"1": 1}, restock=True
    )
    assert mapping.refund_body(row, wish)["line_items"] == [{"id": 1, "quantity": 1, "refund_total": 4.0}]


@pytest.mark.parametrize(
    ("told", "code", "kind"),
    [
        ("HTTP 500: Invalid refund amount.", "woocommerce_rest_cannot_create_order_refund", "refused"),
        (
            "HTTP 500: The payment gateway for this order does not support automatic refunds.",
            "woocommerce_rest_cannot_create_order_refund",
            "refused",
        ),
        ("HTTP 500: Request timed out.", "woocommerce_rest_cannot_create_order_refund", "for a person"),
        ("HTTP 500: crash", "internal_server_error", "read back"),
    ],
)
def test_a_refund_whose_record_was_taken_away_is_not_asked_for_again(told: str, code: str, kind: str) -> None:
    found = refusals.refund_refused(OutcomeUnknown(told, vendor_code=code, vendor_status=500))
    if kind == "refused":
        assert isinstance(found, Rejected) and "do it in the shop" in found.hint
    else:
        assert isinstance(found, OutcomeUnknown) and found.for_person is (kind == "for a person")


@pytest.mark.parametrize(
    "odd",
    [
        {"date_modified_gmt": "soon"},
        {"stock_quantity": "many"},
        {"stock_quantity": 1e30},
        {"stock_quantity": "NaN"},
        {"description": ["x"]},
        {"images": [None, {"src": ["x"]}, "x"]},
        {"images": "none"},
        {"attributes": [None, {"name": {"de": "Farbe"}, "options": "a|b"}]},
        {"meta_data": [None, {"key": ["x"], "value": 1}]},
        {"parent_id": "none", "price": {"usd": 5}, "sku": ["A"], "name": {"de": "x"}},
        {"status": None, "type": None, "manage_stock": None},
    ],
)
def test_odd_things_in_a_product_do_not_hide_it(odd: dict[str, Any]) -> None:
    state = mapping.product_listing(wire.Product.model_validate({"id": 7, "manage_stock": True, **odd}), "USD")
    assert state.external_id == "7"
    parent = wire.Product.model_validate({"id": 7, "type": "variable", **odd})
    part = wire.Variation.model_validate({"id": 8, "manage_stock": True, **odd})
    assert mapping.variation_listing(part, parent, "USD").external_id == "7/8"


def test_amounts_units_and_dates_of_an_order_are_read_or_the_order_is_not() -> None:
    line = {"id": 1, "quantity": 1, "total": "5.00"}
    for odd in ({"quantity": "many"}, {"total": {"usd": 5}}):
        with pytest.raises(ValidationError):
            stored(line_items=[{**line, **odd}])
    for told in ({"date_modified_gmt": "soon"}, {"total": ["5.00"]}, {"line_items": "one lamp"}):
        with pytest.raises(ValidationError):
            stored(**told)
