"""Keeps the house within the rules."""
