"""Seller Central's page where a seller authorizes an application, and what the code from it is worth.

Written from "Website authorization workflow" of the Selling Partner API; PKCE from Login with Amazon's "Authorization
code grant".
"""

from __future__ import annotations

import hashlib

from flipsync.sandbox.amazon.lwa import Application, Login
from flipsync.sandbox.amazon.world import SELLER
from flipsync.sandbox.consent import Codes, Redirects, asked, decided, page, refuse_page, send_to
from flipsync.sandbox.exchange import Answer, Call

PAGE = "/apps/authorize/consent"
ANOTHER_SELLER = "A3ANOTHERSELLER"
CODE_SECONDS = 300.0


class Authorization:
    """The page. A draft application is authorized with version=beta; ours is published and needs none."""

    def __init__(self, login: Login, redirects: Redirects) -> None:
        self.login = login
        self.redirects = redirects
        self.codes = Codes(CODE_SECONDS, "AN")
        login.codes = self.codes

    def answer(self, call: Call) -> Answer:
        fields = asked(call)
        by_id = {application_id(app): app for app in self.login.applications.values()}
        application = by_id.get(fields.get("application_id", ""))
        if application is None:
            raise refuse_page(400, "MD1000: the application_id is not known.")
        redirect = fields.get("redirect_uri", "") or self.redirects.registered
        if not self.redirects.allow(redirect):
            raise refuse_page(400, "MD5101: redirect_uri is not one of the application's.")
        state = fields.get("state", "")
        if not state:
            raise refuse_page(400, "MD5110: state is missing.")
        decision = decided(fields)
        if decision is None:
            wants = ["your listings, prices and inventory", "your orders and shipments"]
            return page(call, "Amazon", wants, (SELLER, ANOTHER_SELLER))
        if decision == "deny":
            return send_to(redirect, error="access_denied", state=state)
        seller = fields.get("seller") or SELLER
        code = self.codes.give(
            application.client_id, redirect, challenge=fields.get("code_challenge", ""), seller=seller
        )
        return send_to(redirect, state=state, selling_partner_id=seller, spapi_oauth_code=code)


def application_id(application: Application) -> str:
    """The id that Seller Central knows an application by, which is not Login's."""
    return f"amzn1.sp.solution.{hashlib.sha256(application.client_id.encode()).hexdigest()[:32]}"
