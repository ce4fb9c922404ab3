"""Connecting by consent: what a seller was asked and what came of it; and when an account's credentials end."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, same_tenant


class ConsentRequest(TenantOwned, Base):
    """One seller sent to a vendor's consent page. The state that brings them back is kept as a hash; state, PKCE
    verifier and the application's keys are sealed, and forgotten with the answer."""

    __tablename__ = "consent_request"
    __table_args__ = (
        same_tenant("user_id", "app_user"),
        same_tenant("account_id", "marketplace_account"),
        CheckConstraint("status IN ('waiting','redeeming','connected','denied','failed','unknown')", name="status"),
        Index("ix_consent_request_created_at", "created_at"),
    )

    user_id: Mapped[UUID]
    vendor: Mapped[str]
    #: the account that is authorized again, or that was connected
    account_id: Mapped[UUID | None]
    name: Mapped[str]
    config: Mapped[dict[str, Any]]
    stock_mode: Mapped[str]
    state_hash: Mapped[str] = mapped_column(unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    redirect_uri: Mapped[str]
    delivery_uri: Mapped[str]
    return_to: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="waiting")
    detail: Mapped[str] = mapped_column(default="")
    hint: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class CredentialEnd(TenantOwned, Base):
    """When a credential of an account ends for good, unless a person renews it. `warned_days` is the last warning."""

    __tablename__ = "credential_end"
    __table_args__ = (
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "credential"),
    )

    account_id: Mapped[UUID]
    credential: Mapped[str]
    ends_at: Mapped[datetime]
    warned_days: Mapped[int | None]
