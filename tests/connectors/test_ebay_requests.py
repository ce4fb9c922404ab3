"""The eBay connector at work: tokens, quotas, revisions, groups, bulk writes and what breaks on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, QuantityChange, Unlimited
from flipsync.connectors.marketplaces.ebay import limits, listings
from flipsync.connectors.marketplaces.ebay.auth import TokenEndpoint, consent_url
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.marketplaces.ebay.revisions import A_DAY, Revisions
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import ChannelError, InvalidInput, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money, usd

KEYS = {
    "client_id": SecretStr("id"),
    "client_secret": SecretStr("hush"),
    "refresh_token": SecretStr("lasting"),
}
TOKEN = {"access_token": "t1", "expires_in": 7200, "token_type": "User Access Token"}
Handler = Callable[[httpx2.Request], httpx2.Response]


class Limits(Unlimited):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.learned: dict[str, tuple[float | None, int | None, float | None]] = {}
        self.acquired: list[tuple[str, float, int]] = []

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        self.acquired.append((bucket, rate_per_second, burst))

    async def learn(
        self, bucket: str, *, rate_per_second: float | None = None, burst: int | None = None, left: float | None = None
    ) -> None:
        self.learned[bucket] = (rate_per_second, burst, left)


class Server(httpx2.AsyncBaseTransport):
    """Answers from a table: (method, end of path) → answer, or a function of the request."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.answers = {("POST", "/oauth2/token"): TOKEN, **answers}
        self.seen: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        for (method, end), answer in self.answers.items():
            if request.method == method and request.url.path.endswith(end):
                told = answer(request) if callable(answer) else answer
                return told if isinstance(told, httpx2.Response) else httpx2.Response(200, json=told)
        return httpx2.Response(404, json={"errors": [{"errorId": 25710, "category": "REQUEST", "message": "none"}]})


def connector(server: Server, limiter: Any = None, **options: str) -> EbayConnector:
    config = AccountConfig(vendor="ebay", base_url="https://api.example", currency="USD", options=options)
    return EbayConnector(config, KEYS, limiter or Unlimited(), "a", transport=server)


def failure(status: int, id: int, text: str = "No.", category: str = "REQUEST", **headers: str) -> httpx2.Response:
    body = {"errors": [{"errorId": id, "category": category, "message": text}]}
    return httpx2.Response(status, json=body, headers=headers)


def lamp(sku: str = "LAMP-1", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": sku,
        "title": "Lamp & shade",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "brand": "Lumen",
        "images": ("https://img.example/lamp.jpg",),
    }
    return Offer(**{**fields, **changes})


# Tokens


async def test_the_token_is_asked_for_as_ebay_wants_it() -> None:
    server = Server({("GET", "/inventory_item"): {"inventoryItems": []}})
    async with connector(server) as ebay:
        assert [state async for state in ebay.listings()] == []
    asked, listed = server.seen
    assert str(asked.url) == "https://api.example/identity/v1/oauth2/token"
    assert asked.headers["Authorization"] == "Basic aWQ6aHVzaA=="
    assert asked.content == b"grant_type=refresh_token&refresh_token=lasting"
    assert listed.headers["Authorization"] == "Bearer t1"
    other = Server({("GET", "/inventory_item"): {}})
    config = AccountConfig(
        vendor="ebay",
        base_url="https://api.example",
        token_url="https://tokens.example/t/oauth2/token",
        currency="USD",
        options={"scopes": "a b"},
    )
    async with EbayConnector(config, KEYS, Unlimited(), "a", transport=other) as ebay:
        await anext(ebay.listings(), None)
    assert str(other.seen[0].url) == "https://tokens.example/t/oauth2/token"
    assert other.seen[0].content.endswith(b"&scope=a+b")


@pytest.mark.parametrize(("status", "id"), [(401, 1001), (401, 1002), (403, 1001), (400, 1001)])
async def test_an_expired_token_is_renewed_whatever_the_status(status: int, id: int) -> None:
    def listed(request: httpx2.Request) -> Any:
        fresh = request.headers["Authorization"] == "Bearer t1"
        return {"inventoryItems": []} if fresh else failure(status, id, "Invalid access token")

    server = Server({("GET", "/inventory_item"): listed})
    config = AccountConfig(vendor="ebay", base_url="https://api.example", currency="USD")
    vault = MemoryVault({**KEYS, "access_token": SecretStr("stale")})
    async with EbayConnector(config, dict(vault.credentials), Unlimited(), "a", vault=vault, transport=server) as ebay:
        assert await anext(ebay.listings(), None) is None
    assert [request.url.path.rsplit("/", 1)[1] for request in server.seen] == [
        "inventory_item",
        "token",
        "inventory_item",
    ]
    assert vault.credentials["access_token"].get_secret_value() == "t1"


async def test_missing_permission_is_no_expired_token() -> None:
    server = Server({("GET", "/inventory_item"): failure(403, 1100, "Access denied")})
    async with connector(server) as ebay:
        with pytest.raises(Rejected, match="Access denied") as refused:
            await anext(ebay.listings(), None)
    assert refused.value.auth and "scope" in refused.value.hint
    assert len(server.seen) == 2, "no second token, no second try"


async def test_a_withdrawn_consent_asks_for_a_new_connection(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.probe()
    channel.ebay.tokens.expire()
    channel.ebay.tokens.revoked = True
    with pytest.raises(Rejected) as refused:
        await channel.connector.find_listing("X")
    # a token of the last half minute is not asked for again
    assert refused.value.auth
    fresh = open_channel("ebay").connector
    with pytest.raises(Rejected, match="refresh token is invalid") as refused:
        await fresh.find_listing("X")
    assert refused.value.auth and "connect the eBay account again" in refused.value.hint


async def test_a_seller_consents_and_the_code_becomes_a_refresh_token(open_channel: Any) -> None:
    channel = open_channel("ebay")
    keyset = channel.ebay.tokens.keyset
    address = urlsplit(consent_url(channel.connector.config, keyset.client_id, keyset.redirect_name, "s t"))
    asked = dict(parse_qsl(address.query))
    assert address.netloc == "auth.ebay.com" and asked["state"] == "s t" and asked["response_type"] == "code"
    assert {
        f"https://api.ebay.com/oauth/api_scope/sell.{name}" for name in ("inventory", "fulfillment", "account")
    } <= set(asked["scope"].split())
    endpoint = TokenEndpoint(channel.connector.config, Unlimited(), "a", channel.tap)
    keys = {name: channel.connector.credentials[name] for name in ("client_id", "client_secret")}
    grant = await endpoint.exchange(keys, channel.ebay.tokens.consent(), keyset.redirect_name)
    assert grant.refresh_token is not None and grant.refresh_token.get_secret_value() == keyset.refresh_token
    assert grant.refresh_expires_in == 47_304_000
    with pytest.raises(Rejected) as refused:
        await endpoint.exchange(keys, "used up", keyset.redirect_name)
    assert refused.value.auth
    await endpoint.aclose()


async def test_public_data_is_asked_with_the_applications_token(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(), "k1")
    users = {r.headers["Authorization"] for r in channel.tap.requests if r.url.path.startswith("/ebay/sell/")}
    public = {r.headers["Authorization"] for r in channel.tap.requests if "/taxonomy/" in r.url.path}
    assert len(users) == len(public) == 1 and users != public
    kept = channel.connector.vault.credentials
    assert {"access_token", "application_token"} <= set(kept)
    assert kept["refresh_token"] == channel.connector.credentials["refresh_token"]


async def test_when_access_ends_is_told(open_channel: Any) -> None:
    channel = open_channel("ebay")
    ends = datetime(2027, 9, 1, tzinfo=UTC)
    channel.connector.vault.credentials["refresh_expires_at"] = SecretStr(ends.isoformat())
    assert (await channel.connector.probe()).access_ends_at == ends


# Limits


async def test_each_api_has_its_bucket_and_learns_what_is_left(open_channel: Any) -> None:
    channel = open_channel("ebay")
    limiter = Limits()
    channel.connector._api._limiter = limiter
    await channel.connector.probe()
    assert limiter.learned["a:sell.inventory"][:2] == (2_000_000 / 86_400, 2_000_000)
    assert limiter.learned["a:buy.browse"] == (5_000 / 86_400, 5_000, 5_000.0)
    assert limits.BROWSE.burst == 5_000 and limits.FULFILLMENT.bucket == "sell.fulfillment"


async def test_a_quota_that_is_gone_says_when_it_is_there_again(open_channel: Any) -> None:
    channel = open_channel("ebay")
    channel.ebay.quotas.limits["/sell/inventory/"] = 1
    await channel.connector.find_listing("X")
    with pytest.raises(Retryable) as limited:
        await channel.connector.find_listing("X")
    assert limited.value.vendor_status == 429
    assert limited.value.after is not None and 0 < limited.value.after <= 86_400
    asked = sum("/rate_limit/" in request.url.path for request in channel.tap.requests)
    with pytest.raises(Retryable):
        await channel.connector.find_listing("X")
    assert sum("/rate_limit/" in r.url.path for r in channel.tap.requests) == asked, "not asked at every refusal"
    assert any("used up" in note for note in await quota_notes(channel))


async def quota_notes(channel: Any) -> tuple[str, ...]:
    channel.ebay.quotas.limits["/sell/inventory/"] = 100
    channel.ebay.quotas.counts["/buy/browse/"] = 5_000
    notes: tuple[str, ...] = (await channel.connector.probe()).notes
    return notes


async def test_a_retry_after_is_heeded() -> None:
    server = Server({("GET", "/inventory_item"): failure(429, 2001, "Too many requests", **{"Retry-After": "7"})})
    async with connector(server) as ebay:
        with pytest.raises(Retryable) as limited:
            await anext(ebay.listings(), None)
    assert limited.value.after == 7.0
    assert not any("rate_limit" in request.url.path for request in server.seen)


# Revisions


async def test_what_changes_nothing_is_not_written(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    before = len(channel.tap.requests)
    assert (await channel.connector.set_price(made.external_id, usd("19.90"), "k2")).price == usd("19.90")
    assert (await channel.connector.set_quantity(made.external_id, 5, "k3")).quantity == 5
    assert (await channel.connector.revise(made.external_id, lamp(), "k4")).title == "Lamp & shade"
    writes = [r for r in channel.tap.requests[before:] if r.method != "GET" and "bulk_get" not in r.url.path]
    assert writes == []


async def test_the_days_revisions_are_counted_and_learned(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    other = await channel.connector.publish(lamp("LAMP-2"), "k2")
    for _ in range(A_DAY):  # another tool revises the listing all day
        channel.ebay.items.shop.revise("LAMP-1")
    with pytest.raises(Retryable, match="250 times a day") as used:
        await channel.connector.set_quantity(made.external_id, 4, "k3")
    assert used.value.after is not None and 0 < used.value.after <= 86_400
    before = len(channel.tap.requests)
    for change in (
        channel.connector.set_quantity(made.external_id, 3, "k4"),
        channel.connector.set_price(made.external_id, usd("3.00"), "k5"),
        channel.connector.revise(made.external_id, lamp(title="Other"), "k6"),
    ):
        with pytest.raises(Retryable, match="250 times a day"):
            await change
    assert not [r for r in channel.tap.requests[before:] if r.method != "GET" and "bulk_get" not in r.url.path]
    outcomes = await channel.connector.set_quantities(
        [QuantityChange(made.external_id, 2, "k7"), QuantityChange(other.external_id, 2, "k8")]
    )
    assert isinstance(outcomes[0].error, Retryable) and outcomes[1].state.quantity == 2


async def test_what_was_seen_lately_is_written_and_read_back_without_a_look_before(
    open_channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = open_channel("ebay")
    made = [await channel.connector.publish(lamp(f"S{n}"), f"k{n}") for n in range(3)]

    async def push(*quantities: int) -> list[str]:
        before = len(channel.tap.requests)
        changes = [
            QuantityChange(row.external_id, units, f"q{before}-{row.sku}")
            for row, units in zip(made, quantities, strict=True)
        ]
        outcomes = await channel.connector.set_quantities(changes)
        assert [outcome.state.quantity for outcome in outcomes] == list(quantities)
        return [request.url.path.rpartition("/")[2] for request in channel.tap.requests[before:]]

    await push(11, 12, 13)
    assert await push(21, 22, 23) == ["bulk_update_price_quantity", "bulk_get_inventory_item"]
    assert await push(21, 30, 23) == [
        "bulk_get_inventory_item",
        "bulk_update_price_quantity",
        "bulk_get_inventory_item",
    ]
    await channel.connector.end(made[0].external_id, "end")
    assert "offer" in await push(21, 31, 24), "what became of the others is asked"
    monkeypatch.setattr(listings, "REMEMBERED", 1)
    await push(41, 42, 43)
    assert "offer" in await push(51, 52, 53)


def test_revisions_begin_anew_with_ebays_day() -> None:
    now = datetime(2026, 3, 2, 20, tzinfo=UTC)  # noon in California
    revisions = Revisions(lambda: now)
    for _ in range(A_DAY):
        revisions.count("L")
    with pytest.raises(Retryable) as used:
        revisions.require("L")
    assert used.value.after == 12 * 3600
    revisions.require("M")
    now += timedelta(hours=11, minutes=59)
    assert revisions.left("L") == 0
    now += timedelta(minutes=1)
    assert revisions.left("L") == A_DAY
    assert revisions.count("L", Rejected("no picture", vendor_code="25002")) is not None
    assert revisions.left("L") == A_DAY, "what was refused is no revision"
    revisions.count("L", OutcomeUnknown("?"))
    assert revisions.left("L") == A_DAY - 1


# Publishing


async def test_policies_and_location_are_named_when_there_is_a_choice(open_channel: Any) -> None:
    def answers(policies: int, places: int) -> dict[tuple[str, str], Any]:
        rows = [{"name": f"P{n}", "paymentPolicyId": str(n)} for n in range(policies)]
        spots = [{"merchantLocationKey": f"L{n}", "name": "W"} for n in range(places)]
        return {
            ("GET", "/payment_policy"): {"paymentPolicies": rows},
            ("GET", "/fulfillment_policy"): {"fulfillmentPolicies": [{"name": "F", "fulfillmentPolicyId": "f"}]},
            ("GET", "/return_policy"): {"returnPolicies": [{"name": "R", "returnPolicyId": "r"}]},
            ("GET", "/location"): {"locations": spots},
            ("GET", "/get_default_category_tree_id"): {"categoryTreeId": "0"},
            ("GET", "/get_item_aspects_for_category"): {"aspects": []},
        }

    for policies, places, said in ((0, 1, "no payment policy"), (2, 1, "2 of payment policy"), (1, 0, "no inventory")):
        server = Server(answers(policies, places))
        async with connector(server, category_id="1") as ebay:
            with pytest.raises(Rejected, match=said) as refused:
                await ebay.publish(lamp(), "k1")
        assert "the option " in refused.value.hint
        assert not [r for r in server.seen if r.method == "PUT"], "nothing was written"
    server = Server(answers(2, 2))
    async with connector(server, category_id="1", payment_policy_id="1", merchant_location_key="L1") as ebay:
        with pytest.raises(ChannelError) as failed:
            await ebay.publish(lamp(), "k1")
    assert "policy" not in failed.value.message, "it went on with what was chosen"


async def test_a_publish_that_broke_anywhere_is_gone_on_with(open_channel: Any) -> None:
    channel = open_channel("ebay")
    steps = ("PUT /ebay/sell/inventory/v1/inventory_item/", "POST /ebay/sell/inventory/v1/offer", "/publish")
    for number, step in enumerate(steps):
        inner = channel.tap.inner

        class Breaking(httpx2.AsyncBaseTransport):
            async def handle_async_request(
                self, request: httpx2.Request, inner: Any = inner, step: str = step
            ) -> httpx2.Response:
                response = await inner.handle_async_request(request)
                what = f"{request.method} {request.url.path}"
                hit = what.endswith(step) if step.startswith("/") else what.startswith(step)
                return httpx2.Response(502) if hit and request.method != "GET" else response

        channel.tap.inner = Breaking()
        sku = f"LAMP-{number}"
        with pytest.raises(OutcomeUnknown):
            await channel.connector.publish(lamp(sku), "k1")
        channel.tap.inner = inner
        state = await channel.connector.publish(lamp(sku), "k1")
        assert (state.status, state.quantity, state.price) == ("active", 5, usd("19.90"))
    assert len([state async for state in channel.connector.listings()]) == 3


async def test_without_a_unit_it_waits_for_the_first_one(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(quantity=0), "k1")
    assert (made.status, made.quantity, made.price) == ("draft", 0, usd("19.90"))
    shown = await channel.connector.set_quantity(made.external_id, 3, "k2")
    assert (shown.status, shown.quantity) == ("active", 3)
    channel.sell("LAMP-1", 3)
    sold_out = await channel.connector.read_listing(made.external_id)
    assert (sold_out.status, sold_out.quantity) == ("active", 0)
    again = await channel.connector.set_quantity(made.external_id, 2, "k3")
    assert (again.status, again.quantity) == ("active", 2)


async def test_an_offers_own_quantity_is_set_with_the_items(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    with channel.sandbox.books.transaction():
        channel.ebay.offers.shop.set_available(row, 2, "by hand")
        channel.sandbox.books.save_listing(row)
    assert (await channel.connector.read_listing(made.external_id)).quantity == 2
    assert (await channel.connector.set_quantity(made.external_id, 4, "k2")).quantity == 4


async def test_many_quantities_go_in_parts_of_25_and_each_has_its_outcome(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for number in range(52):
        await channel.connector.publish(lamp(f"L-{number}"), "k")
    changes = [QuantityChange(f"L-{number}", number % 7, f"q{number}") for number in range(52)]
    changes += [QuantityChange("NOBODY", 1, "q"), QuantityChange("L-1", 3, "again"), QuantityChange("L-1", 4, "last")]
    before = len(channel.tap.requests)
    outcomes = await channel.connector.set_quantities(changes)
    assert [outcome.change for outcome in outcomes] == changes
    for outcome in outcomes[:52]:
        assert outcome.state.quantity == outcome.change.quantity
    assert isinstance(outcomes[52].error, Rejected) and outcomes[52].error.missing
    assert (outcomes[53].state.quantity, outcomes[54].state.quantity) == (3, 4)
    bulk = [r for r in channel.tap.requests[before:] if r.url.path.endswith("bulk_update_price_quantity")]
    # without those that show 5 already, and the one nobody has; a SKU comes once in a call
    assert [len(json.loads(r.content)["requests"]) for r in bulk] == [22, 21, 3, 1]


async def test_a_bulk_write_that_breaks_leaves_the_rest_known(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for number in range(30):
        await channel.connector.publish(lamp(f"L-{number}"), "k")
    inner, seen = channel.tap.inner, []

    class SecondBreaks(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await inner.handle_async_request(request)
            if request.url.path.endswith("bulk_update_price_quantity"):
                seen.append(request)
                if len(seen) == 2:
                    return httpx2.Response(500)
            return response

    channel.tap.inner = SecondBreaks()
    changes = [QuantityChange(f"L-{number}", 1, "q") for number in range(30)]
    outcomes = await channel.connector.set_quantities(changes)
    assert all(outcome.state is not None and outcome.state.quantity == 1 for outcome in outcomes[:25])
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes[25:])


async def test_a_long_title_is_shown_cut_and_read_back_whole(open_channel: Any) -> None:
    channel = open_channel("ebay")
    long = f"Lamp {'very ' * 20}old"
    made = await channel.connector.publish(lamp(title=long), "k1")
    assert made.title == long
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    assert len(row.title) <= 80
    other = f"Lamp {'very ' * 20}new"
    assert (
        await channel.connector.revise(made.external_id, lamp(title=other, description_html=""), "k2")
    ).title == other
    short = await channel.connector.revise(made.external_id, lamp(title="Lamp", description_html=""), "k3")
    assert short.title == "Lamp"
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    assert row.doc["offer"]["listingDescription"] == row.doc["item"]["product"]["description"] == "<p>Brass.</p>"


# Groups


SHIRT = OfferGroup(
    key="SHIRT/1",
    title="Shirt, plain",
    description_html="<p>Cotton.</p>",
    options=("Size", "Color"),
    images=("https://img.example/shirt.jpg",),
    values={"Size": ("S", "M"), "Color": ("Red", "Blue")},
)


def shirt(sku: str, size: str, color: str, **changes: Any) -> Offer:
    fields = {"title": f"Shirt {size} {color}", "group": SHIRT, "choices": (size, color), "brand": "Weft"}
    return lamp(sku, **{**fields, **changes})


async def test_variations_are_one_listing_with_choices(open_channel: Any) -> None:
    channel = open_channel("ebay")
    first = await channel.connector.publish(shirt("S-R", "S", "Red"), "k1")
    second = await channel.connector.publish(shirt("M-B", "M", "Blue", quantity=0), "k2")
    third = await channel.connector.publish(shirt("S-B", "S", "Blue"), "k3")
    assert {each.group_external_id for each in (first, second, third)} == {"fs.SHIRT_2F1"}
    assert [each.status for each in (first, second, third)] == ["active"] * 3
    numbers = {row.doc["listing_id"] for row in channel.sandbox.books.listings("channel = 'ebay'", ())}
    assert len(numbers) == 1, "one listing"
    (group,) = channel.ebay.items.shop.groups().values()
    assert group["body"]["variantSKUs"] == ["S-R", "M-B", "S-B"]
    assert group["body"]["variesBy"]["specifications"] == [
        {"name": "Size", "values": ["S", "M"]},
        {"name": "Color", "values": ["Red", "Blue"]},
    ]
    assert (await channel.connector.set_quantity("M-B", 2, "k4")).quantity == 2
    assert (await channel.connector.set_price("M-B", usd("9.00"), "k5")).price == usd("9.00")
    await channel.connector.end("S-B", "k6")
    assert (await channel.connector.read_listing("S-B")).status == "ended"
    assert (await channel.connector.read_listing("M-B")).status == "active"
    again = await channel.connector.publish(shirt("S-B", "S", "Blue", quantity=1), "k7")
    assert (again.status, again.quantity, again.group_external_id) == ("active", 1, "fs.SHIRT_2F1")
    for sku in ("S-R", "M-B", "S-B"):
        await channel.connector.end(sku, "k8")
    states = [state async for state in channel.connector.listings()]
    assert {state.status for state in states} == {"ended"}
    back = await channel.connector.publish(shirt("S-R", "S", "Red"), "k9")
    assert (back.status, back.group_external_id) == ("active", "fs.SHIRT_2F1")


async def test_a_group_of_nothing_but_empty_shelves_waits(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for sku, size in (("S-R", "S"), ("M-R", "M")):
        assert (await channel.connector.publish(shirt(sku, size, "Red", quantity=0), "k1")).status == "draft"
    first = await channel.connector.set_quantity("S-R", 2, "k2")
    assert (first.status, first.quantity) == ("active", 2)
    assert (await channel.connector.read_listing("M-R")).status == "active"


async def test_a_variation_that_was_sold_stays_and_shows_nothing(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for sku, size in (("S-R", "S"), ("M-R", "M")):
        await channel.connector.publish(shirt(sku, size, "Red"), "k1")
    channel.sell("S-R")
    with pytest.raises(Rejected) as refused:
        await channel.connector.end("S-R", "k2")
    assert "quantity is 0" in refused.value.hint
    assert (await channel.connector.read_listing("S-R")).quantity == 0
    assert (await channel.connector.read_listing("M-R")).quantity == 5


# Reading


async def test_pages_are_followed_by_their_query_alone_and_never_twice() -> None:
    def page(request: httpx2.Request) -> Any:
        offset = int(request.url.params["offset"])
        item = {"sku": f"A{min(offset, 2)}", "product": {"title": "T"}}
        # a server that forgets to end its list, and names another host
        return {"inventoryItems": [item], "next": f"https://evil.example/x?limit=100&offset={offset + 1}"}

    server = Server({("GET", "/inventory_item"): page})
    async with connector(server) as ebay:
        states = [state async for state in ebay.listings()]
    assert [state.sku for state in states] == ["A0", "A1", "A2"]
    assert {request.url.host for request in server.seen} == {"api.example"}


async def test_orders_of_several_pages_come_once_and_in_order(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(quantity=500), "k1")
    start = channel.sandbox.books.clock.now()
    ids = []
    for _ in range(205):
        ids.append(channel.sell("LAMP-1"))
        await channel.sandbox.market.advance(1)
    found = [order.external_id async for order in channel.connector.orders(start)]
    assert [id for id in found if id in set(ids)] == ids and len(found) == len(set(found))


async def test_what_sort_of_rival_counts(open_channel: Any) -> None:
    def summary(seller: str, price: str, title: str, currency: str = "USD") -> dict[str, Any]:
        return {"title": title, "price": {"value": price, "currency": currency}, "seller": {"username": seller}}

    rows = [
        summary("one", "9.00", "LAMP with shade, blue"),
        summary("two", "8.00", "Lamp base"),
        summary("Me", "7.00", "Lamp & Shade"),
        summary("three", "6.00", "lamp shade", "EUR"),
    ]
    item = {"statusCode": 200, "sku": "A", "inventoryItem": {"product": {"title": "Lamp & shade"}}}
    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): {"responses": [item]},
            ("GET", "/item_summary/search"): {"itemSummaries": rows},
        }
    )
    async with connector(server, seller="me") as ebay:
        (rival,) = await ebay.rivals(["A"])
    assert (rival.seller, rival.price, rival.in_stock) == ("one", usd("9.00"), True)
    asked = next(request for request in server.seen if "search" in request.url.path).url.params
    assert asked["q"] == "Lamp shade"
    assert asked["filter"] == "buyingOptions:{FIXED_PRICE},excludeSellers:{me}"


async def test_without_a_name_our_own_listing_is_left_out_by_its_number() -> None:
    item = {"statusCode": 200, "sku": "A", "inventoryItem": {"product": {"title": "Lamp", "ean": ["4006381333931"]}}}
    ours = {"offerId": "1", "marketplaceId": "EBAY_US", "status": "PUBLISHED", "listing": {"listingId": "110"}}
    price = {"value": "9.00", "currency": "USD"}
    found = [
        {"legacyItemId": number, "title": "Lamp", "price": price, "seller": {"username": name}}
        for number, name in (("110", "us"), ("120", "them"))
    ]
    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): {"responses": [item]},
            ("GET", "/user/"): failure(403, 1100, "Access denied"),
            ("GET", "/offer"): {"offers": [ours]},
            ("GET", "/item_summary/search"): {"itemSummaries": found},
        }
    )
    async with connector(server) as ebay:
        assert [rival.seller for rival in await ebay.rivals(["A"])] == ["them"]
        await ebay.rivals(["A"])
    assert sum(request.url.path.endswith("/user/") for request in server.seen) == 1
    asked = next(request for request in server.seen if "search" in request.url.path).url.params
    assert (asked["gtin"], asked["filter"]) == ("4006381333931", "buyingOptions:{FIXED_PRICE}")


async def test_shipping_finds_what_was_told_and_refuses_a_second_number(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(), "k1")
    order_id = channel.sell("LAMP-1")
    await channel.connector.confirm_shipment(order_id, "Royal Mail", "AB 12-34", "k2")
    await channel.connector.confirm_shipment(order_id, "Royal Mail", "AB1234", "k3")
    with pytest.raises(Rejected, match="another tracking number"):
        await channel.connector.confirm_shipment(order_id, "UPS", "1Z999", "k4")
    rows = channel.sandbox.books.db.execute("SELECT carrier, tracking_number FROM shipment").fetchall()
    assert rows == [("RoyalMail", "AB1234")]


def test_an_unknown_marketplace_is_refused_when_the_account_is_opened() -> None:
    with pytest.raises(InvalidInput, match="EBAY_MOON"):
        connector(Server({}), marketplace_id="EBAY_MOON")


async def test_other_currencies_than_the_marketplaces_are_refused() -> None:
    async with connector(Server({})) as ebay:
        for call in (
            ebay.publish(lamp(price=Money.parse("9.00", "EUR")), "k1"),
            ebay.set_price("A", Money.parse("9.00", "EUR"), "k2"),
        ):
            with pytest.raises(Rejected, match="sells in USD"):
                await call
