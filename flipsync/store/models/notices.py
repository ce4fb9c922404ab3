"""What people are told, and how each of them wants to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, same_tenant


class Notification(TenantOwned, Base):
    """One matter as one person is told of it. Times are real ones, whatever the business's clock says.

    `key` names the matter: told once, and again only when it was settled in between (`times`). `source` is what it was
    found in, `facts` what its words are made of, `told_at` when it was thought of outside the app.
    """

    __tablename__ = "notification"
    __table_args__ = (
        same_tenant("user_id", "app_user"),
        UniqueConstraint("user_id", "key"),
        Index("ix_notification_person", "user_id", "raised_at", "id"),
        Index("ix_notification_open", "tenant_id", "user_id", postgresql_where=text("settled_at IS NULL")),
        CheckConstraint("severity IN ('info','warning','urgent')", name="severity"),
    )

    user_id: Mapped[UUID]
    key: Mapped[str]
    kind: Mapped[str]
    source: Mapped[str]
    severity: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID | None]
    facts: Mapped[dict[str, Any]]
    raised_at: Mapped[datetime] = mapped_column(default=utc_now)
    times: Mapped[int] = mapped_column(default=1)
    told_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]


class NotificationPreference(TenantOwned, Base):
    """How one person wants to be told (services.notices.preferences); without a row, as anybody."""

    __tablename__ = "notification_preference"
    __table_args__ = (same_tenant("user_id", "app_user"), UniqueConstraint("user_id"))

    user_id: Mapped[UUID]
    choices: Mapped[dict[str, Any]]
    version: Mapped[int] = mapped_column(default=1)
