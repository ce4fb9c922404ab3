"""Orders that came to nothing when their goods were packed already: the fact, and what the owner may say to it.
`flipsync.domain` registers both."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.commands import InternalCommand
from flipsync.domain.events import OrderEvent

#: `kept`: the channel counts the units as sold still; `restocked`: it has put them on its shelf
Shelf = Literal["kept", "restocked"]


class UnitsInDoubt(OrderEvent):
    """Nothing of the order is to be shipped any more, and nobody can tell whether these units (by order line) lie on
    the shelf: they are off the books until the owner says so. `parcel`: one was handed over."""

    units: dict[UUID, int]
    parcel: bool
    shelf: Shelf


class PutBackUnits(InternalCommand):
    """Units of an order that came to nothing (by order line) are on the shelf after all: they go on sale again."""

    owner_decides: ClassVar[str] = "only you can see whether they lie on the shelf"

    order_id: UUID
    units: dict[UUID, int] = Field(min_length=1)
    shelf: Shelf

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)
