"""How a seller authorizes an application of the Selling Partner API from a website.

https://developer-docs.amazon.com/sp-api/docs/website-authorization-workflow (page, parameters, code for five minutes),
.../docs/seller-central-urls (the page is on the seller's own Seller Central), .../docs/renew-authorizations (365 days),
.../docs/rotating-your-apps-lwa-credentials (the secret lasts 180 days). An application that is still a draft is
authorized with the account's option version=beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.consent import Asked, Consent
from flipsync.connectors.marketplaces.amazon.places import MARKETPLACES, REGIONS, SELLER_CENTRAL, TOKEN_URL
from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput


class AmazonConsent(Consent):
    vendor: ClassVar[Vendor] = "amazon"
    app = ("application_id", "client_id", "client_secret")
    page = "/apps/authorize/consent"
    token = TOKEN_URL
    client = ("application_id", "application_id")
    page_parameters: ClassVar[Mapping[str, str]] = {}
    code_parameter = "spapi_oauth_code"
    seller_parameter = "selling_partner_id"
    seller_option = "seller_id"
    consent_lasts = timedelta(days=365)
    secret_lasts = timedelta(days=180)

    def base_url(self, options: Mapping[str, str]) -> str:
        return REGIONS[MARKETPLACES[_marketplace(options)].region]

    def page_url(self, config: AccountConfig) -> str:
        if given := config.options.get("authorize_url"):
            return given
        return f"https://{SELLER_CENTRAL[MARKETPLACES[_marketplace(config.options)].country]}{self.page}"

    def is_vendors(self, config: AccountConfig) -> bool:
        return str(config.base_url).rstrip("/") in REGIONS.values()

    def page_query(self, asked: Asked) -> dict[str, str]:
        version = asked.config.options.get("version")
        return super().page_query(asked) | ({"version": version} if version else {})


def _marketplace(options: Mapping[str, str]) -> str:
    wanted = options.get("marketplace_id", "")
    if wanted not in MARKETPLACES:
        raise InvalidInput(
            f"{wanted!r} is not an Amazon marketplace" if wanted else "the option marketplace_id is missing",
            hint="e.g. marketplace_id=ATVPDKIKX0DER for amazon.com",
        )
    return wanted


CONSENT = AmazonConsent()
