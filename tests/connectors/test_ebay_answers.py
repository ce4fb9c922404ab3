"""Answers of eBay's that are not what they should be: nothing is lost silently, and one row spoils no other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from ebay_channel import ITEM, OFFER, USD, Limits, Server, bulk, connector, failure, item_row, order

from flipsync.connectors.base import QuantityChange
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import usd

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


async def every(rows: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in rows]


# Errors in answers that went well


def inside(id: int, category: str, message: str = "No.") -> dict[str, Any]:
    return {"errors": [{"errorId": id, "category": category, "message": message}]}


async def test_errors_in_an_answer_of_200_are_no_empty_list() -> None:
    body = inside(30500, "APPLICATION", "System error")
    server = Server({("GET", "/order"): body, ("GET", "/inventory_item"): body, ("GET", "/inventory_item/A"): body})
    async with connector(server) as ebay:
        with pytest.raises(Retryable, match="System error"):
            [each async for each in ebay.orders(SINCE)]
        with pytest.raises(Retryable, match="System error"):
            [each async for each in ebay.listings()]
        with pytest.raises(Retryable, match="System error"):
            await ebay.find_listing("A")


@pytest.mark.parametrize(
    ("id", "category", "kind"),
    [(25001, "APPLICATION", OutcomeUnknown), (25002, "REQUEST", Rejected), (2001, "REQUEST", Retryable)],
)
async def test_errors_in_an_answer_of_200_to_a_write_say_what_became_of_it(id: int, category: str, kind: Any) -> None:
    limits = Limits()
    paused: list[str] = []

    async def pause(bucket: str, seconds: float) -> None:
        paused.append(bucket)

    limits.pause = pause  # type: ignore[method-assign]
    offers = {"offers": [{**OFFER, "pricingSummary": {"price": USD}}]}
    server = Server(
        {
            ("GET", "/inventory_item/A"): ITEM,
            ("GET", "/offer"): offers,
            ("POST", "/bulk_update_price_quantity"): inside(id, category),
            ("POST", "/withdraw"): inside(id, category),
        }
    )
    async with connector(server, limits) as ebay:
        with pytest.raises(kind) as failed:
            await ebay.set_price("A", usd("8.00"), "k")
        with pytest.raises(kind):
            await ebay.end("A", "k")
    assert failed.value.vendor_code == str(id)
    assert paused == (["a:sell.inventory"] * 2 if id == 2001 else [])


async def test_a_token_that_an_answer_of_200_calls_invalid_is_replaced() -> None:
    tokens = iter(["t1", "t2"])
    server = Server(
        {
            ("POST", "/oauth2/token"): lambda _: {"access_token": next(tokens), "expires_in": 7200},
            ("GET", "/order/1"): lambda request: (
                order("1")
                if request.headers["Authorization"] == "Bearer t2"
                else inside(1001, "REQUEST", "Invalid access token")
            ),
        }
    )
    async with connector(server) as ebay:
        ebay._api._seller[1]._young = timedelta(0)
        with pytest.raises(Retryable, match="Invalid access token"):
            await ebay.read_order("1")
        assert (await ebay.read_order("1")) is not None


async def test_warnings_are_no_errors() -> None:
    warned = {"warnings": [{"errorId": 25402, "category": "APPLICATION", "message": "System warning."}]}
    offers = {"offers": [{**OFFER, "pricingSummary": {"price": USD}}]}
    server = Server(
        {
            ("GET", "/inventory_item/A"): ITEM,
            ("GET", "/offer"): offers,
            ("POST", "/withdraw"): {"listingId": "1", **warned},
        }
    )
    async with connector(server) as ebay:
        await ebay.end("A", "k")
    assert server.seen[-1].url.path.endswith("/offer/1/withdraw")


@pytest.mark.parametrize("status", [200, 204])
async def test_only_204_says_that_there_is_nothing(status: int) -> None:
    empty = httpx2.Response(status)
    paths = ("/inventory_item", "/transaction", "/payout", "/find_eligible_items", "/listing_violation_summary")
    async with connector(Server({("GET", path): empty for path in paths})) as ebay:
        reads: list[Any] = [
            lambda: every(ebay.finances.movements(SINCE, SINCE)),
            lambda: every(ebay.payouts(SINCE)),
            ebay.negotiation.listings_with_interest,
            ebay.compliance.counts,
        ]
        if status == 204:
            assert [await read() for read in reads] == [[], [], [], {}]
            return
        for read in (*reads, lambda: every(ebay.listings())):
            with pytest.raises(Retryable, match=r"empty|cannot be used"):
                await read()


# Lists that lose rows


async def test_a_list_that_ends_too_early_is_not_taken_for_whole() -> None:
    def page(request: httpx2.Request) -> Any:
        offset = int(request.url.params["offset"])
        more = f"https://api.ebay.com/x?filter=f&limit=200&offset={offset + 2}"
        return {
            "orders": [order(f"{offset}"), order(f"{offset + 1}")],
            "total": 4,
            "next": more if not offset else None,
        }

    cut = {"orders": [order("0"), order("1")], "total": 4}
    again = {**cut, "next": "/x?limit=200&offset=2"}  # the first page a second time
    for answer in (cut, again):
        async with connector(Server({("GET", "/order"): answer})) as ebay:
            with pytest.raises(Retryable, match="2 of its 4 rows"):
                [each async for each in ebay.orders(SINCE)]
    async with connector(Server({("GET", "/order"): page})) as ebay:
        assert [each.external_id async for each in ebay.orders(SINCE)] == ["0", "1", "2", "3"]


async def test_a_part_that_comes_twice_is_doubted_where_no_total_is_told() -> None:
    answer = {"inventoryItems": [ITEM], "next": "/x?limit=100&offset=100"}
    async with connector(Server({("GET", "/inventory_item"): answer, ("GET", "/offer"): {"offers": []}})) as ebay:
        with pytest.raises(Retryable, match="came twice"):
            [each async for each in ebay.listings()]


async def test_listings_that_cannot_be_read_hinder_no_other_and_are_not_taken_for_gone() -> None:
    bad = {"sku": "B", "product": {"title": {"en": "Lamp"}}}
    nameless = {"locale": "en_US"}
    answer = {"inventoryItems": [bad, nameless, ITEM], "total": 3}
    found = []
    async with connector(Server({("GET", "/inventory_item"): answer, ("GET", "/offer"): {"offers": []}})) as ebay:
        with pytest.raises(Unreadable, match="2 listings cannot be read"):
            async for state in ebay.listings():
                found.append(state.sku)
    assert found == ["A"]


async def test_movements_of_funds_that_cannot_be_read_hinder_no_other() -> None:
    def row(id: str, **more: Any) -> dict[str, Any]:
        moment = "2026-03-02T14:00:00.000Z"
        booked = {"transactionId": id, "transactionType": "SALE", "transactionDate": moment, "bookingEntry": "CREDIT"}
        return {**booked, "amount": USD, **more}

    rows = [row("1", amount=None), row("2", amount={"value": "1.005", "currency": "USD"}), row("3")]
    found = []
    async with connector(Server({("GET", "/transaction"): {"transactions": rows, "total": 3}})) as ebay:
        with pytest.raises(Unreadable, match="2 movements"):
            async for each in ebay.finances.movements(SINCE, SINCE):
                found.append(each.id)
    assert found == ["3"]


# Bulk answers


async def test_a_sku_that_a_bulk_answer_leaves_out_is_not_taken_for_unknown() -> None:
    unknown = {"statusCode": 404, "sku": "C", "errors": [{"errorId": 25702, "category": "REQUEST"}]}
    rows = [item_row("B"), unknown, {"statusCode": 200}]
    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): bulk(*rows),
            ("GET", "/offer"): {"offers": [OFFER]},
            ("POST", "/bulk_update_price_quantity"): bulk({"statusCode": 200, "sku": "B"}),
        }
    )
    async with connector(server) as ebay:
        changes = [QuantityChange(sku, 3, "k") for sku in ("A", "B", "C")]
        left_out, there, gone = await ebay.set_quantities(changes)
        with pytest.raises(Retryable):
            await ebay.read_listings(["A", "B", "C"])
        assert list(await ebay.read_listings(["B", "C"])) == ["B"]
    assert isinstance(left_out.error, Retryable) and there.state is not None
    assert isinstance(gone.error, Rejected) and gone.error.missing


async def test_one_sku_that_a_bulk_call_is_refused_for_hinders_no_other() -> None:
    def asked(request: httpx2.Request) -> list[str]:
        return [row["sku"] for row in json.loads(request.content)["requests"]]

    def read(request: httpx2.Request) -> Any:
        return failure(400, 25708, "Invalid SKU.") if "B" in asked(request) else bulk(*map(item_row, asked(request)))

    def write(request: httpx2.Request) -> Any:
        if "C" in asked(request):
            return failure(400, 25709, "Invalid value for quantity.")
        return bulk(*({"statusCode": 200, "sku": sku} for sku in asked(request)))

    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): read,
            ("POST", "/bulk_update_price_quantity"): write,
            ("GET", "/offer"): {"offers": [OFFER]},
        }
    )
    async with connector(server) as ebay:
        one, bad, refused = await ebay.set_quantities([QuantityChange(sku, 9, "k") for sku in ("A", "B", "C")])
        assert list(await ebay.read_listings(["A", "B"])) == ["A"]
        assert await ebay.read_listings(["B"]) == {}
    assert one.error is None and isinstance(bad.error, Rejected) and bad.error.missing
    assert isinstance(refused.error, Rejected) and refused.error.vendor_code == "25709"


async def test_an_offer_with_a_quantity_of_its_own_is_read_back_too() -> None:
    server: Server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): lambda request: bulk(
                item_row("A", 3 if len(server.seen) < 4 else 9)  # the item took it, the offer did not
            ),
            ("POST", "/bulk_update_price_quantity"): bulk({"statusCode": 200, "sku": "A", "offerId": "1"}),
            ("GET", "/offer"): {"offers": [{**OFFER, "availableQuantity": 3}]},
        }
    )
    async with connector(server) as ebay:
        assert (await ebay.set_quantity("A", 9, "k")).quantity == 3


async def test_migrated_rows_without_their_listing_are_laid_to_those_that_are_left() -> None:
    refused = {"statusCode": 400, "errors": [{"errorId": 25001, "category": "REQUEST", "message": "no SKU"}]}
    server = Server({("POST", "/bulk_migrate_listing"): bulk({"statusCode": 200, "listingId": "1"}, refused)})
    async with connector(server) as ebay:
        rows = await ebay._migration._migrate(["1", "2", "3"])
    assert [(row.listing_id, bool(row.errors)) for row in rows] == [("1", False), ("2", True), ("3", True)]
