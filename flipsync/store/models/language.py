"""What language models were asked, what came of it, and what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, same_tenant


class ProductReading(TenantOwned, Base):
    """What a model read about a product from the text about it, as far as it stands there (commands.NoteReading)."""

    __tablename__ = "product_reading"
    __table_args__ = (same_tenant("product_id", "product"), UniqueConstraint("tenant_id", "product_id"))

    product_id: Mapped[UUID]
    call_id: Mapped[UUID]
    value: Mapped[dict[str, Any]]
    read_at: Mapped[datetime]


class LanguageCall(TenantOwned, Base):
    """One call of a model, which is also its lease of the business's budget.

    While `asked`, tokens and cost are the most it can take; settled, what it took; where nobody can tell (`unknown`, or
    its process ended), the most stays. `cost_micros` are millionths of a US dollar, `at` the database's own time.
    """

    __tablename__ = "language_call"
    __table_args__ = (
        CheckConstraint("state IN ('asked','answered','rejected','retryable','unknown')", name="state"),
        CheckConstraint("(value IS NOT NULL) = (state = 'answered')", name="value"),
        CheckConstraint("tokens >= 0 AND cost_micros >= 0", name="spent"),
        Index("ix_language_call_at", "tenant_id", "at"),
        Index(
            "uq_language_call_question",
            "tenant_id",
            "question",
            unique=True,
            postgresql_where=text("state = 'answered'"),
        ),
    )

    prompt: Mapped[str]
    version: Mapped[str]
    prompt_sha256: Mapped[str]
    #: the question's digest
    question: Mapped[str]
    model: Mapped[str]
    state: Mapped[str]
    why: Mapped[str] = mapped_column(default="")
    value: Mapped[dict[str, Any] | None]
    tokens: Mapped[int]
    cost_micros: Mapped[int]
    at: Mapped[datetime]
