"""OAuth 2.0 access tokens of an account (RFC 6749): renewed before they end, once for all processes, never lost.

A token endpoint that rotates refresh tokens answers with the only copy of the next one: it is stored before anything
else happens.
Stored beside the account's own credentials as `<name>_token` and `<name>_expires_at`; the refresh token, where the
vendor has one, as `refresh_token` and `refresh_expires_at`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from flipsync.connectors.vault import OpenVault, Vault
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Rejected

#: A token this close to its end is renewed first: a request must not outlive its token.
MARGIN = timedelta(minutes=2)
#: A vendor that refuses a token younger than this refuses the account, not the token.
_YOUNG = timedelta(seconds=30)


@dataclass(frozen=True)
class Grant:
    """What a token endpoint gave. Lifetimes are seconds; None where the vendor did not say (then until refused)."""

    access_token: SecretStr
    expires_in: float | None = None
    refresh_token: SecretStr | None = None
    refresh_expires_in: float | None = None


#: Asks the vendor's token endpoint with the account's credentials. Raises Rejected(auth=True) when the account must be
#: connected again, Retryable, and OutcomeUnknown when a rotating refresh token may have been used up.
AskForToken = Callable[[Mapping[str, SecretStr]], Awaitable[Grant]]


class AccessTokens:
    """The access token of one account (or of one scope of it, by `name`)."""

    def __init__(
        self,
        vault: Vault,
        credentials: Mapping[str, SecretStr],
        ask: AskForToken,
        *,
        name: str = "access",
        now: Callable[[], datetime] = utc_now,
        young: timedelta = _YOUNG,
    ) -> None:
        """A token refused within `young` of being given is not replaced: see `refused`."""
        self._vault = vault
        self._ask = ask
        self._name = name
        self._token_name, self._expiry_name = f"{name}_token", f"{name}_expires_at"
        self._now = now
        self._young = young
        self._token, self._expires_at = self._stored(credentials)
        self._renewed_at: datetime | None = None

    def _stored(self, credentials: Mapping[str, SecretStr]) -> tuple[SecretStr | None, datetime | None]:
        until = credentials.get(self._expiry_name)
        return credentials.get(self._token_name), None if until is None else _moment(until)

    async def current(self) -> SecretStr:
        """A token with time left; asks the vendor when there is none. Raises what asking raises."""
        if self._token is not None and self._lasts(self._expires_at):
            return self._token
        return await self._renew(self._token)

    async def refused(self, token: SecretStr) -> bool:
        """The vendor refused `token`: True when there is another one to try, False when a new one would be refused too.

        Raises what asking raises.
        """
        if self._token is not None and self._token.get_secret_value() != token.get_secret_value():
            return True
        if self._renewed_at is not None and self._now() - self._renewed_at < self._young:
            return False
        await self._renew(token)
        return True

    def _lasts(self, until: datetime | None) -> bool:
        return until is None or until - self._now() > MARGIN

    async def _renew(self, stale: SecretStr | None) -> SecretStr:
        async with self._vault.renewing() as opened:
            # Another process may have been here first.
            token, until = self._stored(opened.credentials)
            fresh = stale is None or (token is not None and token.get_secret_value() != stale.get_secret_value())
            if token is None or not fresh or not self._lasts(until):
                grant = await self._granted(opened)
                token, until = grant.access_token, _after(self._now(), grant.expires_in)
                await opened.save(as_stored(grant, self._now(), self._name))
                self._renewed_at = self._now()
            self._token, self._expires_at = token, until
        return token

    async def _granted(self, opened: OpenVault) -> Grant:
        try:
            return await self._ask(opened.credentials)
        except Rejected as refused:
            if not refused.auth or opened.cut_off is None:
                raise
            raise Rejected(
                f"{refused.message}; a renewal of {opened.cut_off:%Y-%m-%d %H:%M} UTC was cut off before its answer was"
                " saved: the vendor may have replaced the refresh token, and nobody has the new one",
                hint="connect the account again: the vendor replaces what it gave before",
                vendor_code=refused.vendor_code,
                vendor_status=refused.vendor_status,
                auth=True,
            ) from refused


def as_stored(grant: Grant, now: datetime, name: str = "access") -> dict[str, SecretStr | None]:
    """The credentials that a grant changes, its access token by `name`; None forgets one."""
    until = _after(now, grant.expires_in)
    changes: dict[str, SecretStr | None] = {
        f"{name}_token": grant.access_token,
        f"{name}_expires_at": None if until is None else SecretStr(until.isoformat()),
    }
    if grant.refresh_token is not None:
        changes["refresh_token"] = grant.refresh_token
    ends = _after(now, grant.refresh_expires_in)
    if ends is not None:
        changes["refresh_expires_at"] = SecretStr(ends.isoformat())
    return changes


def lasting_ends(credentials: Mapping[str, str]) -> dict[str, datetime]:
    """When each credential ends that we cannot renew by ourselves, as far as it is known; names without _expires_at.

    An access token is renewed where there is something to renew it with.
    """
    renewable = "refresh_token" in credentials or "client_secret" in credentials
    found = {}
    for name, value in credentials.items():
        credential = name.removesuffix("_expires_at")
        if credential == name or (credential != "refresh" and renewable and f"{credential}_token" in credentials):
            continue
        if (ends := _moment(SecretStr(value))) is not None:
            found[credential] = ends
    return found


def access_ends(credentials: Mapping[str, SecretStr]) -> datetime | None:
    """When the account itself must be connected again, as far as the vendor said."""
    until = credentials.get("refresh_expires_at")
    return None if until is None else _moment(until)


def _after(now: datetime, seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else now + timedelta(seconds=seconds)
    except (ValueError, OverflowError):  # no number, or beyond the calendar: until it is refused
        return None


def _moment(text: SecretStr) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.get_secret_value())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
