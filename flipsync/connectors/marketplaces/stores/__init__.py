"""Shops that are one class each on StoreConnector."""
