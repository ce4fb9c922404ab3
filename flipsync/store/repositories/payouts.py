"""Rows of what channels paid out, and where it differs from the books."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, String, Uuid, case, column, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.store.models import MarketplaceAccount, Payout, PayoutLine
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(Payout.id, default="-sent_at", sent_at=Payout.sent_at, amount=Payout.amount_minor)
LINE_SORTS = Sorts(PayoutLine.id, default="id", booked_at=PayoutLine.booked_at, amount=PayoutLine.amount_minor)

#: states in which a payout may still become another one
_OPEN = ("initiated", "delayed")


async def read_since(session: AsyncSession, account_id: UUID, *, again: timedelta) -> datetime | None:
    """From when on payouts are to be asked for: `again` before the last time, or where the oldest one began that was
    under way then. None: they were never read."""
    oldest = select(func.min(Payout.sent_at)).where(Payout.account_id == account_id, Payout.state.in_(_OPEN))
    read_at = MarketplaceAccount.payouts_read_at
    query = select(func.least(read_at - again, oldest.scalar_subquery())).where(
        MarketplaceAccount.id == account_id, read_at.is_not(None)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def known(session: AsyncSession, account_id: UUID, external_ids: Collection[str]) -> set[str]:
    """Those of the payouts that are in the books, with their lines."""
    query = select(Payout.external_id).where(Payout.account_id == account_id, Payout.external_id.in_(external_ids))
    return set((await session.scalars(query)).all())


async def add(unit: UnitOfWork, account_id: UUID, payout: ChannelPayout, lines: Sequence[ChannelPayoutLine]) -> bool:
    """A payout with its lines; False, and nothing is written, where it is there already."""
    payout_id = new_id()
    values = {
        "id": payout_id,
        "tenant_id": unit.tenant_id,
        "account_id": account_id,
        "amount_minor": payout.amount.amount_minor,
        "fee_minor": payout.fee.amount_minor,
        "currency": payout.amount.currency,
        "read_at": unit.now,
        "changed_at": unit.now,
        **payout.model_dump(include={"external_id", "state", "vendor_state", "sent_at", "bank"}),
    }
    query = pg_insert(Payout).values(values).on_conflict_do_nothing(index_elements=["account_id", "external_id"])
    if (await unit.session.execute(query.returning(Payout.id))).scalar() is None:
        return False
    rows = [
        {
            "id": new_id(),
            "tenant_id": unit.tenant_id,
            "payout_id": payout_id,
            "amount_minor": line.amount.amount_minor,
            "fee_minor": line.fee.amount_minor,
            "currency": line.amount.currency,
            **line.model_dump(include={"external_id", "kind", "vendor_kind", "order_external_id", "booked_at"}),
        }
        for line in lines
    ]
    if rows:
        await unit.session.execute(insert(PayoutLine), rows)
    return True


async def set_state(unit: UnitOfWork, account_id: UUID, payout: ChannelPayout) -> bool:
    """False where it is in that state already."""
    changed = (
        update(Payout)
        .where(
            Payout.account_id == account_id,
            Payout.external_id == payout.external_id,
            Payout.vendor_state != payout.vendor_state,
        )
        .values(state=payout.state, vendor_state=payout.vendor_state, changed_at=unit.now)
        .returning(Payout.id)
    )
    return (await unit.session.execute(changed)).scalar() is not None


async def mark_read(session: AsyncSession, account_id: UUID, since: datetime, at: datetime) -> None:
    """All payouts since then are in the books."""
    known_from = func.least(MarketplaceAccount.payouts_from, since)
    await session.execute(
        update(MarketplaceAccount)
        .where(MarketplaceAccount.id == account_id)
        .values(payouts_from=known_from, payouts_read_at=at)
    )


# -- what people read -------------------------------------------------------------------------------------------------

_SAME = PayoutLine.currency == Payout.currency
#: of the lines of a payout: how many, what they add up to (those in its own currency), and how many are in another
_SUMS = (
    select(
        func.count().label("lines"),
        func.coalesce(func.sum(case((_SAME, PayoutLine.amount_minor), else_=0)), 0).cast(BigInteger).label("adds_up"),
        func.count().filter(~_SAME).label("others"),
    )
    .where(PayoutLine.payout_id == Payout.id)
    .lateral("sums")
)
_PAYOUT = (
    select(
        *Payout.__table__.c,
        MarketplaceAccount.vendor,
        MarketplaceAccount.name.label("account"),
        _SUMS.c.lines,
        _SUMS.c.adds_up,
        _SUMS.c.others,
    )
    .join(MarketplaceAccount, MarketplaceAccount.id == Payout.account_id)
    .join(_SUMS, text("true"))
)


async def listed(
    session: AsyncSession,
    place: Place,
    *,
    account_id: UUID | None = None,
    state: str | None = None,
    sent_from: datetime | None = None,
    sent_before: datetime | None = None,
) -> Sequence[Any]:
    query = _PAYOUT
    if account_id is not None:
        query = query.where(Payout.account_id == account_id)
    if state is not None:
        query = query.where(Payout.state == state)
    if sent_from is not None:
        query = query.where(Payout.sent_at >= sent_from)
    if sent_before is not None:
        query = query.where(Payout.sent_at < sent_before)
    return (await session.execute(place.put(query))).all()


async def one(session: AsyncSession, payout_id: UUID) -> Any | None:
    return (await session.execute(_PAYOUT.where(Payout.id == payout_id))).one_or_none()


async def by_kind(session: AsyncSession, payout_id: UUID) -> Sequence[Any]:
    """(kind, currency, lines, amount_minor, fee_minor) of a payout."""
    query = (
        select(
            PayoutLine.kind,
            PayoutLine.currency,
            func.count().label("lines"),
            func.sum(PayoutLine.amount_minor).cast(BigInteger).label("amount_minor"),
            func.sum(PayoutLine.fee_minor).cast(BigInteger).label("fee_minor"),
        )
        .where(PayoutLine.payout_id == payout_id)
        .group_by(PayoutLine.kind, PayoutLine.currency)
        .order_by(PayoutLine.kind, PayoutLine.currency)
    )
    return (await session.execute(query)).all()


async def lines_of(session: AsyncSession, payout_id: UUID, place: Place) -> Sequence[Any]:
    """With the id and number of the order, where it is in the books."""
    order = text(
        "(SELECT o.id, o.number FROM customer_order o WHERE o.account_id = payout.account_id"
        " AND o.external_id = payout_line.order_external_id) "
    )
    named = order.columns(column("id", Uuid()), column("number", String())).lateral("named")
    query = (
        select(*PayoutLine.__table__.c, named.c.id.label("order_id"), named.c.number.label("order_number"))
        .join(Payout, Payout.id == PayoutLine.payout_id)
        .outerjoin(named, text("true"))
        .where(PayoutLine.payout_id == payout_id)
    )
    return (await session.execute(place.put(query))).all()


# -- where channel and books differ -----------------------------------------------------------------------------------

Named = Literal["sum", "currency", "not_received", "sale", "fees", "refunds", "not_paid_out", "unknown_order"]

# Amounts in several currencies are never added. What channels keep the buyer's tax of (`ours`: those that do not) is
# compared without it, each refund less its share. A refund younger than `settled` may not be in a payout yet.
_COMPARED = """
    WITH sold AS (
        SELECT o.id, o.account_id, o.external_id, o.currency, o.placed_at, o.status, o.modified_at, o.fee_minor,
               a.payouts_from, a.payouts_read_at, a.vendor = ANY(:ours) OR o.tax_minor = 0 AS whole,
               o.total_minor, o.total_minor - o.tax_minor AS before_tax,
               CASE WHEN a.vendor = ANY(:ours) THEN o.total_minor ELSE o.total_minor - o.tax_minor END AS sale
          FROM customer_order o
          JOIN marketplace_account a ON a.id = o.account_id
         WHERE o.tenant_id = current_tenant()
           AND CASE WHEN CAST(:order_id AS uuid) IS NULL THEN o.placed_at >= :since AND a.payouts_from IS NOT NULL
                    ELSE o.id = CAST(:order_id AS uuid) END
    ), compared AS MATERIALIZED (
        SELECT s.*, t.*, t.sales > 0 AND NOT t.mixed AS comparable,
               CASE WHEN s.status = 'cancelled' THEN s.sale ELSE g.refunds END AS refunds,
               CASE WHEN s.status <> 'cancelled' THEN g.settled
                    WHEN s.modified_at < :settled THEN s.sale ELSE 0 END AS refunds_settled
          FROM sold s
         CROSS JOIN LATERAL (
               SELECT coalesce(sum(part.minor), 0)::bigint AS refunds,
                      coalesce(sum(part.minor) FILTER (WHERE part.created_at < :settled), 0)::bigint AS settled
                 FROM (SELECT r.created_at, CASE WHEN s.whole OR s.total_minor = 0 THEN r.amount_minor
                              ELSE round(r.amount_minor::numeric * s.before_tax / s.total_minor) END AS minor
                         FROM refund r WHERE r.order_id = s.id AND r.currency = s.currency) part) g
         CROSS JOIN LATERAL (
               SELECT count(*) AS lines, count(*) FILTER (WHERE l.kind = 'sale') AS sales,
                      coalesce(bool_or(l.currency <> s.currency), false) AS mixed, max(p.sent_at) AS at,
                      (array_agg(p.id ORDER BY p.sent_at DESC, p.id))[1] AS payout_id,
                      coalesce(sum(l.amount_minor + l.fee_minor) FILTER (WHERE l.kind = 'sale'),
                               0)::bigint AS told_sale,
                      coalesce(sum(CASE l.kind WHEN 'sale' THEN l.fee_minor WHEN 'fee' THEN -l.amount_minor END),
                               0)::bigint AS told_fees,
                      coalesce(-sum(l.amount_minor + l.fee_minor) FILTER (WHERE l.kind = 'refund'),
                               0)::bigint AS told_refunds,
                      coalesce(-sum(l.fee_minor) FILTER (WHERE l.kind = 'refund'), 0)::bigint AS fees_returned,
                      coalesce(sum(l.amount_minor), 0)::bigint AS paid
                 FROM payout_line l
                 JOIN payout p ON p.id = l.payout_id AND p.account_id = s.account_id
                WHERE l.tenant_id = current_tenant() AND l.order_external_id = s.external_id
                  AND p.state NOT IN ('failed', 'returned', 'cancelled')) t
    )
"""
_DIFFERENCES = f"""
    {_COMPARED}, paid AS MATERIALIZED (
        SELECT p.*, sums.mixed, sums.minor
          FROM payout p
         CROSS JOIN LATERAL (
               SELECT coalesce(bool_or(l.currency <> p.currency), false) AS mixed,
                      coalesce(sum(l.amount_minor), 0)::bigint AS minor
                 FROM payout_line l WHERE l.payout_id = p.id) sums
         WHERE p.tenant_id = current_tenant() AND p.sent_at >= :since
    ), found AS (
        SELECT 'sum' AS named, id AS subject, account_id, id AS payout_id, NULL::uuid AS order_id,
               NULL AS order_external_id, currency, amount_minor + fee_minor AS expected, minor AS told, sent_at AS at
          FROM paid WHERE NOT mixed AND minor <> amount_minor + fee_minor
        UNION ALL
        SELECT 'currency', id, account_id, id, NULL, NULL, currency, amount_minor + fee_minor, NULL, sent_at
          FROM paid WHERE mixed
        UNION ALL
        SELECT 'not_received', id, account_id, id, NULL, NULL, currency, amount_minor, 0, sent_at
          FROM paid WHERE state IN ('failed', 'returned')
        UNION ALL
        SELECT 'currency', id, account_id, payout_id, id, external_id, currency, sale, NULL, at
          FROM compared WHERE sales > 0 AND mixed
        UNION ALL
        SELECT 'sale', id, account_id, payout_id, id, external_id, currency, sale, told_sale, at
          FROM compared WHERE comparable AND sale <> told_sale
        UNION ALL
        SELECT 'fees', id, account_id, payout_id, id, external_id, currency, fee_minor, told_fees, at
          FROM compared WHERE comparable AND fee_minor <> told_fees
        UNION ALL
        SELECT 'refunds', id, account_id, payout_id, id, external_id, currency, refunds, told_refunds, at
          FROM compared WHERE comparable AND NOT told_refunds BETWEEN refunds_settled AND refunds
        UNION ALL
        SELECT 'not_paid_out', e.id, e.account_id, NULL, e.id, e.external_id, e.currency,
               e.sale - coalesce(e.fee_minor, 0) - e.refunds, 0, e.placed_at
          FROM compared e
          LEFT JOIN shipment h ON h.order_id = e.id
         WHERE e.sales = 0 AND e.status = 'shipped' AND e.placed_at >= e.payouts_from
           AND least(h.confirmed_at, e.modified_at) < e.payouts_read_at - CAST(:late AS interval)
        UNION ALL
        SELECT 'unknown_order', l.id, p.account_id, p.id, NULL, l.order_external_id, l.currency, NULL,
               l.amount_minor + l.fee_minor, p.sent_at
          FROM payout p
          JOIN payout_line l ON l.payout_id = p.id
          JOIN marketplace_account a ON a.id = p.account_id
         WHERE p.tenant_id = current_tenant() AND p.sent_at >= :since AND l.kind = 'sale'
           AND l.booked_at >= a.created_at
           AND NOT EXISTS (SELECT FROM customer_order o
                            WHERE o.account_id = p.account_id AND o.external_id = l.order_external_id)
    )
    SELECT md5(f.subject::text || f.named)::uuid AS id, f.named, f.account_id, a.name AS account, a.vendor, f.payout_id,
           f.order_id, f.order_external_id, f.currency, f.expected, f.told, f.told - f.expected AS amount, f.at
      FROM found f
      JOIN marketplace_account a ON a.id = f.account_id
"""  # noqa: S608 - made of constants
_ORDER = text(
    f"""
    {_COMPARED}
    SELECT account_id, external_id, currency, sale, fee_minor, refunds, lines > 0 AND NOT mixed AS named, told_sale,
           told_fees, told_refunds, fees_returned, paid
      FROM compared
    """  # noqa: S608 - made of constants
)
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "account_id", "payout_id", "order_id"), Uuid()),
    **dict.fromkeys(("named", "account", "vendor", "order_external_id", "currency"), String()),
    **dict.fromkeys(("expected", "told", "amount"), BigInteger()),
    "at": DateTime(timezone=True),
}
_FOUND = text(_DIFFERENCES).columns(*(column(name, kind) for name, kind in _TYPES.items())).subquery("difference")
DIFFERENCE_SORTS = Sorts(_FOUND.c.id, default="-at", at=_FOUND.c.at, amount=_FOUND.c.amount)


async def differences(
    session: AsyncSession,
    place: Place,
    *,
    since: datetime,
    now: datetime,
    late: timedelta,
    ours: Collection[str],
    account_id: UUID | None = None,
    named: Named | None = None,
) -> Sequence[Any]:
    """Of orders placed and payouts begun since then. `ours`: vendors whose payouts have the buyer's tax in them; what
    no payout has `late` after it was shipped, or given back, is a difference."""
    query = select(_FOUND)
    if account_id is not None:
        query = query.where(_FOUND.c.account_id == account_id)
    if named is not None:
        query = query.where(_FOUND.c.named == named)
    values = {"since": since, "settled": now - late, "late": late, "ours": list(ours), "order_id": None}
    return (await session.execute(place.put(query), values)).all()


async def of_order(session: AsyncSession, order_id: UUID, *, now: datetime, ours: Collection[str]) -> Any | None:
    """What the books expect of an order's sale, and what payouts that are not lost have of it. None: no such order."""
    values = {"order_id": order_id, "since": now, "settled": now, "ours": list(ours)}
    return (await session.execute(_ORDER, values)).one_or_none()


async def lines_of_order(session: AsyncSession, account_id: UUID, external_id: str) -> Sequence[Any]:
    """Every line of any payout that names the order, oldest first, with the payout's id and state."""
    query = (
        select(*PayoutLine.__table__.c, Payout.state)
        .join(Payout, Payout.id == PayoutLine.payout_id)
        .where(Payout.account_id == account_id, PayoutLine.order_external_id == external_id)
        .order_by(PayoutLine.booked_at, PayoutLine.id)
    )
    return (await session.execute(query)).all()
