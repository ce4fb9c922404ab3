"""Queries over buyers followed by pseudonym: cohorts, segments by recency, frequency and money, orders behind them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

_OF = """(CAST(:account_id AS uuid) IS NULL OR {0}.account_id = :account_id)
           AND (CAST(:currency AS text) IS NULL OR {0}.currency = :currency)"""
_KEYS = {"none": "''", "channel": "{0}.account_id::text"}


def _named(group: str) -> tuple[str, str]:
    """How a key is shown, and what that is joined to."""
    if group == "channel":
        return "coalesce(a.name, s.key)", "LEFT JOIN marketplace_account a ON a.id::text = s.key"
    return "s.key", ""


@cache
def _cohorts(group: str) -> TextClause:
    label, join = _named(group)
    return text(
        f"""
        WITH months AS (
            SELECT c.cohort, c.currency, {_KEYS[group].format("c")} AS key, c.month, sum(c.buyers)::bigint AS buyers,
                   sum(c.again)::bigint AS again, sum(c.orders)::bigint AS orders, sum(c.net)::bigint AS net
              FROM cohort_month c
             WHERE c.cohort BETWEEN :first AND :last AND {_OF.format("c")}
             GROUP BY 1, 2, 3, 4)
        SELECT s.*, {label} AS label FROM (
            SELECT cohort, currency, key, sum(buyers) FILTER (WHERE month = cohort)::bigint AS customers,
                   sum(again)::bigint AS again, sum(orders)::bigint AS orders, sum(net)::bigint AS net,
                   json_agg(json_build_array(month, buyers, orders, net) ORDER BY month)
                       FILTER (WHERE buyers > 0) AS months
              FROM months
             WHERE CAST(:after_cohort AS date) IS NULL OR cohort < :after_cohort
                OR (cohort = :after_cohort AND (currency, key) > (CAST(:after_currency AS text), :after_key))
             GROUP BY 1, 2, 3 HAVING sum(buyers) > 0) s {join}
         ORDER BY s.cohort DESC, s.currency, s.key LIMIT :most
        """  # noqa: S608 - made of constants
    )


async def cohorts(
    session: AsyncSession,
    group: str,
    *,
    first: date,
    last: date,
    account_id: UUID | None,
    currency: str | None,
    after: tuple[date, str, str] | None,
    most: int,
) -> Sequence[Any]:
    """Newest first; `months` are [month, buyers, orders, net]. `group`: none or channel."""
    values = {"first": first, "last": last, "account_id": account_id, "currency": currency, "most": most}
    values |= dict(zip(("after_cohort", "after_currency", "after_key"), after or (None, None, None), strict=True))
    return (await session.execute(_cohorts(group), values)).all()


#: what a score is made of: least value → score; below all of them it is 1
Cuts = Sequence[tuple[int, int]]


def _score(value: str, cuts: Cuts, sign: str) -> str:
    return f"CASE {' '.join(f'WHEN {value} {sign} {cut} THEN {score}' for cut, score in cuts)} ELSE 1 END"


@cache
def _scored(recency: Cuts, frequency: Cuts, money: Cuts) -> str:
    """Buyers with their scores: r, and fm, the mean of frequency and money rounded up. Money is in average orders of
    the same account and currency."""
    worth = [f"WHEN b.net >= {cut} * v.net / v.orders THEN {score}" for cut, score in money]
    return f"""
        SELECT b.account_id, b.currency, b.buyer, b.orders, b.net, b.first_day,
               {_score("CAST(:today AS date) - b.last_day", recency, "<")} AS r,
               ({_score("b.orders", frequency, ">=")}
                + CASE WHEN v.net <= 0 THEN 1 {" ".join(worth)} ELSE 1 END + 1) / 2 AS fm
          FROM buyer_sum b
          JOIN (SELECT account_id, currency, sum(net)::bigint AS net, sum(orders)::bigint AS orders
                  FROM cohort_month GROUP BY 1, 2 HAVING sum(orders) > 0) v
            ON v.account_id = b.account_id AND v.currency = b.currency
         WHERE {_OF.format("b")}
    """  # noqa: S608


@cache
def _segments(group: str, cuts: tuple[Cuts, Cuts, Cuts]) -> TextClause:
    label, join = _named(group)
    return text(
        f"""
        SELECT s.*, {label} AS label FROM (
            SELECT b.currency, {_KEYS[group].format("b")} AS key, b.r, b.fm, count(*) AS customers,
                   sum(b.orders)::bigint AS orders, sum(b.net)::bigint AS net
              FROM ({_scored(*cuts)}) b GROUP BY 1, 2, 3, 4) s {join}
         ORDER BY s.currency, s.key, s.r, s.fm
        """  # noqa: S608
    )


async def segments(
    session: AsyncSession,
    group: str,
    cuts: tuple[Cuts, Cuts, Cuts],
    *,
    today: date,
    account_id: UUID | None,
    currency: str | None,
) -> Sequence[Any]:
    """Customers, orders and net revenue by score: r and fm. `cuts` are those of recency, frequency and money."""
    values = {"today": today, "account_id": account_id, "currency": currency}
    return (await session.execute(_segments(group, cuts), values)).all()


@cache
def _orders(cuts: tuple[Cuts, Cuts, Cuts]) -> TextClause:
    return text(
        f"""
        SELECT o.order_id, o.day, o.account_id, o.currency, o.net, b.orders, b.r, b.fm,
               date_trunc('month', b.first_day)::date AS cohort
          FROM buyer_sale o
          JOIN ({_scored(*cuts)}) b ON b.buyer = o.buyer AND b.currency = o.currency
         WHERE {_OF.format("o")}
           AND (CAST(:cells AS int[]) IS NULL OR b.r * 10 + b.fm = ANY (:cells))
           AND (CAST(:cohort AS date) IS NULL OR date_trunc('month', b.first_day)::date = :cohort)
           AND (CAST(:month AS date) IS NULL OR date_trunc('month', o.day)::date = :month)
           AND (CAST(:after_day AS date) IS NULL OR (o.day, o.order_id) <
                (CAST(:after_day AS date), CAST(:after_order AS uuid)))
         ORDER BY o.day DESC, o.order_id DESC LIMIT :most
        """  # noqa: S608
    )


async def orders(
    session: AsyncSession,
    cuts: tuple[Cuts, Cuts, Cuts],
    *,
    today: date,
    cells: Sequence[int] | None,
    cohort: date | None,
    month: date | None,
    account_id: UUID | None,
    currency: str | None,
    after: tuple[date, UUID] | None,
    most: int,
) -> Sequence[Any]:
    """Orders of followed buyers, newest day first; of those whose scores are one of `cells` (r * 10 + fm), whose first
    order was in the month `cohort`, placed in `month`."""
    values = {
        "today": today,
        "cells": None if cells is None else list(cells),
        "cohort": cohort,
        "month": month,
        "account_id": account_id,
        "currency": currency,
        "most": most,
    }
    values |= dict(zip(("after_day", "after_order"), after or (None, None), strict=True))
    return (await session.execute(_orders(cuts), values)).all()


_COVERAGE = text(
    """
    SELECT a.id AS account_id, a.vendor, a.name, coalesce(d.orders, 0)::bigint AS orders,
           coalesce(c.orders, 0)::bigint AS followed
      FROM marketplace_account a
      LEFT JOIN (SELECT account_id, sum(orders) AS orders FROM channel_day GROUP BY 1) d ON d.account_id = a.id
      LEFT JOIN (SELECT account_id, sum(orders) AS orders FROM cohort_month GROUP BY 1) c ON c.account_id = a.id
     WHERE CAST(:account_id AS uuid) IS NULL OR a.id = :account_id
     ORDER BY a.name, a.id
    """
)


async def coverage(session: AsyncSession, account_id: UUID | None) -> Sequence[Any]:
    """By account: orders that earn, and those of them whose buyer is followed."""
    return (await session.execute(_COVERAGE, {"account_id": account_id})).all()


async def kept(session: AsyncSession) -> tuple[Sequence[Any], Sequence[Any]]:
    """Every buyer's sum, without who it is, and every cohort's month; for the slow recount."""
    buyers = "SELECT account_id, currency, first_day, last_day, orders, net FROM buyer_sum"
    months = "SELECT account_id, currency, cohort, month, buyers, again, orders, net FROM cohort_month WHERE buyers > 0"
    return (await session.execute(text(buyers))).all(), (await session.execute(text(months))).all()
