"""Queries that walk from facts to receipts and back. Each answers for many rows at once and is bounded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Select,
    String,
    TableValuedAlias,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import Text, Uuid

from flipsync.store.models import (
    AgentDecision,
    Allocation,
    Approval,
    DirectiveRow,
    Effect,
    EventRecord,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    Product,
    Proposal,
    PurchaseOrder,
    Receipt,
    StockItem,
    StockMovement,
    StockTransfer,
    Supplier,
    Variant,
    WebhookDelivery,
)
from flipsync.store.reading import Question, Reader, among_ids

Subject = tuple[str, UUID]

_ID: dict[str, InstrumentedAttribute[UUID]] = {
    "listing": Listing.id,
    "order": Order.id,
    "product": Product.id,
    "variant": Variant.id,
    "stock_item": StockItem.id,
    "account": MarketplaceAccount.id,
    "event": EventRecord.id,
    "decision": AgentDecision.id,
    "proposal": Proposal.id,
    "approval": Approval.id,
    "directive": DirectiveRow.id,
    "effect": Effect.id,
    "receipt": Receipt.id,
    "supplier": Supplier.id,
    "purchase_order": PurchaseOrder.id,
    "stock_transfer": StockTransfer.id,
}
#: the worker role sees every tenant's effects: here only the bound tenant's count
_OURS = text("effect.tenant_id = current_tenant()")


# -- what is meant ----------------------------------------------------------------------------------------------------


async def kinds_of(session: AsyncSession, row_id: UUID) -> list[str]:
    """What kinds of thing have this id."""
    parts = []
    for kind, column in _ID.items():
        part = select(literal(kind)).where(column == row_id)
        parts.append(part.where(_OURS) if kind == "effect" else part)
    return list((await session.execute(union_all(*parts))).scalars())


async def owner_of(session: AsyncSession, kind: str, row_id: UUID) -> UUID | None:
    """The decision of a proposal or an approval; the effect of a receipt."""
    column = {"proposal": Proposal.decision_id, "approval": Approval.decision_id, "receipt": Receipt.effect_id}[kind]
    return (await session.execute(select(column).where(_ID[kind] == row_id))).scalar_one_or_none()


async def named(session: AsyncSession, name: str, limit: int) -> set[Subject]:
    """What is called exactly so: SKU, product handle, order number, a channel's id of an order or a listing."""
    accounts = select(MarketplaceAccount.id)
    number = name.removeprefix("#")
    parts = [
        select(literal("variant"), Variant.id).where(Variant.sku == name).limit(limit),
        select(literal("product"), Product.id).where(Product.handle == name).limit(limit),
        select(literal("order"), Order.id).where(Order.number.in_({name, number})).limit(limit),
        select(literal("order"), Order.id)
        .where(Order.account_id.in_(accounts), Order.external_id == number)
        .limit(limit),
        select(literal("listing"), Listing.id)
        .where(Listing.account_id.in_(accounts), Listing.external_id == name)
        .limit(limit),
        select(literal("account"), MarketplaceAccount.id).where(MarketplaceAccount.name == name).limit(limit),
        select(literal("supplier"), Supplier.id).where(Supplier.name == name).limit(limit),
        select(literal("purchase_order"), PurchaseOrder.id)
        .where(literal("PO-") + cast(PurchaseOrder.number, String) == name)
        .limit(limit),
        select(literal("stock_transfer"), StockTransfer.id)
        .where(literal("TR-") + cast(StockTransfer.number, String) == name)
        .limit(limit),
    ]
    rows = await session.execute(union_all(*(part.subquery().select() for part in parts)))
    return {(kind, row_id) for kind, row_id in rows}


async def listings_named(session: AsyncSession, pairs: Sequence[tuple[str, str]]) -> list[UUID]:
    """Listings by (SKU, account name)."""
    query = (
        select(Listing.id)
        .join(Variant, Variant.id == Listing.variant_id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(tuple_(Variant.sku, MarketplaceAccount.name).in_(pairs))
    )
    return list((await session.execute(query)).scalars())


async def similar(session: AsyncSession, name: str, limit: int) -> list[tuple[str, UUID, str]]:
    """(kind, id, its name) of what contains `name`, whatever the case."""
    parts: list[Select[str, UUID, str]] = [
        select(literal("variant"), Variant.id, Variant.sku)
        .where(Variant.sku.icontains(name, autoescape=True))
        .limit(limit),
        select(literal("product"), Product.id, Product.handle)
        .where(Product.handle.icontains(name, autoescape=True) | Product.title.icontains(name, autoescape=True))
        .limit(limit),
        select(literal("order"), Order.id, Order.number)
        .where(Order.number.icontains(name, autoescape=True))
        .limit(limit),
    ]
    rows = await session.execute(union_all(*(part.subquery().select() for part in parts)))
    return [(kind, row_id, label) for kind, row_id, label in rows]


# -- labels -----------------------------------------------------------------------------------------------------------


_CALLED: dict[str, Select[UUID, str]] = {
    "listing": select(Listing.id, Variant.sku + "@" + MarketplaceAccount.name)
    .join(Variant, Variant.id == Listing.variant_id)
    .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id),
    "order": select(Order.id, literal("order ") + Order.number + " of " + MarketplaceAccount.name).join(
        MarketplaceAccount, MarketplaceAccount.id == Order.account_id
    ),
    "stock_item": select(
        StockItem.id,
        case((StockItem.pool == "own", "stock of "), else_=StockItem.pool + " stock of ") + Variant.sku,
    ).join(Variant, Variant.id == StockItem.variant_id),
    "variant": select(Variant.id, Variant.sku),
    "product": select(Product.id, Product.title),
    "account": select(MarketplaceAccount.id, MarketplaceAccount.name),
    "directive": select(DirectiveRow.id, literal("directive to ") + DirectiveRow.kind),
    "supplier": select(Supplier.id, Supplier.name),
    "purchase_order": select(PurchaseOrder.id, literal("purchase order ") + cast(PurchaseOrder.number, String)),
    "stock_transfer": select(StockTransfer.id, literal("transfer ") + cast(StockTransfer.number, String)),
}
#: kind → ids
_LABELS = {
    kind: Question(lambda _, kind=kind, query=query: query.where(_ID[kind] == among_ids("ids")))  # type: ignore[misc]
    for kind, query in _CALLED.items()
}


async def labels(reader: Reader, subjects: Collection[Subject]) -> dict[Subject, str]:
    """What a person calls these things; unknown kinds are left out."""
    wanted: dict[str, list[UUID]] = {}
    for kind, row_id in sorted(set(subjects)):
        if kind in _LABELS:
            wanted.setdefault(kind, []).append(row_id)
    if not wanted:
        return {}
    answers = await reader.ask(*(_LABELS[kind](ids=ids) for kind, ids in wanted.items()))
    return {(kind, row[0]): row[1] for kind, rows in zip(wanted, answers, strict=True) for row in rows}


# -- the chain --------------------------------------------------------------------------------------------------------


async def events(session: AsyncSession, ids: Collection[UUID]) -> Sequence[EventRecord]:
    return (await session.execute(select(EventRecord).where(EventRecord.id.in_(ids)))).scalars().all()


async def events_about(session: AsyncSession, subjects: Collection[Subject], limit: int) -> Sequence[EventRecord]:
    """The newest `limit` facts about each subject, oldest first."""
    chosen = _each(subjects)
    newest = (
        select(EventRecord.id)
        .where(EventRecord.subject_kind == chosen.c.kind, EventRecord.subject_id == chosen.c.subject_id)
        .order_by(EventRecord.id.desc())
        .limit(limit)
        .lateral()
    )
    ids = select(newest.c.id).select_from(chosen.join(newest, true()))
    query = select(EventRecord).where(EventRecord.id.in_(ids)).order_by(EventRecord.id)
    return (await session.execute(query)).scalars().all()


async def followed(session: AsyncSession, causes: Collection[UUID], limit: int) -> Sequence[EventRecord]:
    """The first `limit` facts that each decision, effect or fact caused, oldest first."""
    if not causes:
        return []
    cause = func.unnest(literal(list(causes), ARRAY(Uuid()))).table_valued("id", name="cause").render_derived()
    first = (
        select(EventRecord.id)
        .where(EventRecord.causation_id == cause.c.id)
        .order_by(EventRecord.id)
        .limit(limit)
        .lateral()
    )
    ids = select(first.c.id).select_from(cause.join(first, true()))
    query = select(EventRecord).where(EventRecord.id.in_(ids)).order_by(EventRecord.id)
    return (await session.execute(query)).scalars().all()


async def beside(
    session: AsyncSession, event: EventRecord, subjects: Collection[Subject], limit: int
) -> Sequence[EventRecord]:
    """Facts about `subjects` of the transaction that wrote `event`: same cause, same business time, ids close by."""
    chosen = _each(subjects)
    low, high = _id_range(event.recorded_at, timedelta(minutes=1))
    near = (
        select(EventRecord.id)
        .where(
            EventRecord.subject_kind == chosen.c.kind,
            EventRecord.subject_id == chosen.c.subject_id,
            EventRecord.id.between(low, high),
            EventRecord.occurred_at == event.occurred_at,
            EventRecord.causation_id.is_not_distinct_from(event.causation_id),
        )
        .order_by(EventRecord.id)
        .limit(limit)
        .lateral()
    )
    ids = select(near.c.id).select_from(chosen.join(near, true()))
    query = select(EventRecord).where(EventRecord.id.in_(ids)).order_by(EventRecord.id).limit(4 * limit)
    return (await session.execute(query)).scalars().all()


@dataclass(frozen=True)
class DecisionRow:
    """A decision and how many commands it proposes."""

    row: AgentDecision
    proposals: int


async def decisions(
    session: AsyncSession, *, ids: Collection[UUID] = (), of_events: Collection[UUID] = (), limit: int = 200
) -> list[DecisionRow]:
    """Decisions by their own ids or by the facts they answer, oldest first."""
    last = (
        select(Proposal.ordinal)
        .where(Proposal.decision_id == AgentDecision.id)
        .order_by(Proposal.ordinal.desc())
        .limit(1)
        .correlate(AgentDecision)
        .scalar_subquery()
    )
    query = select(AgentDecision, func.coalesce(last + 1, 0))
    query = query.where(or_(AgentDecision.id.in_(ids), AgentDecision.event_id.in_(of_events)))
    rows = await session.execute(query.order_by(AgentDecision.id).limit(limit))
    return [DecisionRow(decision, count) for decision, count in rows]


async def decisions_touching(session: AsyncSession, subjects: Collection[Subject], limit: int) -> list[UUID]:
    """The newest decisions that propose something for a subject, or answer a fact about it; newest first."""
    chosen = _each(subjects)
    proposed = (
        select(Proposal.decision_id.label("id"))
        .where(Proposal.subject_kind == chosen.c.kind, Proposal.subject_id == chosen.c.subject_id)
        .order_by(Proposal.id.desc())
        .limit(2 * limit)
        .lateral()
    )
    about = (
        select(EventRecord.id)
        .where(EventRecord.subject_kind == chosen.c.kind, EventRecord.subject_id == chosen.c.subject_id)
        .order_by(EventRecord.id.desc())
        .limit(3 * limit)
        .lateral()
    )
    answering = (
        select(AgentDecision.id).select_from(chosen.join(about, true())).where(AgentDecision.event_id == about.c.id)
    )
    both = select(proposed.c.id).select_from(chosen.join(proposed, true())).union(answering).subquery()
    return list((await session.execute(select(both.c.id).order_by(both.c.id.desc()).limit(limit))).scalars())


async def proposals(
    session: AsyncSession, decision_ids: Collection[UUID], about: Collection[Subject], each: int
) -> Sequence[Proposal]:
    """Proposals of decisions, in their order: those about a subject, and the first `each` of every decision."""
    first = select(Proposal).where(Proposal.decision_id.in_(decision_ids), Proposal.ordinal < each)
    rows = list((await session.execute(first)).scalars())
    if about:
        focus = tuple_(Proposal.subject_kind, Proposal.subject_id).in_(about)
        late = select(Proposal).where(focus, Proposal.decision_id.in_(decision_ids), Proposal.ordinal >= each)
        rows += (await session.execute(late.limit(200))).scalars()
    return sorted(rows, key=lambda row: (row.decision_id, row.ordinal))


async def approvals(session: AsyncSession, decision_ids: Collection[UUID]) -> Sequence[Approval]:
    return (await session.execute(select(Approval).where(Approval.decision_id.in_(decision_ids)))).scalars().all()


async def effect(session: AsyncSession, effect_id: UUID) -> Effect | None:
    return (await session.execute(select(Effect).where(Effect.id == effect_id, _OURS))).scalar_one_or_none()


async def decision_of_effect(session: AsyncSession, effect_id: UUID) -> UUID | None:
    query = (
        select(Proposal.decision_id)
        .join(Effect, Effect.proposal_id == Proposal.id)
        .where(Effect.id == effect_id, _OURS)
    )
    return (await session.execute(query)).scalar_one_or_none()


# -- the goods and the orders -----------------------------------------------------------------------------------------


_OF_OUR_SHELF = and_(Listing.pool == "own", StockItem.id == Allocation.stock_item_id)
_STORED_BY_THE_CHANNEL = and_(
    Listing.pool != "own", StockItem.variant_id == Listing.variant_id, StockItem.pool == Listing.pool
)
ListingRow = Row[Listing, MarketplaceAccount, Allocation | None, StockItem | None]
PriceRow = Row[PriceChange, AgentDecision | None]


async def listings(
    session: AsyncSession,
    *,
    ids: Collection[UUID] = (),
    variant_ids: Collection[UUID] = (),
    limit: int = 50,
) -> Sequence[ListingRow]:
    """(listing, account, what it may sell, the shelf it sells from)."""
    query = (
        select(Listing, MarketplaceAccount, Allocation, StockItem)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .outerjoin(Allocation, Allocation.listing_id == Listing.id)
        .outerjoin(StockItem, or_(_OF_OUR_SHELF, _STORED_BY_THE_CHANNEL))
        .where(or_(Listing.id.in_(ids), Listing.variant_id.in_(variant_ids)))
        .order_by(MarketplaceAccount.name, Listing.sku)
        .limit(limit)
    )
    return (await session.execute(query)).all()


async def price_history(session: AsyncSession, listing_ids: Collection[UUID], limit: int) -> Sequence[PriceRow]:
    """(price change, the decision behind it) of the newest moves, newest first."""
    newest = (
        select(PriceChange.id)
        .where(PriceChange.listing_id.in_(listing_ids))
        .order_by(PriceChange.at.desc(), PriceChange.id.desc())
        .limit(limit)
    )
    query = (
        select(PriceChange, AgentDecision)
        .outerjoin(Effect, Effect.id == PriceChange.effect_id)
        .outerjoin(Proposal, Proposal.id == Effect.proposal_id)
        .outerjoin(AgentDecision, AgentDecision.id == Proposal.decision_id)
        .where(PriceChange.id.in_(newest))
        .order_by(PriceChange.at.desc(), PriceChange.id.desc())
    )
    return (await session.execute(query)).all()


async def variants(
    session: AsyncSession, *, ids: Collection[UUID] = (), product_id: UUID | None = None, limit: int = 20
) -> Sequence[Row[Variant, Product, StockItem | None]]:
    """(variant, product, shelf), by SKU."""
    wanted = Variant.id.in_(ids) if product_id is None else Variant.product_id == product_id
    query = (
        select(Variant, Product, StockItem)
        .join(Product, Product.id == Variant.product_id)
        .outerjoin(StockItem, and_(StockItem.variant_id == Variant.id, StockItem.pool == "own"))
        .where(wanted)
        .order_by(Variant.sku)
        .limit(limit)
    )
    return (await session.execute(query)).all()


async def account(session: AsyncSession, account_id: UUID) -> MarketplaceAccount:
    return (await session.execute(select(MarketplaceAccount).where(MarketplaceAccount.id == account_id))).scalar_one()


async def variant_of_item(session: AsyncSession, stock_item_id: UUID) -> UUID | None:
    return (
        await session.execute(select(StockItem.variant_id).where(StockItem.id == stock_item_id))
    ).scalar_one_or_none()


async def latest_movements(
    session: AsyncSession, stock_item_ids: Collection[UUID], limit: int
) -> Sequence[StockMovement]:
    """Newest first."""
    query = (
        select(StockMovement)
        .where(StockMovement.stock_item_id.in_(stock_item_ids))
        .order_by(StockMovement.at.desc(), StockMovement.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).scalars().all()


async def movements_of_order(
    session: AsyncSession, order_id: UUID, limit: int
) -> Sequence[Row[StockMovement, OrderLine]]:
    """(movement, order line), oldest first."""
    query = (
        select(StockMovement, OrderLine)
        .join(OrderLine, OrderLine.id == StockMovement.order_line_id)
        .where(OrderLine.order_id == order_id)
        .order_by(StockMovement.id)
        .limit(limit)
    )
    return (await session.execute(query)).all()


async def came_by_webhook(session: AsyncSession, account_id: UUID, event: EventRecord) -> bool:
    """Whether the account's channel delivered a webhook just before this fact was recorded."""
    low, _ = _id_range(event.recorded_at, timedelta(seconds=2))
    query = select(WebhookDelivery.id).where(
        WebhookDelivery.account_id == account_id, WebhookDelivery.id.between(low, event.id)
    )
    return (await session.execute(query.limit(1))).first() is not None


def _each(subjects: Collection[Subject]) -> TableValuedAlias:
    kinds = literal([kind for kind, _ in subjects], ARRAY(Text()))
    ids = literal([row_id for _, row_id in subjects], ARRAY(Uuid()))
    return func.unnest(kinds, ids).table_valued("kind", "subject_id", name="chosen").render_derived()


def _id_range(at: datetime, around: timedelta) -> tuple[UUID, UUID]:
    """The UUIDv7 ids made within `around` of that time (RFC 9562: 48 bits of Unix milliseconds lead)."""
    low, high = (int((at + delta).timestamp() * 1000) << 80 for delta in (-around, around))
    return UUID(int=low), UUID(int=high)
