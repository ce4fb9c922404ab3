"""When credentials end that only a person can renew: kept beside the account, warned of at 30, 7 and 1 days.

Wall-clock matters: market time, which may run faster, has no say in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.marketplaces import consent_of
from flipsync.connectors.oauth import lasting_ends
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import CredentialsExpiring, CredentialsRenewed
from flipsync.domain.ids import new_id
from flipsync.store.models import CredentialEnd
from flipsync.store.repositories import consents as rows
from flipsync.store.unit_of_work import UnitOfWork

#: days before the end at which it is told; 0: it has ended
THRESHOLDS = (0, 1, 7, 30)
#: when the application's secret ends
TERM = "client_secret_expires_at"
_NAMES = {"refresh": "consent", "access": "access token"}


@dataclass(frozen=True)
class CredentialTerm:
    """One credential's end. `warned_days`: the last threshold that was told, None when it is far."""

    what: str
    ends_at: datetime
    warned_days: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "ends_at": self.ends_at.isoformat(), "warned_days": self.warned_days}


def with_known_ends(
    vendor: Vendor, credentials: Mapping[str, str], before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The credentials with the end of the application's secret, where the vendor limits it and nobody has said when.

    Then it is the latest it can be: the whole term from now, or what it was for the same secret before. Ends that were
    given are brought into one form. Raises InvalidInput for one that is no date.
    """
    complete = dict(credentials)
    for name, value in credentials.items():
        if name.endswith("_expires_at") and value:
            complete[name] = _date(name, value).isoformat()
    consent = consent_of(vendor)
    secret = complete.get("client_secret")
    if consent is None or consent.secret_lasts is None or not secret or complete.get(TERM):
        return complete
    same = before is not None and before.get("client_secret") == secret and before.get(TERM)
    complete[TERM] = same or (utc_now() + consent.secret_lasts).isoformat()
    return complete


def with_new_keys(before: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, str]:
    """The credentials with some of them changed. The term of one secret is not that of another."""
    merged = {**before, **keys}
    if TERM not in keys and merged.get("client_secret") != before.get("client_secret"):
        merged.pop(TERM, None)
    return merged


async def record(unit: UnitOfWork, account_id: UUID, vendor: Vendor, credentials: Mapping[str, str]) -> None:
    """Keep the ends of these credentials; what was warned of and lasts again is told."""
    known = lasting_ends(credentials)
    before = {end.credential: end for end in await rows.ends_of(unit.session, account_id)}
    for name, end in before.items():
        if end.warned_days is not None and (name not in known or known[name] > end.ends_at):
            unit.emit(CredentialsRenewed(account_id=account_id, vendor=vendor, credential=_called(name)))
    moved = [
        {
            "id": new_id(),
            "tenant_id": unit.tenant_id,
            "account_id": account_id,
            "credential": name,
            "ends_at": ends_at,
            "warned_days": None,
        }
        for name, ends_at in known.items()
        if name not in before or before[name].ends_at != ends_at
    ]
    if moved:
        await rows.put_ends(unit.session, moved)
    if before.keys() - known.keys():
        await rows.delete_ends(unit.session, account_id, keep=sorted(known))


async def forget(unit: UnitOfWork, account_id: UUID) -> None:
    """The account's credentials are gone."""
    await rows.delete_ends(unit.session, account_id)


async def warn(unit: UnitOfWork) -> int:
    """Tell what ends soon, once for each threshold; how many were told."""
    now, told = utc_now(), 0
    for end, account in await rows.ends_before(unit.session, now + timedelta(days=THRESHOLDS[-1])):
        days = next(limit for limit in THRESHOLDS if end.ends_at <= now + timedelta(days=limit))
        if end.warned_days is not None and end.warned_days <= days:
            continue
        await rows.set_warned(unit.session, end.id, days)
        unit.emit(
            CredentialsExpiring(
                account_id=account.id,
                vendor=cast(Vendor, account.vendor),
                credential=_called(end.credential),
                ends_at=end.ends_at,
                days=days,
            )
        )
        told += 1
    return told


async def of_account(session: AsyncSession, account_id: UUID) -> tuple[CredentialTerm, ...]:
    """Soonest first."""
    return _terms(sorted(await rows.ends_of(session, account_id), key=lambda end: end.ends_at))


async def by_account(session: AsyncSession) -> dict[UUID, tuple[CredentialTerm, ...]]:
    """Of every account of the tenant that has any."""
    found: dict[UUID, list[CredentialEnd]] = {}
    for end in await rows.all_ends(session):
        found.setdefault(end.account_id, []).append(end)
    return {account_id: _terms(ends) for account_id, ends in found.items()}


def _terms(ends: Sequence[CredentialEnd]) -> tuple[CredentialTerm, ...]:
    return tuple(CredentialTerm(_called(end.credential), end.ends_at, end.warned_days) for end in ends)


def _called(credential: str) -> str:
    return _NAMES.get(credential, credential.replace("_", " "))


def _date(name: str, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(f"{name} is not a date", hint="write it as 2027-05-31") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
