"""Where Amazon is: the hosts of its three regions, and the marketplaces with their language.

Sources: https://developer-docs.amazon.com/sp-api/docs/sp-api-endpoints and .../docs/marketplace-ids
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Region = Literal["na", "eu", "fe"]

#: Login with Amazon, where an account names no other token endpoint.
TOKEN_URL = "https://api.amazon.com/auth/o2/token"  # noqa: S105 - an address


REGIONS: dict[Region, str] = {
    "na": "https://sellingpartnerapi-na.amazon.com",
    "eu": "https://sellingpartnerapi-eu.amazon.com",
    "fe": "https://sellingpartnerapi-fe.amazon.com",
}


class Marketplace(NamedTuple):
    """One of Amazon's stores."""

    country: str
    region: Region
    language: str


MARKETPLACES: dict[str, Marketplace] = {
    "A2EUQ1WTGCTBG2": Marketplace("CA", "na", "en_CA"),
    "ATVPDKIKX0DER": Marketplace("US", "na", "en_US"),
    "A1AM78C64UM0Y8": Marketplace("MX", "na", "es_MX"),
    "A2Q3Y263D00KWC": Marketplace("BR", "na", "pt_BR"),
    "A28R8C7NBKEWEA": Marketplace("IE", "eu", "en_IE"),
    "A1RKKUPIHCS9HS": Marketplace("ES", "eu", "es_ES"),
    "A1F83G8C2ARO7P": Marketplace("GB", "eu", "en_GB"),
    "A13V1IB3VIYZZH": Marketplace("FR", "eu", "fr_FR"),
    "AMEN7PMS3EDWL": Marketplace("BE", "eu", "fr_BE"),
    "A1805IZSGTT6HS": Marketplace("NL", "eu", "nl_NL"),
    "A1PA6795UKMFR9": Marketplace("DE", "eu", "de_DE"),
    "APJ6JRA9NG5V4": Marketplace("IT", "eu", "it_IT"),
    "A2NODRKZP88ZB9": Marketplace("SE", "eu", "sv_SE"),
    "AE08WJ6YKNBMC": Marketplace("ZA", "eu", "en_ZA"),
    "A1C3SOZRARQ6R3": Marketplace("PL", "eu", "pl_PL"),
    "ARBP9OOSHTCHU": Marketplace("EG", "eu", "ar_AE"),
    "A33AVAJ2PDY3EV": Marketplace("TR", "eu", "tr_TR"),
    "A17E79C6D8DWNP": Marketplace("SA", "eu", "ar_AE"),
    "A2VIGQ35RCS4UG": Marketplace("AE", "eu", "en_AE"),
    "A21TJRUUN4KGV": Marketplace("IN", "eu", "en_IN"),
    "A19VAU5U5O7RUS": Marketplace("SG", "fe", "en_SG"),
    "A39IBJ37TRP1C6": Marketplace("AU", "fe", "en_AU"),
    "A1VC38T7YXB528": Marketplace("JP", "fe", "ja_JP"),
}

#: Seller Central, where sellers authorize applications, by country.
#: Source: https://developer-docs.amazon.com/sp-api/docs/seller-central-urls
SELLER_CENTRAL: dict[str, str] = {
    "CA": "sellercentral.amazon.ca",
    "US": "sellercentral.amazon.com",
    "MX": "sellercentral.amazon.com.mx",
    "BR": "sellercentral.amazon.com.br",
    "IE": "sellercentral.amazon.ie",
    "ES": "sellercentral-europe.amazon.com",
    "GB": "sellercentral-europe.amazon.com",
    "FR": "sellercentral-europe.amazon.com",
    "BE": "sellercentral.amazon.com.be",
    "NL": "sellercentral.amazon.nl",
    "DE": "sellercentral-europe.amazon.com",
    "IT": "sellercentral-europe.amazon.com",
    "SE": "sellercentral.amazon.se",
    "ZA": "sellercentral.amazon.co.za",
    "PL": "sellercentral.amazon.pl",
    "EG": "sellercentral.amazon.eg",
    "TR": "sellercentral.amazon.com.tr",
    "SA": "sellercentral.amazon.sa",
    "AE": "sellercentral.amazon.ae",
    "IN": "sellercentral.amazon.in",
    "SG": "sellercentral.amazon.sg",
    "AU": "sellercentral.amazon.com.au",
    "JP": "sellercentral.amazon.co.jp",
}
