"""The outside world: one folder a vendor, one interface a kind."""
