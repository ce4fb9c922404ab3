"""A small OpenID Connect provider over HTTP: keeps the rules (codes serve once, PKCE, client secret) but the one a test
has it break."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "flipsync", "a secret : with/signs"
BACK = "https://app.example.com/back"


@dataclass
class OidcProvider:
    """`person` is who is signed in at its page; `spoil` changes the claims, `forge` makes the whole token."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "ana", "email_verified": False})
    spoil: dict[str, Any] = field(default_factory=dict)
    forge: Callable[[OidcProvider, dict[str, Any]], str] | None = None
    told: dict[str, Any] = field(default_factory=dict)
    kid: str = "first"
    alg: str = "RS256"
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    asked: Counter[str] = field(default_factory=Counter)
    redirect_jwks: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def rotate(self) -> None:
        self.kid, self.alg, self.key = secrets.token_hex(4), "ES256", ec.generate_private_key(ec.SECP256R1())

    def public(self) -> dict[str, Any]:
        kind = jwt.algorithms.ECAlgorithm if self.alg == "ES256" else jwt.algorithms.RSAAlgorithm
        return {**kind.to_jwk(self.key.public_key(), as_dict=True), "kid": self.kid, "use": "sig", "alg": self.alg}

    def visit(self, authorization_url: str) -> dict[str, str]:
        """What the browser of `person` is sent back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        assert query["client_id"] == CLIENT and query["redirect_uri"] == BACK and query["response_type"] == "code"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.url}

    def token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce} | self.person
        claims = {name: value for name, value in (claims | self.spoil).items() if value is not None}
        if self.forge is not None:
            return self.forge(self, claims)
        return jwt.encode(claims, self.key, algorithm=self.alg, headers={"kid": self.kid})

    # -- over HTTP

    async def discovery(self, _: Request) -> Response:
        self.asked["discovery"] += 1
        ours = {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize"}
        ours |= {"token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys"}
        return JSONResponse(ours | self.told)

    async def keys(self, _: Request) -> Response:
        self.asked["keys"] += 1
        if self.redirect_jwks:
            return RedirectResponse(self.redirect_jwks)
        return JSONResponse({"keys": [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, self.public()]})

    async def redeem(self, request: Request) -> Response:
        self.asked["token"] += 1
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        right = asked is not None and asked["code_challenge"] == challenge.decode()
        right = right and asked is not None and form["redirect_uri"] == asked["redirect_uri"]
        right = right and [unquote(each) for each in pair.split(":")] == [CLIENT, SECRET]
        if not right or asked is None:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": self.token(asked["nonce"])})


@asynccontextmanager
async def serving() -> AsyncIterator[OidcProvider]:
    provider = OidcProvider()
    routes = [
        Route("/.well-known/openid-configuration", provider.discovery),
        Route("/keys", provider.keys),
        Route("/token", provider.redeem, methods=["POST"]),
    ]
    listening = socket.create_server(("127.0.0.1", 0))
    provider.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="warning"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield provider
    server.should_exit = True
    await task


def unsigned(_: OidcProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none")


def signed_with_the_public_key(provider: OidcProvider, claims: dict[str, Any]) -> str:
    """HS256 by what everybody knows (CVE-2015-9256): the JWKS entry's own bytes, and the key in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return _hmac(pem, claims, provider.kid)


def signed_with_a_shared_key(_: OidcProvider, claims: dict[str, Any]) -> str:
    return _hmac(b"secret", claims, "shared")


def signed_by_a_stranger(provider: OidcProvider, claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(65537, 2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": provider.kid})


def with_its_own_key(provider: OidcProvider, claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(65537, 2048)
    mine = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.encode(
        claims, key, algorithm="RS256", headers={"kid": "mine", "jwk": mine, "jku": "https://evil.example"}
    )


def _hmac(key: bytes, claims: dict[str, Any], kid: str) -> str:
    import hmac

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    signed = head + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(key, signed, hashlib.sha256).digest())).decode()
