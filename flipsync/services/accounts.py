"""Marketplace accounts: connect, load with opened credentials, pause, resume, disconnect. Secrets are sealed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.base import AccountConfig
from flipsync.domain.channel import SellerRating, StockMode, Vendor
from flipsync.domain.commands import PauseAccount
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.events import AccountConnected, AccountHealthChanged
from flipsync.domain.ids import new_id
from flipsync.security.secrets import SecretBox
from flipsync.services import credential_ends
from flipsync.services.channel_faults import OpenFault, open_faults
from flipsync.services.credential_ends import CredentialTerm
from flipsync.services.reading_page import Page, SortedRequest, cut, sorted_by
from flipsync.store.models import MarketplaceAccount
from flipsync.store.repositories import accounts as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import reconciling
from flipsync.store.unit_of_work import UnitOfWork

AccountStatus = Literal["connected", "paused", "disconnected"]
AccountSort = Annotated[str | None, sorted_by(rows.SORTS)]
WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a field's name


@dataclass(frozen=True)
class ConnectedAccount:
    """An account with what is needed to talk to its channel. SecretStr keeps values out of logs and reprs.

    `sealed` is the secrets as they lie in the books: whoever remembers an account can tell whether it is still so.
    """

    id: UUID
    tenant_id: UUID
    vendor: Vendor
    config: AccountConfig
    credentials: dict[str, SecretStr]
    webhook_token: str = field(repr=False)
    webhook_secret: SecretStr
    sealed: bytes = field(repr=False)
    status: AccountStatus
    stock_mode: StockMode
    #: its books were put back from a backup once: what was listed since may be unknown to them
    restored: bool = False
    #: what it shows was not taken over since, or (`books_wait`) that of another account of the tenant
    unreconciled: bool = False
    books_wait: bool = False


@dataclass(frozen=True)
class AccountSummary:
    """An account as people see it: no secrets."""

    id: UUID
    vendor: Vendor
    name: str
    config: AccountConfig
    status: AccountStatus
    status_reason: str
    stock_mode: StockMode
    seller_id: str
    rated: str
    rated_because: str
    version: int
    orders_cursor: datetime | None
    last_ok_at: datetime | None
    consecutive_failures: int
    created_at: datetime
    updated_at: datetime
    #: when credentials end that only a person can renew, soonest first
    ends: tuple[CredentialTerm, ...] = ()
    faults: tuple[OpenFault, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read; config included, which holds no secrets."""
        moments = (self.orders_cursor, self.last_ok_at, self.created_at)
        cursor, last_ok, created = (None if moment is None else moment.isoformat() for moment in moments)
        return {
            "id": str(self.id),
            "vendor": self.vendor,
            "name": self.name,
            "status": self.status,
            "status_reason": self.status_reason,
            "stock_mode": self.stock_mode,
            "seller_id": self.seller_id,
            "rated": self.rated,
            "rated_because": self.rated_because,
            "config": self.config.model_dump(mode="json", exclude_none=True),
            "orders_cursor": cursor,
            "last_ok_at": last_ok,
            "consecutive_failures": self.consecutive_failures,
            "created_at": created,
            "ends": [end.as_dict() for end in self.ends],
            "faults": [fault.as_dict() for fault in self.faults],
        }


async def connect_account(
    unit: UnitOfWork,
    box: SecretBox,
    *,
    vendor: Vendor,
    name: str,
    config: AccountConfig,
    credentials: Mapping[str, str],
    stock_mode: StockMode = "escrow",
    seller_id: str = "",
) -> UUID:
    """Put an account in the books and announce it. Makes its webhook secret unless `credentials` bring one.

    `seller_id` is who the vendor says sells there (ChannelInfo); see `replace_credentials`. Raises InvalidInput when
    vendor and config disagree, Conflict when the name is taken.
    """
    if config.vendor != vendor:
        raise InvalidInput(f"the configuration is for {config.vendor}, the account for {vendor}")
    name = name.strip()
    if not name:
        raise InvalidInput("an account needs a name")
    account_id = new_id()
    complete = credential_ends.with_known_ends(vendor, credentials)
    inserted = await rows.insert_account(
        unit.session,
        {
            "id": account_id,
            "tenant_id": unit.tenant_id,
            "vendor": vendor,
            "name": name,
            "config": config.model_dump(mode="json"),
            "credentials_encrypted": seal_credentials(box, unit.tenant_id, account_id, complete),
            "webhook_token": _new_token(),
            "status": "connected",
            "stock_mode": stock_mode,
            "seller_id": seller_id,
        },
    )
    if not inserted:
        raise Conflict(f"there is an account named {name!r} already", hint="choose another name")
    await credential_ends.record(unit, account_id, vendor, complete)
    unit.audit("account.connected", "account", account_id, vendor=vendor, name=name)
    unit.emit(AccountConnected(account_id=account_id, vendor=vendor))
    return account_id


async def load_account(session: AsyncSession, box: SecretBox, account_id: UUID) -> ConnectedAccount:
    """The account with its secrets opened. Raises NotFound, Conflict when disconnected, SecretUnreadable."""
    row = await rows.get_account(session, account_id)
    if row is None:
        raise NotFound(f"no account {account_id}")
    if row.status == "disconnected":
        raise Conflict(f"account {row.name!r} is disconnected", hint="connect it again with new credentials")
    opened = box.open(row.credentials_encrypted, tenant_id=row.tenant_id, purpose=credentials_purpose(row.id))
    return ConnectedAccount(
        id=row.id,
        tenant_id=row.tenant_id,
        vendor=cast(Vendor, row.vendor),
        config=AccountConfig.model_validate(row.config),
        credentials={key: SecretStr(value) for key, value in opened.items()},
        webhook_token=row.webhook_token,
        webhook_secret=SecretStr(opened[WEBHOOK_SECRET]),
        sealed=row.credentials_encrypted,
        status=cast(AccountStatus, row.status),
        stock_mode=cast(StockMode, row.stock_mode),
        restored=row.restored_at is not None,
        unreconciled=row.restored_at is not None and row.reconciled_at is None,
        books_wait=await reconciling.awaits_reconciling(session),
    )


async def get_account(session: AsyncSession, account_id: UUID) -> AccountSummary:
    """One account. Raises NotFound."""
    row = await rows.get_account(session, account_id)
    if row is None:
        raise NotFound(f"no account {account_id}")
    return _summary(row, await credential_ends.of_account(session, account_id), await open_faults(session, account_id))


async def account_named(session: AsyncSession, name: str) -> UUID:
    """The id of a connected account. Raises NotFound."""
    known = {each.name: each.id for each in await listing_rows.accounts(session)}
    if name not in known:
        raise NotFound(f"no account is called {name!r}", hint="`flipsync channels list` names them")
    return known[name]


async def list_accounts(session: AsyncSession) -> list[AccountSummary]:
    """The tenant's accounts in the order they were connected, with what is the matter with each."""
    return await _summaries(session, await rows.find_accounts(session))


async def page_of_accounts(
    session: AsyncSession, page: SortedRequest, *, vendor: Vendor | None = None, status: AccountStatus | None = None
) -> Page[AccountSummary]:
    """As `list_accounts`, a page at a time. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.page(session, place, vendor=vendor, status=status)
    shown = {each.id: each for each in await _summaries(session, [row[0] for row in found])}
    return cut(found, page.limit, lambda row: shown[row[0].id], place.cursor_of)


async def _summaries(session: AsyncSession, found: Sequence[MarketplaceAccount]) -> list[AccountSummary]:
    ends = await credential_ends.by_account(session) if found else {}
    faults = await open_faults(session) if found else []
    return [
        _summary(row, ends.get(row.id, ()), [fault for fault in faults if fault.account_id == row.id]) for row in found
    ]


class AnotherSeller(Conflict):
    """The keys are somebody else's: the listings and orders in the books belong to the seller who was there before."""

    code = "another-seller"


async def replace_credentials(
    unit: UnitOfWork,
    box: SecretBox,
    account_id: UUID,
    credentials: Mapping[str, str],
    *,
    config: AccountConfig | None = None,
    seller_id: str = "",
    keep_others: bool = False,
    expected_version: int | None = None,
) -> None:
    """New keys for an account, its webhook secret kept unless given; waits for whoever is renewing the old ones.

    With `keep_others` only those given change, as when an application gets a new secret. A pause that the old keys were
    the reason of ends. Raises NotFound, VersionMismatch, Conflict when disconnected, AnotherSeller when
    `seller_id` is known and is not the account's.
    """
    await rows.lock_credentials(unit.session, account_id)
    row = await usable(unit, account_id, expected_version)
    if seller_id and row.seller_id and seller_id != row.seller_id:
        raise AnotherSeller(
            f"{row.name!r} belongs to seller {row.seller_id}, the new access to {seller_id}",
            hint="sign in at the vendor as the seller who was connected first, or connect a second account",
        )
    kept = box.open(row.credentials_encrypted, tenant_id=row.tenant_id, purpose=credentials_purpose(row.id))
    vendor = cast(Vendor, row.vendor)
    before = kept if keep_others else {WEBHOOK_SECRET: kept[WEBHOOK_SECRET]}
    changed = credential_ends.with_new_keys(before, credentials)
    merged = credential_ends.with_known_ends(vendor, changed, kept)
    sealed = seal_credentials(box, unit.tenant_id, account_id, merged)
    changes: dict[str, Any] = {"credentials_encrypted": sealed, "consecutive_failures": 0, "version": row.version + 1}
    changes |= {"renewal_id": None, "renewal_began_at": None}
    if seller_id:
        changes["seller_id"] = seller_id
    if config is not None:
        changes["config"] = config.model_dump(mode="json")
    await rows.update_account(unit.session, account_id, changes)
    await credential_ends.record(unit, account_id, vendor, merged)
    unit.audit("account.credentials-replaced", "account", account_id, name=row.name, named=sorted(credentials))
    if row.status == "paused" and row.status_reason.startswith(PauseAccount.REFUSED):
        await resume_account(unit, account_id)


async def pause_account(unit: UnitOfWork, account_id: UUID, reason: str, expected_version: int | None = None) -> bool:
    """Stop writing to the account; False when it was paused already. Raises NotFound, VersionMismatch, Conflict when
    disconnected."""
    row = await usable(unit, account_id, expected_version)
    if row.status == "paused":
        return False
    changes = {"status": "paused", "status_reason": reason, "version": row.version + 1}
    await rows.update_account(unit.session, account_id, changes)
    unit.audit("account.paused", "account", account_id, name=row.name, reason=reason)
    unit.emit(AccountHealthChanged(account_id=account_id, vendor=cast(Vendor, row.vendor), healthy=False, cause=reason))
    return True


async def resume_account(unit: UnitOfWork, account_id: UUID, expected_version: int | None = None) -> bool:
    """Write to the account again; False when it was not paused. Raises NotFound, VersionMismatch, Conflict when
    disconnected."""
    row = await usable(unit, account_id, expected_version)
    if row.status == "connected":
        return False
    changes = {"status": "connected", "status_reason": "", "consecutive_failures": 0, "version": row.version + 1}
    await rows.update_account(unit.session, account_id, changes)
    unit.audit("account.resumed", "account", account_id, name=row.name)
    unit.emit(
        AccountHealthChanged(account_id=account_id, vendor=cast(Vendor, row.vendor), healthy=True, cause="resumed")
    )
    return True


async def note_rating(unit: UnitOfWork, account_id: UUID, rating: SellerRating) -> bool:
    """How the channel rates the account; the fact is told when its level, or what comes, is another. False when it is
    not. Raises NotFound, Conflict when disconnected."""
    row = await usable(unit, account_id)
    words = ", ".join(rating.because)
    if rating.soon is not None and rating.soon != rating.level:
        words = f"{words}; next: {rating.soon}".removeprefix("; ")
    if (row.rated, row.rated_because) == (rating.level, words):
        return False
    was_low = row.rated == "below" or "next: below" in row.rated_because
    await rows.update_account(unit.session, account_id, {"rated": rating.level, "rated_because": words})
    worse = "below" in (rating.level, rating.soon)
    if worse or was_low:
        cause = f"{row.vendor} rates it {_RATED[rating.level]}" + (f" ({words})" if words else "")
        vendor = cast(Vendor, row.vendor)
        unit.emit(AccountHealthChanged(account_id=account_id, vendor=vendor, healthy=not worse, cause=cause))
    return True


_RATED = {"top": "top rated", "good": "above its standard", "below": "below its standard"}


async def disconnect_account(
    unit: UnitOfWork, account_id: UUID, reason: str, expected_version: int | None = None
) -> bool:
    """Forget the credentials and the callback address for good; history stays. False when it was so already."""
    row = await rows.get_account(unit.session, account_id, lock=True)
    if row is None:
        raise NotFound(f"no account {account_id}")
    if row.status == "disconnected":
        return False
    VersionMismatch.check("the account", row.version, expected_version)
    await rows.update_account(
        unit.session,
        account_id,
        {
            "status": "disconnected",
            "status_reason": reason,
            "credentials_encrypted": b"",
            "webhook_token": _new_token(),
            "version": row.version + 1,
        },
    )
    await credential_ends.forget(unit, account_id)
    unit.audit("account.disconnected", "account", account_id, name=row.name, reason=reason)
    unit.emit(AccountHealthChanged(account_id=account_id, vendor=cast(Vendor, row.vendor), healthy=False, cause=reason))
    return True


async def usable(unit: UnitOfWork, account_id: UUID, expected_version: int | None = None) -> MarketplaceAccount:
    """The account's row, locked. Raises NotFound, VersionMismatch, Conflict when disconnected."""
    row = await rows.get_account(unit.session, account_id, lock=True)
    if row is None:
        raise NotFound(f"no account {account_id}")
    if row.status == "disconnected":
        raise Conflict(f"account {row.name!r} is disconnected", hint="connect it again with new credentials")
    VersionMismatch.check("the account", row.version, expected_version)
    return row


def seal_credentials(box: SecretBox, tenant_id: UUID, account_id: UUID, credentials: Mapping[str, str]) -> bytes:
    complete = {
        WEBHOOK_SECRET: secrets.token_urlsafe(32),
        **{key: value for key, value in credentials.items() if value},
    }
    return box.seal(complete, tenant_id=tenant_id, purpose=credentials_purpose(account_id))


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def credentials_purpose(account_id: UUID) -> str:
    return f"marketplace-account:{account_id}"


def _summary(row: MarketplaceAccount, ends: tuple[CredentialTerm, ...], faults: Sequence[OpenFault]) -> AccountSummary:
    return AccountSummary(
        id=row.id,
        vendor=cast(Vendor, row.vendor),
        name=row.name,
        config=AccountConfig.model_validate(row.config),
        status=cast(AccountStatus, row.status),
        status_reason=row.status_reason,
        stock_mode=cast(StockMode, row.stock_mode),
        seller_id=row.seller_id,
        rated=row.rated,
        rated_because=row.rated_because,
        version=row.version,
        orders_cursor=row.orders_cursor,
        last_ok_at=row.last_ok_at,
        consecutive_failures=row.consecutive_failures,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ends=ends,
        faults=() if row.status == "disconnected" else tuple(faults),
    )
