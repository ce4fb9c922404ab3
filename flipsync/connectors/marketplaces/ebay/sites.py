"""eBay's marketplaces: the currency each sells in, and the language its listings are written in.

Source: the MarketplaceEnum and LocaleEnum of the Sell Inventory API.
"""

from __future__ import annotations

from dataclasses import dataclass

from flipsync.domain.errors import InvalidInput

DEFAULT = "EBAY_US"


@dataclass(frozen=True, slots=True)
class Site:
    """One marketplace; `language` is the value of Content-Language."""

    id: str
    currency: str
    language: str


_SITES = {
    "EBAY_US": ("USD", "en-US"),
    "EBAY_MOTORS": ("USD", "en-US"),
    "EBAY_CA": ("CAD", "en-CA"),
    "EBAY_GB": ("GBP", "en-GB"),
    "EBAY_AU": ("AUD", "en-AU"),
    "EBAY_AT": ("EUR", "de-AT"),
    "EBAY_BE": ("EUR", "nl-BE"),
    "EBAY_CH": ("CHF", "de-CH"),
    "EBAY_DE": ("EUR", "de-DE"),
    "EBAY_ES": ("EUR", "es-ES"),
    "EBAY_FR": ("EUR", "fr-FR"),
    "EBAY_HK": ("HKD", "zh-HK"),
    "EBAY_IE": ("EUR", "en-IE"),
    "EBAY_IT": ("EUR", "it-IT"),
    "EBAY_MY": ("MYR", "en-MY"),
    "EBAY_NL": ("EUR", "nl-NL"),
    "EBAY_PH": ("PHP", "en-PH"),
    "EBAY_PL": ("PLN", "pl-PL"),
    "EBAY_SG": ("SGD", "en-SG"),
}


def site(marketplace_id: str) -> Site:
    """The marketplace of that id. Raises InvalidInput for one that sellers cannot list on."""
    found = _SITES.get(marketplace_id)
    if found is None:
        raise InvalidInput(
            f"{marketplace_id!r} is not an eBay marketplace", hint=f"marketplace_id: one of {', '.join(_SITES)}"
        )
    return Site(marketplace_id, *found)
