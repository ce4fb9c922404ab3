"""Who bought again, without names: orders under a pseudonym of their buyer, and sums of them. Kept beside the hot path
(services.customers); everything here can be made again from the books, for as long as these say who bought.

A buyer is known on one account only, by what its channel calls them. Days are those of the figures (models.sales),
months begin on their first, amounts are minor units of the row's currency. An erased buyer's rows are gone.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from flipsync.store.models.base import Base, TenantOwned, TenantParent

_OWN_ID = text("gen_random_uuid()")


class BuyerKey(TenantOwned, Base):
    """What a business's pseudonyms are made with: nobody else's are the same, and a name cannot be tried without it."""

    __tablename__ = "buyer_key"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    key: Mapped[bytes] = mapped_column(LargeBinary)


class BuyerSale(TenantParent, Base):
    """An order that earns money and whose buyer is known, under their pseudonym."""

    __tablename__ = "buyer_sale"
    __table_args__ = (
        UniqueConstraint("tenant_id", "order_id"),
        Index("ix_buyer_sale_tenant_id_buyer", "tenant_id", "buyer"),
        Index("ix_buyer_sale_tenant_id_day", "tenant_id", "day", "order_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_OWN_ID)
    #: no reference: checking it would wait for, and hold up, whoever works on the order
    order_id: Mapped[UUID]
    account_id: Mapped[UUID]
    buyer: Mapped[UUID]
    day: Mapped[date]
    currency: Mapped[str] = mapped_column(String(3))
    #: goods and shipping less refunds, before tax
    net: Mapped[int]


class BuyerSum(TenantParent, Base):
    """All orders of one buyer in one currency."""

    __tablename__ = "buyer_sum"
    __table_args__ = (UniqueConstraint("tenant_id", "buyer", "currency"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_OWN_ID)
    account_id: Mapped[UUID]
    buyer: Mapped[UUID]
    currency: Mapped[str] = mapped_column(String(3))
    first_day: Mapped[date]
    last_day: Mapped[date]
    orders: Mapped[int]
    net: Mapped[int]


class CohortMonth(TenantParent, Base):
    """What the buyers whose first order was in month `cohort` did in `month`; of nobody in particular.

    `again` (where both months are the same): buyers of the cohort that ordered more than once until now.
    """

    __tablename__ = "cohort_month"
    __table_args__ = (UniqueConstraint("tenant_id", "account_id", "currency", "cohort", "month"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_OWN_ID)
    account_id: Mapped[UUID]
    currency: Mapped[str] = mapped_column(String(3))
    cohort: Mapped[date]
    month: Mapped[date]
    buyers: Mapped[int]
    again: Mapped[int]
    orders: Mapped[int]
    net: Mapped[int]
