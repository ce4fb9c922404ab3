"""Who: tenants, their users, their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models.base import Base, TenantOwned, TenantParent, Timestamped, owned_key, same_tenant


class Tenant(Timestamped, Base):
    """One reseller's business. `settings` holds the owner's choices; `currency` is the one they keep books in."""

    __tablename__ = "tenant"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3), default="USD")
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)


class CustomRole(TenantParent, Timestamped, Base):
    """A role that a business defined itself; `version` goes up with every change, and ends what was issued before."""

    __tablename__ = "custom_role"
    __table_args__ = (owned_key(), Index("uq_custom_role_name", "tenant_id", text("lower(name)"), unique=True))

    name: Mapped[str]
    permissions: Mapped[list[str]]
    version: Mapped[int] = mapped_column(default=1)


class User(TenantParent, Timestamped, Base):
    """Somebody who may sign in. Without a password yet, they were invited and have not answered.

    `role_id` names the business's own role of who is `custom`.
    """

    __tablename__ = "app_user"
    __table_args__ = (
        owned_key(),
        Index("uq_app_user_email_lower", text("lower(email)"), unique=True),
        same_tenant("role_id", "custom_role", ondelete="NO ACTION"),
        CheckConstraint("role IN ('owner','manager','clerk','analyst','read-only','custom')", name="role"),
        CheckConstraint("(role = 'custom') = (role_id IS NOT NULL)", name="own_role"),
    )

    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(default="owner")
    role_id: Mapped[UUID | None] = mapped_column(index=True)
    disabled_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)


class RefreshToken(TenantOwned, Base):
    """A rotating refresh token, kept as a hash. `used_at` is its first use; `revoked_at` comes with the use of another
    token of the family at the latest. A revoked one that is brought ends the family."""

    __tablename__ = "refresh_token"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(index=True)
    family_id: Mapped[UUID] = mapped_column(index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    issued_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    device: Mapped[str] = mapped_column(default="")


class IdempotencyRecord(TenantOwned, Base):
    """The answer given to a POST, so that its repetition gets the same answer."""

    __tablename__ = "idempotency_record"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)

    key: Mapped[str]
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
