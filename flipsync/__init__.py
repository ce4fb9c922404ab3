"""FlipSync: an autonomous back office for people who resell goods."""

__version__ = "0.1.0"
