"""What people are told, and how each of them wants to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


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


class NotificationDestination(TenantParent, Base):
    """A way to one person outside the app. The URL is `sealed`; `shown` is what may be seen of it.

    Nothing but a test goes there before a test has arrived (`working`), nor after it was refused. One that was removed
    has lost its secret, and is kept for as long as what was sent there is known. Of a browser (`push`) `mark` is the
    SHA-256 of its endpoint, which tells one person only, and `session_id` the sign-in without which nothing goes there.
    """

    __tablename__ = "notification_destination"
    __table_args__ = (
        owned_key(),
        same_tenant("user_id", "app_user"),
        CheckConstraint("state IN ('untried','working','refused','removed')", name="state"),
        CheckConstraint("channel IN ('email','sms','chat','push')", name="channel"),
        CheckConstraint("(channel = 'push') = (session_id IS NOT NULL)", name="push"),
        Index("ix_notification_destination_mark", "tenant_id", "mark", postgresql_where=text("mark IS NOT NULL")),
    )

    user_id: Mapped[UUID] = mapped_column(index=True)
    channel: Mapped[str]
    service: Mapped[str]
    shown: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(default="untried")
    detail: Mapped[str] = mapped_column(default="")
    mark: Mapped[str | None]
    session_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class NotificationDelivery(TenantOwned, Base):
    """One message to one destination and what came of it. `about` are the notifications it tells of, by id.

    `pointless`: all it would tell of was settled before it went. `unknown`: it may have arrived, and is not sent again.
    """

    __tablename__ = "notification_delivery"
    __table_args__ = (
        same_tenant("user_id", "app_user"),
        same_tenant("destination_id", "notification_destination"),
        Index("ix_notification_delivery_person", "user_id", "id"),
        Index("ix_notification_delivery_open", "tenant_id", "not_before", postgresql_where=text("finished_at IS NULL")),
        CheckConstraint("purpose IN ('one','digest','test')", name="purpose"),
        CheckConstraint("state IN ('waiting','sending','sent','rejected','unknown','pointless')", name="state"),
    )

    user_id: Mapped[UUID]
    destination_id: Mapped[UUID]
    purpose: Mapped[str]
    about: Mapped[list[str]]
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    detail: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    lease_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class InstallationSecret(Base):
    """What the whole installation has once, and no business: sealed, made by whoever needs it first, never changed."""

    __tablename__ = "installation_secret"

    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
