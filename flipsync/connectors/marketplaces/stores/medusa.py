"""Medusa shops (v2) over the Admin API. Credentials: `api_key` (a secret key), or `email` and `password`.

Options: `sales_channel_id`, `location_id`, `shipping_profile_id` (each needed where the shop has several), `watch_days`
(default 30: how old an order may be whose payment, which leaves its updated_at alone, is still noticed). Not sent:
brand, category and attributes.

Longer than a hundred lines because Medusa keeps apart what others keep in one row (product, options, variant, prices,
inventory item, level at a location) and has no state for a single variant: see medusa_orders.py for the other half.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import SecretStr

from flipsync.connectors.base import Capabilities
from flipsync.connectors.marketplaces.store import Row, StoreConnector
from flipsync.connectors.marketplaces.stores.medusa_orders import MedusaOrders
from flipsync.connectors.marketplaces.stores.medusa_rows import (
    ALONE,
    handle,
    kept,
    levels_of,
    on_offer,
    same,
    values_of,
)
from flipsync.connectors.oauth import Grant
from flipsync.connectors.request import VendorError
from flipsync.domain.channel import ChannelInfo, ListingState, ListingStatus, ListingText, Offer, OfferGroup, Vendor
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_VARIANT = (
    "id,sku,title,barcode,metadata,updated_at,manage_inventory,product_id,*prices,*prices.price_rules,*product,"
    "*options,*options.option,*inventory_items,*inventory_items.inventory.location_levels"
)
_PRODUCT = "id,title,status,*options,*options.values,*variants"
#: In a variant's metadata: the call that made it, "making" or "ended", and prices in other currencies meanwhile.
KEY, STATE, PRICES = "flipsync_key", "flipsync_state", "flipsync_prices"


class MedusaStore(MedusaOrders):
    """One sales channel and one stock location of a shop. Units on offer are those stocked there, less the reserved.

    A variant that ended has no prices, so that nobody can buy it; its product is a draft when none is left.
    """

    vendor: ClassVar[Vendor] = "medusa"
    capabilities: ClassVar[Capabilities] = StoreConnector.capabilities.model_copy(
        update={"groups": True, "bulk_quantity": 100}
    )
    access: ClassVar[Mapping[str, tuple[str, ...]]] = {"api_key": ("api_key",), "login": ("email", "password")}

    def headers(self) -> Mapping[str, str]:
        if self.way != "api_key":
            return {}
        pair = f"{self.credentials['api_key'].get_secret_value()}:"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def login(self, credentials: Mapping[str, SecretStr]) -> Grant:
        body = {name: credentials[name].get_secret_value() for name in ("email", "password")}
        answer, _ = await self.open_door("/auth/user/emailpass", body)
        return Grant(SecretStr(answer["token"]))

    def read_error(self, status: int, body: Any) -> VendorError:
        """A conflict of two calls was undone, and asks to be tried again."""
        found = super().read_error(status, body)
        conflict = status == 409 and found.code == "invalid_state_error"
        return replace(found, meaning="later") if conflict else found

    async def about(self) -> ChannelInfo:
        self._settings.clear()
        self.young(datetime.now(UTC))
        store = (await self.get("/admin/stores"))["stores"][0]
        sold = {row["currency_code"].upper(): row["is_default"] for row in store["supported_currencies"]}
        currency = self.config.currency
        if currency not in sold:
            currency = next((code for code, default in sold.items() if default), currency)
        await self.get("/admin/orders", limit=1, fields="id")
        await self._location()
        notes: tuple[str, ...] = ()
        try:
            await self.send("POST", "/admin/products/batch", {})  # changes nothing
        except Rejected as refused:
            notes = (f"the account may not change products ({refused.message})",)
        return ChannelInfo(name=store["name"], currency=currency, can_read=True, can_write=not notes, notes=notes)

    # Listings

    async def _variants(self, **only: Any) -> list[Row]:
        place = await self._location()
        rows = (await self.get("/admin/product-variants", fields=_VARIANT, limit=self.page_size, **only))["variants"]
        return [{**row, "place": place} for row in rows]

    async def rows_of_sku(self, sku: str) -> Sequence[Row]:
        return await self._variants(sku=sku)

    async def row(self, external_id: str) -> Row | None:
        rows = await self._variants(id=external_id) if external_id else []
        return rows[0] if rows else None

    async def rows_of_ids(self, external_ids: Sequence[str]) -> Sequence[Row]:
        wanted = {f"id[{place}]": external_id for place, external_id in enumerate(external_ids)}
        return await self._variants(**wanted)

    def rows(self) -> AsyncIterator[Row]:
        return self.paged(lambda offset: self._variants(offset=offset, order="id"))

    def key_of(self, row: Row) -> str:
        return str((row["metadata"] or {}).get(KEY, ""))

    def listing(self, row: Row) -> ListingState:
        product, state = row["product"], (row["metadata"] or {}).get(STATE)
        status: ListingStatus = "active" if product["status"] == "published" else "draft"
        grouped = any(option["option"]["title"] != ALONE for option in row["options"])
        prices = [price for price in row["prices"] if self._is_own(price)]
        return ListingState(
            external_id=row["id"],
            sku=row["sku"] or "",
            title=f"{product['title']} - {row['title']}" if grouped else product["title"],
            status="ended" if state == "ended" else "draft" if state == "making" else status,
            price=self.money(prices[0]["amount"]) if prices else None,
            quantity=on_offer(row) if row["manage_inventory"] else None,
            modified_at=self.moment(row["updated_at"]),
            group_external_id=product["id"] if grouped else None,
            barcode=row["barcode"],
            text=ListingText(
                title=product["title"], description_html=product.get("description") or "", of_group=grouped
            ),
        )

    def _is_own(self, price: Row) -> bool:
        """The price everybody pays in the account's currency."""
        own = price["currency_code"].upper() == self.config.currency
        return own and not price.get("rules") and price.get("min_quantity") is None

    def _price(self, price: Money) -> Row:
        return {"currency_code": price.currency.lower(), "amount": self.amount(price)}

    async def create(self, offer: Offer, key: str) -> str:
        """Made without being on sale, then stocked, then shown."""
        group = offer.group
        variant: Row = {
            "title": " / ".join(offer.choices) if group else offer.title,
            "sku": offer.sku,
            "options": dict(zip(group.options, offer.choices, strict=True)) if group else {ALONE: ALONE},
            "prices": [self._price(offer.price)],
            "manage_inventory": True,
            "metadata": {KEY: key, STATE: "making"},
        }
        variant |= {"barcode": offer.barcode} if offer.barcode else {}
        variant |= {"weight": offer.weight_grams} if offer.weight_grams is not None else {}
        if group is None:
            await self._make_product(offer, [variant])
        else:
            product = await self._group(offer, group)
            await self.send("POST", f"/admin/products/{product['id']}/variants", variant)
        made = await self.rows_of_sku(offer.sku)
        if not made:
            raise Rejected("the shop does not show the variant it made", vendor_code="not_found")
        await self.write_quantity(made[0], offer.quantity)
        await self.show(made[0], True, key)
        return str(made[0]["id"])

    async def _make_product(self, offer: Offer, variants: list[Row]) -> Row:
        group = offer.group
        options: list[Row] = [{"title": ALONE, "values": [ALONE]}]
        if group:
            options = [{"title": name, "values": values_of(group, offer, name)} for name in group.options]
        images = group.images if group and group.images else offer.images
        body = {
            "title": group.title if group else offer.title,
            "description": group.description_html if group else offer.description_html,
            "handle": handle(offer),
            "status": "draft",
            "options": options,
            "variants": variants,
            "images": [{"url": url} for url in images],
            "shipping_profile_id": await self._profile(),
            "sales_channels": [{"id": await self._channel()}],
        }
        made: Row = (await self.send("POST", "/admin/products", body, fields=_PRODUCT))["product"]
        return made

    async def _group(self, offer: Offer, group: OfferGroup) -> Row:
        """The group's product with the offer's choices among its options: ours, the merchant's own, or a new one."""
        found = await self._found(offer, group)
        if found is None:
            try:
                return await self._make_product(offer, [])
            except Rejected:
                found = await self._found(offer, group)  # made by somebody else in between
                if found is None:
                    raise
        for option in found["options"]:
            name = next((each for each in group.options if same(each, option["title"])), None)
            known = [value["value"] for value in option["values"]]
            missing = [value for value in values_of(group, offer, name) if value not in known] if name else []
            if missing:
                await self._add_values(found["id"], option, missing)
        return found

    async def _add_values(self, product_id: str, option: Row, missing: Sequence[str]) -> None:
        """Since 2.17 options can be shared, and what a product takes of one is said by product; before, by option."""
        path = f"/admin/products/{product_id}/options"
        change = {"product_option_id": option["id"], "add": [{"value": value} for value in missing]}
        try:
            await self.send("POST", f"{path}/batch", {"update": [change]})
        except Rejected as refused:
            if not refused.missing:
                raise
            values = [*(value["value"] for value in option["values"]), *missing]
            await self.send("POST", f"{path}/{option['id']}", {"title": option["title"], "values": values})

    async def _found(self, offer: Offer, group: OfferGroup) -> Row | None:
        rows = (await self.get("/admin/products", handle=handle(offer), fields=_PRODUCT))["products"]
        if not rows:
            titled = (await self.get("/admin/products", title=group.title, fields=_PRODUCT))["products"]
            wanted = {name.casefold() for name in group.options}
            rows = [row for row in titled if {option["title"].casefold() for option in row["options"]} == wanted]
        return rows[0] if len(rows) == 1 else None

    async def describe(self, row: Row, offer: Offer) -> None:
        group, alone = offer.group, row["options"][0]["option"]["title"] == ALONE
        if group is not None or alone:
            text = group.description_html if group else offer.description_html
            images = group.images if group else offer.images
            body: Row = {"title": group.title if group else offer.title}
            body |= {"description": text} if text else {}
            body |= {"images": [{"url": url} for url in images]} if images else {}
            await self.send("POST", f"/admin/products/{row['product_id']}", body)
        if group is not None and not alone:
            await self._group(offer, group)
            await self._change(
                row,
                title=" / ".join(offer.choices),
                options=dict(zip(group.options, offer.choices, strict=True)),
            )

    async def _change(self, row: Row, **changes: Any) -> None:
        await self.send("POST", f"/admin/products/{row['product_id']}/variants/{row['id']}", changes)

    async def write_price(self, row: Row, price: Money) -> None:
        """Prices that are left out of the list are taken away: the other currencies' go along."""
        others = [kept(each) for each in row["prices"] if not self._is_own(each)]
        await self._change(row, prices=[*others, self._price(price)])

    async def write_quantity(self, row: Row, quantity: int) -> None:
        level, known = self._wanted(row, quantity)
        path = f"/admin/inventory-items/{level.pop('inventory_item_id')}/location-levels"
        if known:
            await self.send("POST", f"{path}/{level.pop('location_id')}", level)
        else:
            await self.send("POST", path, level)

    async def write_quantities(self, changes: Sequence[tuple[Row, int]]) -> None:
        levels = [self._wanted(row, quantity) for row, quantity in changes]
        body = {
            "create": [level for level, known in levels if not known],
            "update": [level for level, known in levels if known],
        }
        await self.send("POST", "/admin/inventory-items/location-levels/batch", body)

    @staticmethod
    def _wanted(row: Row, quantity: int) -> tuple[Row, bool]:
        """The level to write, and whether there is one. What is reserved is added, so that a sale between reading and
        writing is not lost."""
        found = levels_of(row)
        if not found or not row["manage_inventory"]:
            raise Rejected("the variant's stock is not counted", vendor_code="inventory")
        if len(found) > 1:
            raise Rejected(
                "the variant is made of several inventory items: its units follow from theirs",
                hint="other variants may use them too; count the items in the shop",
                vendor_code="inventory",
            )
        linked, level = found[0]
        units = quantity * int(linked.get("required_quantity") or 1)
        reserved = 0 if level is None else int(level["reserved_quantity"])
        place = {"inventory_item_id": linked["inventory_item_id"], "location_id": row["place"]}
        return {**place, "stocked_quantity": units + reserved}, level is not None

    async def show(self, row: Row, on_sale: bool, key: str) -> None:
        product, metadata = f"/admin/products/{row['product_id']}", row["metadata"] or {}
        if on_sale:
            # The variant's own mark goes last: until then it counts as not done.
            await self.send("POST", product, {"status": "published"})
            changes: Row = {"metadata": {**metadata, KEY: key, STATE: "", PRICES: ""}}
            if metadata.get(PRICES):
                now = (await self.row(row["id"])) or row
                changes["prices"] = [*map(kept, now["prices"]), *json.loads(metadata[PRICES])]
            await self._change(row, **changes)
            return
        others = [kept(each) for each in row["prices"] if not self._is_own(each)]
        aside = json.dumps([{name: each[name] for name in each if name != "id"} for each in others])
        await self._change(row, metadata={**metadata, STATE: "ended", PRICES: aside if others else ""}, prices=[])
        siblings = (await self.get(product, fields=_PRODUCT))["product"]["variants"]
        if all((each["metadata"] or {}).get(STATE) == "ended" or each["id"] == row["id"] for each in siblings):
            await self.send("POST", product, {"status": "draft"})

    async def discard(self, row: Row) -> None:
        await self.send("DELETE", f"/admin/products/{row['product_id']}/variants/{row['id']}")
