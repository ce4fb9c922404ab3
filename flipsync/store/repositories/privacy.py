"""Statements about buyers: finding their orders, all that is kept of them, forgetting them, and tombstones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Erasure, Order, UserErasure


@dataclass(frozen=True)
class BuyersOrder:
    """An order as far as forgetting its buyer needs it."""

    id: UUID
    account_id: UUID
    external_id: str
    closed: bool
    erased: bool


_COLUMNS = "o.id, o.account_id, o.external_id, o.closed_at IS NOT NULL AS closed, o.erased_at IS NOT NULL AS erased"
# One person's orders: by the mail address, by the channel's name for them on channels of one vendor, or by name and
# door. A buyer may have ordered under several of these: what an order found this way says counts as well.
_ORDERS = text(
    f"""
    WITH RECURSIVE named AS (
        SELECT o.id, a.vendor, o.buyer_id, o.ship_to FROM customer_order o
          JOIN marketplace_account a ON a.id = o.account_id
         WHERE o.erased_at IS NULL AND (o.id = CAST(:order_id AS uuid)
            OR lower(o.ship_to ->> 'email') = lower(CAST(:email AS text))
            OR (o.buyer_id <> '' AND lower(o.buyer_id) = ANY (CAST(:buyer_ids AS text[]))
                AND a.vendor = coalesce(CAST(:vendor AS text), a.vendor)))
        UNION
        SELECT o.id, a.vendor, o.buyer_id, o.ship_to FROM customer_order o
          JOIN marketplace_account a ON a.id = o.account_id
          JOIN named n ON :whole_person AND (
               (o.ship_to ->> 'email' <> '' AND lower(o.ship_to ->> 'email') = lower(n.ship_to ->> 'email'))
            OR (o.buyer_id <> '' AND lower(o.buyer_id) = lower(n.buyer_id) AND a.vendor = n.vendor)
            OR (o.ship_to ->> 'name' <> '' AND o.ship_to ->> 'line1' <> ''
                AND lower(o.ship_to ->> 'name') = lower(n.ship_to ->> 'name')
                AND lower(o.ship_to ->> 'line1') = lower(n.ship_to ->> 'line1')
                AND o.ship_to ->> 'postal_code' = n.ship_to ->> 'postal_code'))
         WHERE o.erased_at IS NULL
    )
    SELECT {_COLUMNS} FROM customer_order o WHERE o.id IN (SELECT id FROM named) ORDER BY o.id
    """  # noqa: S608 - made of constants
)


async def orders_of_buyer(
    session: AsyncSession,
    *,
    order_id: UUID | None = None,
    email: str | None = None,
    buyer_ids: Sequence[str] = (),
    vendor: str | None = None,
    whole_person: bool = True,
) -> list[BuyersOrder]:
    """Orders of whoever is named that still say who it is, oldest first; with `whole_person` under other names too."""
    names = [each.lower() for each in buyer_ids]
    values = {
        "order_id": order_id,
        "email": email or None,
        "buyer_ids": names,
        "vendor": vendor,
        "whole_person": whole_person,
    }
    return [BuyersOrder(**row) for row in (await session.execute(_ORDERS, values)).mappings()]


_DUE = text(
    f"""
    SELECT {_COLUMNS} FROM customer_order o
      JOIN marketplace_account a ON a.id = o.account_id
     WHERE o.erased_at IS NULL AND o.closed_at IS NOT NULL
       AND o.closed_at < CASE WHEN a.vendor = 'amazon' THEN CAST(:amazon_before AS timestamptz)
                              ELSE CAST(:others_before AS timestamptz) END
     ORDER BY o.closed_at, o.id LIMIT :most
    """  # noqa: S608
)


async def orders_due(
    session: AsyncSession, amazon_before: datetime, others_before: datetime | None, most: int
) -> list[BuyersOrder]:
    """Orders that were over before then and still say who bought; `others_before` None keeps those of other vendors."""
    values = {"amazon_before": amazon_before, "others_before": others_before, "most": most}
    return [BuyersOrder(**row) for row in (await session.execute(_DUE, values)).mappings()]


_WAITING = text(
    f"""
    SELECT {_COLUMNS} FROM erasure e
      JOIN customer_order o ON o.account_id = e.account_id AND o.external_id = e.order_external_id
     WHERE (e.erased_at IS NULL AND o.closed_at IS NOT NULL) OR (e.erased_at IS NOT NULL AND o.erased_at IS NULL)
     ORDER BY e.id LIMIT :most
    """  # noqa: S608
)


async def orders_waiting(session: AsyncSession, most: int) -> list[BuyersOrder]:
    """Orders whose buyers are to be forgotten and can be now."""
    return [BuyersOrder(**row) for row in (await session.execute(_WAITING, {"most": most})).mappings()]


async def lay_tombstones(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """A tombstone that is there already stays; one that waited no longer does where the new one is done."""
    if not rows:
        return
    insert = pg_insert(Erasure)
    await session.execute(
        insert.on_conflict_do_update(
            index_elements=["tenant_id", "account_id", "order_external_id"],
            set_={"erased_at": func.coalesce(Erasure.erased_at, insert.excluded.erased_at)},
        ),
        [{"id": new_id(), **row} for row in rows],
    )


async def tombstones(session: AsyncSession) -> Sequence[Erasure]:
    return (await session.scalars(select(Erasure).order_by(Erasure.id))).all()


async def tombstones_done(session: AsyncSession, external_ids: Sequence[str], at: datetime) -> None:
    await session.execute(
        update(Erasure)
        .where(Erasure.order_external_id.in_(external_ids), Erasure.erased_at.is_(None))
        .where(
            select(Order.id)
            .where(
                Order.account_id == Erasure.account_id,
                Order.external_id == Erasure.order_external_id,
                Order.erased_at.is_not(None),
            )
            .exists()
        )
        .values(erased_at=at)
        .execution_options(synchronize_session=False)
    )


async def words_of(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[str, bool]:
    """What names the buyers of these orders → whether it means nobody else (guards_0021.sql)."""
    found = await session.execute(text("SELECT * FROM buyer_words(:ids)"), {"ids": list(order_ids)})
    return {row.word: row.anywhere for row in found}


async def mentions(session: AsyncSession, order_ids: Sequence[UUID]) -> list[tuple[str, dict[str, Any]]]:
    """Every row outside the orders that names their buyers: table and row."""
    found = await session.execute(
        text("SELECT DISTINCT ON (place, row_id) * FROM buyer_mentions(:ids, true) ORDER BY place, row_id"),
        {"ids": list(order_ids)},
    )
    return [(row.place, row.content) for row in found]


async def erase(
    session: AsyncSession, order_ids: Sequence[UUID], pseudonym: str, *, everywhere: bool
) -> dict[str, int]:
    """Blank the buyers of these orders; rows changed by table. Doing it again changes nothing."""
    await session.flush()
    found = await session.execute(
        text("SELECT erase_buyers(:ids, :pseudonym, :everywhere)"),
        {"ids": list(order_ids), "pseudonym": pseudonym, "everywhere": everywhere},
    )
    counts: dict[str, int] = found.scalar_one()
    return counts


_NOTES = text(
    """
    SELECT n.id, n.packed FROM decision_notes n
     WHERE n.packed IS NOT NULL AND n.id > :after
       AND (:everywhere OR n.id = ANY (SELECT unnest(c.decisions) FROM buyer_chain(:ids) c))
     ORDER BY n.id LIMIT :most
    """
)


async def notes_of(
    session: AsyncSession, order_ids: Sequence[UUID], after: UUID, most: int, *, everywhere: bool
) -> Sequence[tuple[UUID, bytes]]:
    """What decisions about these orders read, or all decisions; by id."""
    values = {"ids": list(order_ids), "after": after, "most": most, "everywhere": everywhere}
    return [(row.id, row.packed) for row in await session.execute(_NOTES, values)]


async def put_notes(session: AsyncSession, tenant_id: UUID, decision_id: UUID, packed: bytes) -> None:
    """In the place of what was kept."""
    await session.execute(text("DELETE FROM decision_notes WHERE id = :id"), {"id": decision_id})
    await session.execute(
        text("INSERT INTO decision_notes (id, tenant_id, packed, size) VALUES (:id, :tenant, :packed, :size)"),
        {"id": decision_id, "tenant": tenant_id, "packed": packed, "size": len(packed)},
    )


async def buyer_holders(session: AsyncSession, telling: UUID, buyer_ids: Sequence[str]) -> dict[UUID, set[UUID]]:
    """Businesses that one of these buyers bought from → their accounts on the very server that the telling account is
    on; works in a session of no tenant."""
    values = {"telling": telling, "names": [each.lower() for each in buyer_ids]}
    held: dict[UUID, set[UUID]] = {}
    for tenant_id, account_id in await session.execute(text("SELECT * FROM buyer_holders(:telling, :names)"), values):
        held.setdefault(tenant_id, set()).add(account_id)
    return held


async def user_words(session: AsyncSession, user_id: UUID) -> list[str]:
    """Mail addresses of a person of the business, in small letters (guards_0062.sql)."""
    return list((await session.execute(text("SELECT user_words(:id)"), {"id": user_id})).scalar() or ())


async def erase_user(session: AsyncSession, user_id: UUID) -> dict[str, int]:
    """Blank a person of the business, the audit log's lines too; rows changed by table."""
    await session.flush()
    counts: dict[str, int] = (await session.execute(text("SELECT erase_user(:id)"), {"id": user_id})).scalar_one()
    session.expire_all()
    return counts


async def lay_user_tombstones(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """A tombstone that is there already stays."""
    if rows:
        await session.execute(
            pg_insert(UserErasure).on_conflict_do_nothing(), [{"id": new_id(), **row} for row in rows]
        )


async def user_tombstones(session: AsyncSession) -> Sequence[UserErasure]:
    return (await session.scalars(select(UserErasure).order_by(UserErasure.id))).all()


async def is_erased(session: AsyncSession, user_id: UUID) -> bool:
    query = select(UserErasure.id).where(UserErasure.user_id == user_id)
    return (await session.execute(query)).scalar() is not None


async def users_waiting(session: AsyncSession) -> Sequence[UUID]:
    """People of tombstones who came back with a backup."""
    query = text(
        "SELECT u.id FROM app_user u JOIN user_erasure e ON e.user_id = u.id WHERE u.email <> erased_user_name(u.id)"
        " ORDER BY u.id"
    )
    return (await session.execute(query)).scalars().all()


_WHOLE = {
    "order": "SELECT to_jsonb(o) FROM customer_order o WHERE o.id = ANY (:ids)",
    "lines": "SELECT to_jsonb(t) FROM order_line t WHERE t.order_id = ANY (:ids)",
    "refunds": "SELECT to_jsonb(t) FROM refund t WHERE t.order_id = ANY (:ids)",
    "refund_requests": "SELECT to_jsonb(t) FROM refund_request t WHERE t.order_id = ANY (:ids)",
    "labels": "SELECT to_jsonb(t) - 'document' FROM label_purchase t WHERE t.order_id = ANY (:ids)",
    "shipments": "SELECT to_jsonb(t) FROM shipment t WHERE t.order_id = ANY (:ids)",
    "followed_as": "SELECT to_jsonb(t) FROM buyer_sale t WHERE t.order_id = ANY (:ids)",
    "events": "SELECT to_jsonb(t) FROM event t WHERE t.subject_kind = 'order' AND t.subject_id = ANY (:ids)",
}


async def whole_orders(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[str, list[dict[str, Any]]]:
    """Orders with all that hangs on them, by kind."""
    values = {"ids": list(order_ids)}
    return {
        kind: list((await session.execute(text(f"{query} ORDER BY 1"), values)).scalars())
        for kind, query in _WHOLE.items()
    }


async def labels_with_files(session: AsyncSession, order_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Labels of these orders whose documents are kept."""
    query = text("SELECT id FROM label_purchase WHERE order_id = ANY (:ids) AND document IS NOT NULL ORDER BY id")
    return (await session.execute(query, {"ids": list(order_ids)})).scalars().all()


_OF_USER = {
    "user": "SELECT to_jsonb(t) - 'password_hash' FROM app_user t WHERE t.id = :id",
    "sessions": "SELECT to_jsonb(t) FROM user_session t WHERE t.user_id = :id",
    "refresh_tokens": "SELECT to_jsonb(t) - 'token_hash' FROM refresh_token t WHERE t.user_id = :id",
    "second_factor": "SELECT to_jsonb(t) - 'sealed' FROM second_factor t WHERE t.user_id = :id",
    "recovery_codes": "SELECT to_jsonb(t) - 'code_hash' FROM recovery_code t WHERE t.user_id = :id",
    "passkeys": "SELECT to_jsonb(t) - 'public_key' - 'credential_id' FROM passkey t WHERE t.user_id = :id",
    "provider_identities": "SELECT to_jsonb(t) FROM provider_identity t WHERE t.user_id = :id",
    "api_keys": "SELECT to_jsonb(t) - 'key_hash' FROM api_key t WHERE t.user_id = :id",
    "consents": "SELECT to_jsonb(t) - 'sealed' - 'state_hash' - 'config' FROM consent_request t WHERE t.user_id = :id",
    "notifications": "SELECT to_jsonb(t) FROM notification t WHERE t.user_id = :id",
    "notification_preferences": "SELECT to_jsonb(t) FROM notification_preference t WHERE t.user_id = :id",
    "notification_destinations": "SELECT to_jsonb(t) - 'sealed' FROM notification_destination t WHERE t.user_id = :id",
    "notification_deliveries": "SELECT to_jsonb(t) FROM notification_delivery t WHERE t.user_id = :id",
    "report_schedules": "SELECT to_jsonb(t) FROM report_schedule t WHERE t.user_id = :id",
    "answers": "SELECT to_jsonb(t) FROM approval t WHERE t.answered_by = :id",
    "refund_requests": "SELECT to_jsonb(t) FROM refund_request t WHERE t.requested_by = :id",
    "label_purchases": "SELECT to_jsonb(t) - 'document' - 'ship_from' FROM label_purchase t WHERE t.requested_by = :id",
    "audit": "SELECT to_jsonb(t) - 'prev_hash' - 'hash' - 'salt' - 'digest' FROM audit_entry t WHERE t.actor_id = :id"
    " OR (t.subject_kind = 'user' AND t.subject_id = CAST(:id AS text))"
    " OR t.actor_id IN (SELECT k.id FROM api_key k WHERE k.user_id = :id)",
}


async def whole_user(session: AsyncSession, user_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """All that is kept about a user, by kind; no secret, and no hash of one."""
    return {
        kind: list((await session.execute(text(f"{query} ORDER BY 1"), {"id": user_id})).scalars())
        for kind, query in _OF_USER.items()
    }
