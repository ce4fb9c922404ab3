"""Labels bought from channels that sell them: what people want, what it cost, and the file to print.

A person asks, the fulfilment agent proposes, the gate judges, the effect worker buys (runtime.label_writes). One label
an order; the database refuses a second.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.channel import Address, ChannelLabel, Parcel, Vendor
from flipsync.domain.commands import LabelCommand
from flipsync.domain.decisions import Verdict
from flipsync.domain.directives import Directive, bearing
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import LabelBought, LabelRequested, LabelUnwanted
from flipsync.domain.money import Money
from flipsync.security.secrets import SecretBox
from flipsync.services import orders
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import Moment, View
from flipsync.services.tenant_settings import profile
from flipsync.store.models import LabelPurchase
from flipsync.store.reading import Reader
from flipsync.store.repositories import labels as rows
from flipsync.store.repositories import orders as order_rows
from flipsync.store.repositories import reading_selling as selling
from flipsync.store.repositories import refunds as refund_rows
from flipsync.store.unit_of_work import UnitOfWork

LabelState = Literal["asked", "bought", "refused", "unknown", "cancelling", "cancelled"]


class LabelView(View):
    """`unknown`: nobody can tell whether it was bought; a person looks on the channel's page and settles it."""

    id: UUID
    order_id: UUID
    parcel: Parcel
    state: LabelState
    detail: str
    external_id: str | None = Field(description="the channel's id of the shipment")
    carrier: str
    tracking_number: str
    cost: Money | None
    created_at: Moment


def view(row: LabelPurchase | Any) -> LabelView:
    """Of a row of the table, or of an answer with its columns."""
    return LabelView(
        id=row.id,
        order_id=row.order_id,
        parcel=Parcel.model_validate(row.parcel),
        state=cast(LabelState, row.state),
        detail=row.detail,
        external_id=row.external_id,
        carrier=row.carrier,
        tracking_number=row.tracking_number,
        cost=None if row.cost_minor is None else Money(amount_minor=row.cost_minor, currency=row.currency),
        created_at=row.created_at,
    )


async def request(
    unit: UnitOfWork,
    order_id: UUID,
    parcel: Parcel,
    *,
    most: Money | None = None,
    service: str = "",
    ship_from: Address | None = None,
    by: UUID | None = None,
) -> LabelView:
    """Ask for a label: the cheapest way, or this service of the channel's, for at most `most` (else the owner's usual
    most). Without `ship_from` it goes out from where the last one did.

    Raises NotFound, InvalidInput, and Conflict when the channel sells none, when the order is not packed, or when it
    has a label.
    """
    if await order_rows.lock_order_by_id(unit.session, order_id) is None:
        raise NotFound(f"no order {order_id}")
    found = await refund_rows.order_with_refunds(unit.session, order_id)
    assert found is not None, "locked above"
    order = found.order
    if connector_class(cast(Vendor, found.vendor)).capabilities.labels == "none":
        raise Conflict(
            f"{found.vendor} sells no labels",
            hint="buy it from a carrier and hand the parcel over: POST /orders/{id}/shipment, or flipsync ship",
        )
    if (known := await rows.current_of(unit.session, order_id)) is not None:
        raise Conflict(f"order {order.number} has a label already: it is {known.state}", hint=known.tracking_number)
    if order.state != "ready":
        raise Conflict(f"order {order.number} is {order.state}: only one that is ready to ship gets a label")
    if (sent := await order_rows.shipment_of(unit.session, order_id)) is not None:
        raise Conflict(f"order {order.number} was handed over already: {sent.carrier} {sent.tracking_number}")
    sender = await rows.last_sender(unit.session) if ship_from is None else ship_from.model_dump()
    if sender is None:
        raise InvalidInput("nobody said where the parcel goes out from", hint="give the sender's address")
    if most is not None and (most.currency != order.currency or most.amount_minor <= 0):
        raise InvalidInput(f"the most it may cost is an amount above zero in {order.currency}")
    choices = (await profile(unit.session, unit.tenant_id)).settings.orders
    row = LabelPurchase(
        tenant_id=unit.tenant_id,
        order_id=order_id,
        parcel=parcel.model_dump(),
        ship_from=sender,
        service=service,
        most_minor=most.amount_minor if most is not None else choices.label_limit_minor,
        currency=order.currency,
        requested_by=by,
    )
    unit.session.add(row)
    await unit.session.flush()
    who = {"order_id": order_id, "account_id": order.account_id, "vendor": cast(Vendor, found.vendor)}
    unit.emit(LabelRequested(**who, label_id=row.id))
    return view(row)


async def give_back(unit: UnitOfWork, label_id: UUID) -> LabelView:
    """Ask the channel to take a bought label back. Raises NotFound and Conflict."""
    row = await rows.lock(unit.session, label_id)
    if row is None:
        raise NotFound(f"no label {label_id}")
    if not await rows.change(unit, label_id, ("bought",), state="cancelling"):
        raise Conflict(f"the label is {row.state}: only a bought one is given back")
    found = await refund_rows.order_with_refunds(unit.session, row.order_id)
    assert found is not None
    who = {"order_id": row.order_id, "account_id": found.order.account_id, "vendor": cast(Vendor, found.vendor)}
    unit.emit(LabelUnwanted(**who, label_id=label_id))
    return await get(unit.session, label_id)


async def settle(unit: UnitOfWork, label_id: UUID, *, external_id: str | None) -> LabelView:
    """A person has looked at the channel: it was bought under this id, which is then read; or (None) it was not."""
    row = await rows.lock(unit.session, label_id)
    if row is None:
        raise NotFound(f"no label {label_id}")
    if row.state != "unknown":
        raise Conflict(f"the label is {row.state}: only one in doubt is settled by hand")
    if external_id is None:
        await refuse(unit, label_id, "a person saw on the channel that it was not bought")
        return await get(unit.session, label_id)
    await rows.change(unit, label_id, ("unknown",), state="asked", external_id=external_id, detail="")
    found = await refund_rows.order_with_refunds(unit.session, row.order_id)
    assert found is not None
    who = {"order_id": row.order_id, "account_id": found.order.account_id, "vendor": cast(Vendor, found.vendor)}
    unit.emit(LabelRequested(**who, label_id=label_id))
    return await get(unit.session, label_id)


async def get(session: AsyncSession, label_id: UUID) -> LabelView:
    row = await rows.get(session, label_id)
    if row is None:
        raise NotFound(f"no label {label_id}")
    return view(row)


async def of_order(session: AsyncSession, order_id: UUID) -> list[LabelView]:
    """Oldest first."""
    return [view(row) for row in await rows.of_order(session, order_id)]


async def labels_of(reader: Reader, order_id: UUID) -> list[LabelView]:
    """Oldest first. Raises NotFound."""
    order, found = await reader.ask(selling.ORDER(order_id=order_id), selling.LABELS(order_id=order_id))
    if not order:
        raise NotFound(f"no order {order_id}")
    return [view(row) for row in found]


async def document(session: AsyncSession, box: SecretBox, tenant_id: UUID, label_id: UUID) -> tuple[str, bytes]:
    """Media type and file of a bought label. Raises NotFound."""
    row = await rows.get(session, label_id)
    if row is None or row.document is None:
        raise NotFound(f"no file of a label {label_id}")
    opened = box.open(row.document, tenant_id=tenant_id, purpose=purpose(label_id))
    return row.media_type, base64.b64decode(opened["file"])


def purpose(label_id: UUID) -> str:
    return f"label:{label_id}"


async def judge_label(
    unit: UnitOfWork, command: LabelCommand, directives: Sequence[Directive] = (), now: datetime | None = None
) -> Verdict:
    """What the gate says: what a person asked for and is still open may go; its price is bounded where it is bought.

    A directive lowers that bound; one that caps labels binds here, at the last word before the money goes.
    """
    row = await rows.lock(unit.session, command.label_id)
    if row is None or row.order_id != command.order_id or row.state not in ("asked", "cancelling"):
        return Verdict.deny("label", "the label is not open")
    if directives and now is not None:
        cap = bearing(directives, now, "cap-labels", command.account_id)
        if cap is not None and cap.limit_minor is not None and row.most_minor > cap.limit_minor:
            row.most_minor = cap.limit_minor
            return Verdict.proceed("directive", f"for at most {cap.limit_minor} minor units: {cap.reason}")
    return Verdict.proceed("label", "asked for by a person, one label an order, up to a most")


async def bought(
    unit: UnitOfWork, account: AccountRef, box: SecretBox, row: LabelPurchase, label: ChannelLabel
) -> None:
    """It is paid for: cost, number and file go into the books, and the order leaves with it. Once.

    The label of an order that was called off meanwhile is given back.
    """
    file = {"file": base64.b64encode(label.content).decode()}
    done = await rows.change(
        unit,
        row.id,
        ("asked", "unknown"),
        state="bought",
        detail="",
        external_id=label.external_id,
        carrier=label.carrier,
        tracking_number=label.tracking_number,
        cost_minor=label.price.amount_minor,
        media_type=label.media_type,
        document=box.seal(file, tenant_id=unit.tenant_id, purpose=purpose(row.id)),
    )
    if not done:
        return
    unit.emit(
        LabelBought(
            order_id=row.order_id,
            account_id=account.id,
            vendor=account.vendor,
            label_id=row.id,
            cost=label.price,
            carrier=label.carrier,
            tracking_number=label.tracking_number,
        )
    )
    order = await order_rows.lock_order_by_id(unit.session, row.order_id)
    if order is not None and order.state == "cancelled":
        await give_back(unit, row.id)
    else:
        await orders.hand_over(unit, account, row.order_id, label.carrier, label.tracking_number)


async def given_back(unit: UnitOfWork, label_id: UUID) -> None:
    await rows.change(unit, label_id, ("cancelling",), state="cancelled", document=None)


async def refuse(unit: UnitOfWork, label_id: UUID, why: str) -> None:
    """It was not bought: another may be asked for."""
    await rows.change(unit, label_id, ("asked", "unknown"), state="refused", detail=why[:1000])


async def keep(unit: UnitOfWork, label_id: UUID, why: str) -> None:
    """It was not given back: it is a bought label still."""
    await rows.change(unit, label_id, ("cancelling",), state="bought", detail=why[:1000])


async def doubt(unit: UnitOfWork, label_id: UUID, why: str) -> None:
    """Nobody can tell whether it was bought: no other is, until that is settled."""
    await rows.change(unit, label_id, ("asked",), state="unknown", detail=why[:1000])
