"""What a process of the runtime needs to know; read from the environment as FLIPSYNC_ and the field in capitals."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flipsync.connectors.marketplaces import CONSENTS, consent_of
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import Clock, ScaledClock, SystemClock
from flipsync.domain.errors import InvalidInput
from flipsync.intelligence.language.port import Price
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


class LanguageSettings(BaseSettings):
    """The installation's language model, FLIPSYNC_LANGUAGE_ and the field; without `model` there is none.

    Address and key may stand under the names the `openai` client knows: OPENAI_BASE_URL, OPENAI_API_KEY.
    """

    model_config = SettingsConfigDict(env_prefix="FLIPSYNC_LANGUAGE_", frozen=True, extra="ignore")

    model: str = Field(default="", max_length=200, description="its name at the provider")
    base_url: str = Field(
        default="https://api.openai.com/v1",
        validation_alias=AliasChoices("FLIPSYNC_LANGUAGE_BASE_URL", "OPENAI_BASE_URL"),
        description="where chat completions are, up to /chat/completions",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("FLIPSYNC_LANGUAGE_API_KEY", "OPENAI_API_KEY")
    )
    prices: str = Field(
        default="", description="US dollars a million tokens, in and out: MODEL=0.15/0.60, several by commas"
    )
    seconds: float = Field(default=12.0, gt=0, le=30, description="how long one answer may take")

    def price(self) -> Price:
        """What the model costs. Raises InvalidInput where nobody has said so: what is not priced cannot be limited."""
        for each in filter(None, map(str.strip, self.prices.split(","))):
            name, _, figures = each.rpartition("=")
            told_in, _, told_out = figures.partition("/")
            try:
                price = Price(Decimal(told_in), Decimal(told_out))
            except InvalidOperation:
                raise InvalidInput(f"FLIPSYNC_LANGUAGE_PRICES: {each[:80]!r} is no MODEL=IN/OUT") from None
            if not all(usd.is_finite() and 0 <= usd < 1_000_000 for usd in (price.usd_in, price.usd_out)):
                raise InvalidInput(f"FLIPSYNC_LANGUAGE_PRICES: {each[:80]!r} is no price")
            if name.strip() == self.model:
                return price
        raise InvalidInput(
            f"no price is known of {self.model}",
            hint=f"FLIPSYNC_LANGUAGE_PRICES={self.model}=IN/OUT in US dollars a million tokens; 0/0 where it is free",
        )

    def address(self) -> str:
        """Raises InvalidInput for what is no web address."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise InvalidInput("FLIPSYNC_LANGUAGE_BASE_URL is no web address, or holds a password")
        return self.base_url


def language_settings(environ: Mapping[str, str] | None = None) -> LanguageSettings:
    """Raises pydantic's ValidationError."""
    environ = os.environ if environ is None else environ
    prefix = "FLIPSYNC_LANGUAGE_"
    known = ("MODEL", "BASE_URL", "API_KEY", "PRICES", "SECONDS")
    found = {name.lower(): value for name in known if (value := environ.get(prefix + name))}
    for name in ("base_url", "api_key"):
        if value := found.pop(name, "") or environ.get(f"OPENAI_{name.upper()}", ""):
            found[prefix + name.upper()] = value
    values: dict[str, Any] = dict(found)
    return LanguageSettings(**values)


class MemorySettings(BaseSettings):
    """Where the index of meanings lies: on a Qdrant server (QDRANT_URL), else in a folder (FLIPSYNC_MEMORY_FOLDER)."""

    model_config = SettingsConfigDict(env_prefix="FLIPSYNC_", frozen=True, extra="ignore")

    qdrant_url: str = Field(default="", validation_alias="QDRANT_URL")
    qdrant_api_key: SecretStr = Field(default=SecretStr(""), validation_alias="QDRANT_API_KEY")
    memory_folder: str = Field(default="", description="for the embedded index")


ALL = "*"
_MOST_REPLICAS = 64


def _counts(value: object) -> object:
    return replica_counts(value) if isinstance(value, str) else value


def replica_counts(value: str) -> dict[str, int]:
    """Counts by agent of `2,pricing=4`, with ALL for those that are not named. Raises ValueError."""
    found: dict[str, int] = {}
    for each in filter(None, map(str.strip, value.split(","))):
        name, _, count = each.rpartition("=")
        if not count.isdigit() or not 1 <= int(count) <= _MOST_REPLICAS:
            raise ValueError(f"{each[:80]!r} is no number of replicas from 1 to {_MOST_REPLICAS}, nor AGENT=NUMBER")
        found[name.strip() or ALL] = int(count)
    return found


def replicas_of(counts: Mapping[str, int], agent: str) -> int:
    return counts.get(agent, counts.get(ALL, 1))


Replicas = Annotated[dict[str, int], NoDecode, BeforeValidator(_counts)]


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
    replicas: Replicas = Field(default={}, description="actors an agent: 2 of all, or 2,pricing=4 (all others 2)")

    def replicas_of(self, agent: str) -> int:
        return replicas_of(self.replicas, agent)

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
