"""Refusals in the vendors' own words and shapes, for the faults that refuse."""

from __future__ import annotations

import json
from typing import Any

from flipsync.sandbox.exchange import Answer
from flipsync.sandbox.records import Channel


def api_error(channel: Channel, status: int, code: str, message: str, details: str = "") -> Answer:
    """A refusal in the vendor's own shape; eBay's code is its errorId."""
    shapes: dict[Channel, Any] = {
        "custom": {"type": f"urn:flipsync:custom-channel:{code}", "title": code, "status": status, "detail": message},
        "woo": {"code": code, "message": message, "data": {"status": status}},
        "shopify": {"errors": message},
        "amazon": {"errors": [{"code": code, "message": message, "details": details}]},
    }
    if channel == "ebay":
        number = int(code) if code.isdigit() else 2002
        row = {"errorId": number, "domain": "ACCESS", "category": "REQUEST", "message": message}
        shapes["ebay"] = {"errors": [row | ({"longMessage": details} if details else {})]}
    if channel == "custom":
        shapes["custom"] |= {"code": code}
    return Answer(status, json.dumps(shapes[channel]).encode())


def token_error(status: int, code: str, message: str) -> Answer:
    """RFC 6749, 5.2."""
    return Answer(status, json.dumps({"error": code, "error_description": message}).encode())


Said = tuple[int, str, str, str]
#: (status, code, message, details) of each refusal, by kind and channel
SAID: dict[str, dict[Channel, Said]] = {
    "expired": {
        "custom": (401, "token_expired", "The access token has expired.", ""),
        "shopify": (401, "", "[API] Invalid API key or access token (unrecognized login or wrong password)", ""),
        "ebay": (401, "1001", "Invalid access token", "Invalid access token. Check the value of the header."),
        "amazon": (
            403,
            "Unauthorized",
            "Access to requested resource is denied.",
            "The access token you provided has expired.",
        ),
    },
    "unknown-key": {
        "custom": (401, "unauthorized", "The token is unknown.", ""),
        "woo": (401, "woocommerce_rest_authentication_error", "Consumer key is invalid.", ""),
        "shopify": (401, "", "[API] Invalid API key or access token (unrecognized login or wrong password)", ""),
        "ebay": (401, "1001", "Invalid access token", "Invalid access token. Check the value of the header."),
        "amazon": (
            403,
            "Unauthorized",
            "Access to requested resource is denied.",
            "The access token you provided is revoked, malformed or invalid.",
        ),
    },
    "wrong-secret": {
        "woo": (401, "woocommerce_rest_authentication_error", "Consumer secret is invalid.", ""),
        "custom": (401, "bad_secret", "The token's secret does not match.", ""),
    },
    "scope": {
        "custom": (403, "forbidden", "The token may not do this.", ""),
        "woo": (
            401,
            "woocommerce_rest_authentication_error",
            "The API key provided does not have write permissions.",
            "",
        ),
        "shopify": (403, "", "[API] This action requires merchant approval for a missing access scope.", ""),
        "ebay": (403, "1100", "Access denied", "Insufficient permissions to fulfill the request."),
        "amazon": (403, "Unauthorized", "Access to requested resource is denied.", "The role is missing."),
    },
    "suspended": {
        "custom": (403, "account_suspended", "The seller account is suspended.", ""),
        "shopify": (402, "", "Unavailable Shop", ""),
        "ebay": (403, "25604", "The seller account is suspended.", ""),
        "amazon": (403, "Unauthorized", "The selling account is deactivated.", "Account deactivated."),
        "woo": (403, "account_suspended", "This hosting account has been suspended.", ""),
    },
}
# the same, by vendors that say in so many words that it has expired
SAID["expired-words"] = SAID["expired"] | {
    "shopify": (401, "", "[API] The access token has expired", ""),
    "ebay": (401, "1001", "Invalid access token", "The access token has expired."),
}


def said(kind: str, channel: Channel, status: int | None = None) -> Answer:
    """The refusal as the vendor words it, under another status where one is given."""
    usual, code, message, details = SAID[kind][channel]
    return api_error(channel, status or usual, code, message, details)
