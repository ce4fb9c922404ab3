"""The shop's application authentication endpoint: keys are made for an application, and posted to it.

Written from class WC_Auth of WooCommerce. The shop insists on https for the callback; here an address of this machine
may do without.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

import httpx2

from flipsync.sandbox.consent import asked, decided, is_loopback, page, refuse_page, send_to
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.woocommerce.auth import KeyAuthentication, Permissions

PAGE = "/wc-auth/v1/authorize"
_NEEDED = ("app_name", "user_id", "return_url", "callback_url", "scope")
_TIMEOUT = 60.0


class Grants:
    """Of a key that could not be delivered nothing stays."""

    def __init__(self, keys: KeyAuthentication) -> None:
        self.keys = keys
        self._next_id = 1

    async def answer(self, call: Call) -> Answer:
        fields = asked(call)
        for name in _NEEDED:
            if not fields.get(name):
                raise refuse_page(401, f"Error: Missing parameter {name}.")
        if fields["scope"] not in ("read", "write", "read_write"):
            raise refuse_page(401, f"Error: Invalid scope {fields['scope']}.")
        for name in ("return_url", "callback_url"):
            if not urlsplit(fields[name]).hostname:
                raise refuse_page(401, f"Error: The {name} is not a valid URL.")
        callback = fields["callback_url"]
        if not callback.lower().startswith("https://") and not is_loopback(callback):
            raise refuse_page(401, "Error: The callback_url needs to be over SSL.")
        decision = decided(fields)
        if decision is None:
            return page(call, "WooCommerce", [f"{fields['scope']} access to products, orders and webhooks"])
        if decision == "grant":
            await self._grant(fields)
        return send_to(fields["return_url"], success="1" if decision == "grant" else "0", user_id=fields["user_id"])

    async def _grant(self, fields: dict[str, str]) -> None:
        key = self.keys.grant(cast(Permissions, fields["scope"]))
        body = {
            "key_id": self._next_id,
            "user_id": fields["user_id"],
            "consumer_key": key.consumer_key,
            "consumer_secret": key.consumer_secret,
            "key_permissions": key.permissions,
        }
        self._next_id += 1
        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=False, follow_redirects=False) as http:
                status = (await http.post(fields["callback_url"], json=body)).status_code
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            self.keys.revoke(key)
            raise refuse_page(401, f"Error: {type(error).__name__}.") from None
        if status != 200:
            self.keys.revoke(key)
            words = "An error occurred in the request and at the time were unable to send the consumer data"
            raise refuse_page(401, f"Error: {words}.")
