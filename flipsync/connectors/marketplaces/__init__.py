"""Marketplace connectors by vendor. To add one: write its folder, add a line to CONNECTORS and to domain.Vendor.

A shop of its own is one class on StoreConnector: those that come along are in STORES, and anybody else's is the vendor
"python" (PYTHON.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter, MarketplaceConnector
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import Vendor

if TYPE_CHECKING:
    from flipsync.connectors.consent import Consent

#: Where each vendor's class is; imported when first asked for, since every process pays for every import.
CONNECTORS: dict[Vendor, tuple[str, str]] = {
    "amazon": ("flipsync.connectors.marketplaces.amazon.client", "AmazonConnector"),
    "custom": ("flipsync.connectors.marketplaces.custom.client", "CustomConnector"),
    "ebay": ("flipsync.connectors.marketplaces.ebay.client", "EbayConnector"),
    "shopify": ("flipsync.connectors.marketplaces.shopify.client", "ShopifyConnector"),
    "woocommerce": ("flipsync.connectors.marketplaces.woocommerce.client", "WooCommerceConnector"),
}

#: Shops that are one class each, in flipsync/connectors/marketplaces/stores.
STORES: dict[Vendor, tuple[str, str]] = {
    "medusa": ("flipsync.connectors.marketplaces.stores.medusa", "MedusaStore"),
    "python": ("flipsync.connectors.marketplaces.own_class", "OwnClass"),
    "vendure": ("flipsync.connectors.marketplaces.stores.vendure", "VendureStore"),
}

#: Vendors whose sellers consent in a browser, in <vendor>/consent.py; the others are connected with keys.
CONSENTS: tuple[Vendor, ...] = ("amazon", "ebay", "shopify", "woocommerce")


def vendors() -> list[str]:
    """Everything that can be connected."""
    return sorted(CONNECTORS | STORES)


def connector_class(vendor: Vendor) -> type[MarketplaceConnector]:
    """The connector of a vendor; needed without an account to parse webhooks."""
    module, name = (CONNECTORS | STORES)[vendor]
    found: type[MarketplaceConnector] = getattr(importlib.import_module(module), name)
    return found


def connect(
    config: AccountConfig,
    credentials: Mapping[str, SecretStr],
    limiter: Limiter,
    account_key: str,
    vault: Vault | None = None,
) -> MarketplaceConnector:
    """An open connector for one account. Raises InvalidInput when a credential is missing or ca_file unreadable."""
    return connector_class(config.vendor)(config, credentials, limiter, account_key, vault=vault)


def consent_of(vendor: Vendor) -> Consent | None:
    """How sellers of a vendor consent in a browser; None where they do not."""
    if vendor not in CONSENTS:
        return None
    found: Consent = importlib.import_module(f"flipsync.connectors.marketplaces.{vendor}.consent").CONSENT
    return found
