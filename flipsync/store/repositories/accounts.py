"""Rows of marketplace accounts and of the webhooks that came for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models import MarketplaceAccount
from flipsync.store.sorting import Place, Sorts

SORTS = Sorts(
    MarketplaceAccount.id, default="id", name=MarketplaceAccount.name, last_ok_at=MarketplaceAccount.last_ok_at
)

_INSERT_DELIVERY = text(
    """
    INSERT INTO webhook_delivery
           (id, tenant_id, account_id, dedup_key, topic, received_at, order_id, changed_at)
    SELECT :id, :tenant_id, a.id, :dedup_key, :topic, :received_at, :order_id, CAST(:changed_at AS timestamptz)
      FROM marketplace_account AS a
     WHERE a.id = :account_id AND (CAST(:sealed AS bytea) IS NULL OR a.credentials_encrypted = :sealed)
    ON CONFLICT (account_id, dedup_key) DO NOTHING
    RETURNING id
    """
)


async def insert_account(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the tenant has an account of that name already."""
    inserted = await session.execute(
        pg_insert(MarketplaceAccount)
        .values(values)
        .on_conflict_do_nothing(index_elements=["tenant_id", "name"])
        .returning(MarketplaceAccount.id)
    )
    return inserted.scalar() is not None


async def get_account(session: AsyncSession, account_id: UUID, *, lock: bool = False) -> MarketplaceAccount | None:
    """The account; with `lock` nobody else changes it before this transaction ends."""
    query = select(MarketplaceAccount).where(MarketplaceAccount.id == account_id)
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()


async def lock_credentials(session: AsyncSession, account_id: UUID) -> None:
    """Until this transaction ends nobody else renews the account's tokens; its other columns stay free."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"credentials:{account_id}"}
    )


async def begin_renewal(session: AsyncSession, account_id: UUID, renewal_id: UUID, at: datetime) -> None:
    """Note that the vendor is going to be asked, unless an earlier renewal is on record that has not ended."""
    await session.execute(
        update(MarketplaceAccount)
        .where(MarketplaceAccount.id == account_id, MarketplaceAccount.renewal_id.is_(None))
        .values(renewal_id=renewal_id, renewal_began_at=at)
    )


async def end_renewal(session: AsyncSession, account_id: UUID, renewal_id: UUID | None) -> None:
    """Strike the note of that renewal; with None whichever there is."""
    which = [MarketplaceAccount.id == account_id]
    if renewal_id is not None:
        which.append(MarketplaceAccount.renewal_id == renewal_id)
    await session.execute(update(MarketplaceAccount).where(*which).values(renewal_id=None, renewal_began_at=None))


async def renewal_cut_off(session: AsyncSession, account_id: UUID, own: UUID) -> datetime | None:
    """When a renewal began that is on record and is not one's own."""
    query = select(MarketplaceAccount.renewal_began_at).where(
        MarketplaceAccount.id == account_id, MarketplaceAccount.renewal_id != own
    )
    return (await session.execute(query)).scalar_one_or_none()


async def find_accounts(session: AsyncSession) -> Sequence[MarketplaceAccount]:
    """Accounts in the order they were connected."""
    return (await session.execute(select(MarketplaceAccount).order_by(MarketplaceAccount.id))).scalars().all()


async def page(
    session: AsyncSession, place: Place, *, vendor: str | None = None, status: str | None = None
) -> Sequence[Any]:
    """(account,) and what a cursor is made of."""
    query = select(MarketplaceAccount)
    if vendor is not None:
        query = query.where(MarketplaceAccount.vendor == vendor)
    if status is not None:
        query = query.where(MarketplaceAccount.status == status)
    return (await session.execute(place.put(query))).all()


async def update_account(session: AsyncSession, account_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(MarketplaceAccount).where(MarketplaceAccount.id == account_id).values(values))


async def mark_surveyed(session: AsyncSession, account_id: UUID, at: datetime) -> None:
    """What the account offers has been looked at; the first time counts."""
    await session.execute(
        update(MarketplaceAccount)
        .where(MarketplaceAccount.id == account_id, MarketplaceAccount.surveyed_at.is_(None))
        .values(surveyed_at=at)
    )


async def account_of_webhook(session: AsyncSession, token: str) -> tuple[UUID, UUID] | None:
    """(account id, tenant id) of a callback token; works in a session of no tenant."""
    row = (
        await session.execute(text("SELECT account_id, tenant_id FROM webhook_account(:token)"), {"token": token})
    ).one_or_none()
    return None if row is None else (row.account_id, row.tenant_id)


async def insert_delivery(
    session: AsyncSession,
    tenant_id: UUID,
    account_id: UUID,
    dedup_key: str,
    topic: str,
    *,
    sealed: bytes | None = None,
    order_id: str = "",
    changed_at: datetime | None = None,
) -> bool:
    """False when the same fact was delivered before, or the account's secrets are no longer those `sealed`."""
    values = {
        "id": new_id(),
        "tenant_id": tenant_id,
        "account_id": account_id,
        "dedup_key": dedup_key,
        "topic": topic,
        "received_at": utc_now(),
        "sealed": sealed,
        "order_id": order_id,
        "changed_at": changed_at,
    }
    return (await session.execute(_INSERT_DELIVERY, values)).scalar() is not None


async def holds_secrets(session: AsyncSession, account_id: UUID, sealed: bytes) -> bool:
    """Whether the account's secrets are still those `sealed`. They are gone when it is disconnected."""
    query = select(MarketplaceAccount.id).where(
        MarketplaceAccount.id == account_id, MarketplaceAccount.credentials_encrypted == sealed
    )
    return (await session.execute(query)).scalar() is not None
