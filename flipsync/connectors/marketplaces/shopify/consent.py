"""How a merchant installs an application that lives outside Shopify's admin: the authorization code grant.

https://shopify.dev/docs/apps/build/authentication-authorization/authenticate-standalone-apps: scopes are separated by
commas; the answer is signed over all of its other parameters and names the shop. Offline tokens that expire (one hour,
refresh token 90 days, replaced with every use) are asked for with expiring=1: public applications must use them, see
https://shopify.dev/docs/apps/build/security/credentials-and-data/use-expiring-offline-access-tokens
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlencode

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.consent import Consent, ConsentForged, Credentials
from flipsync.connectors.marketplaces.shopify.probe import READ_SCOPES, REFUND_SCOPES, SHOWING_SCOPES, WRITE_SCOPES
from flipsync.domain.channel import Vendor

#: What Shopify's documents say a shop's name looks like.
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", re.IGNORECASE)


class ShopifyConsent(Consent):
    vendor: ClassVar[Vendor] = "shopify"
    page = "/admin/oauth/authorize"
    token = "/admin/oauth/access_token"  # noqa: S105 - a path
    scopes = (*READ_SCOPES, "read_locations", *WRITE_SCOPES, *REFUND_SCOPES, *SHOWING_SCOPES)
    scope_separator = ","
    page_parameters: ClassVar[Mapping[str, str]] = {}
    token_parameters: ClassVar[Mapping[str, str]] = {"expiring": "1"}
    repeats_redirect = False

    def is_vendors(self, config: AccountConfig) -> bool:
        return config.base_url.scheme == "https" and _SHOP.fullmatch(config.base_url.host or "") is not None

    def check_answer(self, answer: Mapping[str, str], app: Credentials, config: AccountConfig) -> None:
        """The signature, and that it is this shop; a shop of another name is one of `shop_domain` (option)."""
        signed = {name: value for name, value in answer.items() if name != "hmac"}
        secret = app["client_secret"].get_secret_value().encode()
        if not hmac.compare_digest(signature(signed, secret).encode(), answer.get("hmac", "").encode()):
            raise ConsentForged("the answer is not signed by Shopify", hint="start again")
        here = config.options.get("shop_domain") or config.base_url.host or ""
        if answer.get("shop", "").casefold() != here.casefold():
            raise ConsentForged("the answer is about another shop", hint="give its myshopify.com address as base_url")


def signature(parameters: Mapping[str, str], secret: bytes) -> str:
    """HMAC-SHA256, hexadecimal, over the query of every parameter but the signature, sorted by name."""
    return hmac.new(secret, urlencode(sorted(parameters.items())).encode(), hashlib.sha256).hexdigest()


CONSENT = ShopifyConsent()
