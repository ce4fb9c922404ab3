"""What the house can do, one capability a file."""
