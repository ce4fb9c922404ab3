"""What channels paid out to the seller's bank, and the movements of the seller's balance each payout is made of.

As the channel told them, once: of a payout only the state may change later. Nothing here is about a buyer.
"""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.domain.payouts import LineKind, PayoutState
from flipsync.store.models.base import Base, TenantOwned, TenantParent, owned_key, same_tenant


def _one_of(column: str, words: tuple[str, ...]) -> str:
    return f"{column} IN (" + ",".join(f"'{word}'" for word in words) + ")"


class Payout(TenantParent, Base):
    """`amount_minor` went to the bank; with `fee_minor` it is what the lines should add up to."""

    __tablename__ = "payout"
    __table_args__ = (
        owned_key(),
        same_tenant("account_id", "marketplace_account"),
        UniqueConstraint("account_id", "external_id"),
        Index("ix_payout_tenant_id_sent_at_id", "tenant_id", "sent_at", "id"),
        Index("ix_payout_tenant_id_amount_minor_id", "tenant_id", "amount_minor", "id"),
        CheckConstraint(_one_of("state", get_args(PayoutState)), name="state"),
    )

    account_id: Mapped[UUID]
    external_id: Mapped[str]
    state: Mapped[str]
    vendor_state: Mapped[str]
    amount_minor: Mapped[int]
    fee_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    sent_at: Mapped[datetime]
    bank: Mapped[str]
    #: when it was first read, and when its state was last another one
    read_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class PayoutLine(TenantOwned, Base):
    """One movement. `amount_minor` is what it changes the balance by, `fee_minor` what the channel kept of it."""

    __tablename__ = "payout_line"
    __table_args__ = (
        same_tenant("payout_id", "payout"),
        UniqueConstraint("payout_id", "external_id"),
        Index("ix_payout_line_tenant_id_order_external_id", "tenant_id", "order_external_id"),
        CheckConstraint(_one_of("kind", get_args(LineKind)), name="kind"),
    )

    payout_id: Mapped[UUID]
    external_id: Mapped[str]
    kind: Mapped[str]
    vendor_kind: Mapped[str]
    amount_minor: Mapped[int]
    fee_minor: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    order_external_id: Mapped[str | None]
    booked_at: Mapped[datetime]
