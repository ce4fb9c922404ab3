"""The routes as the application itself tells them, with a valid request for each; no list to forget one in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api_world import API, Business

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from serve.api import document

DOCUMENT: dict[str, Any] = document()
AUTOMATION: dict[str, Any] = {
    "trigger": {"event": "CredentialsExpiring", "where": {"all": [{"field": "days", "op": "lt", "value": 3}]}},
    "steps": [{"do": "tell", "message": "a credential ends"}],
}


_NAMED = {"id": "AAAA", "rawId": "AAAA", "type": "public-key"}
NEW_CREDENTIAL = {**_NAMED, "response": {"clientDataJSON": "AAAA", "attestationObject": "AAAA"}}
USED_CREDENTIAL = {
    **_NAMED,
    "response": {"clientDataJSON": "AAAA", "authenticatorData": "AAAA", "signature": "AAAA"},
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    #: of several that are needed, the first
    permission: str | None
    permissions: tuple[str, ...]
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, business: Business) -> str:
        """The path with this business's ids in it. Raises KeyError for a parameter the test data has no id for."""
        spoken = {"name": "market", "token": "no-such-address", "vendor": "ebay", "provider": "nobody"}
        values = {name: str(business.ids[name]) for name in self.parameters if name not in spoken}
        # a stream would go on
        asked = {"/stream": "?seconds=0", "/offer": "?amount_minor=2900"}
        query = next((each for end, each in asked.items() if self.path.endswith(end)), "")
        return self.path.format(**values, **spoken) + query

    def request(self, business: Business) -> dict[str, Any]:
        """Body and headers a valid request has, apart from who sends it."""
        headers = {"Idempotency-Key": new_id().hex, "If-Match": '"1"'}
        if self.path.endswith("/products/imports"):
            return {"headers": headers, "files": {"file": ("goods.csv", b"sku,title,price\nX1,Cup,1.00\n")}}
        if self.path.endswith("/price-lists"):
            return {"headers": headers, "files": {"file": ("prices.csv", b"sku,cost\nX1,1.00\n")}}
        return {"headers": headers, "json": self._body(business)}

    def _body(self, business: Business) -> dict[str, Any] | None:
        bodies: dict[str, dict[str, Any]] = {
            "POST /auth/login": {"email": "nobody@nowhere.example", "password": "not this one"},
            "POST /auth/refresh": {"refresh_token": "x" * 43},
            "POST /auth/logout": {"refresh_token": "x" * 43},
            "POST /auth/login/second-factor": {"challenge": "x.y.z", "code": "000000"},
            "POST /auth/invitations/accept": {"invitation": "x.y.z", "password": "seven teapots on a boat"},
            "POST /auth/step-up": {"password": "not this one"},
            "PUT /auth/password": {"old_password": "not this one", "new_password": "seven teapots on a boat"},
            "POST /auth/second-factor/confirm": {"code": "000000"},
            "POST /auth/passkeys": {"name": "stolen", "challenge": "x.y.z", "credential": NEW_CREDENTIAL},
            "PATCH /auth/passkeys/{passkey_id}": {"name": "stolen"},
            "POST /auth/login/passkey": {"challenge": "x.y.z", "credential": USED_CREDENTIAL},
            "POST /auth/login/second-factor/passkey": {"challenge": "x.y.z"},
            "POST /auth/login/provider": {"flow": "x.y.z", "code": "x", "state": "x"},
            "POST /auth/identities": {"flow": "x.y.z", "code": "x", "state": "x"},
            "POST /auth/providers/{provider}/sign-in": {},
            "POST /auth/providers/{provider}/link": {},
            "POST /users": {"email": f"{new_id().hex}@{business.marker}.example", "role": "clerk"},
            "PATCH /users/{user_id}": {"role": "clerk"},
            "POST /users/roles": {"name": f"role {new_id().hex}", "permissions": ["orders:read"]},
            "PATCH /users/roles/{role_id}": {"permissions": ["orders:read"]},
            "POST /api-keys": {
                "name": "stolen",
                "permissions": ["orders:read"],
                "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
            },
            "PATCH /products/{product_id}": {"title": "stolen"},
            "POST /inventory/items/{stock_item_id}/counts": {"counted": 9},
            "POST /inventory/receipts": {"variant_id": str(business.ids["variant_id"]), "quantity": 1},
            "POST /suppliers": {"name": f"supplier {new_id().hex}"},
            "PATCH /suppliers/{supplier_id}": {"note": "stolen"},
            "PUT /suppliers/{supplier_id}/offers/{variant_id}": {"pack_cost_minor": 900},
            "POST /inventory/transfers": {
                "variant_id": str(business.ids["variant_id"]),
                "account_id": str(business.ids["account_id"]),
                "units": 1,
            },
            "POST /inventory/transfers/{transfer_id}/send": {},
            "POST /inventory/transfers/{transfer_id}/cancel": {"reason": "the season is over"},
            "POST /inventory/purchase-orders": {
                "supplier_id": str(business.ids["supplier_id"]),
                "lines": [{"variant_id": str(business.ids["variant_id"]), "units": 3, "cost_minor": 2700}],
            },
            "POST /inventory/purchase-orders/{purchase_order_id}/place": {"by_hand": True},
            "POST /inventory/purchase-orders/{purchase_order_id}/ordered": {},
            "PUT /inventory/purchase-orders/{purchase_order_id}/charges": {"freight_minor": 100, "duty_minor": 0},
            "POST /inventory/purchase-orders/{purchase_order_id}/receipts": {
                "units": {str(business.ids["variant_id"]): 1}
            },
            "POST /inventory/purchase-orders/{purchase_order_id}/cancel": {"reason": "the season is over"},
            "PATCH /pricing/variants/{variant_id}": {"floor": {"amount_minor": 1600, "currency": "USD"}},
            "PATCH /strategy/goals": {"risk": "careful"},
            "PATCH /settings": {"change": {"pricing.min_margin_bps": 800}},
            "PUT /advertising/limits": {"mode": "ask", "max_rate_bps": 800},
            "POST /pricing/bundles": {"parts": [{"listing_id": str(business.ids["listing_id"]), "quantity": 2}]},
            "POST /strategy/dry-run": {"change": {"pricing.min_margin_bps": 800}},
            "POST /listings/{listing_id}/end": {"reason": "the season is over"},
            "POST /orders/{order_id}/refunds": {"amount": {"amount_minor": 100, "currency": "USD"}},
            "POST /orders/refunds/{refund_id}/settlement": {"given": False},
            "POST /orders/{order_id}/shipment": {"carrier": "USPS", "tracking_number": "9400111899223817428490"},
            "POST /orders/{order_id}/labels": {
                "parcel": {"weight_grams": 400, "length_mm": 200, "width_mm": 150, "height_mm": 100}
            },
            "POST /orders/labels/{label_id}/settlement": {"external_id": None},
            "POST /approvals/{approval_id}/answer": {"approved": True},
            "POST /decisions/{decision_id}/undo": {"dry_run": True},
            "POST /products/{product_id}/changes/{change_id}/undo": {"dry_run": True},
            "POST /strategy/changes/{change_id}/undo": {"dry_run": True},
            "POST /reports/schedules": {"kind": "sales", "rhythm": "daily"},
            "POST /strategy/directives/{directive_id}/end": {"reason": "the season is over"},
            "POST /hand-edits/{edit_id}/answer": {"keep": "theirs"},
            "POST /approvals/answers": {"ids": [str(business.ids["approval_id"])], "approved": False},
            "POST /marketplace/accounts": {
                "vendor": "custom",
                "name": "another",
                "base_url": "http://127.0.0.1:9/",
                "currency": "USD",
                "credentials": {"token": "x"},
            },
            "PUT /marketplace/accounts/{account_id}/credentials": {"credentials": {"token": "y"}},
            "POST /marketplace/accounts/{account_id}/pause": {"reason": "test"},
            "POST /marketplace/accounts/{account_id}/disconnect": {"reason": "test"},
            "POST /webhooks/{token}": {},
            "POST /oauth/consents": {
                "vendor": "woocommerce",
                "name": f"consent {new_id().hex}",
                "base_url": "http://127.0.0.1:9/",
                "currency": "USD",
            },
            "POST /oauth/keys/{vendor}": {},
            "POST /sync/devices": {"name": f"{business.marker} tablet", "clock": utc_now().isoformat()},
            "POST /sync/devices/{device_id}/mutations": {
                "sent_at": utc_now().isoformat(),
                "mutations": [
                    {
                        "kind": "stock.receive",
                        "id": str(new_id()),
                        "seq": 10,
                        "at": utc_now().isoformat(),
                        "variant_id": str(business.ids["variant_id"]),
                        "quantity": 1,
                    }
                ],
            },
            "POST /agents/set-aside/orders/{held_order_id}/answer": {"booked_by_hand": True},
            "POST /asin-finder": {"q": "4006381333931", "cost": {"amount_minor": 900, "currency": "USD"}},
            "POST /asin-finder/lists": {"name": "a list", "csv": "barcode,cost\n4006381333931,9.00\n"},
            "POST /models/{model_id}/promote": {"to": "shadow"},
            "POST /notifications/destinations": {"url": "https://93.184.216.34/hook"},
            "POST /notifications/subscriptions": {
                "endpoint": "https://93.184.216.34/push/x",
                "keys": {
                    # of RFC 8291, 5
                    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                },
            },
            "PUT /notifications/preferences": {"time_zone": "Europe/Berlin"},
            "POST /privacy/buyers/export": {"order_id": str(business.ids["order_id"])},
            "POST /privacy/buyers/erase": {"email": "nobody@nowhere.example"},
            "POST /privacy/users/{user_id}/erase": {"email": "nobody@nowhere.example"},
            "POST /models/rollback": {"name": "shop-price", "reason": "test"},
            "POST /workflows": {"definition": AUTOMATION | {"name": f"{business.marker}-other"}},
            "POST /workflows/dry-run": {"definition": AUTOMATION | {"name": f"{business.marker}-other"}},
            "POST /workflows/runs/{run_id}/cancel": {"undo": False},
        }
        return bodies.get(f"{self.method} {self.path.removeprefix(API)}")


def _routes() -> list[Route]:
    found = []
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            scopes = [scope for need in operation.get("security", ()) for scope in need["bearer"]]
            parameters = tuple(p["name"] for p in operation.get("parameters", ()) if p["in"] == "path")
            found.append(Route(method.upper(), path, scopes[0] if scopes else None, tuple(scopes), parameters))
    return found


ROUTES = _routes()
GUARDED = [route for route in ROUTES if route.permission is not None]
OPEN = [route for route in ROUTES if route.permission is None]
