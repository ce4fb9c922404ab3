"""The vault of connected accounts (connectors.vault): credentials in the books, renewed by one process at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from pydantic import SecretStr

from flipsync.connectors.oauth import lasting_ends
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, Rejected, Retryable
from flipsync.domain.ids import new_id
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, credential_ends
from flipsync.store.repositories import accounts as rows
from flipsync.store.unit_of_work import Store, UnitOfWork


def same_access(one: accounts.ConnectedAccount, other: accounts.ConnectedAccount) -> bool:
    """Whether both are the same keys to the channel; tokens that were merely renewed make no difference."""

    def lasting(account: accounts.ConnectedAccount) -> dict[str, SecretStr]:
        renewed = ("_token", "_expires_at")
        kept = {name: value for name, value in account.credentials.items() if not name.endswith(renewed)}
        if "access_token" in account.credentials and "access_expires_at" not in account.credentials:
            kept["access_token"] = account.credentials["access_token"]  # one that does not end was given by a person
        return kept

    return lasting(one) == lasting(other)


class AccountVault:
    """The account's credentials, opened for change by one connector at a time over all processes (connectors.vault)."""

    def __init__(self, store: Store, box: SecretBox, tenant_id: UUID, account_id: UUID) -> None:
        self._store = store
        self._box = box
        self._tenant_id = tenant_id
        self._account_id = account_id

    @asynccontextmanager
    async def open(self) -> AsyncIterator[_OpenAccount]:
        """Waits for whoever has it open; what was saved is durable on leaving. Raises NotFound, Conflict."""
        async with self._store.unit(self._tenant_id) as unit:
            await rows.lock_credentials(unit.session, self._account_id)
            account = await accounts.load_account(unit.session, self._box, self._account_id)
            yield _OpenAccount(unit, self._box, account.id, account.credentials)

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[_OpenAccount]:
        """As `open`. The note is struck in the transaction that saves the answer, or when nothing was given out; after
        OutcomeUnknown, and when the process dies, it stays."""
        renewal_id, account_id = new_id(), self._account_id
        async with self._store.unit(self._tenant_id) as unit:
            await rows.begin_renewal(unit.session, account_id, renewal_id, utc_now())
        failed: ChannelError | None = None
        async with self._store.unit(self._tenant_id) as unit:
            await rows.lock_credentials(unit.session, account_id)
            account = await accounts.load_account(unit.session, self._box, account_id)
            cut_off = await rows.renewal_cut_off(unit.session, account_id, renewal_id)
            opened = _OpenAccount(unit, self._box, account.id, account.credentials, cut_off)
            try:
                yield opened
            except (Rejected, Retryable) as error:
                failed = error
            await rows.end_renewal(unit.session, account_id, None if opened.saved else renewal_id)
        if failed is not None:
            raise failed


@dataclass
class _OpenAccount:
    _unit: UnitOfWork
    _box: SecretBox
    _account_id: UUID
    credentials: dict[str, SecretStr]
    cut_off: datetime | None = None
    saved: bool = False

    async def save(self, changes: Mapping[str, SecretStr | None]) -> None:
        self.saved = True
        # Read again: a person may have entered new keys while the vendor was asked.
        row = await accounts.usable(self._unit, self._account_id)
        kept = self._box.open(
            row.credentials_encrypted, tenant_id=row.tenant_id, purpose=accounts.credentials_purpose(row.id)
        )
        for name, value in changes.items():
            kept.pop(name, None)
            if value is not None:
                kept[name] = value.get_secret_value()
        sealed = accounts.seal_credentials(self._box, row.tenant_id, row.id, kept)
        await rows.update_account(self._unit.session, row.id, {"credentials_encrypted": sealed})
        if lasting_ends(kept).keys() & {name.removesuffix("_expires_at") for name in changes}:
            await credential_ends.record(self._unit, row.id, cast(Vendor, row.vendor), kept)
