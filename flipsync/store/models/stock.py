"""The stock ledger: append-only movements; balances kept by the database itself (triggers), guarded by constraints.

`on_hand` units lie on the shelf, `reserved` of them belong to buyers, `allocated` of the rest are promised to single
channels (escrow). `reserved + allocated <= on_hand` holds at every commit, whoever writes.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant

MOVEMENT_KINDS = ("receive", "count", "reserve", "release", "ship", "return", "send")
TRANSFER_STATES = ("planned", "sent", "received", "cancelled")


class StockItem(TenantParent, Timestamped, Base):
    """Units of one variant in one pool ("own" is the reseller's own shelf)."""

    __tablename__ = "stock_item"
    __table_args__ = (
        owned_key(),
        same_tenant("variant_id", "variant"),
        UniqueConstraint("tenant_id", "variant_id", "pool"),
        CheckConstraint("on_hand >= 0", name="on_hand"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("allocated >= 0", name="allocated"),
        CheckConstraint("reserved + allocated <= on_hand", name="not_promised_twice"),
        CheckConstraint("mode IN ('escrow','pooled')", name="mode"),
    )

    variant_id: Mapped[UUID] = mapped_column(index=True)
    pool: Mapped[str] = mapped_column(default="own")
    mode: Mapped[str] = mapped_column(default="escrow")
    on_hand: Mapped[int] = mapped_column(default=0)
    reserved: Mapped[int] = mapped_column(default=0)
    allocated: Mapped[int] = mapped_column(default=0)
    #: somebody counted this many, but more are still promised: booked as soon as channels have let go
    pending_count: Mapped[int | None]
    #: when the shelf was last looked at: what happened before, and is told later, was there to be counted
    counted_at: Mapped[datetime | None]
    #: a listing of it is advertised, or waits for units to be: who advertises is told when they run out or come
    advertised: Mapped[bool] = mapped_column(default=False, server_default="false")


class StockMovement(TenantOwned, Base):
    """One change of one balance, for ever. `key` makes a repeated fact harmless."""

    __tablename__ = "stock_movement"
    __table_args__ = (
        same_tenant("stock_item_id", "stock_item"),
        UniqueConstraint("tenant_id", "key"),
        Index("ix_stock_movement_stock_item_id_at", "stock_item_id", "at"),
        # what came in: few of the movements, and an order's are not among them
        Index(
            "ix_stock_movement_inflow", "tenant_id", "stock_item_id", "at", postgresql_where=text("on_hand_delta > 0")
        ),
        CheckConstraint("kind IN (" + ",".join(f"'{kind}'" for kind in MOVEMENT_KINDS) + ")", name="kind"),
        CheckConstraint("on_hand_delta <> 0 OR reserved_delta <> 0 OR kind = 'count'", name="moves_something"),
    )

    stock_item_id: Mapped[UUID]
    kind: Mapped[str]
    on_hand_delta: Mapped[int] = mapped_column(default=0)
    reserved_delta: Mapped[int] = mapped_column(default=0)
    order_line_id: Mapped[UUID | None] = mapped_column(index=True)
    key: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(default=utc_now)
    #: when it happened, where that is told (of a count: when the shelf was looked at); `at` is when it was booked
    happened_at: Mapped[datetime | None]
    #: where a clock that was set leaves it open: not before this
    happened_from: Mapped[datetime | None]


class StockReceipt(TenantOwned, Base):
    """Units that came in, and what all of them cost landed. `key` is that of the movement that booked them."""

    __tablename__ = "stock_receipt"
    __table_args__ = (
        same_tenant("stock_item_id", "stock_item"),
        UniqueConstraint("tenant_id", "key"),
        Index("ix_stock_receipt_stock_item_id_at", "stock_item_id", "at"),
        CheckConstraint("units > 0 AND landed_minor > 0", name="positive"),
    )

    stock_item_id: Mapped[UUID]
    key: Mapped[str]
    units: Mapped[int]
    landed_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    at: Mapped[datetime]


class Allocation(TenantOwned, Timestamped, Base):
    """What one listing may sell.

    Escrow: `entitled` units are this listing's alone; `pending` of them were granted but the channel has not confirmed
    showing them. `target` is what the inventory agent wants it to become. Pooled: `entitled` is only what is shown and
    does not count against the shelf.
    """

    __tablename__ = "allocation"
    __table_args__ = (
        same_tenant("stock_item_id", "stock_item"),
        same_tenant("listing_id", "listing"),
        UniqueConstraint("listing_id"),
        CheckConstraint("entitled >= 0", name="entitled"),
        CheckConstraint("target >= 0", name="target"),
        CheckConstraint("pending >= 0", name="pending"),
    )

    stock_item_id: Mapped[UUID] = mapped_column(index=True)
    listing_id: Mapped[UUID]
    entitled: Mapped[int] = mapped_column(default=0)
    pending: Mapped[int] = mapped_column(default=0)
    target: Mapped[int] = mapped_column(default=0)
    #: units the channel ever put back on its shelf after a cancellation or return; only grows
    given_back: Mapped[int] = mapped_column(default=0, server_default="0")
    #: units buyers ever ordered there, and the time it showed any; the second is kept by the database (a trigger)
    sold: Mapped[int] = mapped_column(default=0, server_default="0")
    shown_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    shown_since: Mapped[datetime | None]


class StockTransfer(TenantParent, Timestamped, Base):
    """Units of one article that go from our shelf to a channel's warehouse.

    planned (set aside, on the shelf) → sent (off the shelf, under way) → received, or cancelled. `received` units came
    to be on sale there, `came_back` are on our shelf again; what of `sent` is neither is under way, or missing once it
    is over. `due_at`: by then all of it should be there. `decision_id` is the agent's, where none wrote it by hand.
    """

    __tablename__ = "stock_transfer"
    __table_args__ = (
        owned_key(),
        same_tenant("account_id", "marketplace_account"),
        same_tenant("from_item_id", "stock_item"),
        same_tenant("to_item_id", "stock_item"),
        UniqueConstraint("tenant_id", "number"),
        Index("ix_stock_transfer_planned", "from_item_id", postgresql_where=text("state = 'planned'")),
        Index("ix_stock_transfer_sent", "to_item_id", postgresql_where=text("state = 'sent'")),
        CheckConstraint("state IN (" + ",".join(f"'{each}'" for each in TRANSFER_STATES) + ")", name="state"),
        CheckConstraint(
            "planned > 0 AND sent >= 0 AND sent <= planned AND received >= 0 AND came_back >= 0", name="units"
        ),
        CheckConstraint("received + came_back <= sent", name="nothing_made"),
    )

    number: Mapped[int]
    account_id: Mapped[UUID]
    from_item_id: Mapped[UUID]
    to_item_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(default="planned")
    planned: Mapped[int]
    sent: Mapped[int] = mapped_column(default=0)
    received: Mapped[int] = mapped_column(default=0)
    came_back: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")
    sent_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    decision_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(default=1)
