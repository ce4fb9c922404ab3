"""eBay's REST APIs over the sandbox's books, written from eBay's documents: strict where eBay is strict."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from flipsync.sandbox.ebay.deliveries import new_key
from flipsync.sandbox.ebay.server import EbayServer
from flipsync.sandbox.ebay.tokens import Keyset
from flipsync.sandbox.served import Served

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox

SELLER = "flipsync_seller"


def open_ebay(sandbox: Sandbox) -> Served:
    """The server, with the keyset, consents and signing key that were made at the first start."""
    once = sandbox.once
    keyset = Keyset(
        client_id=once("ebay.client_id", lambda: f"FlipSync-{secrets.token_hex(8)}"),
        client_secret=once("ebay.client_secret", lambda: f"SBX-{secrets.token_hex(16)}"),
        refresh_token=once("ebay.refresh", lambda: f"v^1.1#i^1#r^1#{secrets.token_hex(32)}"),
        reader_token=once("ebay.reader", lambda: f"v^1.1#i^1#r^0#{secrets.token_hex(32)}"),
        redirect_name=once("ebay.ru_name", lambda: f"FlipSync-{secrets.token_hex(4)}"),
    )
    key, redirects = once("ebay.key", new_key), sandbox.redirects("ebay")
    server = EbayServer(sandbox.market, sandbox.faults, sandbox.webhooks, keyset, key, SELLER, redirects)

    def credentials(base_url: str) -> dict[str, dict[str, Any]]:
        row = {
            "base_url": f"{base_url}/ebay",
            "options": {"marketplace_id": server.marketplace_id, "alert_email": "alerts@example.com"},
            "client_id": keyset.client_id,
            "client_secret": keyset.client_secret,
            "redirect_name": keyset.redirect_name,
        }
        return {
            "ebay": {**row, "refresh_token": keyset.refresh_token},
            "ebay_read_only": {**row, "refresh_token": keyset.reader_token},
        }

    return Served("/ebay", server, credentials)
