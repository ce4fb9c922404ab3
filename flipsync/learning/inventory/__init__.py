"""Orders: lost sales, reorder points, two sources, chains of stages."""
