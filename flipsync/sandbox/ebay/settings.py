"""The seller's business policies, place and privileges, and who the seller is."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import Shop
from flipsync.sandbox.ebay.tokens import Granted
from flipsync.sandbox.exchange import Answer, Call

POLICIES = {"payment": "6100000001", "fulfillment": "6200000001", "return": "6300000001"}
LOCATION = "warehouse-1"
_CATEGORIES = [{"name": "ALL_EXCLUDING_MOTORS_VEHICLES"}]


class Settings:
    """Read-only: the seller has one of each."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def _policies(self, call: Call, kind: str, fields: dict[str, Any]) -> Answer:
        marketplace = call.first("marketplace_id")
        if marketplace is None:
            raise refuse(400, 20403, "Invalid marketplace_id.", "API_ACCOUNT")
        if marketplace != self.shop.marketplace_id:
            return Answer(200, encode({"total": 0, f"{kind}Policies": []}))
        policy = {
            "name": f"{kind.capitalize()} policy",
            "marketplaceId": marketplace,
            "categoryTypes": _CATEGORIES,
            f"{kind}PolicyId": POLICIES[kind],
            **fields,
        }
        return Answer(200, encode({"total": 1, f"{kind}Policies": [policy]}))

    def payment(self, call: Call) -> Answer:
        return self._policies(call, "payment", {"immediatePay": True, "paymentMethods": []})

    def fulfillment(self, call: Call) -> Answer:
        fields = {
            "handlingTime": {"unit": "DAY", "value": 1},
            "freightShipping": False,
            "globalShipping": False,
            "localPickup": False,
            "pickupDropOff": False,
        }
        return self._policies(call, "fulfillment", fields)

    def returns(self, call: Call) -> Answer:
        fields = {
            "returnsAccepted": True,
            "returnPeriod": {"unit": "DAY", "value": 30},
            "refundMethod": "MONEY_BACK",
            "returnShippingCostPayer": "BUYER",
        }
        return self._policies(call, "return", fields)

    def privilege(self, call: Call) -> Answer:
        limit = {"amount": {"currency": self.shop.currency, "value": "100000.00"}, "quantity": 10_000}
        return Answer(200, encode({"sellerRegistrationCompleted": True, "sellingLimit": limit}))

    def locations(self, call: Call) -> Answer:
        address = {
            "addressLine1": "1 Dock Street",
            "city": "Columbus",
            "stateOrProvince": "OH",
            "postalCode": "43004",
            "country": "US",
        }
        place = {
            "location": {"address": address, "locationId": "L1"},
            "locationTypes": ["WAREHOUSE"],
            "merchantLocationKey": LOCATION,
            "merchantLocationStatus": "ENABLED",
            "name": "Warehouse",
            "phone": "6145550100",
        }
        return Answer(200, encode({"total": 1, "limit": 100, "offset": 0, "locations": [place]}))

    def user(self, call: Call, who: Granted) -> Answer:
        return Answer(
            200,
            encode(
                {
                    "userId": f"u8{who.seller}" if who.seller else "u8sAnDbOxQ",
                    "username": who.seller or self.shop.seller,
                    "accountType": "BUSINESS",
                    "registrationMarketplaceId": self.shop.marketplace_id,
                    "status": "CONFIRMED",
                }
            ),
        )
