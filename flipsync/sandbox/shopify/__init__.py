"""A Shopify shop: the Admin GraphQL API over the sandbox's books."""

from flipsync.sandbox.shopify.opener import open_shopify

__all__ = ["open_shopify"]
