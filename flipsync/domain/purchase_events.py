"""Facts about buying. They are registered with the others by `flipsync.domain`, whatever of it is imported first."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from flipsync.domain.events import Event
from flipsync.domain.money import Money


class PurchaseDue(Event):
    """Something of this supplier's is to be bought. `urgent`: it may run out before an order placed now arrives."""

    supplier_id: UUID
    urgent: bool

    def subject(self) -> tuple[str, UUID]:
        return ("supplier", self.supplier_id)


class TransfersDue(Event):
    """Something is to be sent to the account's own warehouse. `urgent`: it may run out there before it arrives."""

    account_id: UUID
    urgent: bool

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)


class PurchaseEvent(Event):
    """A fact about one order with a supplier."""

    purchase_order_id: UUID
    supplier_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("purchase_order", self.purchase_order_id)


class PurchasePlaced(PurchaseEvent):
    """An order with a supplier is on its way there: by mail, or waiting for the owner to place it (`by_mail` False)."""

    cost: Money
    by_mail: bool


class PurchaseOrdered(PurchaseEvent):
    """The supplier has the order: the mail was taken, or a person placed it."""

    expected_at: AwareDatetime


class PurchaseMailFailed(PurchaseEvent):
    """A mail to a supplier was refused, or nobody can tell whether it arrived."""

    outcome: Literal["rejected", "unknown"]
    detail: str


class PurchaseReceived(PurchaseEvent):
    """Goods of an order arrived and are on the shelf; `complete` when nothing is still to come."""

    units: int
    landed: Money
    complete: bool


class PurchaseEnded(PurchaseEvent):
    """An order was called off, or what never came of it was closed (`partly`)."""

    partly: bool
    reason: str
