"""How a seller consents at eBay: the authorization code grant, with a RuName in place of the redirect address.

https://developer.ebay.com/api-docs/static/oauth-consent-request.html and .../oauth-auth-code-grant-request.html: the
code comes percent-encoded and lasts 299 seconds, the refresh token 18 months. That a RuName leads to our callback is
set in eBay's developer portal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.consent import Consent
from flipsync.connectors.marketplaces.ebay.auth import SCOPES
from flipsync.domain.channel import Vendor

_API = "https://api.ebay.com"


class EbayConsent(Consent):
    vendor: ClassVar[Vendor] = "ebay"
    app = ("client_id", "client_secret", "redirect_name")
    page = "https://auth.ebay.com/oauth2/authorize"
    token = "/identity/v1/oauth2/token"  # noqa: S105 - a path
    redirect_name = "redirect_name"
    scopes = SCOPES
    client_auth = "basic"

    def base_url(self, options: Mapping[str, str]) -> str:
        return _API

    def is_vendors(self, config: AccountConfig) -> bool:
        return str(config.base_url).rstrip("/") == _API


CONSENT = EbayConsent()
