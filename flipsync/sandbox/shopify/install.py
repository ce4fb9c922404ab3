"""Shopify's page where a merchant installs an application that lives outside the admin.

Written from "Authenticate a standalone or API-only app". What a merchant who cancels is sent to is not documented: here
they stay in the admin, and the application hears nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import urlencode

from flipsync.sandbox.consent import Redirects, asked, decided, page, refuse_page, send_to
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.shopify.access import SCOPES, Tokens
from flipsync.sandbox.shopify.shop import Shop

INSTALL_PATH = "/admin/oauth/authorize"


class Install:
    """The page, and the signed answer that leads back to the application."""

    def __init__(self, shop: Shop, tokens: Tokens, redirects: Redirects) -> None:
        self.shop = shop
        self.tokens = tokens
        self.redirects = redirects

    def answer(self, call: Call) -> Answer:
        fields = asked(call)
        if fields.get("client_id") != self.tokens.app.client_id:
            raise refuse_page(400, "Oauth error invalid_request: The client ID is not known")
        redirect = fields.get("redirect_uri", "")
        if not self.redirects.allow(redirect):
            raise refuse_page(400, "Oauth error invalid_request: The redirect_uri is not whitelisted")
        scopes = tuple(scope for scope in fields.get("scope", "").replace(" ", "").split(",") if scope)
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise refuse_page(400, f"Oauth error invalid_scope: The access scope is invalid: {', '.join(unknown)}")
        decision = decided(fields)
        if decision is None:
            return page(call, "Shopify", scopes)
        if decision == "deny":
            return send_to(f"{call.origin}{call.full_path.removesuffix(INSTALL_PATH)}/admin/apps", cancelled="1")
        code = self.tokens.codes.give(self.tokens.app.client_id, redirect, scopes=scopes)
        admin = base64.b64encode(f"{self.shop.domain}/admin".encode()).decode().rstrip("=")
        told = {
            "code": code,
            "host": admin,
            "shop": self.shop.domain,
            "state": fields.get("state", ""),
            "timestamp": str(int(time.time())),
        }
        return send_to(redirect, **told, hmac=_signed(told, self.tokens.app.client_secret))


def _signed(told: dict[str, str], secret: str) -> str:
    """Over the query as it would be without the signature, its names in alphabetical order."""
    text = urlencode(sorted(told.items()))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
