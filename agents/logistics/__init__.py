"""Moves the goods."""
