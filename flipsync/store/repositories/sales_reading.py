"""Queries over the figures of what was sold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models.sales import FIGURES

_NAMES = ", ".join(FIGURES)
_KEPT = f"""
    SELECT day, account_id, currency, NULL AS sku, {_NAMES} FROM channel_day
    UNION ALL SELECT day, account_id, currency, sku, {_NAMES} FROM sku_day
"""


async def kept_days(session: AsyncSession) -> Sequence[Any]:
    """All days by account (SKU None) and by SKU."""
    return (await session.execute(text(_KEPT))).all()


async def all_orders(session: AsyncSession) -> list[UUID]:
    return list((await session.execute(text("SELECT id FROM customer_order ORDER BY id"))).scalars())
