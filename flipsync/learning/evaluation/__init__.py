"""Judging policies: from logs, while they run, and when the world moves."""
