"""Measurements, each with its limit or a peer in the same run: `python -m benchmarks.NAME [--quick] [--json]`."""
