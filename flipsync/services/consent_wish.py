"""What is to be connected by consent, with whose application, and where the seller may be sent afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr, ValidationError

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.consent import Consent
from flipsync.connectors.marketplaces import consent_of
from flipsync.domain.channel import StockMode, Vendor
from flipsync.domain.errors import InvalidInput
from flipsync.services.credential_ends import TERM, with_new_keys

#: an installation's own applications: vendor → its keys, and endpoints where they are not the vendor's
Applications = Mapping[Vendor, Mapping[str, SecretStr]]

_ENDPOINTS = ("base_url", "token_url", "authorize_url")


@dataclass(frozen=True)
class Wish:
    """What is to be connected: a new account, or with `account_id` one that is authorized again.

    `place` holds fields of AccountConfig; `credentials` the application's keys, and others the vendor has.
    """

    vendor: Vendor | None = None
    name: str = ""
    place: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    stock_mode: StockMode = "escrow"
    account_id: UUID | None = None
    return_to: str = ""

    def place_of_new(self, applications: Applications) -> tuple[Vendor, AccountConfig]:
        """Where a new account is. Raises InvalidInput."""
        if self.vendor is None:
            raise InvalidInput("the vendor is missing", hint="give vendor, or the account_id of one to authorize again")
        if not self.name.strip():
            raise InvalidInput("an account needs a name")
        place = {key: value for key, value in self.place.items() if value is not None}
        if "base_url" not in place:
            installed = applications.get(self.vendor, {}).get("base_url")
            options = place.get("options") or {}
            place["base_url"] = (
                installed.get_secret_value() if installed is not None else known(self.vendor).base_url(options)
            )
        try:
            return self.vendor, AccountConfig.model_validate({"vendor": self.vendor, **place})
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def known(vendor: Vendor) -> Consent:
    """How its sellers consent. Raises InvalidInput where they do not."""
    consent = consent_of(vendor)
    if consent is None:
        raise InvalidInput(f"{vendor} has no consent page", hint="connect it with its keys")
    return consent


def with_application(
    consent: Consent,
    stored: Mapping[str, str],
    given: Mapping[str, str],
    config: AccountConfig,
    installation: Mapping[str, SecretStr],
) -> tuple[dict[str, str], AccountConfig]:
    """Credentials with a complete application: given, the account's own, or the installation's.

    The installation's is made known to the vendor alone, or to the endpoints the installation names: not to those
    that a request names, whose owner could keep its secret. Raises InvalidInput.
    """
    own = with_new_keys(stored, {name: value for name, value in given.items() if value})
    missing = consent.missing(own)
    installed = {name: value.get_secret_value() for name, value in installation.items()}
    # the same application may have got another secret since
    same = bool(consent.app) and not given and own.get("client_id") == installed.get("client_id")
    if not missing and not same:
        return own, config
    if consent.missing(installed) or any(name in given for name in consent.app):
        variables = " ".join(f"FLIPSYNC_{consent.vendor.upper()}_{name.upper()}" for name in missing)
        raise InvalidInput(
            f"of the application at {consent.vendor} is missing: {', '.join(missing)}",
            hint=f"give them as credentials, or set {variables} for everybody here",
        )
    asked_for = {**config.options, "base_url": str(config.base_url).rstrip("/")}
    if config.token_url is not None:
        asked_for["token_url"] = str(config.token_url)
    allowed = consent.is_vendors(config) or asked_for["base_url"] == installed.get("base_url", "").rstrip("/")
    others = [name for name in ("token_url", "authorize_url") if asked_for.get(name, "") != ""]
    if not allowed or any(asked_for[name] != installed.get(name) for name in others):
        raise InvalidInput(
            f"the application of this installation is for {consent.vendor}'s own servers",
            hint="give client_id and client_secret of the application that this server knows",
        )
    changes: dict[str, Any] = {"options": dict(config.options)}
    if "authorize_url" in installed:
        changes["options"]["authorize_url"] = installed["authorize_url"]
    if "token_url" in installed:
        changes["token_url"] = installed["token_url"]
    application = {k: v for k, v in installed.items() if k not in _ENDPOINTS}
    return with_new_keys(own, application), AccountConfig.model_validate({**config.model_dump(mode="json"), **changes})


def check_return(wanted: str, origins: Collection[str]) -> None:
    """Only to ourselves (a path) or to an origin of the installation's. Raises InvalidInput for everywhere else."""
    if not wanted:
        return
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted and len(wanted) <= 1000
    if plain and wanted.startswith("/") and not wanted.startswith("//"):
        return
    if plain and "@" not in urlsplit(wanted).netloc and _origin(wanted) in {_origin(each) for each in origins}:
        return
    raise InvalidInput(
        "return_to leads to a place that is not allowed",
        hint="a path such as /channels, or an address of FLIPSYNC_RETURN_ORIGINS",
    )


def without_tokens(credentials: Mapping[str, str]) -> dict[str, str]:
    """What of an account's credentials a new consent does not replace."""
    return {
        name: value
        for name, value in credentials.items()
        if name == TERM or not name.endswith(("_token", "_expires_at"))
    }


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None
