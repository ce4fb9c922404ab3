"""Statements that keep orders by a pseudonym of their buyer, with sums of buyers and cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.unit_of_work import UnitOfWork

_KEY = text("SELECT key FROM buyer_key WHERE tenant_id = :tenant")
_NEW_KEY = text(
    "INSERT INTO buyer_key (id, tenant_id, key) VALUES (:id, :tenant, :key) ON CONFLICT (tenant_id) DO NOTHING"
)


async def key(unit: UnitOfWork, fresh: bytes) -> bytes:
    """What this business's pseudonyms are made with; `fresh` where there was none."""
    values = {"tenant": unit.tenant_id}
    found = (await unit.session.execute(_KEY, values)).scalar_one_or_none()
    if found is None:
        await unit.session.execute(_NEW_KEY, {"id": new_id(), "key": fresh, **values})
        found = (await unit.session.execute(_KEY, values)).scalar_one()
    return bytes(found)


async def buyers_of(session: AsyncSession, order_ids: Sequence[UUID]) -> set[UUID]:
    """Pseudonyms these orders are followed under."""
    query = text("SELECT DISTINCT buyer FROM buyer_sale WHERE order_id = ANY (:ids)")
    return set((await session.execute(query, {"ids": list(order_ids)})).scalars())


_HOLD = text("UPDATE sales_count SET revision = revision + 1 WHERE tenant_id = :tenant RETURNING 1")


async def hold(unit: UnitOfWork) -> bool:
    """Nobody else counts until this transaction ends, and the figures have another revision; False where nothing was
    ever counted."""
    return (await unit.session.execute(_HOLD, {"tenant": unit.tenant_id})).one_or_none() is not None


async def look_again(unit: UnitOfWork, order_ids: Sequence[UUID]) -> None:
    due = "INSERT INTO sale_due (tenant_id, order_id) SELECT tenant_id, id FROM customer_order WHERE id = ANY (:ids)"
    await unit.session.execute(text(due), {"ids": list(order_ids)})


_DOUBT = text(
    """
    INSERT INTO sale_due (tenant_id, order_id)
    SELECT o.tenant_id, o.id FROM erasure e
      JOIN customer_order o ON o.account_id = e.account_id AND o.external_id = e.order_external_id
      JOIN buyer_sale s ON s.order_id = o.id
    """
)


async def doubt_forgotten(session: AsyncSession) -> None:
    """Orders that are followed although a tombstone names them, as in books that were put back, are looked at again."""
    await session.execute(_DOUBT)


#: what some buyers add to the cohorts: by cohort and month
_PARTS = """
    SELECT account_id, currency, cohort, month, count(*) AS buyers,
           count(*) FILTER (WHERE month = cohort AND ever > 1) AS again,
           sum(orders)::bigint AS orders, sum(net)::bigint AS net
      FROM (SELECT m.*, min(month) OVER buyers AS cohort, sum(orders) OVER buyers AS ever
              FROM (SELECT account_id, currency, buyer, date_trunc('month', day)::date AS month,
                           count(*) AS orders, sum(net) AS net
                      FROM buyer_sale WHERE buyer = ANY (:buyers) GROUP BY 1, 2, 3, 4) m
            WINDOW buyers AS (PARTITION BY buyer, currency)) AS placed
     GROUP BY 1, 2, 3, 4
"""
_COHORTS_LESS = text(
    f"""
    UPDATE cohort_month c SET buyers = c.buyers - p.buyers, again = c.again - p.again, orders = c.orders - p.orders,
           net = c.net - p.net
      FROM ({_PARTS}) p
     WHERE c.tenant_id = :tenant AND c.account_id = p.account_id AND c.currency = p.currency
       AND c.cohort = p.cohort AND c.month = p.month
    """  # noqa: S608 - made of constants
)
_COHORTS_MORE = text(
    f"""
    INSERT INTO cohort_month AS c (tenant_id, account_id, currency, cohort, month, buyers, again, orders, net)
    SELECT :tenant, p.* FROM ({_PARTS}) p
        ON CONFLICT (tenant_id, account_id, currency, cohort, month) DO UPDATE
       SET buyers = c.buyers + excluded.buyers, again = c.again + excluded.again,
           orders = c.orders + excluded.orders, net = c.net + excluded.net
    """  # noqa: S608
)
_PUT_IN = text(
    """
    INSERT INTO buyer_sale (tenant_id, order_id, account_id, buyer, day, currency, net)
    SELECT :tenant, s.* FROM json_to_recordset(CAST(:sales AS json))
        AS s(order_id uuid, account_id uuid, buyer uuid, day date, currency text, net bigint)
    """
)
_SUMS = text(
    """
    INSERT INTO buyer_sum (tenant_id, account_id, buyer, currency, first_day, last_day, orders, net)
    SELECT :tenant, account_id, buyer, currency, min(day), max(day), count(*), sum(net)
      FROM buyer_sale WHERE buyer = ANY (:buyers) GROUP BY account_id, buyer, currency
    """
)


async def replace(
    unit: UnitOfWork, order_ids: Sequence[UUID], sales: Sequence[dict[str, Any]], buyers: Sequence[UUID]
) -> None:
    """Of these orders just these sales are followed; `buyers` are all whom that concerns."""
    values = {"tenant": unit.tenant_id, "buyers": list(buyers)}
    run = unit.session.execute
    await run(_COHORTS_LESS, values)
    await run(text("DELETE FROM buyer_sale WHERE order_id = ANY (:ids)"), {"ids": list(order_ids)})
    if sales:
        await run(_PUT_IN, {"tenant": unit.tenant_id, "sales": orjson.dumps(sales).decode()})
    await run(_COHORTS_MORE, values)
    await run(text("DELETE FROM buyer_sum WHERE buyer = ANY (:buyers)"), {"buyers": list(buyers)})
    await run(_SUMS, values)
