"""Copies of the books that can be put back: what is in one, how it is taken, how it is restored."""
