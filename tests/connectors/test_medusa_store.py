"""The Medusa connector against a real Medusa shop, started here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from stores.running import PASSWORD, USER, installed, new_database, run, serving
from stores.suite import StoreSuite, offer

from flipsync.connectors.base import AccountConfig, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import ChannelOrder, ListingState
from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd
from flipsync.embedded.ports import choose_port
from flipsync.embedded.postgres import EmbeddedPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ADDRESS = {
    "first_name": "Avery",
    "last_name": "Lane",
    "address_1": "411 Elm Street",
    "city": "Springfield",
    "province": "us-il",
    "postal_code": "62701",
    "country_code": "us",
}


class Medusa:
    """The shop, its merchant, and buyers. `found` is what the merchant set up before opening."""

    def __init__(self, url: str, found: dict[str, str]) -> None:
        self.url = url
        self.found = found
        self.http = httpx2.AsyncClient(base_url=url, timeout=30)
        self.vault = MemoryVault({"email": SecretStr(USER), "password": SecretStr(PASSWORD)})
        self.opened: list[MarketplaceConnector] = []
        self.connector = self.connect(credentials={"api_key": SecretStr(found["api_key"])})

    def connect(self, **changes: Any) -> MarketplaceConnector:
        config = AccountConfig(vendor="medusa", base_url=self.url, currency="USD", options=changes.pop("options", {}))  # type: ignore[arg-type]
        credentials = changes.pop("credentials", self.vault.credentials)
        self.opened.append(connector_class("medusa")(config, credentials, Unlimited(), "a", vault=changes.get("vault")))
        return self.opened[-1]

    async def aclose(self) -> None:
        await self.http.aclose()
        for connector in self.opened:
            await connector.aclose()

    async def merchant(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.http.request(method, path, json=body, auth=(self.found["api_key"], ""))
        assert answer.status_code < 300, f"{path}: {answer.text}"
        return answer.json()

    async def buyer(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"x-publishable-api-key": self.found["shop_key"]}
        return await self.http.request(method, path, json=body, headers=headers)

    async def _cart(self, listing: ListingState, quantity: int) -> tuple[str, httpx2.Response]:
        body = {"region_id": self.found["region"], "email": "avery@example.com", "shipping_address": ADDRESS}
        cart = (await self.buyer("POST", "/store/carts", body)).json()["cart"]["id"]
        item = {"variant_id": listing.external_id, "quantity": quantity}
        return cart, await self.buyer("POST", f"/store/carts/{cart}/line-items", item)

    async def buyable(self, listing: ListingState) -> bool:
        _, answer = await self._cart(listing, 1)
        assert answer.status_code in (200, 400, 404), answer.text
        return answer.status_code == 200

    async def buy(self, listing: ListingState, quantity: int, *more: str) -> str:
        cart, answer = await self._cart(listing, quantity)
        assert answer.status_code == 200, answer.text
        for variant in more:
            await self.buyer("POST", f"/store/carts/{cart}/line-items", {"variant_id": variant, "quantity": 1})
        options = (await self.buyer("GET", f"/store/shipping-options?cart_id={cart}")).json()["shipping_options"]
        await self.buyer("POST", f"/store/carts/{cart}/shipping-methods", {"option_id": options[0]["id"]})
        made = await self.buyer("POST", "/store/payment-collections", {"cart_id": cart})
        payment = made.json()["payment_collection"]["id"]
        sessions = f"/store/payment-collections/{payment}/payment-sessions"
        await self.buyer("POST", sessions, {"provider_id": "pp_system_default"})
        done = await self.buyer("POST", f"/store/carts/{cart}/complete")
        assert done.json()["type"] == "order", done.text
        return str(done.json()["order"]["id"])

    async def refund(self, order: ChannelOrder, minor: int) -> None:
        fields = "fields=id,*payment_collections.payments"
        told = (await self.merchant("GET", f"/admin/orders/{order.external_id}?{fields}"))["order"]
        payment = told["payment_collections"][0]["payments"][0]["id"]
        await self.merchant("POST", f"/admin/payments/{payment}/capture", {})
        await self.merchant("POST", f"/admin/payments/{payment}/refund", {"amount": minor / 100})

    async def cancel(self, order: ChannelOrder) -> None:
        await self.merchant("POST", f"/admin/orders/{order.external_id}/cancel")

    async def group_of(self, listing: ListingState) -> tuple[str, dict[str, set[str]], int]:
        path = f"/admin/products/{listing.group_external_id}?fields=title,*options,*options.values,*variants"
        product = (await self.merchant("GET", path))["product"]
        options = {row["title"]: {value["value"] for value in row["values"]} for row in product["options"]}
        return product["title"], options, len(product["variants"])


def open_for_business(url: str) -> dict[str, str]:
    """What a merchant does once: one currency, one place, one region, one way to ship, keys for shop and for us."""
    with httpx2.Client(base_url=url, timeout=60) as http:
        login = http.post("/auth/user/emailpass", json={"email": USER, "password": PASSWORD}).json()

        def do(path: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {login['token']}"}
            answer = http.request("GET" if body is None else "POST", f"/admin{path}", json=body, headers=headers)
            assert answer.status_code < 300, f"{path}: {answer.text}"
            return answer.json()

        store = do("/stores")["stores"][0]
        channel = do("/sales-channels")["sales_channels"][0]["id"]
        profile = do("/shipping-profiles")["shipping_profiles"][0]["id"]
        currencies = [{"currency_code": "usd", "is_default": True}, {"currency_code": "eur"}]
        do(f"/stores/{store['id']}", {"supported_currencies": currencies})
        place = do("/stock-locations", {"name": "Home"})["stock_location"]["id"]
        do(f"/stock-locations/{place}/sales-channels", {"add": [channel]})
        do(f"/stock-locations/{place}/fulfillment-providers", {"add": ["manual_manual"]})
        sets = do(
            f"/stock-locations/{place}/fulfillment-sets?fields=*fulfillment_sets", {"name": "Ship", "type": "shipping"}
        )
        area = {"name": "US", "geo_zones": [{"type": "country", "country_code": "us"}]}
        kept = sets["stock_location"]["fulfillment_sets"][0]["id"]
        zone = do(f"/fulfillment-sets/{kept}/service-zones", area)["fulfillment_set"]["service_zones"][0]["id"]
        region = do(
            "/regions",
            {"name": "US", "currency_code": "usd", "countries": ["us"], "payment_providers": ["pp_system_default"]},
        )["region"]["id"]
        do(
            "/shipping-options",
            {
                "name": "Standard",
                "service_zone_id": zone,
                "shipping_profile_id": profile,
                "provider_id": "manual_manual",
                "price_type": "flat",
                "type": {"label": "Standard", "description": "Standard", "code": "standard"},
                "prices": [{"currency_code": "usd", "amount": 4.99}],
                "rules": [],
            },
        )
        shop_key = do("/api-keys", {"title": "shop", "type": "publishable"})["api_key"]
        do(f"/api-keys/{shop_key['id']}/sales-channels", {"add": [channel]})
        api_key = do("/api-keys", {"title": "FlipSync", "type": "secret"})["api_key"]["token"]
        return {"api_key": api_key, "shop_key": shop_key["token"], "region": region, "place": place}


@pytest.fixture(scope="module")
def open_shop(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    folder, port = installed("medusa"), choose_port()
    environment = {
        "DATABASE_URL": new_database(postgres),
        "STORE_SECRET": "secret-for-tests",
        "NODE_ENV": "production",
        "MEDUSA_DISABLE_TELEMETRY": "true",
    }
    medusa = "node_modules/.bin/medusa"
    run(folder, environment, medusa, "db:migrate")
    run(folder, environment, medusa, "user", "-e", USER, "-p", PASSWORD)
    log = tmp_path_factory.mktemp("medusa") / "log"
    with serving(folder, environment, log, "Server is ready", medusa, "start", "-H", "127.0.0.1", "-p", str(port)):
        url = f"http://127.0.0.1:{port}"
        yield url, open_for_business(url)


@pytest.fixture
async def shop(open_shop: tuple[str, dict[str, str]]) -> AsyncIterator[Medusa]:
    medusa = Medusa(*open_shop)
    yield medusa
    await medusa.aclose()


class TestMedusa(StoreSuite):
    async def test_a_session_that_ended_is_renewed(self, shop: Medusa) -> None:
        made = await shop.connector.publish(offer(), "k1")
        await shop.vault.save({"access_token": SecretStr("nonsense")})
        other = shop.connect(vault=shop.vault)
        assert await other.read_listing(made.external_id) == made
        assert shop.vault.credentials["access_token"].get_secret_value() != "nonsense"

    @pytest.mark.parametrize(
        "wrong", [{"api_key": "sk_nonsense"}, {"email": USER, "password": "nonsense-9"}], ids=["key", "password"]
    )
    async def test_wrong_credentials_are_a_refusal_of_the_account(self, shop: Medusa, wrong: dict[str, str]) -> None:
        credentials = {name: SecretStr(value) for name, value in wrong.items()}
        with pytest.raises(Rejected) as refused:
            await shop.connect(credentials=credentials).probe()
        assert refused.value.auth and "nonsense" not in f"{refused.value} {refused.value.hint}"

    async def test_other_currencies_survive(self, shop: Medusa) -> None:
        connector = shop.connector
        made = await connector.publish(offer(), "k1")
        rows = await shop.merchant("GET", f"/admin/product-variants?id={made.external_id}&fields=product_id,*prices")
        row = rows["variants"][0]
        prices = [{"currency_code": "eur", "amount": 17.5}, {"currency_code": "usd", "amount": 19.9}]
        path = f"/admin/products/{row['product_id']}/variants/{made.external_id}"
        await shop.merchant("POST", path, {"prices": prices})
        await connector.set_price(made.external_id, usd("22.22"), "k2")

        async def now() -> dict[str, float]:
            told = await shop.merchant("GET", f"/admin/product-variants?id={made.external_id}&fields=id,*prices")
            return {each["currency_code"]: each["amount"] for each in told["variants"][0]["prices"]}

        assert await now() == {"eur": 17.5, "usd": 22.22}
        await connector.end(made.external_id, "k3")
        assert await now() == {}
        await connector.publish(offer(sku=made.sku), "k4")
        assert await now() == {"eur": 17.5, "usd": 19.9}

    async def test_a_regions_own_price_survives(self, shop: Medusa) -> None:
        connector = shop.connector
        made = await connector.publish(offer(), "k1")
        path = f"/admin/product-variants?id={made.external_id}&fields=product_id,*prices,*prices.price_rules"
        row = (await shop.merchant("GET", path))["variants"][0]
        rules = {"region_id": shop.found["region"]}
        prices = [{"currency_code": "usd", "amount": 15, "rules": rules}, {"currency_code": "usd", "amount": 19.9}]
        product = f"/admin/products/{row['product_id']}/variants/{made.external_id}"
        await shop.merchant("POST", product, {"prices": prices})
        state = await connector.set_price(made.external_id, usd("22.22"), "k2")
        assert state.price == usd("22.22")

        async def now() -> list[tuple[float, dict[str, str]]]:
            told = (await shop.merchant("GET", path))["variants"][0]["prices"]
            return sorted((each["amount"], each["rules"]) for each in told)

        assert await now() == [(15, rules), (22.22, {})]
        await connector.end(made.external_id, "k3")
        assert await now() == [] and not await shop.buyable(made)
        await connector.publish(offer(sku=made.sku), "k4")
        assert await now() == [(15, rules), (19.9, {})]

    async def test_a_kit_has_as_many_as_its_scarcest_item_and_goods_ship_with_what_no_parcel_holds(
        self, shop: Medusa
    ) -> None:
        items = []
        for stocked, needed in ((10, 2), (3, 1)):
            item = (await shop.merchant("POST", "/admin/inventory-items", {}))["inventory_item"]["id"]
            level = {"location_id": shop.found["place"], "stocked_quantity": stocked}
            await shop.merchant("POST", f"/admin/inventory-items/{item}/location-levels", level)
            items.append({"inventory_item_id": item, "required_quantity": needed})
        channel = (await shop.merchant("GET", "/admin/sales-channels"))["sales_channels"][0]["id"]
        profile = (await shop.merchant("GET", "/admin/shipping-profiles"))["shipping_profiles"][0]["id"]
        kit = {"title": "Kit", "status": "published", "sales_channels": [{"id": channel}]}
        kit |= {"options": [{"title": "Size", "values": ["M"]}], "shipping_profile_id": profile}
        variant = {"title": "M", "options": {"Size": "M"}, "prices": [{"currency_code": "usd", "amount": 30}]}
        body = {**kit, "variants": [{**variant, "manage_inventory": True, "inventory_items": items}]}
        made = (await shop.merchant("POST", "/admin/products", body))["product"]["variants"][0]["id"]
        state = await shop.connector.read_listing(made)
        assert state is not None and (state.sku, state.quantity) == ("", 3)
        with pytest.raises(Rejected, match="several inventory items"):
            await shop.connector.set_quantity(made, 2, "k1")
        book = {name: value for name, value in kit.items() if name != "shipping_profile_id"} | {"title": "Book"}
        body = {**book, "variants": [{**variant, "manage_inventory": False}]}
        extra = (await shop.merchant("POST", "/admin/products", body))["product"]["variants"][0]["id"]
        order = await shop.connector.read_order(await shop.buy(state, 1, extra))
        assert order is not None and len(order.lines) == 2
        sent = await shop.connector.confirm_shipment(order.external_id, "UPS", "1Z1", "k2")
        assert (sent.status, sent.vendor_status) == ("shipped", "pending/authorized/shipped")

    async def test_a_listing_left_half_made_is_finished(self, shop: Medusa) -> None:
        wanted = offer()
        made = await shop.connector.publish(wanted, "k1")
        told = await shop.merchant("GET", f"/admin/product-variants?id={made.external_id}&fields=product_id,metadata")
        row = told["variants"][0]
        product = f"/admin/products/{row['product_id']}"
        metadata = {**row["metadata"], "flipsync_state": "making"}
        await shop.merchant("POST", f"{product}/variants/{made.external_id}", {"metadata": metadata, "prices": []})
        await shop.merchant("POST", product, {"status": "draft"})
        assert (await shop.connector.publish(wanted, "somebody else")).status == "draft"
        finished = await shop.connector.publish(wanted, "k1")
        assert (finished.external_id, finished.status, finished.price) == (made.external_id, "active", usd("19.90"))
        assert await shop.buyable(made)

    async def test_units_that_come_back_are_stocked_again(self, shop: Medusa) -> None:
        made = await shop.connector.publish(offer(), "k1")
        order = await shop.connector.read_order(await shop.buy(made, 2))
        assert order is not None
        line = order.lines[0].external_id
        await shop.connector.confirm_shipment(order.external_id, "UPS", "1Z1", "k2")
        body = {"order_id": order.external_id, "location_id": shop.found["place"]}
        returned = (await shop.merchant("POST", "/admin/returns", body))["return"]["id"]
        items = [{"id": line, "quantity": 1}]
        await shop.merchant("POST", f"/admin/returns/{returned}/request-items", {"items": items})
        await shop.merchant("POST", f"/admin/returns/{returned}/request", {})
        await shop.merchant("POST", f"/admin/returns/{returned}/receive", {})
        await shop.merchant("POST", f"/admin/returns/{returned}/receive-items", {"items": items})
        await shop.merchant("POST", f"/admin/returns/{returned}/receive/confirm", {})
        told = await shop.connector.read_order(order.external_id)
        assert told is not None and [each.restocked for each in told.refunds] == [{line: 1}]
        now = await shop.connector.read_listing(made.external_id)
        assert now is not None and now.quantity == 4

    async def test_several_locations_are_told_apart(self, shop: Medusa) -> None:
        attic = (await shop.merchant("POST", "/admin/stock-locations", {"name": "Attic"}))["stock_location"]["id"]
        try:
            with pytest.raises(Rejected, match="Attic") as refused:
                await shop.connect().find_listing("ANY")
            assert refused.value.vendor_code == "location_id"
            there = shop.connect(options={"location_id": attic})
            made = await there.publish(offer(quantity=7), "k1")
            assert made.quantity == 7
            here = shop.connect(options={"location_id": shop.found["place"]})
            elsewhere = await here.read_listing(made.external_id)
            assert elsewhere is not None and elsewhere.quantity == 0
        finally:
            await shop.merchant("DELETE", f"/admin/stock-locations/{attic}")
