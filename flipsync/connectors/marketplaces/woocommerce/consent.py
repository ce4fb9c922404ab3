"""How a merchant lets WooCommerce make keys for us: its application authentication endpoint.

https://developer.woocommerce.com/docs/apis/rest-api/authentication/ and class WC_Auth: the shop itself posts the keys
to `callback_url`, which has to be https, and deletes them again unless it is answered with 200; then it sends the
browser to `return_url` with success=1, or 0 when the merchant said no. `user_id` is for our own reference and proves
nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.consent import Asked, Consent, ConsentDenied, Consented, ConsentForged, Credentials, Query
from flipsync.connectors.marketplaces.woocommerce.api import root_of
from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput

_APP_NAME = "FlipSync"
#: a shop on this machine may be a sandbox, which does not insist
_HERE = frozenset({"127.0.0.1", "localhost", "[::1]"})


class _Keys(BaseModel):
    model_config = ConfigDict(extra="ignore")

    user_id: str | int
    consumer_key: SecretStr = Field(min_length=1)
    consumer_secret: SecretStr = Field(min_length=1)
    key_permissions: str


class WooCommerceConsent(Consent):
    vendor: ClassVar[Vendor] = "woocommerce"
    app = ()
    page = "/wc-auth/v1/authorize"
    delivers = True

    def is_vendors(self, config: AccountConfig) -> bool:
        return True  # there is no application whose secret could be lost

    def page_url(self, config: AccountConfig) -> str:
        """On a shop with plain permalinks, `authorize_url` is its /?wc-auth-version=1&wc-auth-route=authorize."""
        return config.options.get("authorize_url") or root_of(str(config.base_url)) + self.page

    def page_query(self, asked: Asked) -> dict[str, str]:
        """Raises InvalidInput for an address of ours that the shop would refuse to post keys to."""
        if not asked.delivery_uri.startswith("https://") and asked.config.base_url.host not in _HERE:
            raise InvalidInput(
                "the shop posts its keys to this API, and does so only over https",
                hint="set FLIPSYNC_PUBLIC_URL to the https address of this API",
            )
        return {
            "app_name": _APP_NAME,
            "scope": "read_write",
            "user_id": asked.reference,
            "return_url": f"{asked.redirect_uri}?state={asked.state}",
            "callback_url": f"{asked.delivery_uri}?state={asked.state}",
        }

    def read(self, query: Query, app: Credentials, config: AccountConfig) -> Consented:
        """What the browser brings back before the keys came: a no, or nothing worth having."""
        if dict(query).get("success") == "0":
            raise ConsentDenied("the access was not granted", vendor_code="access_denied")
        raise ConsentForged("the shop says yes, but has sent no keys", hint="start again")

    def delivered(self, body: Any, reference: str) -> dict[str, SecretStr]:
        try:
            keys = _Keys.model_validate(body)
        except ValidationError:
            raise InvalidInput("these are not the keys of a shop") from None
        if str(keys.user_id) != reference:
            raise ConsentForged("these keys were made for somebody else")
        if keys.key_permissions != "read_write":
            raise ConsentDenied(f"the shop gave a key that may only {keys.key_permissions[:20]}", hint="start again")
        return {"consumer_key": keys.consumer_key, "consumer_secret": keys.consumer_secret}


CONSENT = WooCommerceConsent()
