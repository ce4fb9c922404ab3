"""What connectors have learnt of listings, by account and the channel's id of the listing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.repositories.effects import SET_QUANTITY

_LOAD = text(
    """
    SELECT k.external_id, k.facts, extract(epoch FROM now() - k.learnt_at)::float8 AS age
      FROM listing l JOIN listing_knowledge k ON k.tenant_id = l.tenant_id AND k.listing_id = l.id
     WHERE l.account_id = :account_id AND l.external_id = ANY(CAST(:ids AS text[])) AND k.external_id = l.external_id
    """
)
# in the order of listings, so that two workers never wait for each other; what is not ours has no listing
_KEEP = text(
    """
    INSERT INTO listing_knowledge (id, tenant_id, listing_id, external_id, facts, learnt_at)
    SELECT gen_random_uuid(), l.tenant_id, l.id, l.external_id, n.facts, now()
      FROM json_to_recordset(CAST(:news AS json)) AS n(external_id text, facts jsonb)
      JOIN listing l ON l.account_id = :account_id AND l.external_id = n.external_id
     ORDER BY l.id
    ON CONFLICT (tenant_id, listing_id) DO UPDATE
       SET external_id = excluded.external_id, facts = excluded.facts, learnt_at = excluded.learnt_at
    """
)
_FORGET = text(
    """
    DELETE FROM listing_knowledge k
     WHERE k.id IN (
         SELECT o.id FROM listing l JOIN listing_knowledge o ON o.tenant_id = l.tenant_id AND o.listing_id = l.id
          WHERE l.account_id = :account_id AND l.external_id = ANY(CAST(:ids AS text[]))
          ORDER BY o.listing_id FOR UPDATE OF o)
    """
)
# quantities that wait to be written, of whose listings nothing is known that is new enough
_UNKNOWN = text(
    """
    SELECT count(*)
      FROM (SELECT 1
              FROM effect e JOIN listing l ON l.id = e.subject_id
              LEFT JOIN listing_knowledge k ON k.tenant_id = l.tenant_id AND k.listing_id = l.id
                    AND k.external_id = l.external_id AND k.learnt_at > now() - make_interval(secs => :lasts)
             WHERE e.account_id = :account_id AND e.command = :set_quantity AND e.finished_at IS NULL AND k.id IS NULL
             LIMIT :most) AS unknown
    """
)


async def unknown_waiting(session: AsyncSession, account_id: UUID, *, lasts: float, most: int) -> int:
    """Of how many listings whose units wait to be written nothing is known that was learnt in the last `lasts` seconds;
    counted up to `most`."""
    values = {"account_id": account_id, "set_quantity": SET_QUANTITY, "lasts": lasts, "most": most}
    return (await session.scalar(_UNKNOWN, values)) or 0


async def load(
    session: AsyncSession, account_id: UUID, external_ids: Collection[str]
) -> dict[str, tuple[dict[str, Any], float]]:
    """What is known of those listings, and how many seconds ago it was learnt."""
    rows = await session.execute(_LOAD, {"account_id": account_id, "ids": list(external_ids)})
    return {row.external_id: (row.facts, max(0.0, row.age)) for row in rows}


async def keep(session: AsyncSession, account_id: UUID, news: Mapping[str, dict[str, Any] | None]) -> None:
    """Write down what was learnt; None forgets."""
    learnt = [{"external_id": one, "facts": facts} for one, facts in news.items() if facts is not None]
    forgotten = [one for one, facts in news.items() if facts is None]
    if learnt:
        await session.execute(_KEEP, {"account_id": account_id, "news": orjson.dumps(learnt).decode()})
    if forgotten:
        await session.execute(_FORGET, {"account_id": account_id, "ids": forgotten})
