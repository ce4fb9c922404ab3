"""eBay's page where a seller grants an application access, from "Getting user consent" of eBay's OAuth guide."""

from __future__ import annotations

from flipsync.sandbox.consent import Redirects, asked, decided, page, refuse_page, send_to
from flipsync.sandbox.ebay.tokens import CODE_SECONDS, KNOWN_SCOPES, Tokens
from flipsync.sandbox.exchange import Answer, Call

PAGE = "/oauth2/authorize"
ANOTHER_SELLER = "another_seller"


class Page:
    """`redirect_uri` is a RuName; where that leads is registered apart from it."""

    def __init__(self, tokens: Tokens, redirects: Redirects, seller: str) -> None:
        self.tokens = tokens
        self.redirects = redirects
        self.seller = seller

    def answer(self, call: Call) -> Answer:
        fields = asked(call)
        keyset = self.tokens.keyset
        if fields.get("client_id") != keyset.client_id:
            raise refuse_page(400, "unauthorized_client: the OAuth client was not found.")
        if fields.get("redirect_uri") != keyset.redirect_name:
            raise refuse_page(400, "invalid_request: redirect_uri is not a RuName of the application.")
        accept, state = self.redirects.registered, fields.get("state", "")
        known = {"state": state} if state else {}
        if fields.get("response_type") != "code":
            return send_to(accept, error="unsupported_response_type", **known)
        scopes = frozenset(fields.get("scope", "").split())
        if not scopes or not scopes <= KNOWN_SCOPES:
            return send_to(accept, error="invalid_scope", **known)
        decision = decided(fields)
        if decision is None:
            return page(call, "eBay", sorted(scopes), (self.seller, ANOTHER_SELLER))
        if decision == "deny":
            return send_to(accept, error="access_denied", **known)
        seller = fields.get("seller", "")
        code = self.tokens.consent(scopes, "" if seller in ("", self.seller) else seller)
        return send_to(accept, **known, code=code, expires_in=f"{CODE_SECONDS:.0f}")
