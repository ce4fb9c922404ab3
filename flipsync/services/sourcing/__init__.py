"""Goods before they are bought: what they are, what they would earn, and at which price they are worth buying."""
