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

    A line of each business's audit log says how many of its values it was.
    """
    result = Resealed()
    for tenant_id in tenant_ids:
        own: Counter[str] = Counter()
        for kind, (place, purpose) in KINDS.items():
            after: Any = None
            more = True
            while more:
                async with store.unit(tenant_id) as unit:
                    after, more = await _batch(
                        unit.session, box, place, after, tenant_id, kind, purpose, own, result.unreadable, tell
                    )
        if own:
            async with store.unit(tenant_id) as unit:
                unit.audit("secrets.resealed", "tenant", tenant_id, values=dict(own))
        result.done += own
    async with owner.unbound() as session:
        await _batch(
            session, box, rows.INSTALLATION, None, subscriptions.NOBODYS, INSTALLATION, str, result.done,
            result.unreadable, tell,
        )  # fmt: skip
    return result


async def _batch(
    session: AsyncSession,
    box: SecretBox,
    place: rows.Place,
    after: Any,
    tenant_id: UUID,
    kind: str,
    purpose: _Purpose,
    done: Counter[str],
    unreadable: list[str],
    tell: Callable[[int], None],
) -> tuple[Any, bool]:
    """The last id looked at, and whether there may be more."""
    found = await rows.under_other_keys(session, place, box.current, after, BATCH)
    for row_id, whose, was in found:
        try:
            fresh = box.reseal(was, tenant_id=tenant_id, purpose=purpose(whose))
        except SecretUnreadable as problem:
            unreadable.append(f"{kind}, {row_id}: {problem.message}")
            continue
        if await rows.put(session, place, row_id, was, fresh):
            done[kind] += 1
            tell(1)
    return (found[-1][0] if found else after), len(found) == BATCH
