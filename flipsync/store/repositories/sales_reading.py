"""Queries over the figures of what was sold: series, single rows, and days as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models.sales import FIGURES
from flipsync.store.reading import Sentence

#: accounts times currencies of one business: more than any has, so that a sum over them is of all
MOST_CHANNELS = 10_000
_NAMES = ", ".join(FIGURES)
_SUMS = ", ".join(f"sum(d.{name})::bigint AS {name}" for name in FIGURES)
_KEPT = f"""
    SELECT day, account_id, currency, NULL AS sku, false AS month, {_NAMES} FROM channel_day
     WHERE day BETWEEN :first AND :last
    UNION ALL SELECT day, account_id, currency, sku, false, {_NAMES} FROM sku_day WHERE day BETWEEN :first AND :last
    UNION ALL SELECT day, account_id, currency, sku, true, {_NAMES} FROM sku_month
     WHERE day >= :month AND day < :month_end
"""  # noqa: S608 - made of constants


async def kept_days(session: AsyncSession, first: date, last: date) -> Sequence[Any]:
    """Days by account (SKU None) and by SKU, and whole months by SKU."""
    begin, end = whole_months(first, last)
    values = {"first": first, "last": last, "month": begin, "month_end": end}
    return (await session.execute(text(_KEPT), values)).all()


def whole_months(first: date, last: date) -> tuple[date, date]:
    """Of a span, where its first whole month begins, and where its last one is over; both the same without any."""
    begin = first if first.day == 1 else (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    return begin, max(begin, (last + timedelta(days=1)).replace(day=1))


async def orders_placed(
    session: AsyncSession, since: datetime | None = None, until: datetime | None = None
) -> list[UUID]:
    """Orders placed from then on, and before `until`."""
    query = """
        SELECT id FROM customer_order
         WHERE placed_at >= coalesce(:since, CAST('-infinity' AS timestamptz))
           AND placed_at < coalesce(:until, CAST('infinity' AS timestamptz)) ORDER BY id
    """
    return list((await session.execute(text(query), {"since": since, "until": until})).scalars())


_PERIODS = {
    "day": "d.day",
    "week": "date_trunc('week', d.day)::date",
    "month": "date_trunc('month', d.day)::date",
    "all": "CAST(:first AS date)",
}
#: SKU → the category its product has now: by our own SKU, else by the one it has on a channel
_CATEGORIES = """
    SELECT DISTINCT ON (sku) sku, category FROM (
        SELECT v.sku, p.category, 1 AS rank FROM variant v JOIN product p ON p.id = v.product_id
        UNION ALL
        SELECT l.sku, p.category, 2 FROM listing l JOIN variant v ON v.id = l.variant_id
          JOIN product p ON p.id = v.product_id) AS named
     ORDER BY sku, rank
"""
_KEYS = {"none": "''", "channel": "d.account_id::text", "sku": "d.sku", "category": "d.sku"}


#: whole months from their sums, what is left of the span from days
_LONG = f"""(
    SELECT day, account_id, currency, sku, {_NAMES} FROM sku_month WHERE day >= :month AND day < :month_end
    UNION ALL
    SELECT day, account_id, currency, sku, {_NAMES} FROM sku_day
     WHERE day BETWEEN :first AND :last AND (day < :month OR day >= :month_end))"""  # noqa: S608


@cache
def _series(period: str, group: str, by_sku: bool) -> TextClause:
    """Figures by period, currency and key; newest period first. Conditions without a value hold for every row."""
    table = "channel_day"
    if by_sku:
        table = _LONG if period in ("month", "all") else "sku_day"
    of_sku = "AND (CAST(:sku AS text) IS NULL OR d.sku = :sku)" if by_sku else ""
    inner = f"""
        SELECT {_PERIODS[period]} AS period, d.currency, {_KEYS[group]} AS key, {_SUMS} FROM {table} d
         WHERE d.day BETWEEN :first AND :last
           AND (CAST(:account_id AS uuid) IS NULL OR d.account_id = :account_id)
           AND (CAST(:currency AS text) IS NULL OR d.currency = :currency)
           {of_sku}
         GROUP BY 1, 2, 3
    """  # noqa: S608
    if group == "category":
        inner = f"""
            SELECT d.period, d.currency, coalesce(c.category, '') AS key, {_SUMS}
              FROM ({inner}) d LEFT JOIN ({_CATEGORIES}) c ON c.sku = d.key GROUP BY 1, 2, 3
        """  # noqa: S608
    label = "coalesce(a.name, s.key)" if group == "channel" else "s.key"
    join = "LEFT JOIN marketplace_account a ON a.id::text = s.key" if group == "channel" else ""
    return text(
        f"""
        SELECT s.*, {label} AS label, {"a.vendor" if group == "channel" else "NULL"} AS vendor
          FROM ({inner}) s {join}
         WHERE (s.orders <> 0 OR s.cancelled <> 0)
           AND (CAST(:after_period AS date) IS NULL OR s.period < :after_period
                OR (s.period = :after_period AND (s.currency, s.key) > (CAST(:after_currency AS text), :after_key)))
         ORDER BY s.period DESC, s.currency, s.key LIMIT :most
        """  # noqa: S608
    )


async def series(
    session: AsyncSession,
    period: str,
    group: str,
    *,
    first: date,
    last: date,
    account_id: UUID | None,
    sku: str | None,
    currency: str | None,
    after: tuple[date, str, str] | None,
    most: int,
) -> Sequence[Any]:
    """`period`: day, week (from Monday), month or all; `group`: none, channel, sku or category."""
    by_sku = sku is not None or group in ("sku", "category")
    values = {"first": first, "last": last, "account_id": account_id, "currency": currency, "most": most}
    values |= dict(zip(("after_period", "after_currency", "after_key"), after or (None, None, None), strict=True))
    if by_sku:
        values["sku"] = sku
        if period in ("month", "all"):
            values["month"], values["month_end"] = whole_months(first, last)
    return (await session.execute(_series(period, group, by_sku), values)).all()


async def by_channel(session: AsyncSession, first: date, last: date) -> Sequence[Any]:
    """The span as a whole, a row for each account and currency."""
    everything: dict[str, Any] = dict.fromkeys(("account_id", "sku", "currency", "after"))
    return await series(session, "all", "channel", first=first, last=last, most=MOST_CHANNELS, **everything)


_ROWS = text(
    f"""
    SELECT f.order_id, f.sku, f.day, f.account_id, f.currency, {", ".join(f"f.{name}" for name in FIGURES)}
      FROM sale_fact f
     WHERE f.day BETWEEN :first AND :last AND f.orders + f.cancelled > 0
       AND (CAST(:account_id AS uuid) IS NULL OR f.account_id = :account_id)
       AND (CAST(:sku AS text) IS NULL OR f.sku = :sku)
       AND (CAST(:currency AS text) IS NULL OR f.currency = :currency)
       AND (CAST(:after_day AS date) IS NULL OR (f.day, f.order_id, f.sku) <
            (CAST(:after_day AS date), CAST(:after_order AS uuid), CAST(:after_sku AS text)))
     ORDER BY f.day DESC, f.order_id DESC, f.sku DESC LIMIT :most
    """  # noqa: S608
)


async def sale_rows(
    session: AsyncSession,
    *,
    first: date,
    last: date,
    account_id: UUID | None,
    sku: str | None,
    currency: str | None,
    after: tuple[date, UUID, str] | None,
    most: int,
) -> Sequence[Any]:
    """What the figures are made of: one row for each SKU of an order, newest day first."""
    values = {"first": first, "last": last, "account_id": account_id, "sku": sku, "currency": currency, "most": most}
    values |= dict(zip(("after_day", "after_order", "after_sku"), after or (None, None, None), strict=True))
    return (await session.execute(_ROWS, values)).all()


#: all channels together, by day and currency
DAYS = Sentence(
    f"SELECT d.day, d.currency, {_SUMS} FROM channel_day d WHERE d.day BETWEEN :first AND :last GROUP BY 1, 2"  # noqa: S608
)


_STATE = text(
    """
    SELECT coalesce(t.settings ->> 'time_zone', 'UTC') AS time_zone, coalesce(c.revision, -1) AS revision,
           md5(t.settings::text) AS settings,
           (SELECT md5(string_agg(concat_ws(' ', a.id, a.vendor, a.name), ',' ORDER BY a.id))
              FROM marketplace_account a) AS accounts
      FROM tenant t LEFT JOIN sales_count c ON c.tenant_id = t.id WHERE t.id = current_tenant()
    """
)


async def state(session: AsyncSession) -> Any:
    """What answers made of figures depend on beside the question: their revision, the settings, the channels' names."""
    return (await session.execute(_STATE)).one()
