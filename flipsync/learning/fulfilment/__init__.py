"""Walking, packing, loading and choosing where an order ships from."""
