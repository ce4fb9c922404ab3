"""Sees and serves the marketplaces."""
