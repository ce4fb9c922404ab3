"""A market to sell in: shops and marketplaces that speak the vendors' own protocols, with buyers, rivals and faults.

Start one with `python -m flipsync.sandbox`; drive it with `flipsync.sandbox.client.SandboxClient`.
"""
