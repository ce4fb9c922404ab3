"""Prices: known demand, demand to be learned, rivals."""
