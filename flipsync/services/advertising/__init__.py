"""Advertising paid by the sale: what channels tell of it, how sales answer to it, and which rate each listing gets."""
