"""Orders that come to nothing: what their buyers are told, and what becomes of goods that were packed already.
`flipsync.domain` registers all of it."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.commands import PRIORITY_ORDER, AccountCommand, InternalCommand
from flipsync.domain.events import OrderEvent

#: `kept`: the channel counts the units as sold still; `restocked`: it has put them on its shelf
Shelf = Literal["kept", "restocked"]


class UnitsInDoubt(OrderEvent):
    """Nothing of the order is to be shipped any more, and nobody can tell whether these units (by order line) lie on
    the shelf: they are off the books until the owner says so. `parcel`: one was handed over."""

    units: dict[UUID, int]
    parcel: bool
    shelf: Shelf


class TellBuyer(AccountCommand):
    """Write to the buyer of an order, once, where the channel takes messages."""

    owner_decides: ClassVar[str] = "what a buyer is told is yours to say"
    default_priority: ClassVar[int] = PRIORITY_ORDER

    order_id: UUID
    text: str = Field(min_length=1, max_length=2000)

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class WriteByHand(InternalCommand):
    """The owner writes to a buyer on the channel's own page, for the channel would not take our message."""

    owner_decides: ClassVar[str] = "look there whether they were told, write to them if not, then say yes"

    order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class PutBackUnits(InternalCommand):
    """Units of an order that came to nothing (by order line) are on the shelf after all: they go on sale again."""

    owner_decides: ClassVar[str] = "only you can see whether they lie on the shelf"

    order_id: UUID
    units: dict[UUID, int] = Field(min_length=1)
    shelf: Shelf

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)
