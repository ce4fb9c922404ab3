"""Rows of tenants, users, their sessions and refresh tokens, and answered requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Select, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.database import ask
from flipsync.store.models import CustomRole, IdempotencyRecord, RefreshToken, Tenant, User, UserErasure, UserSession
from flipsync.store.reading import Asked, Question, Sentence, where
from flipsync.store.sorting import SortedQuestion, Sorts


@dataclass(frozen=True)
class SignInCandidate:
    id: UUID
    tenant_id: UUID
    password_hash: str
    role: str
    disabled_at: datetime | None


async def sign_in_candidate(session: AsyncSession, email: str) -> SignInCandidate | None:
    """Whoever has this address, in whatever tenant; works in a session of no tenant."""
    found = await session.execute(text("SELECT * FROM sign_in_candidate(:email)"), {"email": email})
    row = found.one_or_none()
    if row is None:
        return None
    return SignInCandidate(row.id, row.tenant_id, row.password_hash, row.role, row.disabled_at)


async def tenant_of_refresh_token(session: AsyncSession, token_hash: str) -> UUID | None:
    """Works in a session of no tenant."""
    [[found]] = await ask(session, [_TENANT_OF_TOKEN(hash=token_hash)])
    tenant_id: UUID | None = found.tenant_id
    return tenant_id


_TENANT_OF_TOKEN = Sentence("SELECT refresh_token_tenant(:hash) AS tenant_id")


async def insert_tenant(session: AsyncSession, tenant_id: UUID, name: str, currency: str) -> None:
    session.add(Tenant(id=tenant_id, name=name, currency=currency))
    await session.flush()


async def get_tenant(session: AsyncSession) -> Tenant | None:
    """The tenant of the session: row security shows no other."""
    return (await session.execute(select(Tenant))).scalar_one_or_none()


async def insert_user(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the address is taken, in this tenant or another."""
    inserted = await session.execute(pg_insert(User).values(values).on_conflict_do_nothing().returning(User.id))
    return inserted.scalar() is not None


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    return (await session.execute(select(User).where(User.id == user_id))).scalar_one_or_none()


async def an_owner(session: AsyncSession) -> UUID | None:
    """The tenant's first owner who is not disabled."""
    query = select(User.id).where(User.role == "owner", User.disabled_at.is_(None)).order_by(User.id).limit(1)
    return (await session.execute(query)).scalar()


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    """As it is now, and nobody else changes it before we are done."""
    query = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def lock_owners(session: AsyncSession) -> list[UUID]:
    """Owners who can sign in; none of them stops being one before we are done."""
    query = (
        select(User.id)
        .where(User.role == "owner", User.disabled_at.is_(None), User.password_hash != "")
        .order_by(User.id)
        .with_for_update()
    )
    return list((await session.execute(query)).scalars())


async def update_user(session: AsyncSession, user_id: UUID, values: dict[str, Any]) -> bool:
    """False when there is no such user."""
    changed = await session.execute(update(User).where(User.id == user_id).values(values).returning(User.id))
    return changed.scalar() is not None


class Presented(NamedTuple):
    """A refresh token that came: the columns of a RefreshToken, and its user's role and whether it is disabled."""

    token: Any
    user: Any


_LOCK_SESSION_OF_TOKEN = Question(
    lambda _: (
        select(UserSession.id)
        .where(
            UserSession.id
            == select(RefreshToken.family_id).where(RefreshToken.token_hash == bindparam("hash")).scalar_subquery()
        )
        .with_for_update(key_share=True)
    )
)
_TOKEN = Question(lambda _: select(*RefreshToken.__table__.c).where(RefreshToken.token_hash == bindparam("hash")))
_USER_OF_TOKEN = Question(
    lambda _: (
        select(User.role, User.disabled_at)
        .join(RefreshToken, RefreshToken.user_id == User.id)
        .where(RefreshToken.token_hash == bindparam("hash"))
    )
)


async def lock_refresh_token(session: AsyncSession, token_hash: str) -> Presented | None:
    """The token, as it is once whoever else presents one of its session is done: the statement after the lock sees
    what they did."""
    asked = (_LOCK_SESSION_OF_TOKEN, _TOKEN, _USER_OF_TOKEN)
    _, token, user = await ask(session, [each(hash=token_hash) for each in asked])
    return Presented(token[0], user[0]) if token else None


_NEW_TOKEN = Sentence(
    """
    INSERT INTO refresh_token (id, tenant_id, user_id, family_id, token_hash, issued_at, expires_at, device)
    VALUES (:id, :tenant_id, :user_id, :family_id, :token_hash, :issued_at, :expires_at, :device)
    """
)
_SPENT = Sentence(
    """
    WITH spent AS (UPDATE refresh_token SET used_at = :now WHERE id = :token_id),
        dropped AS (
            UPDATE refresh_token SET revoked_at = :now
            WHERE family_id = :session_id AND id <> :token_id AND revoked_at IS NULL
        )
    UPDATE user_session SET last_used_at = :now, expires_at = :expires_at WHERE id = :session_id
    """
)


def new_refresh_token(**values: Any) -> Asked:
    """What keeps a token, by the columns of a RefreshToken."""
    return _NEW_TOKEN(id=new_id(), **values)


def spent(token: Any, now: datetime, expires_at: datetime) -> Asked:
    """What spends a token: its session goes on, by it alone. Every other token of the session is dropped."""
    return _SPENT(token_id=token.id, session_id=token.family_id, now=now, expires_at=expires_at)


async def insert_session(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(UserSession(**values))
    await session.flush()


async def get_session(session: AsyncSession, session_id: UUID) -> UserSession | None:
    return (await session.execute(select(UserSession).where(UserSession.id == session_id))).scalar_one_or_none()


async def update_session(session: AsyncSession, session_id: UUID, values: dict[str, Any]) -> None:
    await session.execute(update(UserSession).where(UserSession.id == session_id).values(values))


async def revoke_sessions(
    session: AsyncSession, user_id: UUID, at: datetime, *, only: UUID | None = None, but: UUID | None = None
) -> list[UUID]:
    """End sessions of the user, their refresh tokens with them: which had not ended before."""
    query = update(UserSession).where(
        UserSession.user_id == user_id, UserSession.revoked_at.is_(None), UserSession.expires_at > at
    )
    if only is not None:
        query = query.where(UserSession.id == only)
    if but is not None:
        query = query.where(UserSession.id != but)
    ended = list((await session.execute(query.values(revoked_at=at).returning(UserSession.id))).scalars())
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.family_id.in_(ended), RefreshToken.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return ended


async def revoke_family(session: AsyncSession, family_id: UUID, at: datetime) -> bool:
    """Whether the session had not ended before."""
    ended = await session.execute(
        update(UserSession)
        .where(UserSession.id == family_id, UserSession.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(UserSession.id)
    )
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return ended.scalar() is not None


def _users(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    columns = [column for column in User.__table__.c if column.name != "password_hash"]
    query = select(
        *columns,
        (User.password_hash == "").label("invited"),
        func.coalesce(CustomRole.name, User.role).label("role_name"),
        select(UserErasure.id).where(UserErasure.user_id == User.id).exists().label("erased"),
    ).outerjoin(CustomRole, CustomRole.id == User.role_id)
    return where(
        query,
        given,
        user_id=User.id == bindparam("user_id"),
        role=User.role == bindparam("role"),
        role_id=User.role_id == bindparam("role_id"),
    )


USER_SORTS = Sorts(User.id, email=User.email)
#: any of user_id, role, role_id
USERS = SortedQuestion(USER_SORTS, _users)
SESSION_SORTS = Sorts(
    UserSession.id, default="-last_used_at", last_used_at=UserSession.last_used_at, device=UserSession.device
)
#: user_id; those that are on
SESSIONS = SortedQuestion(
    SESSION_SORTS,
    lambda _: select(*UserSession.__table__.c).where(
        UserSession.user_id == bindparam("user_id"),
        UserSession.revoked_at.is_(None),
        UserSession.expires_at > func.now(),
    ),
)
#: session_id
PROVEN = Question(lambda _: select(UserSession.proven_at).where(UserSession.id == bindparam("session_id")))


_CLAIM = Sentence(
    """
    INSERT INTO idempotency_record (id, tenant_id, key, fingerprint, created_at)
    VALUES (:id, :tenant_id, :key, :fingerprint, :created_at)
    ON CONFLICT (tenant_id, key) DO NOTHING
    RETURNING id
    """
)
_ANSWERED = Sentence("UPDATE idempotency_record SET status = :status, body = CAST(:body AS jsonb) WHERE id = :id")


async def claim_request(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the key was used before. A key in use by an open transaction makes this one wait for its end."""
    (claimed,) = await ask(session, [_CLAIM(**values, created_at=utc_now())])
    return bool(claimed)


async def get_answered_request(session: AsyncSession, key: str) -> IdempotencyRecord | None:
    return (await session.execute(select(IdempotencyRecord).where(IdempotencyRecord.key == key))).scalar_one_or_none()


def answered(request_id: UUID, status: int, body: dict[str, Any]) -> Asked:
    """What keeps the answer with the request."""
    return _ANSWERED(id=request_id, status=status, body=orjson.dumps(body).decode())
