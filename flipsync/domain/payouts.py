"""What channels pay out to the seller's bank: values, and the command that reads them. `flipsync.domain` registers it.

A payout is money under one of the channel's own ids; its lines are the movements of the seller's balance it is made of.
Neither says anything about a buyer but the order's id.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from flipsync.domain.channel import ChannelValue, Vendor
from flipsync.domain.commands import PRIORITY_BULK, ReadCommand
from flipsync.domain.money import Money

#: channels that tell what they pay out; connectors say so in their capabilities
PAYERS: Final[frozenset[Vendor]] = frozenset({"ebay"})

#: on its way; failed and tried again by itself; in the bank; failed for good; sent back by the bank; called off
PayoutState = Literal["initiated", "delayed", "paid", "failed", "returned", "cancelled"]
#: an `ad_fee` is charged apart from the sale, as a `label` is; `transfer`: between the seller and the channel
LineKind = Literal["sale", "refund", "fee", "ad_fee", "label", "dispute", "transfer", "other"]


class ChannelPayout(ChannelValue):
    """`amount` goes to the bank, below zero: from it. With `fee`, which the channel takes for paying out, it is what
    the lines add up to."""

    external_id: str = Field(min_length=1, max_length=200)
    state: PayoutState
    vendor_state: str = Field(max_length=100)
    amount: Money
    fee: Money
    sent_at: AwareDatetime = Field(description="when the channel began to pay it out")
    bank: str = Field(default="", max_length=100, description="kind and last digits, where the channel tells them")


class ChannelPayoutLine(ChannelValue):
    """`amount` is what the balance changed by, below zero when money left it; `fee` is what the channel kept of it,
    taken off already (below zero: gave back with it). Together they are what the buyer paid, or got back."""

    external_id: str = Field(min_length=1, max_length=200, description="unique in its payout")
    kind: LineKind
    vendor_kind: str = Field(max_length=100)
    amount: Money
    fee: Money
    order_external_id: str | None = Field(default=None, max_length=200)
    booked_at: AwareDatetime


class PullPayouts(ReadCommand):
    """Fetch what the channel paid out, with the lines of what is new. Put in the outbox by the clock of the house."""

    default_priority: ClassVar[int] = PRIORITY_BULK
