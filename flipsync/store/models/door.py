"""Who may come in and what they did: sessions, second factors, API keys, the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.store.models.base import Base, TenantOwned, same_tenant

#: what of the audit log is told to the person whose sign-in it is about
SIGN_IN_CHANGES: Final = (
    "password.changed",
    "second-factor.enabled",
    "second-factor.removed",
    "recovery-codes.renewed",
    "recovery-code.used",
    "passkey.added",
    "passkey.revoked",
    "provider.linked",
    "provider.unlinked",
    "session.copied-token",
    "key.made",
)


class UserSession(TenantOwned, Base):
    """One sign-in on one device: what its refresh tokens (their family is its id) and access tokens belong to.

    `proven_at` is when the user last proved who they are: at sign-in, or by stepping up.
    """

    __tablename__ = "user_session"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(index=True)
    device: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime] = mapped_column(default=utc_now)
    proven_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class SecondFactor(TenantOwned, Base):
    """A user's authenticator app (RFC 6238). In force once `confirmed_at`; `last_step` is the newest time step used."""

    __tablename__ = "second_factor"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(unique=True)
    sealed: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    wait_until: Mapped[datetime | None]


class RecoveryCode(TenantOwned, Base):
    """In place of a code of the app, once; kept as a hash."""

    __tablename__ = "recovery_code"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(index=True)
    code_hash: Mapped[str] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]


class Passkey(TenantOwned, Base):
    """A public key of an authenticator (WebAuthn), known by its credential id.

    `sign_count` is the highest its authenticator has told. `copied_at`: it told one that was used before, so there are
    two of it and neither opens anything; it is listed until its person revokes it.
    """

    __tablename__ = "passkey"
    __table_args__ = (same_tenant("user_id", "app_user"),)

    user_id: Mapped[UUID] = mapped_column(index=True)
    name: Mapped[str]
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(default=0)
    transports: Mapped[list[str]] = mapped_column(default=list)
    backed_up: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime | None]
    copied_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ProviderIdentity(TenantOwned, Base):
    """What a provider of sign-ins (OpenID Connect) knows one of our people as; `email` is what it told then."""

    __tablename__ = "provider_identity"
    __table_args__ = (
        same_tenant("user_id", "app_user"),
        UniqueConstraint("issuer", "subject"),
        UniqueConstraint("user_id", "issuer"),
    )

    user_id: Mapped[UUID]
    provider: Mapped[str]
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime | None]


class SpentNote(TenantOwned, Base):
    """A signed note of ours that was brought back and serves no more; `mark` is its SHA-256."""

    __tablename__ = "spent_note"
    __table_args__ = (UniqueConstraint("tenant_id", "mark"),)

    mark: Mapped[str]
    expires_at: Mapped[datetime]


class ApiKey(TenantOwned, Base):
    """A program's way in, as its maker and for some permissions; kept as a hash, known by its prefix."""

    __tablename__ = "api_key"
    __table_args__ = (same_tenant("user_id", "app_user"), CheckConstraint("per_minute > 0", name="per_minute"))

    user_id: Mapped[UUID] = mapped_column(index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    permissions: Mapped[list[str]]
    per_minute: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEntry(TenantOwned, Base):
    """One line of a business's audit log. The database numbers and chains it: each hash covers the one before.

    Nobody but the database's owner can change or delete a line, and `flipsync audit verify` names one that was.
    `digest` is of `salt`, details and address, and in the chain in their place (not in lines older than migration
    0062); a line that was redacted has lost its salt (services/audit.py).
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        UniqueConstraint("tenant_id", "seq"),
        Index(
            "ix_audit_entry_sign_in_changes", "tenant_id", "at", postgresql_where=text(f"action IN {SIGN_IN_CHANGES}")
        ),
        CheckConstraint("actor_kind IN ('user','key','system','nobody')", name="actor_kind"),
    )

    seq: Mapped[int]
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]]
    address: Mapped[str]
    traceparent: Mapped[str]
    prev_hash: Mapped[bytes]
    hash: Mapped[bytes]
    salt: Mapped[bytes | None]
    digest: Mapped[bytes | None]
    redacted_at: Mapped[datetime | None]
