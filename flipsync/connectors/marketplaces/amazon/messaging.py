"""Messages to buyers (Messaging v1). Amazon allows a few kinds, each only while it applies to the order."""

from __future__ import annotations

from typing import Literal

from flipsync.connectors.marketplaces.amazon import wire_work
from flipsync.connectors.marketplaces.amazon.api import SellerApi, done
from flipsync.domain.errors import Rejected

Kind = Literal["confirmOrderDetails", "confirmDeliveryDetails", "unexpectedProblem"]
_OPERATIONS: dict[Kind, str] = {
    "confirmOrderDetails": "createConfirmOrderDetails",
    "confirmDeliveryDetails": "createConfirmDeliveryDetails",
    "unexpectedProblem": "createUnexpectedProblem",
}
_LONGEST = 2000


async def allowed(api: SellerApi, order_id: str) -> list[str]:
    """The kinds of message Amazon takes for this order now."""
    answer = await api.call(
        "getMessagingActionsForOrder",
        wire_work.MessagingActions.model_validate,
        path={"amazonOrderId": order_id},
        params=api.here,
    )
    return [action.kind for action in answer.links.actions]


async def send(api: SellerApi, order_id: str, kind: Kind, text: str) -> None:
    """Send one message, 1 to 2,000 characters of plain text. Amazon sends it again when it is asked again."""
    if not 1 <= len(text) <= _LONGEST:
        raise Rejected(f"a message has 1 to {_LONGEST} characters", vendor_code="request")
    path = {"amazonOrderId": order_id}
    await api.call(_OPERATIONS[kind], done, path=path, params=api.here, body={"text": text})
