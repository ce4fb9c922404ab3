"""A seller consents in a browser: the one flow, over what each vendor has of its own (<vendor>/consent.py).

The authorization code grant of RFC 6749 (4.1), as RFC 9700 wants it: a state that serves once, a redirect address for
each vendor, PKCE (RFC 7636) where the vendor has it, and an answer that names another issuer refused (RFC 9207).
A vendor that delivers keys instead of a code (WooCommerce) has the same beginning and another end.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.oauth import Grant
from flipsync.connectors.request import Form, VendorError
from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput, Rejected

Credentials = Mapping[str, SecretStr]
#: A seller's answer as it came, in the order it came: a name that comes twice is refused.
Query = Sequence[tuple[str, str]]

_SAID = 200
#: RFC 6749, 4.1.2.1, for people
_WORDS = {
    "access_denied": "the access was not granted",
    "invalid_request": "the request was found faulty",
    "unauthorized_client": "the application may not ask for access this way: see its settings at the vendor",
    "unsupported_response_type": "the application may not ask for access this way: see its settings at the vendor",
    "invalid_scope": "the application may not ask for these permissions: see its settings at the vendor",
    "server_error": "the vendor had an error of its own: try again later",
    "temporarily_unavailable": "the vendor is too busy: try again later",
}


class ConsentDenied(Rejected):
    """The seller, or the vendor for them, said no. The message is for people."""

    code = "consent-denied"
    status = 403


class ConsentForged(InvalidInput):
    """An answer that is not what the vendor sends: changed on its way, or another vendor's."""

    code = "consent-forged"
    status = 400


@dataclass(frozen=True)
class Asked:
    """What one seller is asked: everything that the address to open is made of."""

    config: AccountConfig
    app: Credentials = field(repr=False)
    state: str = field(repr=False)
    redirect_uri: str
    verifier: str = field(repr=False)
    delivery_uri: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Consented:
    """The seller said yes: a code to redeem, and who they are, where the vendor says it here."""

    code: str = field(repr=False)
    seller_id: str = ""


class _Token(BaseModel):
    """RFC 6749, 5.1; lifetimes in seconds."""

    model_config = ConfigDict(extra="ignore")

    access_token: SecretStr = Field(min_length=1)
    expires_in: float | None = None
    refresh_token: SecretStr | None = None
    refresh_token_expires_in: float | None = None


class Consent:
    """How sellers of one vendor consent. Most of a vendor is its data; the methods are for what is not."""

    vendor: ClassVar[Vendor]
    #: what has to be known of the application
    app: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")
    #: the page the seller opens; a path is one on the account's own host
    page: ClassVar[str]
    #: where a code is redeemed; a path is one on the account's own host
    token: ClassVar[str] = ""
    #: which of the application's names the page is told, and as what
    client: ClassVar[tuple[str, str]] = ("client_id", "client_id")
    #: the application's credential that stands for the redirect address, where the vendor names them
    redirect_name: ClassVar[str] = ""
    scopes: ClassVar[tuple[str, ...]] = ()
    scope_separator: ClassVar[str] = " "
    #: sent to the page, and with the code, beside what every vendor is sent
    page_parameters: ClassVar[Mapping[str, str]] = {"response_type": "code"}
    token_parameters: ClassVar[Mapping[str, str]] = {"grant_type": "authorization_code"}
    #: the redirect address is told again with the code (RFC 6749, 4.1.3)
    repeats_redirect: ClassVar[bool] = True
    client_auth: ClassVar[Literal["basic", "form"]] = "form"
    code_parameter: ClassVar[str] = "code"
    seller_parameter: ClassVar[str] = ""
    #: the account's option that holds the seller's id
    seller_option: ClassVar[str] = ""
    #: RFC 7636; the account's option pkce=S256 asks it of any server, since what a server does not know it ignores
    pkce: ClassVar[bool] = False
    #: the vendor delivers keys to us (see `delivered`) instead of sending the seller back with a code
    delivers: ClassVar[bool] = False
    #: how long a consent lasts, and the application's secret, where no answer says it
    consent_lasts: ClassVar[timedelta | None] = None
    secret_lasts: ClassVar[timedelta | None] = None

    # What a vendor may have of its own

    def base_url(self, options: Mapping[str, str]) -> str:
        """Where the API of an account with these options is. Raises InvalidInput when it has to be given."""
        raise InvalidInput("the address of the shop is missing", hint="give base_url, e.g. https://shop.example.com")

    def page_url(self, config: AccountConfig) -> str:
        """The page without its query. Option: `authorize_url`."""
        return config.options.get("authorize_url") or _on_host(config, self.page)

    def token_url(self, config: AccountConfig) -> str:
        return str(config.token_url) if config.token_url is not None else _on_host(config, self.token)

    def is_vendors(self, config: AccountConfig) -> bool:
        """Whether the account's host is the vendor's own: only there an installation's application is made known."""
        return False

    def page_query(self, asked: Asked) -> dict[str, str]:
        name, credential = self.client
        query = {name: _of(asked.app, credential), **self.page_parameters, "state": asked.state}
        query["redirect_uri"] = self.redirect(asked)
        scopes = asked.config.options.get("scopes") or self.scope_separator.join(self.scopes)
        return query | ({"scope": scopes} if scopes else {})

    def check_answer(self, answer: Mapping[str, str], app: Credentials, config: AccountConfig) -> None:
        """Raises ConsentForged for an answer that the vendor cannot have sent."""

    def delivered(self, body: Any, reference: str) -> dict[str, SecretStr]:
        """The keys a vendor that `delivers` has sent us. Raises InvalidInput, ConsentDenied."""
        raise InvalidInput(f"{self.vendor} delivers no keys")

    # The flow

    def missing(self, app: Mapping[str, Any]) -> list[str]:
        """What of the application is not known."""
        return [name for name in self.app if not app.get(name)]

    def uses_pkce(self, config: AccountConfig) -> bool:
        return self.pkce or config.options.get("pkce") == "S256"

    def redirect(self, asked: Asked) -> str:
        return _of(asked.app, self.redirect_name) if self.redirect_name else asked.redirect_uri

    def url(self, asked: Asked) -> str:
        """The address the seller opens. Raises InvalidInput for an `authorize_url` that cannot be one."""
        page = self.page_url(asked.config)
        if urlsplit(page).scheme not in ("https", "http") or not urlsplit(page).hostname:
            raise InvalidInput(f"{page!r} is not an address to send people to", hint="the option authorize_url")
        query = self.page_query(asked)
        if self.uses_pkce(asked.config):
            query |= {"code_challenge": challenge(asked.verifier), "code_challenge_method": "S256"}
        return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}"

    def read(self, query: Query, app: Credentials, config: AccountConfig) -> Consented:
        """The seller's answer, brought by their browser. Raises ConsentForged, ConsentDenied."""
        answer = dict(query)
        if len(answer) != len(query):
            raise ConsentForged("the answer has a parameter twice", hint="start again")
        issuer = answer.get("iss")
        if issuer is not None and _origin(issuer) != _origin(config.options.get("issuer") or self.page_url(config)):
            raise ConsentForged("the answer comes from another vendor than was asked", hint="start again")
        self.check_answer(answer, app, config)
        if "error" in answer:
            raise _denied(answer)
        code = answer.get(self.code_parameter, "")
        if not code:
            raise ConsentForged(f"the answer has no {self.code_parameter}", hint="start again")
        return Consented(code, answer.get(self.seller_parameter, "") if self.seller_parameter else "")

    async def redeem(
        self,
        asked: Asked,
        code: str,
        limiter: Limiter,
        account_key: str,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> Grant:
        """Exchange the code, which serves once. Raises Rejected, Retryable (nothing happened), OutcomeUnknown."""
        fields = {**self.token_parameters, "code": code}
        if self.repeats_redirect:
            fields["redirect_uri"] = self.redirect(asked)
        if self.uses_pkce(asked.config):
            fields["code_verifier"] = asked.verifier
        client_id, secret = _of(asked.app, "client_id"), _of(asked.app, "client_secret")
        headers = {}
        if self.client_auth == "basic":
            headers["Authorization"] = f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"
        else:
            fields |= {"client_id": client_id, "client_secret": secret}
        http = HttpCore(asked.config, limiter, account_key, read_error=_token_error, transport=transport)
        try:
            answer = await http.request(
                "POST",
                self.token_url(asked.config),
                decode=_Token.model_validate,
                body=Form(fields),
                headers=headers,
                signed=False,
            )
        finally:
            await http.aclose()
        token = answer.value
        lasts = token.refresh_token_expires_in
        if lasts is None and self.consent_lasts is not None:
            lasts = self.consent_lasts.total_seconds()
        return Grant(token.access_token, token.expires_in, token.refresh_token, lasts)


def challenge(verifier: str) -> str:
    """RFC 7636, 4.2, method S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def new_verifier() -> str:
    """RFC 7636, 4.1: 43 characters of 256 random bits."""
    return secrets.token_urlsafe(32)


def _of(credentials: Credentials, name: str) -> str:
    return credentials[name].get_secret_value()


def _on_host(config: AccountConfig, where: str) -> str:
    return str(config.base_url).rstrip("/") + where if where.startswith("/") else where


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Raises ConsentForged for what is no address."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        raise ConsentForged("the answer names an issuer that cannot be one", hint="start again") from None


def _denied(answer: Mapping[str, str]) -> ConsentDenied:
    code = answer["error"]
    words = _WORDS.get(code, "the access was refused")
    said = " ".join(answer.get("error_description", "").split())[:_SAID]
    return ConsentDenied(f"{words} (the vendor says: {said})" if said else words, vendor_code=code[:_SAID])


def _token_error(status: int, body: Any) -> VendorError:
    """RFC 6749, 5.2."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return VendorError()
    hints = {
        "invalid_client": "the application's client id or secret is wrong",
        "invalid_grant": "the consent is too old, was used already, or its redirect address is not the registered one:"
        " start again",
    }
    code = body["error"]
    return VendorError(code, str(body.get("error_description", code))[:_SAID], hint=hints.get(code, ""), auth=True)
