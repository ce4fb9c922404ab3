"""The Vendure connector against a real Vendure shop, started here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from stores.running import PASSWORD, installed, new_database, serving
from stores.suite import StoreSuite, offer

from flipsync.connectors.base import AccountConfig, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import ChannelOrder, ListingState
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money
from flipsync.embedded.ports import choose_port
from flipsync.embedded.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BUY = """mutation ($id: ID!, $units: Int!) { done: addItemToOrder(productVariantId: $id, quantity: $units) {
  __typename ... on ErrorResult { errorCode } } }"""
WHO = """mutation { done: setCustomerForOrder(
  input: { firstName: "Avery", lastName: "Lane", emailAddress: "avery@example.com" }) { __typename } }"""
WHERE = """mutation { setOrderShippingAddress(input: { fullName: "Avery Lane", streetLine1: "411 Elm Street",
  city: "Springfield", province: "IL", postalCode: "62701", countryCode: "US" }) { __typename } }"""
WAYS = "{ eligibleShippingMethods { id } }"
WAY = "mutation ($id: [ID!]!) { setOrderShippingMethod(shippingMethodId: $id) { __typename } }"
NEXT = 'mutation { transitionOrderToState(state: "ArrangingPayment") { __typename } }'
PAY = """mutation { done: addPaymentToOrder(input: { method: "card", metadata: {} }) {
  __typename ... on Order { id state } ... on ErrorResult { errorCode message } } }"""
REFUND = """mutation ($input: RefundOrderInput!) { done: refundOrder(input: $input) {
  __typename ... on ErrorResult { errorCode message } } }"""
CANCEL = """mutation ($input: CancelOrderInput!) { done: cancelOrder(input: $input) {
  __typename ... on ErrorResult { errorCode message } } }"""
WHOLE = """query ($id: ID!) { productVariant(id: $id) { product {
  name variants { id } optionGroups { name options { name } } } } }"""


class Vendure:
    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.AsyncClient(base_url=url, timeout=30)
        self.vault = MemoryVault({"username": SecretStr("owner"), "password": SecretStr(PASSWORD)})
        self.opened: list[MarketplaceConnector] = []
        self.connector = self.connect()

    def connect(self, **changes: Any) -> MarketplaceConnector:
        options, currency = changes.pop("options", {}), changes.pop("currency", "USD")
        config = AccountConfig(vendor="vendure", base_url=self.url, currency=currency, options=options)  # type: ignore[arg-type]
        credentials = changes.pop("credentials", self.vault.credentials)
        vault = changes.pop("vault", self.vault)
        self.opened.append(connector_class("vendure")(config, credentials, Unlimited(), "a", vault=vault))
        return self.opened[-1]

    async def aclose(self) -> None:
        await self.http.aclose()
        for connector in self.opened:
            await connector.aclose()

    async def ask(self, path: str, document: str, token: str | None = None, **variables: Any) -> tuple[Any, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.post(path, json={"query": document, "variables": variables}, headers=headers)
        told = answer.json()
        assert not told.get("errors"), told["errors"]
        return told["data"], answer.headers.get("vendure-auth-token", token or "")

    async def merchant(self, document: str, **variables: Any) -> Any:
        login = f'mutation {{ login(username: "owner", password: "{PASSWORD}") {{ __typename }} }}'
        _, token = await self.ask("/admin-api", login)
        data, _ = await self.ask("/admin-api", document, token, **variables)
        return data

    async def _cart(self, listing: ListingState, quantity: int) -> tuple[str, str]:
        data, token = await self.ask("/shop-api", BUY, id=listing.external_id, units=quantity)
        return data["done"]["__typename"], token

    async def buyable(self, listing: ListingState) -> bool:
        body = {"query": BUY, "variables": {"id": listing.external_id, "units": 1}}
        told = (await self.http.post("/shop-api", json=body)).json()
        if told.get("errors"):
            assert told["errors"][0]["extensions"]["code"] == "ENTITY_NOT_FOUND", told
            return False
        return bool(told["data"]["done"]["__typename"] == "Order")

    async def buy(self, listing: ListingState, quantity: int) -> str:
        done, token = await self._cart(listing, quantity)
        assert done == "Order"
        for document in (WHO, WHERE):
            await self.ask("/shop-api", document, token)
        ways, _ = await self.ask("/shop-api", WAYS, token)
        await self.ask("/shop-api", WAY, token, id=[ways["eligibleShippingMethods"][0]["id"]])
        await self.ask("/shop-api", NEXT, token)
        data, _ = await self.ask("/shop-api", PAY, token)
        assert data["done"]["state"] == "PaymentSettled", data
        return str(data["done"]["id"])

    async def refund(self, order: ChannelOrder, minor: int) -> None:
        told = await self.merchant("query ($id: ID!) { order(id: $id) { payments { id } } }", id=order.external_id)
        payment = told["order"]["payments"][0]["id"]
        input_ = {"lines": [], "shipping": 0, "adjustment": 0, "amount": minor, "paymentId": payment}
        assert (await self.merchant(REFUND, input=input_))["done"]["__typename"] == "Refund"

    async def cancel(self, order: ChannelOrder, units: int | None = None) -> None:
        input_: dict[str, Any] = {"orderId": order.external_id}
        if units is not None:
            input_["lines"] = [{"orderLineId": order.lines[0].external_id, "quantity": units}]
        assert (await self.merchant(CANCEL, input=input_))["done"]["__typename"] == "Order"

    async def group_of(self, listing: ListingState) -> tuple[str, dict[str, set[str]], int]:
        product = (await self.merchant(WHOLE, id=listing.external_id))["productVariant"]["product"]
        options = {row["name"]: {each["name"] for each in row["options"]} for row in product["optionGroups"]}
        return product["name"], options, len(product["variants"])


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = installed("vendure"), choose_port()
    environment = {
        "DATABASE_URL": new_database(postgres),
        "PORT": str(port),
        "STORE_USER": "owner",
        "STORE_PASSWORD": PASSWORD,
    }
    log: Path = tmp_path_factory.mktemp("vendure") / "log"
    with serving(folder, environment, log, "ready", "store.js"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def shop(url: str) -> AsyncIterator[Vendure]:
    vendure = Vendure(url)
    yield vendure
    await vendure.aclose()


class TestVendure(StoreSuite):
    async def test_a_session_that_ended_is_renewed(self, shop: Vendure) -> None:
        made = await shop.connector.publish(offer(), "k1")
        await shop.vault.save({"access_token": SecretStr("0" * 64)})
        other = shop.connect()
        assert await other.read_listing(made.external_id) == made
        assert shop.vault.credentials["access_token"].get_secret_value() != "0" * 64

    async def test_a_wrong_password_is_a_refusal_of_the_account(self, shop: Vendure) -> None:
        wrong = {"username": SecretStr("owner"), "password": SecretStr("nonsense-9")}
        with pytest.raises(Rejected) as refused:
            await shop.connect(credentials=wrong, vault=None).probe()
        assert refused.value.auth and "nonsense-9" not in f"{refused.value} {refused.value.hint}"

    async def test_an_api_key(self, shop: Vendure) -> None:
        roles = (await shop.merchant("{ roles { items { id code } } }"))["roles"]["items"]
        role = next(row["id"] for row in roles if row["code"] == "__super_admin_role__")
        create = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }"
        input_ = {"roleIds": [role], "translations": [{"languageCode": "en", "name": "FlipSync"}]}
        key = SecretStr((await shop.merchant(create, input=input_))["createApiKey"]["apiKey"])
        connector = shop.connect(credentials={"api_key": key}, vault=None)
        assert (await connector.probe()).can_write
        made = await connector.publish(offer(), "k1")
        assert (await connector.set_quantity(made.external_id, 2, "k2")).quantity == 2

    async def test_one_unit_of_two_cancelled(self, shop: Vendure) -> None:
        made = await shop.connector.publish(offer(), "k1")
        order = await shop.connector.read_order(await shop.buy(made, 3))
        assert order is not None
        line = order.lines[0].external_id
        for units in (1, 2):
            await shop.cancel(order, 1)
            told = await shop.connector.read_order(order.external_id)
            assert told is not None and told.lines[0].quantity == 3
            assert [each.restocked for each in told.refunds] == [{line: 1}] * units
            now = await shop.connector.read_listing(made.external_id)
            assert now is not None and now.quantity == 2 + units

    async def test_units_that_never_left_are_not_shipped_with_those_that_were_delivered(self, shop: Vendure) -> None:
        made = await shop.connector.publish(offer(), "k1")
        order = await shop.connector.read_order(await shop.buy(made, 3))
        assert order is not None
        fulfil = """mutation ($line: ID!) { done: addFulfillmentToOrder(input: {
          lines: [{ orderLineId: $line, quantity: 1 }], handler: { code: "manual-fulfillment", arguments: [
            { name: "method", value: "UPS" }, { name: "trackingCode", value: "1Z1" }] } }) {
          __typename ... on Fulfillment { id } } }"""
        move = "mutation ($id: ID!, $to: String!) { transitionFulfillmentToState(id: $id, state: $to) { __typename } }"
        sent = (await shop.merchant(fulfil, line=order.lines[0].external_id))["done"]["id"]
        for state in ("Shipped", "Delivered"):
            await shop.merchant(move, id=sent, to=state)
        told = await shop.connector.read_order(order.external_id)
        assert told is not None and (told.vendor_status, told.status) == ("PartiallyDelivered", "paid")
        rest = await shop.connector.confirm_shipment(order.external_id, "UPS", "1Z2", "k2")
        assert (rest.vendor_status, rest.status) == ("PartiallyDelivered", "shipped")

    async def test_units_added_to_a_placed_order_are_told(self, shop: Vendure) -> None:
        made = await shop.connector.publish(offer(), "k1")
        order = await shop.connector.read_order(await shop.buy(made, 1))
        assert order is not None
        move = 'mutation ($id: ID!) { transitionOrderToState(id: $id, state: "Modifying") { __typename } }'
        await shop.merchant(move, id=order.external_id)
        change = "mutation ($input: ModifyOrderInput!) { modifyOrder(input: $input) { __typename } }"
        lines = [{"orderLineId": order.lines[0].external_id, "quantity": 3}]
        input_ = {"dryRun": False, "orderId": order.external_id, "adjustOrderLines": lines}
        assert (await shop.merchant(change, input=input_))["modifyOrder"]["__typename"] == "Order"
        told = await shop.connector.read_order(order.external_id)
        assert told is not None and (told.status, told.lines[0].quantity) == ("paid", 3)
        now = await shop.connector.read_listing(made.external_id)
        assert now is not None and now.quantity == 2

    async def test_stock_goes_by_the_global_settings_as_in_the_shop_itself(self, shop: Vendure) -> None:
        made = await shop.connector.publish(offer(), "k1")
        change = "mutation ($input: UpdateGlobalSettingsInput!) { updateGlobalSettings(input: $input) { __typename } }"
        for threshold, units in ((2, 3), (-4, 5)):
            await shop.merchant(change, input={"outOfStockThreshold": threshold})
            try:
                there = shop.connect()
                state = await there.read_listing(made.external_id)
                assert state is not None and state.quantity == units
                assert (await there.set_quantity(made.external_id, 1, "k2")).quantity == 1
                assert (await there.set_quantity(made.external_id, 0, "k3")).quantity == 0
                assert (await there.set_quantity(made.external_id, 5, "k4")).quantity == 5
            finally:
                await shop.merchant(change, input={"outOfStockThreshold": 0})
            await shop.connector.set_quantity(made.external_id, 5, "k5")

    async def test_yen_have_the_decimals_of_every_other_currency(self, shop: Vendure) -> None:
        zone = (await shop.merchant("{ zones { items { id } } }"))["zones"]["items"][0]["id"]
        create = """mutation ($input: CreateChannelInput!) { done: createChannel(input: $input) {
          __typename ... on Channel { id } } }"""
        input_ = {"code": "jp", "token": "jp-token", "defaultLanguageCode": "en", "pricesIncludeTax": True}
        input_ |= {"defaultCurrencyCode": "JPY", "defaultTaxZoneId": zone, "defaultShippingZoneId": zone}
        channel = (await shop.merchant(create, input=input_))["done"]["id"]
        assign = """mutation ($input: AssignStockLocationsToChannelInput!) {
          assignStockLocationsToChannel(input: $input) { id } }"""
        await shop.merchant(assign, input={"stockLocationIds": ["1"], "channelId": channel})
        there = shop.connect(options={"channel": "jp-token"}, currency="JPY")
        price = Money(amount_minor=1980, currency="JPY")
        made = await there.publish(offer(price=price), "k1")
        assert made.price == price
        document = "query ($id: ID!) { productVariant(id: $id) { prices { price } } }"
        told = (await shop.merchant(document, id=made.external_id))["productVariant"]["prices"]
        assert told == [{"price": 198000}]  # shown as 1,980 in the shop's own pages

    async def test_a_channel_of_its_own_has_its_own_currency_and_price(self, shop: Vendure) -> None:
        zone = (await shop.merchant("{ zones { items { id } } }"))["zones"]["items"][0]["id"]
        create = """mutation ($input: CreateChannelInput!) { done: createChannel(input: $input) {
          __typename ... on Channel { id token } ... on ErrorResult { errorCode message } } }"""
        input_ = {"code": "eu", "token": "eu-token", "defaultLanguageCode": "en", "pricesIncludeTax": True}
        input_ |= {"defaultCurrencyCode": "EUR", "defaultTaxZoneId": zone, "defaultShippingZoneId": zone}
        channel = (await shop.merchant(create, input=input_))["done"]["id"]
        there = shop.connect(options={"channel": "eu-token"}, currency="EUR")
        with pytest.raises(Rejected, match="the channel has none"):
            await there.probe()
        assign = """mutation ($input: AssignStockLocationsToChannelInput!) {
          assignStockLocationsToChannel(input: $input) { id } }"""
        await shop.merchant(assign, input={"stockLocationIds": ["1"], "channelId": channel})
        assert (await there.probe()).currency == "EUR"
        price = Money(amount_minor=1750, currency="EUR")
        made = await there.publish(offer(price=price), "k1")
        assert (made.price, made.quantity, made.status) == (price, 5, "active")
        higher = Money(amount_minor=1800, currency="EUR")
        assert (await there.set_price(made.external_id, higher, "k2")).price == higher
        assert [state async for state in there.listings()] == [await there.read_listing(made.external_id)]
        wrong = shop.connect(options={"channel": "eu-token"})
        assert "sells in EUR" in (await wrong.probe()).notes[0]

    async def test_several_locations_are_told_apart(self, shop: Vendure) -> None:
        create = 'mutation { createStockLocation(input: { name: "Attic" }) { id } }'
        attic = (await shop.merchant(create))["createStockLocation"]["id"]
        try:
            with pytest.raises(Rejected, match="Attic") as refused:
                await shop.connect().find_listing("ANY")
            assert refused.value.vendor_code == "location"
            there = shop.connect(options={"location": "Attic"})
            made = await there.publish(offer(quantity=7), "k1")
            assert made.quantity == 7
            first = shop.connect(options={"location": "Default Stock Location"})
            elsewhere = await first.read_listing(made.external_id)
            assert elsewhere is not None and elsewhere.quantity == 0
        finally:
            await shop.merchant("mutation ($id: ID!) { deleteStockLocation(input: { id: $id }) { result } }", id=attic)
