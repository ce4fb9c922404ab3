"""Values that a `SecretBox` sealed, wherever they lie: under which key, and put back under another.

A sealed value names its key in bytes 2 to 5 (`security.secrets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import (
    ConsentRequest,
    InstallationSecret,
    LabelPurchase,
    MarketplaceAccount,
    NotificationDestination,
    SecondFactor,
)

#: of each business: where the value is, and whose id it is sealed for
CREDENTIALS = (MarketplaceAccount.__table__, "credentials_encrypted", "id")
CONSENTS = (ConsentRequest.__table__, "sealed", "id")
SECOND_FACTORS = (SecondFactor.__table__, "sealed", "user_id")
DESTINATIONS = (NotificationDestination.__table__, "sealed", "id")
LABELS = (LabelPurchase.__table__, "document", "id")
#: of the installation
INSTALLATION = (InstallationSecret.__table__, "sealed", "name")

Place = tuple[Any, str, str]


def _key(place: Place) -> Any:
    return func.encode(func.substr(place[0].c[place[1]], 2, 4), "hex")


def _is_there(place: Place) -> Any:
    return func.octet_length(place[0].c[place[1]]) > 0


async def count(session: AsyncSession, place: Place) -> dict[str, int]:
    """How many values lie there, by the name of their key."""
    key = _key(place).label("key")
    rows = await session.execute(select(key, func.count()).where(_is_there(place)).group_by(key))
    return {row[0]: row[1] for row in rows}


async def under_other_keys(
    session: AsyncSession, place: Place, current: str, after: UUID | str | None, limit: int
) -> Sequence[tuple[UUID | str, UUID | str, bytes]]:
    """Values that are not under the current key, in the order of their rows' ids: id, whose it is, and the value."""
    table: Table = place[0]
    (order,) = table.primary_key.columns
    query = select(order, table.c[place[2]], table.c[place[1]]).where(_is_there(place), _key(place) != current)
    if after is not None:
        query = query.where(order > after)
    return [tuple(row) for row in await session.execute(query.order_by(order).limit(limit))]


async def put(session: AsyncSession, place: Place, row_id: UUID | str, was: bytes, sealed: bytes) -> bool:
    """False where the value has become another one meanwhile."""
    table: Table = place[0]
    (order,) = table.primary_key.columns
    value = table.c[place[1]]
    done = await session.execute(
        update(table).where(order == row_id, value == was).values({place[1]: sealed}).returning(order)
    )
    return done.first() is not None
