"""Shopify: the Admin GraphQL API of a shop of one's own."""
