"""Statements of sync: what changed since a snapshot, devices, their mutations, notices.

What a cursor has seen is a snapshot of PostgreSQL's, not a time or the highest id: a transaction that was under way
then is not in it, however late it commits. https://www.postgresql.org/docs/18/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Listing, MarketplaceAccount, Product, SyncDevice, SyncHorizon, SyncMutation
from flipsync.store.models import SyncNotice as Notice


@dataclass(frozen=True)
class Snapshot:
    """Which transactions can be seen: all below `low`, and below `high` those that are not `open`."""

    low: int
    high: int
    open: tuple[int, ...]

    @classmethod
    def parse(cls, written: str) -> Snapshot:
        """From PostgreSQL's own text. Raises ValueError for anything else."""
        low, high, under_way = written.split(":")
        return cls(int(low), int(high), tuple(int(each) for each in under_way.split(",") if each))

    def __str__(self) -> str:
        return f"{self.low}:{self.high}:{','.join(map(str, self.open))}"


@dataclass(frozen=True)
class Now:
    """This moment of the database: what is seen, and in which history its transaction ids count."""

    snapshot: Snapshot
    lineage: str
    horizon: int
    #: all that is there is noted
    filled: bool


# A restored database counts on from an earlier id, on another timeline or in another system: what a device saw there
# means nothing here.
_NOW = text(
    """
    SELECT pg_current_snapshot()::text AS snapshot, here.lineage,
           coalesce((SELECT h.xid FROM sync_horizon h WHERE h.lineage = here.lineage
                        AND h.tenant_id = current_tenant()), 0) AS horizon,
           EXISTS (SELECT FROM sync_begun b
                    WHERE b.tenant_id = current_tenant() AND b.filled_at IS NOT NULL) AS filled
      FROM (SELECT concat_ws('-', (SELECT system_identifier FROM pg_control_system()),
                             left(pg_walfile_name(pg_current_wal_lsn()), 8),
                             (SELECT oid FROM pg_database WHERE datname = current_database())) AS lineage) here
    """
)


async def now(session: AsyncSession) -> Now:
    row = (await session.execute(_NOW)).one()
    return Now(Snapshot.parse(row.snapshot), row.lineage, row.horizon, row.filled)


def _money(column: str, currency: str = "r.currency") -> str:
    told = f"jsonb_build_object('amount_minor', r.{column}, 'currency', {currency})"
    return f"CASE WHEN r.{column} IS NOT NULL THEN {told} END"


def _record(kind: str, table: str, names: str, more: str = "", *, join: str = "", only: str = "true") -> str:
    """A thing of a kind as its record, where the change `c` is about one."""
    fields = ", ".join([f"'kind', '{kind}'", *(f"'{name}', r.{name}" for name in names.split()), *[more] * bool(more)])
    return (
        f"WHEN '{kind}' THEN (SELECT jsonb_build_object({fields}) FROM {table} r {join}"  # noqa: S608 - constants
        f" WHERE r.id = c.id AND {only})"
    )


_RECORDS = " ".join(
    (
        _record(
            "product",
            "product",
            "id handle title description_html brand category tags images published version",
        ),
        _record(
            "variant",
            "variant",
            "id product_id sku barcode options weight_grams image",
            f"'price', {_money('price_minor')}, 'cost', {_money('cost_minor')}, 'floor', {_money('floor_minor')},"
            f" 'ceiling', {_money('ceiling_minor')}",
        ),
        _record(
            "stock_item",
            "stock_item",
            "id variant_id pool mode on_hand reserved allocated pending_count counted_at",
        ),
        _record(
            "listing",
            "listing",
            "id account_id variant_id sku external_id status title quantity_shown version",
            f"'price', {_money('price_minor')}",
        ),
        _record(
            "order",
            "customer_order",
            "id account_id number external_id status state placed_at modified_at",
            f"'total', {_money('total_minor')}, 'tax', {_money('tax_minor')}, 'shipping', {_money('shipping_minor')}",
        ),
        _record(
            "order_line",
            "order_line",
            "id order_id listing_id sku title quantity reserved short shipped returned",
            f"'total', {_money('total_minor', 'o.currency')}",
            join="JOIN customer_order o ON o.id = r.order_id",
        ),
        _record(
            "notice",
            "sync_notice",
            "id at product_id field",
            "'lost', r.lost -> 'is', 'stands', r.stands -> 'is'",
            only="r.user_id = :user_id AND coalesce(r.device_id, :device_id) = :device_id",
        ),
    )
)
_PAGE = f"""
    SELECT c.xid, c.kind, c.id, c.gone, CASE WHEN NOT c.gone THEN CASE c.kind {_RECORDS} END END AS record
      FROM sync_change c
     WHERE c.tenant_id = current_tenant() AND c.kind = ANY(:kinds)
       AND (c.xid, c.kind, c.id) > (:after_xid, :after_kind, :after_id) AND {{which}}
     ORDER BY c.xid, c.kind, c.id
     LIMIT :limit
"""  # noqa: S608 - made of constants
_ALL = text(_PAGE.format(which="NOT c.gone"))
# What was written in another history has ids this one has not reached: that is told when a device begins anew.
_SINCE = text(
    _PAGE.format(
        which="c.xid >= :low AND (c.xid >= :high OR c.xid = ANY(CAST(:open AS bigint[])))"
        " AND c.xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    )
)


@dataclass(frozen=True)
class ChangeRow:
    """`record` is None when the thing is gone, or a notice for somebody else."""

    xid: int
    kind: str
    id: UUID
    gone: bool
    record: dict[str, Any] | None


async def changes(
    session: AsyncSession,
    *,
    since: Snapshot | None,
    kinds: Sequence[str],
    after: tuple[int, str, UUID],
    user_id: UUID,
    device_id: UUID,
    limit: int,
) -> list[ChangeRow]:
    """What `since` has not seen, in the order of its transactions' ids; without it, everything there is."""
    values: dict[str, Any] = {"kinds": list(kinds), "limit": limit, "user_id": user_id, "device_id": device_id}
    values |= dict(zip(("after_xid", "after_kind", "after_id"), after, strict=True))
    if since is None:
        return [ChangeRow(*row) for row in await session.execute(_ALL, values)]
    values |= {"low": since.low, "high": since.high, "open": list(since.open)}
    return [ChangeRow(*row) for row in await session.execute(_SINCE, values)]


# -- devices and mutations --------------------------------------------------------------------------------------------


async def device(session: AsyncSession, device_id: UUID, user_id: UUID, *, lock: bool = False) -> SyncDevice | None:
    query = select(SyncDevice).where(SyncDevice.id == device_id, SyncDevice.user_id == user_id)
    query = query.with_for_update().execution_options(populate_existing=True) if lock else query
    return (await session.scalars(query)).one_or_none()


async def devices(session: AsyncSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[SyncDevice]:
    query = select(SyncDevice).where(SyncDevice.user_id == user_id).order_by(SyncDevice.id.desc()).limit(limit)
    return (await session.scalars(query if after is None else query.where(SyncDevice.id < after))).all()


async def known_devices(session: AsyncSession, user_id: UUID) -> int:
    """How many the user has that were not forgotten."""
    query = select(func.count()).where(SyncDevice.user_id == user_id, SyncDevice.forgotten_at.is_(None))
    return await session.scalar(query) or 0


async def mutation(session: AsyncSession, device_id: UUID, mutation_id: UUID) -> SyncMutation | None:
    query = select(SyncMutation).where(SyncMutation.device_id == device_id, SyncMutation.id == mutation_id)
    return (await session.scalars(query)).one_or_none()


async def mutations(session: AsyncSession, device_id: UUID, ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Those of the ids that were answered: what was asked (its fingerprint) and the answer."""
    query = select(SyncMutation.id, SyncMutation.fingerprint, SyncMutation.answer)
    found = await session.execute(query.where(SyncMutation.device_id == device_id, SyncMutation.id.in_(ids)))
    return {row.id: {"fingerprint": row.fingerprint, "answer": row.answer} for row in found}


def keep(session: AsyncSession, told: SyncMutation) -> None:
    """Remember a mutation with its answer."""
    session.add(told)


async def set_last_seq(
    session: AsyncSession, device_id: UUID, last_seq: int, last_happened_at: datetime | None
) -> None:
    """So far a device's mutations are answered."""
    await session.execute(
        update(SyncDevice)
        .where(SyncDevice.id == device_id)
        .values(last_seq=last_seq, last_happened_at=last_happened_at)
        .execution_options(synchronize_session=False)
    )


Mark = tuple[datetime, datetime]


async def set_clock(session: AsyncSession, device_id: UUID, before: Mark, last: Mark) -> None:
    """What the device's clock said when (clock, server); of two pushes at once the later one's stays."""
    await session.execute(
        update(SyncDevice)
        .where(SyncDevice.id == device_id, SyncDevice.server_at <= last[1])
        .values(before_clock_at=before[0], before_server_at=before[1], clock_at=last[0], server_at=last[1])
        .execution_options(synchronize_session=False)
    )


# -- what mutations are about -----------------------------------------------------------------------------------------


_LOCK_GOODS = tuple(
    text(f"SELECT FROM {table} WHERE {column} = ANY(:ids) ORDER BY id FOR UPDATE")
    for table, column in (("product", "id"), ("stock_item", "variant_id"))
)


async def lock_goods(session: AsyncSession, *, products: Collection[UUID], variants: Collection[UUID]) -> None:
    """Products, then the stock of variants, each in the order of their ids, until the transaction ends."""
    for statement, ids in zip(_LOCK_GOODS, (products, variants), strict=True):
        if ids:
            await session.execute(statement, {"ids": list(ids)})


async def lock_words(session: AsyncSession, product_id: UUID) -> tuple[int, dict[str, Any], Product] | None:
    """A product's version and where each of its words is from, with the product; locked until the transaction ends."""
    query = select(Product).where(Product.id == product_id).with_for_update()
    row = (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()
    return None if row is None else (row.version, row.edits, row)


@dataclass(frozen=True)
class PricedListing:
    account_id: UUID
    vendor: str
    status: str
    currency: str
    price_minor: int | None


async def priced_listing(session: AsyncSession, listing_id: UUID) -> PricedListing | None:
    query = (
        select(Listing.account_id, MarketplaceAccount.vendor, Listing.status, Listing.currency, Listing.price_minor)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(Listing.id == listing_id)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else PricedListing(*row)


def add_notice(session: AsyncSession, values: dict[str, Any]) -> None:
    session.add(Notice(**values))


_WISH = text(
    """
    SELECT d.state, d.rationale, p.verdict, p.reason, e.state AS effect_state
      FROM agent_decision d
      LEFT JOIN proposal p ON p.decision_id = d.id AND p.ordinal = 0
      LEFT JOIN effect e ON e.proposal_id = p.id AND e.tenant_id = current_tenant()
     WHERE d.event_id = :event_id
     ORDER BY d.id DESC
     LIMIT 1
    """
)


async def wish(session: AsyncSession, event_id: UUID) -> Any:
    """What agents, gate and channel made of a wish: the newest decision about it, or None."""
    return (await session.execute(_WISH, {"event_id": event_id})).one_or_none()


# -- forgetting -------------------------------------------------------------------------------------------------------

_RETIRE = text(
    """
    UPDATE sync_change SET gone = true, at = clock_timestamp(), xid = pg_current_xact_id()::text::bigint
     WHERE kind IN ('order', 'order_line') AND NOT gone AND at < :before
    """
)
_BURY = text(
    """
    WITH buried AS (DELETE FROM sync_change WHERE gone AND at < :before RETURNING xid)
    SELECT max(xid) FROM buried WHERE xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    """
)
_FORGET = (
    text("DELETE FROM sync_mutation WHERE received_at < :before"),
    text("DELETE FROM sync_notice WHERE at < :before"),
)


async def forget(session: AsyncSession, tenant_id: UUID, before: datetime) -> None:
    """Orders nobody touched since `before` leave the phones; older tombstones, answers and notices are dropped."""
    buried = (await session.execute(_BURY, {"before": before})).scalar_one()
    await session.execute(_RETIRE, {"before": before})
    for statement in _FORGET:
        await session.execute(statement, {"before": before})
    if buried is None:
        return
    lineage = (await now(session)).lineage
    known = await session.scalar(select(func.max(SyncHorizon.xid)).where(SyncHorizon.lineage == lineage))
    values = {"lineage": lineage, "xid": max(buried, known or 0)}
    done = await session.execute(update(SyncHorizon).values(values).execution_options(synchronize_session=False))
    if not done.rowcount:  # type: ignore[attr-defined]
        await session.execute(insert(SyncHorizon).values(id=new_id(), tenant_id=tenant_id, **values))
