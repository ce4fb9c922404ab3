"""What all tables share: UUIDv7 keys, tenant ownership (for row-level security), UTC times, strict lazy loading."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration style
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: JSONB(),
        str: String(),
        int: BigInteger(),
        list[float]: ARRAY(Float()),
    }


class TenantOwned:
    """A row that belongs to one tenant. Each table with this mixin gets a row-level-security policy (migrations)."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"), index=True)


class TenantParent(TenantOwned):
    """A row that others of its tenant point to. They do so by tenant and id, so that none points to another tenant's:
    list `owned_key()` in its __table_args__, which is the index by tenant too, and `same_tenant` in theirs."""

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))


def owned_key() -> UniqueConstraint:
    """What `same_tenant` points to."""
    return UniqueConstraint("tenant_id", "id")


def same_tenant(column: str, parent: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """`column` is the id of a row of table `parent` that belongs to the same tenant."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{parent}.tenant_id", f"{parent}.id"], ondelete=ondelete)


class Timestamped:
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
