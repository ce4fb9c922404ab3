"""Signing in with a provider (OpenID Connect Core 1.0): where the browser is sent, what the provider's word is worth.

The installation names its providers; what they tell of themselves (discovery, keys) is cached, and asked for anew when
a key is not known. Only signatures by the provider's own key pairs count: none left out, none by a key that is shared.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import jwt
import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.pinned import fetch
from flipsync.domain.errors import ChannelError, NotFound, Unauthenticated, Unavailable

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEY_TYPES: Final = {"R": "RSA", "P": "RSA", "E": "EC"}
_KNOWN_SECONDS, _KEYS_AGAIN_SECONDS, _FAILED_SECONDS = 3_600.0, 60.0, 5.0
_LEEWAY_SECONDS, _OLDEST_SECONDS = 60.0, 600.0
_SMALLEST_RSA = 2048


class SignInProvider(BaseModel):
    """One provider, as the operator names it.

    `email_domains` and `business` together let people of that one business in by an e-mail address the provider has
    verified, without linking it first: only for a provider that itself hands out the addresses of these domains.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(default="", max_length=100)
    issuer: str = Field(pattern=r"^https?://[^?#\s]+$")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    redirect_uris: tuple[str, ...] = Field(min_length=1, description="of our apps, as they are named at the provider")
    scopes: tuple[str, ...] = ("openid", "email")
    email_domains: tuple[str, ...] = ()
    business: UUID | None = None

    @field_validator("email_domains")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each.lower() for each in value)

    def vouches_for(self, email: str) -> bool:
        """Whether this provider's word for an address is enough, where it says that it has verified it."""
        domain = email.rpartition("@")[2].lower()
        return self.business is not None and email.isascii() and email.count("@") == 1 and domain in self.email_domains


@dataclass(frozen=True)
class Told:
    """Whom the provider has signed in. `email` is one it has verified, else empty."""

    issuer: str
    subject: str
    email: str


class Providers:
    """The installation's providers. Raises of every method: NotFound, Unavailable when the provider does not answer."""

    def __init__(self, named: Mapping[str, SignInProvider], reach: Reach) -> None:
        self.named = dict(named)
        self._sites = {name: _Site(each, reach) for name, each in named.items()}

    def get(self, name: str) -> SignInProvider:
        if name not in self.named:
            raise NotFound(f"no provider {name[:50]!r}")
        return self.named[name]

    async def authorization_url(self, name: str, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes."""
        provider = self.get(name)
        endpoint = (await self._sites[name].discovered())["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *provider.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def identity(
        self, name: str, *, code: str, redirect_uri: str, verifier: str, nonce: str, iss: str | None
    ) -> Told:
        """Redeem the code the browser came back with. Raises Unauthenticated when any of it is not as it should be."""
        provider, site = self.get(name), self._sites[name]
        found = await site.discovered()
        if iss != provider.issuer and (iss is not None or found.get("authorization_response_iss_parameter_supported")):
            raise _refused()  # RFC 9207: the answer is another provider's
        answer = await site.redeem(code, redirect_uri, verifier)
        claims = await site.verified(answer)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _refused()
        email = claims.get("email")
        verified = claims.get("email_verified") is True and isinstance(email, str) and len(email) <= 254
        return Told(provider.issuer, claims["sub"], str(email) if verified else "")


class _Site:
    """What one provider tells of itself."""

    def __init__(self, provider: SignInProvider, reach: Reach) -> None:
        self._provider = provider
        self._reach = reach
        self._lock = asyncio.Lock()
        self._found: dict[str, Any] = {}
        self._found_until = self._failed_until = self._keys_until = self._keys_asked = 0.0
        self._keys: list[dict[str, Any]] = []

    async def discovered(self) -> dict[str, Any]:
        async with self._lock:
            if time.monotonic() < self._found_until:
                return self._found
            if time.monotonic() < self._failed_until:
                raise _away()
            issuer = self._provider.issuer
            try:
                found = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    raise _away()
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    self._require_address(found.get(name))
            except Unavailable:
                self._failed_until = time.monotonic() + _FAILED_SECONDS
                raise
            self._found, self._found_until = found, time.monotonic() + _KNOWN_SECONDS
            return found

    async def redeem(self, code: str, redirect_uri: str, verifier: str) -> str:
        """The ID token. Raises Unauthenticated for a code that is not good."""
        provider, found = self._provider, await self.discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers, secret = {}, provider.client_secret.get_secret_value()
        if "client_secret_basic" in found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            pair = f"{quote(provider.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": provider.client_id, "client_secret": secret}
        try:
            answer = await fetch(self._reach, "POST", found["token_endpoint"], form=form, headers=headers)
        except ChannelError:
            raise _away() from None
        if answer.status >= 500:
            raise _away()
        told = _object(answer.body) if answer.status == 200 else {}
        if not isinstance(told.get("id_token"), str):
            raise _refused()
        return str(told["id_token"])

    async def verified(self, token: str) -> dict[str, Any]:
        """The claims of an ID token for us (Core 3.1.3.7). Raises Unauthenticated."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in _ALGORITHMS:
                raise _refused()
            key = await self._key(header.get("kid"), str(algorithm))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],
                audience=self._provider.client_id,
                issuer=self._provider.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            raise _refused() from None
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        subject, issued = claims["sub"], claims["iat"]
        if (several or "azp" in claims) and claims.get("azp") != self._provider.client_id:
            raise _refused()
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or "\0" in subject:
            raise _refused()
        if time.time() - float(issued) > _OLDEST_SECONDS:
            raise _refused()
        return claims

    async def _key(self, kid: object, algorithm: str) -> Any:
        """The provider's public key of that name. Raises Unauthenticated, and what PyJWT raises."""
        found = self._candidates(await self._known_keys(), kid, algorithm)
        if not found:
            found = self._candidates(await self._known_keys(again=True), kid, algorithm)  # they change them
        if len(found) != 1:
            raise _refused()
        key = jwt.PyJWK(found[0], algorithm).key
        if getattr(key, "key_size", _SMALLEST_RSA) < _SMALLEST_RSA and found[0]["kty"] == "RSA":
            raise _refused()
        return key

    def _candidates(self, keys: list[dict[str, Any]], kid: object, algorithm: str) -> list[dict[str, Any]]:
        """Only key pairs, of the kind the algorithm is for, meant for signing."""
        kind = "OKP" if algorithm == "EdDSA" else _KEY_TYPES[algorithm[0]]
        return [
            each
            for each in keys
            if each.get("kty") == kind
            and each.get("use", "sig") == "sig"
            and each.get("alg", algorithm) == algorithm
            and (kid is None or each.get("kid") == kid)
        ]

    async def _known_keys(self, *, again: bool = False) -> list[dict[str, Any]]:
        found = await self.discovered()
        async with self._lock:
            now = time.monotonic()
            wanted = now >= self._keys_until or (again and now >= self._keys_asked + _KEYS_AGAIN_SECONDS)
            if wanted:
                self._keys_asked = now
                keys = (await self._json(found["jwks_uri"])).get("keys")
                self._keys = [each for each in keys if isinstance(each, dict)] if isinstance(keys, list) else []
                self._keys_until = now + _KNOWN_SECONDS
            return self._keys

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            answer = await fetch(self._reach, "GET", url)
        except ChannelError:
            raise _away() from None
        if answer.status != 200:
            raise _away()
        return _object(answer.body)

    def _require_address(self, url: object) -> None:
        """Browsers are sent there, with what is ours in the address: https, but for a host the operator has named."""
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or not parts.hostname or parts.fragment:
            raise _away()
        if parts.scheme != "https" and not (parts.scheme == "http" and self._reach.is_inside(parts.hostname)):
            raise _away()


def code_challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _away() from None
    if not isinstance(told, dict):
        raise _away()
    return told


def _refused() -> Unauthenticated:
    """The same words whatever was wrong."""
    return Unauthenticated("the provider's answer was not accepted", hint="start again")


def _away() -> Unavailable:
    return Unavailable("the provider does not answer as it should", hint="try again, or sign in another way")
