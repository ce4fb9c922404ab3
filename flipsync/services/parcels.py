"""Parcels that people hand over with a label of their own: from a carrier, or from the channel's own page."""

from __future__ import annotations

from typing import Annotated, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import Conflict, NotFound
from flipsync.services import orders
from flipsync.services.orders import AccountRef
from flipsync.services.reading_orders import ShipmentView
from flipsync.store.repositories import labels as label_rows
from flipsync.store.repositories import orders as order_rows
from flipsync.store.repositories import refunds as refund_rows
from flipsync.store.unit_of_work import UnitOfWork


class HandedOver(BaseModel):
    """Who carries the parcel, and under which number buyers can follow it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    carrier: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] = Field(
        examples=["USPS"]
    )
    tracking_number: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9A-Za-z -]{4,60}$")] = Field(
        examples=["9400111899223817428490"]
    )


async def hand_over(unit: UnitOfWork, order_id: UUID, parcel: HandedOver) -> ShipmentView:
    """The order left the house in this parcel; its channel is told. Said again with the same number it is the same.

    Raises NotFound, and Conflict for an order that is not packed, that has a label bought through its channel (whose
    number is told by itself), or that left with another number.
    """
    if await order_rows.lock_order_by_id(unit.session, order_id) is None:
        raise NotFound(f"no order {order_id}")
    found = await refund_rows.order_with_refunds(unit.session, order_id)
    assert found is not None, "locked above"
    if (label := await label_rows.current_of(unit.session, order_id)) is not None:
        raise Conflict(
            f"order {found.order.number} has a label of its channel, which is {label.state}",
            hint="its number is told by itself; give the label back first to send the parcel otherwise",
        )
    account = AccountRef(found.order.account_id, cast(Vendor, found.vendor))
    await orders.hand_over(unit, account, order_id, parcel.carrier, parcel.tracking_number)
    sent = await order_rows.shipment_of(unit.session, order_id)
    assert sent is not None, "handed over just now"
    return ShipmentView(
        carrier=sent.carrier,
        tracking_number=sent.tracking_number,
        confirmed_at=sent.confirmed_at,
        refused_at=sent.refused_at,
    )
