"""Rows of consent requests, and of when credentials end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import ConsentRequest, CredentialEnd, MarketplaceAccount


async def tenant_of_state(session: AsyncSession, state_hash: str) -> UUID | None:
    """Works in a session of no tenant."""
    found = await session.execute(text("SELECT consent_request_tenant(:hash)"), {"hash": state_hash})
    tenant_id: UUID | None = found.scalar()
    return tenant_id


async def insert_request(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(ConsentRequest(**values))
    await session.flush()


async def get_request(session: AsyncSession, request_id: UUID) -> ConsentRequest | None:
    return (await session.execute(select(ConsentRequest).where(ConsentRequest.id == request_id))).scalar_one_or_none()


async def lock_request(session: AsyncSession, state_hash: str) -> ConsentRequest | None:
    """The request of a state; of two answers at once the second waits for what the first does with it."""
    query = select(ConsentRequest).where(ConsentRequest.state_hash == state_hash).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def update_request(session: AsyncSession, request_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(ConsentRequest).where(ConsentRequest.id == request_id).values(values))


async def delete_requests_before(session: AsyncSession, moment: datetime) -> int:
    """Drop requests made before then, whatever became of them; how many."""
    gone = await session.execute(
        delete(ConsentRequest).where(ConsentRequest.created_at < moment).returning(ConsentRequest.id)
    )
    return len(gone.scalars().all())


async def forget_secrets(session: AsyncSession, now: datetime) -> None:
    """Requests that nobody answered in time, or whose answer was cut off, keep no secrets."""
    stale = ConsentRequest.expires_at < now, ConsentRequest.status.in_(("waiting", "redeeming"))
    await session.execute(update(ConsentRequest).where(*stale, ConsentRequest.sealed != b"").values(sealed=b""))


async def ends_of(session: AsyncSession, account_id: UUID) -> Sequence[CredentialEnd]:
    query = select(CredentialEnd).where(CredentialEnd.account_id == account_id)
    return (await session.execute(query)).scalars().all()


async def all_ends(session: AsyncSession) -> Sequence[CredentialEnd]:
    """Of every account of the tenant, soonest first."""
    return (await session.execute(select(CredentialEnd).order_by(CredentialEnd.ends_at))).scalars().all()


async def ends_before(session: AsyncSession, moment: datetime) -> Sequence[tuple[CredentialEnd, MarketplaceAccount]]:
    """Of accounts that are not disconnected."""
    query = (
        select(CredentialEnd, MarketplaceAccount)
        .join(MarketplaceAccount, MarketplaceAccount.id == CredentialEnd.account_id)
        .where(CredentialEnd.ends_at < moment, MarketplaceAccount.status != "disconnected")
        .with_for_update(of=CredentialEnd)
    )
    return [(end, account) for end, account in (await session.execute(query)).all()]


async def put_ends(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert or move; a later end has been warned of by nobody."""
    insert = pg_insert(CredentialEnd)
    warned = text("CASE WHEN excluded.ends_at > credential_end.ends_at THEN NULL ELSE credential_end.warned_days END")
    await session.execute(
        insert.on_conflict_do_update(
            index_elements=["account_id", "credential"],
            set_={"ends_at": insert.excluded.ends_at, "warned_days": warned},
        ),
        list(rows),
    )


async def set_warned(session: AsyncSession, end_id: UUID, days: int) -> None:
    await session.execute(update(CredentialEnd).where(CredentialEnd.id == end_id).values(warned_days=days))


async def delete_ends(session: AsyncSession, account_id: UUID, keep: Sequence[str] = ()) -> None:
    await session.execute(
        delete(CredentialEnd).where(CredentialEnd.account_id == account_id, CredentialEnd.credential.not_in(keep))
    )
