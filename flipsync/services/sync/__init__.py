"""Sync: what a phone needs to work without a network. `pulling` tells it what changed, `pushing` takes what it did.

`merging` has the rules as pure functions, `applying` carries one mutation out, `records` is what things look like.
"""
