"""The class that PYTHON.md shows, run as it is written there: loading it, and the promises its base keeps for it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from corner_shop import START, CornerShop
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, MarketplaceConnector, QuantityChange, Unlimited
from flipsync.connectors.marketplaces import STORES, connect, connector_class, own_class
from flipsync.connectors.marketplaces.store import StoreConnector
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import Offer
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money, usd

NAME = "corner_shop_channel:CornerShopChannel"
GUIDE = Path(own_class.__file__).parent / "custom" / "PYTHON.md"


def example() -> str:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes somebody's module where Python finds it, and forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(own_class.ALLOWED, f"other:Shop, {NAME}")

    def write(code: str) -> None:
        (tmp_path / "corner_shop_channel.py").write_text(code)

    yield write
    sys.modules.pop("corner_shop_channel", None)


def account(**options: str) -> AccountConfig:
    return AccountConfig(vendor="python", base_url="http://shop.test", currency="USD", options=options)


KEYS = {"token": SecretStr("t-1")}


@pytest.fixture
def shop() -> CornerShop:
    return CornerShop()


@pytest.fixture
def another(module: Callable[[str], None], shop: CornerShop) -> Callable[..., MarketplaceConnector]:
    """Makes connectors of the example's class to the shop."""
    module(example())
    make = connector_class("python")

    def connector(keys: dict[str, SecretStr] = KEYS) -> MarketplaceConnector:
        made = make(account(**{"class": NAME}), keys, Unlimited(), "a", transport=shop.transport())
        type(made).patience = 0.0  # type: ignore[attr-defined]
        return made

    return connector


@pytest.fixture
def connector(another: Callable[..., MarketplaceConnector]) -> MarketplaceConnector:
    return another()


def offer(**changes: Any) -> Offer:
    fields = {"sku": "MUG", "title": "Mug", "description_html": "<p>Blue.</p>", "price": usd("4.50"), "quantity": 6}
    return Offer(**{**fields, **changes})


# Loading


def test_the_example_is_short_and_is_what_the_account_gets(connector: MarketplaceConnector) -> None:
    assert len(example().splitlines()) <= 100
    assert type(connector).__name__ == "CornerShopChannel" and isinstance(connector, StoreConnector)
    assert connector.vendor == "python"


def test_connect_opens_it_too(module: Callable[[str], None]) -> None:
    module(example())
    assert type(connect(account(**{"class": NAME}), KEYS, Unlimited(), "a")).__name__ == "CornerShopChannel"


def test_the_shipped_stores_name_their_vendor() -> None:
    for vendor in STORES:
        assert connector_class(vendor).vendor == vendor


def test_nothing_is_imported_that_is_not_allowed(module: Callable[[str], None], monkeypatch: Any) -> None:
    module("raise SystemExit('imported')")
    for allowed in ("", "other:Shop", "corner_shop_channel", "corner_shop_channel:Other", f"{NAME}2", "*"):
        monkeypatch.setenv(own_class.ALLOWED, allowed)
        with pytest.raises(InvalidInput, match="not allowed"):
            connect(account(**{"class": NAME}), KEYS, Unlimited(), "a")
    monkeypatch.delenv(own_class.ALLOWED)
    with pytest.raises(InvalidInput, match="not allowed"):
        connector_class("python").parse_webhook({}, b"{}", SecretStr("s"), account(**{"class": NAME}))
    assert "corner_shop_channel" not in sys.modules


@pytest.mark.parametrize("name", ["", "corner_shop_channel", "a:b:c", "../evil:Shop", "a b:c", "os:"])
def test_what_is_no_name_of_a_class(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"package\.module:Class"):
        connect(account(**{"class": name}), KEYS, Unlimited(), "a")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("class CornerShopChannel: pass", "not a MarketplaceConnector"),
        ("def CornerShopChannel(*a, **k): return 1", "not a MarketplaceConnector"),
        ("raise ValueError('t-1')", "cannot be loaded: ValueError"),
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError"),
        ("x = 1", "cannot be loaded: AttributeError"),
        (
            "from flipsync.connectors.marketplaces.store import StoreConnector\n"
            "class CornerShopChannel(StoreConnector):\n    async def about(self): ...",
            "lacks create, describe",
        ),
    ],
)
def test_classes_that_will_not_do(module: Callable[[str], None], code: str, problem: str) -> None:
    module(code)
    with pytest.raises(InvalidInput, match=problem) as refused:
        connect(account(**{"class": NAME}), KEYS, Unlimited(), "a")
    assert "t-1" not in str(refused.value)


@pytest.mark.parametrize(
    ("vendor", "keys", "named"),
    [
        ("vendure", {"username": "o"}, "api_key or username and password"),
        ("medusa", {"password": "p"}, "api_key or email and password"),
    ],
)
def test_shipped_stores_name_the_credentials_they_miss(vendor: Any, keys: dict[str, str], named: str) -> None:
    config = AccountConfig(vendor=vendor, base_url="http://shop.test", currency="USD")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=f"missing: {named}"):
        connect(config, {name: SecretStr(value) for name, value in keys.items()}, Unlimited(), "a")


def test_missing_credentials_are_named(module: Callable[[str], None]) -> None:
    module(example())
    with pytest.raises(InvalidInput, match="missing: token"):
        connect(account(**{"class": NAME}), {}, Unlimited(), "a")


# Listings


async def test_the_life_of_a_listing(connector: MarketplaceConnector, shop: CornerShop) -> None:
    info = await connector.probe()
    assert (info.name, info.currency, info.notes) == ("Corner shop", "USD", ())
    made = await connector.publish(offer(), "k1")
    assert (made.sku, made.status, made.price, made.quantity) == ("MUG", "active", usd("4.50"), 6)
    assert await connector.publish(offer(quantity=1), "k2") == made
    assert await connector.find_listing("MUG") == made == await connector.read_listing(made.external_id)
    assert await connector.find_listing("MU") is None
    assert [state async for state in connector.listings()] == [made]
    assert (await connector.set_price(made.external_id, usd("5.05"), "k3")).price == usd("5.05")
    done, missing = await connector.set_quantities(
        [QuantityChange(made.external_id, 2, "k4"), QuantityChange("9", 1, "k5")]
    )
    assert done.state is not None and done.state.quantity == 2
    assert isinstance(missing.error, Rejected) and missing.error.missing
    revised = await connector.revise(made.external_id, offer(title="Mug, blue", price=usd("9.00"), quantity=9), "k6")
    assert (revised.title, revised.price, revised.quantity) == ("Mug, blue", usd("5.05"), 2)
    await connector.end(made.external_id, "k7")
    writes = [r for r in shop.requests if r.method != "GET"]
    await connector.end(made.external_id, "k8")
    await connector.end("9", "k9")
    await connector.end("..", "k9")
    assert [r for r in shop.requests if r.method != "GET"] == writes
    again = await connector.publish(offer(price=usd("6.00"), quantity=3), "k10")
    assert (again.external_id, again.status, again.price, again.quantity) == (
        made.external_id,
        "active",
        usd("6.00"),
        3,
    )
    assert await connector.rivals(["MUG"]) == [] == await connector.ensure_webhooks("http://x.test", SecretStr("s"))
    with pytest.raises(InvalidInput, match="polled"):
        type(connector).parse_webhook({}, b"{}", SecretStr("s"), connector.config)


async def test_prices_in_another_currency_are_not_sent(connector: MarketplaceConnector, shop: CornerShop) -> None:
    euros = usd("1.00").model_copy(update={"currency": "EUR"})
    for write in (connector.publish(offer(price=euros), "k"), connector.set_price("1", euros, "k")):
        with pytest.raises(Rejected, match="sells in USD, not EUR"):
            await write
    assert shop.requests == []


async def test_a_shop_with_another_currency_is_noticed(connector: MarketplaceConnector, shop: CornerShop) -> None:
    shop.before = lambda request: httpx2.Response(200, json={"name": "Laden", "currency": "EUR"})
    assert (await connector.probe()).notes == ("the shop sells in EUR, the account is set to USD",)


async def test_a_wrong_token_is_a_refusal_of_the_account(another: Callable[..., MarketplaceConnector]) -> None:
    with pytest.raises(Rejected) as refused:
        await another({"token": SecretStr("t-secret")}).probe()
    assert refused.value.auth and refused.value.message == "HTTP 401: who are you?"
    assert "t-secret" not in f"{refused.value} {refused.value.hint}"


async def test_a_lost_answer_is_unknown_and_found_again(connector: MarketplaceConnector, shop: CornerShop) -> None:
    shop.after = lambda request: httpx2.Response(502) if request.method == "POST" else None
    with pytest.raises(OutcomeUnknown):
        await connector.publish(offer(), "k1")
    shop.after = lambda request: None
    made = await connector.publish(offer(), "k1")
    assert [state async for state in connector.listings()] == [made]


@pytest.mark.parametrize("answer", [httpx2.Response(500), httpx2.Response(429), httpx2.Response(200, json={"id": "1"})])
async def test_a_write_that_cannot_be_read_back_is_unknown(
    connector: MarketplaceConnector, shop: CornerShop, answer: httpx2.Response
) -> None:
    made = await connector.publish(offer(), "k1")
    written: list[str] = []

    def lost(request: httpx2.Request) -> httpx2.Response | None:
        written.extend([request.method] if request.method == "PATCH" else [])
        return answer if written and request.method == "GET" else None

    shop.before = lost
    with pytest.raises(OutcomeUnknown):
        await connector.set_quantity(made.external_id, 1, "k2")
    assert shop.items[made.external_id]["stock"] == 1
    # Before the write, the same failure means that nothing happened.
    with pytest.raises(Retryable):
        await connector.set_quantity(made.external_id, 2, "k3")
    assert shop.items[made.external_id]["stock"] == 1


@pytest.mark.parametrize("theirs_first", [True, False])
async def test_somebody_else_makes_the_same_listing_at_the_same_moment(
    connector: MarketplaceConnector, shop: CornerShop, theirs_first: bool
) -> None:
    """The older of two stays; but one whose maker saw no other, and so will not take it back, stays as well."""

    def theirs() -> None:
        number = str(len(shop.items) + 1)
        item = {"sku": "MUG", "name": "Theirs", "price": "4.50", "stock": 6, "shown": True, "text": ""}
        shop.items[number] = {**item, "id": number, "changed": shop.tick()}

    def meanwhile(request: httpx2.Request) -> None:
        if request.method == "POST" and len(shop.items) < 2:
            theirs()

    if theirs_first:
        shop.before = meanwhile
    else:
        shop.after = meanwhile
    made = await connector.publish(offer(), "k1")
    assert made.title == "Theirs"
    assert [row["name"] for row in shop.items.values() if row["shown"]] == ["Theirs"]
    assert await connector.find_listing("MUG") == made
    assert await connector.publish(offer(), "k1") == made


async def test_the_other_maker_takes_theirs_back(connector: MarketplaceConnector, shop: CornerShop) -> None:
    def meanwhile(request: httpx2.Request) -> None:
        if request.method == "POST":
            shop.items["2"] = {**shop.items["1"], "id": "2"}
        elif len([r for r in shop.requests if r.method == "GET"]) == 2:
            shop.items["2"]["shown"] = False  # after our first look

    shop.after = meanwhile
    made = await connector.publish(offer(), "k1")
    assert (made.external_id, made.status) == ("1", "active")


async def test_of_three_made_at_once_all_makers_find_the_same(
    connector: MarketplaceConnector, shop: CornerShop
) -> None:
    """The third saw nobody and stays; the first gives way to it; and we, the second, must not be told of the first."""
    looks = 0

    def meanwhile(request: httpx2.Request) -> None:
        nonlocal looks
        if request.method == "POST":
            mine = shop.items.pop("1")
            shop.items["1"] = {**mine, "id": "1", "name": "First"}
            shop.items["2"] = {**mine, "id": "2"}
            shop.items["3"] = {**mine, "id": "3", "name": "Third"}
        elif request.method == "GET" and len(shop.items) == 3:
            looks += 1
            shop.items["1"]["shown"] = looks < 3

    def told(request: httpx2.Request) -> httpx2.Response | None:
        meanwhile(request)
        return httpx2.Response(201, json=shop.items["2"]) if request.method == "POST" else None

    shop.after = told
    assert (await connector.publish(offer(), "k1")).title == "Third"
    assert [row["name"] for row in shop.items.values() if row["shown"]] == ["Third"]


async def test_at_once_in_one_process_makes_one(connector: MarketplaceConnector, shop: CornerShop) -> None:
    skus = ["MUG", "CUP", "MUG", "MUG", "CUP"]
    made = await asyncio.gather(*(connector.publish(offer(sku=sku), f"k{n}") for n, sku in enumerate(skus)))
    assert [state.sku for state in made] == skus
    assert len({state.external_id for state in made}) == 2 == len(shop.items)
    assert connector._making == {}  # type: ignore[attr-defined]


# Lists


async def test_long_lists_are_read_whole_while_rows_go_away(connector: MarketplaceConnector, shop: CornerShop) -> None:
    for number in range(45):
        await connector.publish(offer(sku=f"S{number}"), "k")
    assert len([state async for state in connector.listings()]) == 45
    seen = []
    async for state in connector.listings():
        seen.append(state.sku)
        if len(seen) == 20:
            del shop.items["3"]
    assert len(set(seen)) == len(seen) and set(seen) >= {f"S{n}" for n in range(45)} - {"S2"}


@pytest.mark.parametrize("gone", [range(1, 4), range(1, 21), range(5, 26), range(1, 46)])
async def test_no_row_is_missed_when_many_go_away_ahead_of_the_walk(
    connector: MarketplaceConnector, shop: CornerShop, gone: range
) -> None:
    for number in range(1, 66):
        await connector.publish(offer(sku=f"S{number}"), "k")
    seen = []
    async for state in connector.listings():
        seen.append(state.sku)
        if len(seen) == 20:
            for number in gone:
                del shop.items[str(number)]
    assert len(set(seen)) == len(seen) and set(seen) >= {f"S{n}" for n in range(1, 66) if n not in gone}


async def test_a_list_that_never_rests_is_no_list(connector: MarketplaceConnector, shop: CornerShop) -> None:
    for number in range(20):
        await connector.publish(offer(sku=f"S{number}"), "k")
    rows, count = list(shop.items.values()), 0

    def others(request: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        return httpx2.Response(200, json=[{**row, "id": f"{count}-{row['id']}"} for row in rows])

    shop.before = others
    with pytest.raises(Retryable, match="changes faster"):
        _ = [state async for state in connector.listings()]


async def test_a_page_that_comes_again_and_again_is_no_list(connector: MarketplaceConnector, shop: CornerShop) -> None:
    for number in range(20):
        await connector.publish(offer(sku=f"S{number}"), "k")
    rows = list(shop.items.values())
    shop.before = lambda request: httpx2.Response(200, json=rows)
    with pytest.raises(Retryable, match="same page"):
        _ = [state async for state in connector.listings()]


async def test_a_row_that_cannot_be_used_is_a_failed_read(connector: MarketplaceConnector, shop: CornerShop) -> None:
    shop.before = lambda request: httpx2.Response(200, json=[{"id": "1", "sku": "MUG"}])
    with pytest.raises(Retryable, match="KeyError: 'name'"):
        await connector.find_listing("MUG")


# Orders


@pytest.mark.parametrize(
    "field", [{"price": "Infinity"}, {"price": "1e999999999"}, {"changed": "0001-01-01T00:00:00+14:00"}]
)
async def test_figures_out_of_all_bounds_are_a_failed_read(
    connector: MarketplaceConnector, shop: CornerShop, field: dict[str, str]
) -> None:
    row = {"id": "1", "sku": "MUG", "name": "Mug", "shown": True, "price": "4.50", "stock": 1, "changed": shop.tick()}
    shop.before = lambda request: httpx2.Response(200, json=[{**row, **field}])
    with pytest.raises(Retryable, match="cannot be used"):
        await connector.find_listing("MUG")


@pytest.mark.parametrize(("done", "problem"), [(None, Retryable), ({"made": {"id": "1"}}, OutcomeUnknown)])
async def test_a_graphql_error_that_means_later_is_one_unless_something_was_done(
    connector: Any, shop: CornerShop, done: Any, problem: type[Exception]
) -> None:
    answer = {"errors": [{"message": "slow down", "extensions": {"code": "THROTTLED"}}], "data": done}
    shop.before = lambda request: httpx2.Response(200, json=answer)
    connector.read_error = lambda status, body: VendorError("THROTTLED", "slow down", meaning="later")
    with pytest.raises(problem, match="slow down"):
        await connector.graphql("mutation { make { id } }", writes=True)
    with pytest.raises(Retryable):
        await connector.graphql("{ items { id } }")


def test_minor_units_are_whole_and_an_order_may_have_its_own_currency(connector: Any) -> None:
    assert connector.money("1500", "JPY") == Money(amount_minor=1500, currency="JPY")
    assert connector.money("1.999", "KWD") == Money(amount_minor=1999, currency="KWD")
    type(connector).minor_units = True
    assert connector.money(1990) == usd("19.90")
    assert connector.money(1990, "JPY") == Money(amount_minor=1990, currency="JPY")
    for value in (19.9, "19.90", "many", None, True, "NaN"):
        with pytest.raises(ValueError):
            connector.money(value)


async def test_orders_and_shipping(connector: MarketplaceConnector, shop: CornerShop) -> None:
    made = await connector.publish(offer(), "k1")
    number = shop.sell("MUG", 2)
    order = await connector.read_order(number)
    assert order is not None
    assert (order.status, order.total, order.lines[0].total) == ("paid", usd("13.00"), usd("9.00"))
    assert order.lines[0].listing_external_id == made.external_id
    shipped = await connector.confirm_shipment(number, "UPS", "1Z", "k2")
    assert shipped.status == "shipped" and shipped.modified_at > order.modified_at
    assert await connector.confirm_shipment(number, "UPS", "1Z", "k2") == shipped
    assert len(shop.orders[number]["parcels"]) == 1
    assert await connector.read_order("99") is None
    with pytest.raises(Rejected) as missing:
        await connector.confirm_shipment("99", "UPS", "1Z", "k3")
    assert missing.value.missing
    void = shop.sell("MUG", 1)
    shop.orders[void]["state"] = "void"
    with pytest.raises(Rejected) as refused:
        await connector.confirm_shipment(void, "UPS", "1Z", "k4")
    assert refused.value.vendor_code == "status"


async def test_a_shipment_whose_answer_was_lost_is_not_told_twice(
    connector: MarketplaceConnector, shop: CornerShop
) -> None:
    await connector.publish(offer(), "k1")
    number = shop.sell("MUG", 1)
    shop.after = lambda request: httpx2.Response(504) if request.method == "POST" else None
    with pytest.raises(OutcomeUnknown):
        await connector.confirm_shipment(number, "UPS", "1Z", "k2")
    assert (await connector.confirm_shipment(number, "UPS", "1Z", "k2")).status == "shipped"
    assert len(shop.orders[number]["parcels"]) == 1


async def test_an_order_that_changes_behind_the_walk_is_not_lost(
    connector: MarketplaceConnector, shop: CornerShop
) -> None:
    await connector.publish(offer(quantity=100), "k1")
    for _ in range(30):
        shop.sell("MUG", 1)
    walks = 0

    def change(request: httpx2.Request) -> None:
        nonlocal walks
        # While the second page of each walk is read, an order of the first page and then one of the second change.
        if request.url.path == "/api/orders" and request.url.params.get("offset") not in (None, "0"):
            walks += 1
            for number in (str(walks), str(25 + walks)):
                shop.orders[number]["changed"] = shop.tick()

    shop.before = lambda request: change(request)  # type: ignore[func-returns-value]
    told = [order async for order in connector.orders(START)]
    assert [order.modified_at for order in told] == sorted(order.modified_at for order in told)
    assert walks > 1
    shop.before = lambda request: None
    last = told[-1].modified_at
    later = {order.external_id for order in told} | {order.external_id async for order in connector.orders(last)}
    assert later == {str(number) for number in range(1, 31)}
    current = {number: row["changed"] for number, row in shop.orders.items()}
    latest = {order.external_id: order.modified_at.isoformat() for order in told}
    latest |= {o.external_id: o.modified_at.isoformat() async for o in connector.orders(last)}
    assert latest == current
    assert [order async for order in connector.orders(shop.now + timedelta(days=1))] == []
