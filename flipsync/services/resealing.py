"""Secrets at rest under the newest key: which key holds how many, and sealing them anew.

Every value is replaced in a transaction that finds it as it was read, so that a credential renewed meanwhile stays the
new one, and whoever is cut off goes on where they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.security.secrets import SecretBox, SecretUnreadable
from flipsync.services import accounts, consents, labels, second_factors
from flipsync.services.notices import destinations, subscriptions
from flipsync.store.database import Database
from flipsync.store.repositories import sealed as rows
from flipsync.store.unit_of_work import Store

BATCH = 200
_Purpose = Callable[[Any], str]
#: what a business has sealed: how it is called, where it lies, and what it is sealed for
KINDS: dict[str, tuple[rows.Place, _Purpose]] = {
    "channel credentials": (rows.CREDENTIALS, accounts.credentials_purpose),
    "consents under way": (rows.CONSENTS, consents.purpose),
    "second factors": (rows.SECOND_FACTORS, second_factors.purpose),
    "places to be told at": (rows.DESTINATIONS, destinations.purpose),
    "labels": (rows.LABELS, labels.purpose),
}
INSTALLATION = "the installation's own"


@dataclass
class Resealed:
    """How many were sealed anew by kind; `unreadable` names each that no key here opens."""

    done: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


async def held(store: Store, owner: Database, tenant_ids: list[UUID]) -> dict[str, Counter[str]]:
    """By kind: how many values are under which key, by the keys' names."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, INSTALLATION)}
    for tenant_id in tenant_ids:
        async with store.reader(tenant_id) as session:
            for kind, (place, _) in KINDS.items():
                found[kind].update(await rows.count(session, place))
    async with owner.unbound() as session:
        found[INSTALLATION].update(await rows.count(session, rows.INSTALLATION))
    return found


async def reseal(
    store: Store, owner: Database, box: SecretBox, tenant_ids: list[UUID], tell: Callable[[int], None]
) -> Resealed:
    """Put all of it under the newest key of `box`. `owner` may change what nobody else may; `tell` hears each value.

    A line of the business's audit log, in the same transaction, says how many of its values it was.
    """
    result = Resealed()
    for tenant_id in tenant_ids:
        for kind, (place, purpose) in KINDS.items():
            after: Any = None
            more = True
            while more:
                async with store.unit(tenant_id) as unit:
                    batch = await _batch(unit.session, box, place, after, tenant_id, purpose)
                    if batch.done:
                        unit.audit("secrets.resealed", "tenant", tenant_id, kind=kind, values=batch.done)
                batch.told(kind, result, tell)
                after, more = batch.last, batch.looked_at == BATCH
    async with owner.unbound() as session:
        batch = await _batch(session, box, rows.INSTALLATION, None, subscriptions.NOBODYS, str)
    batch.told(INSTALLATION, result, tell)
    return result


@dataclass
class _Batch:
    last: Any
    looked_at: int = 0
    done: int = 0
    unreadable: list[str] = field(default_factory=list)

    def told(self, kind: str, result: Resealed, tell: Callable[[int], None]) -> None:
        """Once it is committed."""
        if self.done:
            result.done[kind] += self.done
            tell(self.done)
        result.unreadable += [f"{kind}, {each}" for each in self.unreadable]


async def _batch(
    session: AsyncSession, box: SecretBox, place: rows.Place, after: Any, tenant_id: UUID, purpose: _Purpose
) -> _Batch:
    batch = _Batch(after)
    for row_id, whose, was in await rows.under_other_keys(session, place, box.current, after, BATCH):
        batch.last, batch.looked_at = row_id, batch.looked_at + 1
        try:
            fresh = box.reseal(was, tenant_id=tenant_id, purpose=purpose(whose))
        except SecretUnreadable as problem:
            batch.unreadable.append(f"{row_id}: {problem.message}")
            continue
        batch.done += await rows.put(session, place, row_id, was, fresh)
    return batch
