"""Where an account's credentials are kept while connectors renew them: one writer at a time, over all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol

from pydantic import SecretStr


class OpenVault(Protocol):
    """Credentials that nobody else changes now."""

    @property
    def credentials(self) -> Mapping[str, SecretStr]:
        """As they are at this moment, whatever the connector remembers."""

    @property
    def cut_off(self) -> datetime | None:
        """When a renewal began whose answer nobody saved: the vendor may have replaced what it was asked with."""

    async def save(self, changes: Mapping[str, SecretStr | None]) -> None:
        """Keep new values; None forgets a name. Durable once the vault is left."""


class Vault(Protocol):
    """Opens an account's credentials for change."""

    def open(self) -> AbstractAsyncContextManager[OpenVault]:
        """Wait until nobody else has it open."""

    def renewing(self) -> AbstractAsyncContextManager[OpenVault]:
        """As `open`, for asking a vendor that may replace what it is asked with.

        That it is going to be asked is on record before: whoever comes after a process that died, or heard no answer,
        finds `cut_off`.
        """


class MemoryVault:
    """Credentials of one process alone; for tests, and for trying credentials before they are stored."""

    def __init__(self, credentials: Mapping[str, SecretStr]) -> None:
        self.credentials = dict(credentials)
        self.cut_off: datetime | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MemoryVault]:
        async with self._lock:
            yield self

    def renewing(self) -> AbstractAsyncContextManager[MemoryVault]:
        return self.open()

    async def save(self, changes: Mapping[str, SecretStr | None]) -> None:
        for name, value in changes.items():
            if value is None:
                self.credentials.pop(name, None)
            else:
                self.credentials[name] = value
