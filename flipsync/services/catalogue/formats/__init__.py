"""The file formats an import recognises, in the order they are tried. To add one: subclass Format and list it here."""

from __future__ import annotations

from flipsync.services.catalogue.formats.base import Format
from flipsync.services.catalogue.formats.generic import GenericFormat
from flipsync.services.catalogue.formats.shopify import ShopifyFormat
from flipsync.services.catalogue.formats.woocommerce import WooCommerceFormat

FORMATS: tuple[type[Format], ...] = (WooCommerceFormat, ShopifyFormat, GenericFormat)

__all__ = ["FORMATS", "Format", "GenericFormat", "ShopifyFormat", "WooCommerceFormat"]
