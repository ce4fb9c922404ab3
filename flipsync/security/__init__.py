"""Secrets at rest, passwords, tokens, roles. Imports nothing of FlipSync but domain."""
