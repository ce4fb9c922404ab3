"""What phones are told and what they told us: marks of things' last changes, devices, their mutations, notices."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant

OUTCOMES = ("accepted", "merged", "conflict", "rejected")


class SyncChange(Base):
    """The transaction that changed a thing last; `gone` is its tombstone. Kept by triggers (migration 0022), so that
    whoever writes is seen. `xid` is a full transaction id: it tells what a cursor has not seen, a time could not."""

    __tablename__ = "sync_change"
    __table_args__ = (Index("ix_sync_change_tenant_id_xid", "tenant_id", "xid", "kind", "id"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int]
    at: Mapped[datetime]
    gone: Mapped[bool]


class SyncHorizon(TenantOwned, Base):
    """Tombstones up to transaction `xid` were dropped: a cursor that has not seen all of them cannot go on.

    `lineage` is the history of the database the id counts in: after a restore it is another one.
    """

    __tablename__ = "sync_horizon"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    lineage: Mapped[str]
    xid: Mapped[int]


class SyncDevice(TenantParent, Base):
    """A phone of a user's. `last_seq` is the last of its mutations that was answered, for ever: what comes again below
    it is never done twice. `clock_at` is what its clock said at `server_at`, when it pushed last; `before_…` the same
    of when it was here the time before."""

    __tablename__ = "sync_device"
    __table_args__ = (owned_key(), same_tenant("user_id", "app_user"))

    user_id: Mapped[UUID] = mapped_column(index=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_seq: Mapped[int] = mapped_column(default=0)
    before_clock_at: Mapped[datetime]
    before_server_at: Mapped[datetime]
    clock_at: Mapped[datetime]
    server_at: Mapped[datetime]
    #: when the last answered mutation happened: the next one is not before it
    last_happened_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]


class SyncMutation(Base):
    """A change a device made on its own, and the answer it got. `id` is the device's; `event_id` a wish it became."""

    __tablename__ = "sync_mutation"
    __table_args__ = (
        same_tenant("device_id", "sync_device"),
        UniqueConstraint("device_id", "seq"),
        Index("ix_sync_mutation_tenant_id_received_at", "tenant_id", "received_at"),
        CheckConstraint("outcome IN (" + ",".join(f"'{outcome}'" for outcome in OUTCOMES) + ")", name="outcome"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True)
    device_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int]
    kind: Mapped[str]
    fingerprint: Mapped[str]
    outcome: Mapped[str]
    answer: Mapped[dict[str, Any]]
    event_id: Mapped[UUID | None]
    happened_at: Mapped[datetime]
    received_at: Mapped[datetime]


class SyncNotice(TenantOwned, Base):
    """Told to whoever wrote what somebody else's words replaced; to one device, or to all of the user's."""

    __tablename__ = "sync_notice"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(index=True)
    device_id: Mapped[UUID | None]
    product_id: Mapped[UUID]
    field: Mapped[str]
    lost: Mapped[dict[str, Any]]
    stands: Mapped[dict[str, Any]]
    by_user: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(default=utc_now)
