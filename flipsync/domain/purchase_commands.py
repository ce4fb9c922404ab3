"""What may be proposed of buying, and of sending what was bought to a channel's own warehouse. Registered with the
other commands by `flipsync.domain`.

An order leaves by a mail of its own outbox (services.purchase_mail) or by the owner's hand: no channel has a part in
it.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.commands import InternalCommand, TenantCommand
from flipsync.domain.money import Money


class PlanPurchases(TenantCommand):
    """Look at each of these suppliers: something of theirs is to be bought; and at the warehouses of these accounts:
    something is to be sent there."""

    suppliers: tuple[UUID, ...]
    urgent: bool
    warehouses: tuple[UUID, ...] = ()


class BoughtLine(BaseModel):
    """Goods to be bought: `cost_minor` is for all units, before freight and duty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant_id: UUID
    units: int = Field(gt=0)
    cost_minor: int = Field(gt=0)


class PlacePurchaseOrder(InternalCommand):
    """Order these goods of a supplier: mailed there, or put to the owner to place. Decided on the books of `origin`
    (business time); it is to be there after `expected_days`, nine in ten are after `latest_days`."""

    supplier_id: UUID
    origin: datetime
    lines: tuple[BoughtLine, ...] = Field(min_length=1)
    cost: Money
    expected_days: float
    latest_days: float

    def subject(self) -> tuple[str, UUID]:
        return ("supplier", self.supplier_id)


class OfferPurchaseOrder(PlacePurchaseOrder):
    """The same when the owner says so."""

    owner_decides: ClassVar[str] = "it costs more than your settings let agents spend alone (purchasing.alone_minor)"


class SentLine(BaseModel):
    """Units of one article for a channel's warehouse."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant_id: UUID
    units: int = Field(gt=0)


class OfferTransfers(InternalCommand):
    """Set these units aside for the account's own warehouse when the owner says so, who then packs and sends them.
    Decided on the books of `origin` (business time)."""

    owner_decides: ClassVar[str] = "somebody has to pack and send it, and until then your own channels offer less"

    account_id: UUID
    origin: datetime
    lines: tuple[SentLine, ...] = Field(min_length=1)

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)
