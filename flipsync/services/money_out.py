"""What becomes of a person's wish when what was to carry it out ends without being done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flipsync.domain import commands as c
from flipsync.services import labels, refunds
from flipsync.store.repositories import orders as order_rows
from flipsync.store.unit_of_work import UnitOfWork


async def ended(
    unit: UnitOfWork, command: str, payload: Mapping[str, Any], why: str, *, in_doubt: bool = False
) -> None:
    """The command will not be carried out (or, `in_doubt`, nobody can tell): the wish behind it says so."""
    if command == c.IssueRefund.type_name():
        refund_id = c.IssueRefund.model_validate(payload).refund_id
        await (refunds.doubt if in_doubt else refunds.refuse)(unit, refund_id, why)
    elif command == c.BuyLabel.type_name():
        label_id = c.BuyLabel.model_validate(payload).label_id
        await (labels.doubt if in_doubt else labels.refuse)(unit, label_id, why)
    elif command == c.ConfirmShipment.type_name():
        await order_rows.note_refused(unit.session, c.ConfirmShipment.model_validate(payload).order_id)
    elif command == c.CancelLabel.type_name():
        await labels.keep(unit, c.CancelLabel.model_validate(payload).label_id, why)
