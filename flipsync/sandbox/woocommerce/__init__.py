"""A web shop that speaks WooCommerce REST v3 and behaves as real stores do, not as their documents say."""

from flipsync.sandbox.woocommerce.server import WooCommerceShop

__all__ = ["WooCommerceShop"]
