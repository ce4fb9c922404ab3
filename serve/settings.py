"""What a process of the API needs to know; read from the environment on the replica, or given."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flipsync.connectors.providers import SignInProvider
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import Clock, ScaledClock, SystemClock
from flipsync.security.passkeys import RelyingParty
from flipsync.security.secrets import parse_keys
from flipsync.security.tokens import MIN_KEY_BYTES
from flipsync.settings import INSIDE, Inside, installed_applications

#: how an Android app calls itself: the hash of the key it is signed with
_ANDROID = re.compile(r"android:apk-key-hash:[A-Za-z0-9_\-]{43}")


class ServeSettings(BaseSettings):
    """Environment names are the fields' names in capitals with FLIPSYNC_ before them. Keys are URL-safe base64."""

    model_config = SettingsConfigDict(env_prefix="FLIPSYNC_", frozen=True, extra="ignore")

    app_database_url: SecretStr = Field(description="PostgreSQL as role flipsync_app")
    redis_url: SecretStr
    jwt_key: SecretStr = Field(description="signs access tokens; at least 32 bytes")
    secret_key: SecretStr = Field(description="seals channel credentials; 32 bytes each, newest first, comma-separated")
    roster: str = Field(
        default="agents:ROSTER", description="module:attribute of the agents' classes; empty: no agents listen"
    )
    clock: str = Field(default="", description="a ScaledClock as text; empty: the wall clock")
    database_pool: int = Field(
        default=16, ge=1, le=50, description="connections of a replica: requests that hold one wait for each other"
    )
    api_replicas: int = Field(default=1, ge=1, le=64, description="processes that answer, each on one core at most")
    log_folder: Path | None = Field(default=None, description="where the log is kept; none: standard output")
    trusted_proxies: int = Field(
        default=1, ge=0, le=10, description="proxies before a replica that write X-Forwarded-For; ours, HAProxy, is one"
    )
    public_url: str = Field(default="", description="where browsers and vendors find us; empty: only on this machine")
    return_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="where browsers may be sent after a consent, beside here; separated by commas"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="origins whose pages may call this API from a browser; separated by commas; none: none"
    )
    passkey_rp_id: str = Field(
        default="",
        description="the domain passkeys are made for; empty: the host of public URL or first origin",
    )
    passkey_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="origins of pages and apps that may use passkeys; none: those of public URL and CORS"
    )
    sign_in_providers: dict[str, SignInProvider] = Field(
        default_factory=dict, description="name → provider of sign-ins (OpenID Connect), as JSON; none: none"
    )
    notify_inside: Inside = Field(default=(), description=INSIDE)
    applications: dict[Vendor, dict[str, SecretStr]] = Field(
        default_factory=installed_applications, description="the installation's own applications at vendors"
    )
    session_per_minute: int = Field(
        default=6_000, ge=1, description="requests a minute of one session; a sixth of them at once"
    )
    address_per_minute: int = Field(
        default=3_000, ge=1, description="requests a minute of one address that do not say who asks; a sixth at once"
    )
    deliveries_per_minute: int = Field(
        default=12_000, ge=1, description="webhooks a minute of one address; a sixth of them at once"
    )
    sign_in_failures: int = Field(
        default=100, ge=1, description="failed sign-ins of one address, over all accounts, in a quarter of an hour"
    )
    sign_in_turns: int = Field(
        default=32, ge=2, description="requests that have a password hashed or wait for it, on one replica"
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)
    websocket_queue: int = Field(default=256, ge=1, description="events kept for a slow client")
    websocket_most: int = Field(default=1_000, ge=1, description="live connections of one business on one replica")
    websocket_user_per_minute: int = Field(
        default=300, ge=1, description="live connections that one user opens in a minute; a sixth of them at once"
    )
    websocket_business_per_minute: int = Field(
        default=6_000, ge=1, description="live connections that one business opens in a minute; a sixth at once"
    )
    websocket_messages_per_minute: int = Field(
        default=60, ge=1, description="messages a minute that one live connection may send; a sixth of them at once"
    )
    websocket_heartbeat_seconds: float = Field(default=25.0, gt=0)

    @field_validator("jwt_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(_decode(value.get_secret_value())) < MIN_KEY_BYTES:
            raise ValueError(f"is shorter than {MIN_KEY_BYTES} bytes")
        return value

    @field_validator("cors_origins", "return_origins", "passkey_origins", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", origin):
                raise ValueError("an origin is a scheme, a host and perhaps a port, e.g. https://app.example.com")
        return value

    @field_validator("secret_key")
    @classmethod
    def _readable(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _of_one_domain(self) -> ServeSettings:
        party = self.relying_party()
        for origin in self.passkey_origins:
            host = urlsplit(origin).hostname or ""
            if not _ANDROID.fullmatch(origin) and host != party.rp_id and not host.endswith(f".{party.rp_id}"):
                raise ValueError(f"passkeys of {party.rp_id!r} cannot be used by {origin!r}")
        return self

    def relying_party(self) -> RelyingParty:
        """Whom passkeys are for. Browsers let a page use those of its own host and of domains above it only."""
        here = _origin(self.public_url) if self.public_url else ""
        origins = self.passkey_origins or tuple(dict.fromkeys(filter(None, (here, *self.cors_origins))))
        pages = [each for each in (here, *origins) if each.startswith("http")]
        rp_id = self.passkey_rp_id or (urlsplit(pages[0]).hostname or "" if pages else "")
        return RelyingParty(rp_id, origins)

    def business_clock(self) -> Clock:
        return ScaledClock.parse(self.clock) if self.clock else SystemClock()

    def jwt_key_bytes(self) -> bytes:
        return _decode(self.jwt_key.get_secret_value())

    def secret_keys(self) -> tuple[bytes, ...]:
        return parse_keys(self.secret_key.get_secret_value())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise ValueError("is not URL-safe base64") from None
