"""Tokens: short-lived signed access tokens (JWT, RFC 7519), and random refresh tokens of which only a hash is kept."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

import jwt

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unauthenticated
from flipsync.security.roles import CUSTOM, PERMISSIONS, AnyRole, OwnRole, Permission, allows, as_role, kind_of

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=30)
MIN_KEY_BYTES = 32
_ALGORITHM = "HS256"
_ISSUER = "flipsync"
_AUDIENCE = "flipsync-api"
_REMEMBERED = 4096

Note = Literal["challenge", "invitation", "passkey", "provider"]


@dataclass(frozen=True)
class Claims:
    """Whom an access token or an API key speaks for. `session_id` is the sign-in it came from, or the key.

    `permissions` is what an API key was made for; None for a person's session, which may whatever the role may. What
    a business's own role may is in the token; whether it is still that version of it is asked with every request.
    """

    user_id: UUID
    tenant_id: UUID
    role: AnyRole
    session_id: UUID
    expires_at: datetime
    permissions: frozenset[Permission] | None = None

    @property
    def is_key(self) -> bool:
        return self.permissions is not None

    @cached_property
    def who(self) -> tuple[bytes, ...]:
        """Session or key, user and role as the database is asked about them: with every request, so made once. Of a
        business's own role its id and version."""
        own = self.role if isinstance(self.role, OwnRole) else None
        role = (str(self.role),) if own is None else (str(own.id), str(own.version))
        return tuple(each.encode() for each in (str(self.session_id), str(self.user_id), *role))

    @property
    def granted(self) -> list[Permission]:
        """All that is allowed, in order."""
        return sorted(each for each in PERMISSIONS if self.may(each))

    def may(self, permission: Permission) -> bool:
        return allows(self.role, permission) and (self.permissions is None or permission in self.permissions)


class AccessTokens:
    """Signs and reads access tokens, good for `lifetime`. Whether their session is still on, the books know.

    Tokens found good are remembered, by their hash, until they expire; the last few thousand of them.
    """

    def __init__(self, key: bytes, *, lifetime: timedelta = ACCESS_LIFETIME) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a token key is at least {MIN_KEY_BYTES} bytes")
        self._key = key
        self.lifetime = lifetime
        self._known: OrderedDict[bytes, tuple[float, Claims]] = OrderedDict()

    def issue(self, *, user_id: UUID, tenant_id: UUID, role: AnyRole, session_id: UUID) -> str:
        now = utc_now()
        return jwt.encode(
            {
                "iss": _ISSUER,
                "aud": _AUDIENCE,
                "sub": str(user_id),
                "tid": str(tenant_id),
                "role": kind_of(role),
                **_own_claims(role),
                "sid": str(session_id),
                "iat": now,
                "exp": now + self.lifetime,
            },
            self._key,
            algorithm=_ALGORITHM,
        )

    def read(self, token: str) -> Claims:
        """Raises Unauthenticated for anything but a valid, unexpired token of ours."""
        mark = hashlib.sha256(token.encode()).digest()
        known = self._known.get(mark)
        if known is not None and known[0] > time.time():
            return known[1]
        claims = self._verified(token)
        self._known[mark] = (claims.expires_at.timestamp(), claims)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return claims

    def issue_note(self, kind: Note, content: Mapping[str, str], lifetime: timedelta) -> str:
        """A signed note to ourselves that somebody brings back later; it opens no door by itself."""
        now = utc_now()
        claims = {"iss": _ISSUER, "aud": f"flipsync-{kind}", "iat": now, "exp": now + lifetime, "note": dict(content)}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read_note(self, kind: Note, token: str) -> dict[str, str]:
        """Raises Unauthenticated for anything but an unexpired note of ours of this kind."""
        try:
            content = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=f"flipsync-{kind}",
                issuer=_ISSUER,
                options={"require": ["exp", "iat"]},
            )
            return {str(name): str(value) for name, value in content["note"].items()}
        except (jwt.InvalidTokenError, KeyError, AttributeError):
            raise Unauthenticated(f"the {kind} is not valid or has expired", hint="start again") from None

    def _verified(self, token: str) -> Claims:
        try:
            content = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                options={"require": ["exp", "iat", "sub"]},
            )
            return Claims(
                user_id=UUID(content["sub"]),
                tenant_id=UUID(content["tid"]),
                role=_role_in(content),
                session_id=UUID(content["sid"]),
                expires_at=datetime.fromtimestamp(content["exp"], UTC),
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the access token has expired", hint="refresh it") from None
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("the access token is not valid", hint="sign in again") from None


def _own_claims(role: AnyRole) -> dict[str, Any]:
    if not isinstance(role, OwnRole):
        return {}
    return {"own": {"id": str(role.id), "v": role.version, "name": role.name, "may": sorted(role.permissions)}}


def _role_in(content: Mapping[str, Any]) -> AnyRole:
    if content["role"] != CUSTOM:
        return as_role(content["role"])
    own = content["own"]
    return OwnRole.of(UUID(own["id"]), int(own["v"]), str(own["name"]), own["may"])


def new_refresh_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def hash_refresh_token(token: str) -> str:
    """What is stored: SHA-256 is enough for a random token, which cannot be guessed from a list."""
    return hashlib.sha256(token.encode()).hexdigest()
