"""What the vendors' consent pages share: the page itself, where it may send people, and codes that serve once.

A page is answered by its form (POST), or by `decision=grant` or `deny` in the address, for those without a browser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from flipsync.sandbox.books import Books
from flipsync.sandbox.exchange import Answer, Call, Refusal

Decision = Literal["grant", "deny"]
#: where FlipSync listens unless it is told otherwise
_DEFAULT = "http://127.0.0.1:8000/api/v1/oauth/callback/{vendor}"
#: names of ours, which no vendor sees
_OURS = ("decision", "seller")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Code:
    """What a code stands for."""

    client_id: str
    redirect: str
    challenge: str
    until: float
    scopes: tuple[str, ...] = ()
    seller: str = ""


class Codes:
    """Authorization codes: short-lived, for one use, and for the client, address and challenge they were asked with."""

    def __init__(self, seconds: float, prefix: str = "", clock: Callable[[], float] = time.time) -> None:
        self.seconds = seconds
        self._prefix = prefix
        self._clock = clock
        self._given: dict[str, Code] = {}

    def give(
        self, client_id: str, redirect: str, *, challenge: str = "", scopes: Sequence[str] = (), seller: str = ""
    ) -> str:
        now = self._clock()
        self._given = {text: code for text, code in self._given.items() if code.until > now}
        text = self._prefix + secrets.token_urlsafe(24)
        self._given[text] = Code(client_id, redirect, challenge, now + self.seconds, tuple(scopes), seller)
        return text

    def redeem(self, text: str, client_id: str, redirect: str | None, verifier: str = "") -> Code | None:
        """The code, which is used up by trying. `redirect` None: the vendor does not ask for it again."""
        code = self._given.pop(text, None)
        if code is None or code.until <= self._clock() or code.client_id != client_id:
            return None
        if redirect is not None and redirect != code.redirect:
            return None
        if code.challenge or verifier:  # RFC 7636, 4.6; and a verifier without a challenge is a downgrade (RFC 9700)
            digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
            if not hmac.compare_digest(digest.encode(), code.challenge.encode()):
                return None
        return code


class Redirects:
    """Where one vendor's applications may have people sent: what was registered, on this machine on any port."""

    def __init__(self, books: Books, vendor: str) -> None:
        self._books = books
        self._key = f"consent.{vendor}"
        self._default = _DEFAULT.format(vendor=vendor)

    @property
    def registered(self) -> str:
        return self._books.meta(self._key) or self._default

    def register(self, url: str) -> None:
        self._books.set_meta(self._key, url)

    def allow(self, url: str) -> bool:
        """RFC 6749, 3.1.2.3; the port of a loopback address is free (RFC 8252, 7.3)."""
        ours, theirs = urlsplit(self.registered), urlsplit(url)
        if ours.hostname in _LOOPBACK and theirs.hostname in _LOOPBACK:
            return (ours.scheme, ours.hostname, ours.path) == (theirs.scheme, theirs.hostname, theirs.path)
        return url == self.registered


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def asked(call: Call) -> dict[str, str]:
    """The page's parameters: of the address, and of the form."""
    form = call.body.decode("utf-8", "replace") if call.method == "POST" else ""
    return dict([*call.query, *parse_qsl(form, keep_blank_values=True)])


def decided(fields: Mapping[str, str]) -> Decision | None:
    given = fields.get("decision")
    return "grant" if given == "grant" else "deny" if given == "deny" else None


def page(call: Call, vendor: str, wants: Sequence[str], sellers: Sequence[str] = ()) -> Answer:
    """The question."""
    fields = {name: value for name, value in asked(call).items() if name not in _OURS}
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    choice = "".join(f"<option>{escape(seller)}</option>" for seller in sellers)
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sandbox {escape(vendor)}: grant access</title><style>li {{overflow-wrap: anywhere}}</style>"
        f"<h1>Grant access to your {escape(vendor)} account?</h1><p>FlipSync asks for:</p><ul>"
        f"{''.join(f'<li>{escape(want)}</li>' for want in wants)}</ul>"
        f'<form method="post" action="{escape(call.full_path)}">{hidden}'
        + (f'<label>Signed in as <select name="seller">{choice}</select></label>' if choice else "")
        + '<button name="decision" value="grant">Grant</button>'
        + '<button name="decision" value="deny">Deny</button></form>'
    )
    return Answer(200, body.encode(), {"Cache-Control": "no-store"}, "text/html; charset=utf-8")


def send_to(url: str, **parameters: str) -> Answer:
    """The browser goes on, with these parameters."""
    joint = "&" if urlsplit(url).query else "?"
    return Answer(302, b"", {"Location": f"{url}{joint}{urlencode(parameters)}", "Referrer-Policy": "no-referrer"})


def refuse_page(status: int, words: str) -> Refusal:
    """An error that is shown on the spot: nobody is sent to an address that is not known to be the application's."""
    body = f"<!doctype html><title>Error</title><h1>Error</h1><p>{escape(words)}</p>"
    return Refusal(Answer(status, body.encode(), media_type="text/html; charset=utf-8"))
