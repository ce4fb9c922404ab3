"""Notifications: what is worth telling a person, who is told, how they want it, and how it gets to them."""
