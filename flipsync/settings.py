"""What a process of the runtime needs to know; read from the environment as FLIPSYNC_ and the field in capitals."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flipsync.connectors.marketplaces import CONSENTS, consent_of
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import Clock, ScaledClock, SystemClock
from flipsync.security.secrets import parse_keys


class Cadence(BaseSettings):
    """How often, in seconds of business time, the house looks around. Webhooks and wake-ups do the rest."""

    model_config = SettingsConfigDict(env_prefix="FLIPSYNC_EVERY_", frozen=True, extra="ignore")

    orders: float = Field(default=60.0, gt=0, description="pull orders: what webhooks lost")
    rivals: float = Field(default=900.0, gt=0)
    listings: float = Field(default=1800.0, gt=0, description="compare listings with the channel")
    prices: float = Field(default=3600.0, gt=0)
    hourly: float = Field(default=3600.0, gt=0)
    daily: float = Field(default=86400.0, gt=0)
    weekly: float = Field(default=604800.0, gt=0)
    monthly: float = Field(default=2419200.0, gt=0, description="plan the weeks to come; four weeks")
    watch: float = Field(
        default=30.0, gt=0, description="look whether a channel tells the truth; real seconds, whatever the clock"
    )
    notices: float = Field(default=15.0, gt=0, description="look what is worth telling; real seconds, as the watch")
    floor: float = Field(default=2.0, gt=0, description="never more often than this in real seconds")


def _several(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


Inside = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)]
INSIDE = "hosts and networks inside the house that people may be told through; separated by commas; none: none"


class RuntimeSettings(BaseSettings):
    """Environment of agents, effect workers and the supervisor."""

    model_config = SettingsConfigDict(env_prefix="FLIPSYNC_", frozen=True, extra="ignore")

    worker_database_url: SecretStr = Field(description="PostgreSQL as role flipsync_worker")
    redis_url: SecretStr
    secret_key: SecretStr = Field(description="seals channel credentials; see security.secrets")
    firewall_key: SecretStr = Field(description="signs prices; URL-safe base64, 32 bytes")
    roster: str = Field(default="agents:ROSTER", description="module:attribute of the agents' classes")
    clock: str = Field(default="", description="a ScaledClock as text; empty: the wall clock")
    app_url: str = Field(default="", description="where people find the app, for links; empty: where the API is")
    public_url: str = Field(default="", description="where browsers and vendors find the API")
    notify_inside: Inside = Field(default=(), description=INSIDE)
    effect_workers: int = Field(default=1, ge=1, le=64)
    effect_width: int = Field(default=16, ge=1, le=256, description="effects under way at once in one worker")

    def business_clock(self) -> Clock:
        return ScaledClock.parse(self.clock) if self.clock else SystemClock()

    def speed(self) -> float:
        """Business seconds a real second."""
        return ScaledClock.parse(self.clock).speed if self.clock else 1.0

    def secret_keys(self) -> tuple[bytes, ...]:
        return parse_keys(self.secret_key.get_secret_value())

    def firewall_key_bytes(self) -> bytes:
        return base64.urlsafe_b64decode(self.firewall_key.get_secret_value())


def installed_applications(environ: Mapping[str, str] | None = None) -> dict[Vendor, dict[str, SecretStr]]:
    """The installation's own applications at vendors, for everybody here to connect accounts with.

    FLIPSYNC_<VENDOR>_<NAME>: what the vendor's consent needs of an application (client_id, client_secret, …), when its
    secret ends (client_secret_expires_at), and endpoints where they are not the vendor's (base_url, authorize_url,
    token_url).
    """
    environ = os.environ if environ is None else environ
    found: dict[Vendor, dict[str, SecretStr]] = {}
    for vendor in CONSENTS:
        if not any(name.startswith(f"FLIPSYNC_{vendor.upper()}_") for name in environ):
            continue  # its modules need not be loaded
        consent = consent_of(vendor)
        names = (
            *(consent.app if consent else ()),
            "client_secret_expires_at",
            "base_url",
            "authorize_url",
            "token_url",
        )
        told = {name: environ.get(f"FLIPSYNC_{vendor}_{name}".upper(), "") for name in names}
        if any(told.values()):
            found[vendor] = {name: SecretStr(value) for name, value in told.items() if value}
    return found


def from_environment() -> RuntimeSettings:
    """Read the environment. Raises pydantic's ValidationError, naming what is missing."""
    values: dict[str, Any] = {}
    return RuntimeSettings(**values)
