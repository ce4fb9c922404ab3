"""Advertising paid by the sale: what channels tell of it, and its commands and facts. `flipsync.domain` registers them.

An ad rate is the share of an advertised sale that the channel keeps beside its fees; here in basis points, 0 for goods
that are not advertised.
"""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from flipsync.domain.channel import ChannelValue
from flipsync.domain.commands import PRIORITY_BULK, PRIORITY_STOCK, ListingCommand, ReadCommand
from flipsync.domain.events import AccountEvent, Event, ListingEvent, Urgency
from flipsync.domain.money import Money

#: why a rate is set: the regular look at all of them; units ran out or came back; the month's money is spent; the owner
#: wants no ads of ours any more
AdCause = Literal["review", "stock", "budget", "off"]


class AdShown(ChannelValue):
    """An ad that runs on the channel."""

    external_id: str
    campaign_id: str
    rate_bps: int = Field(gt=0, le=10_000)


class AdSale(ChannelValue):
    """What one listing sold in one order by its ad, and what the channel charged for it so far.

    `listing_external_id` is None where the channel does not say which listing a charge is for.
    """

    order_external_id: str
    listing_external_id: str | None
    units: int = Field(ge=0)
    sales: Money
    fee: Money
    sold_at: AwareDatetime


class SetAdRate(ListingCommand):
    """Advertise a listing at that rate, or stop it (0). `resume_bps` is what it goes back to once there are units."""

    supersedes: ClassVar[bool] = True
    rate_bps: int = Field(ge=0, le=10_000)
    was_bps: int = Field(ge=0, le=10_000)
    resume_bps: int = Field(default=0, ge=0, le=10_000)
    cause: AdCause = "review"

    def priority(self) -> int:
        return PRIORITY_STOCK if self.rate_bps == 0 else PRIORITY_BULK


class PullAds(ReadCommand):
    """Fetch which listings are advertised at which rate, what ads sold and what they cost."""

    default_priority: ClassVar[int] = PRIORITY_BULK


class AdsRead(AccountEvent):
    """What the channel tells of ads is in the books."""

    advertised: int


class AdvertisedStockTurned(Event):
    """Goods that are, or were to be, advertised ran out, or can be shipped again. `available`: units nobody bought."""

    urgency: ClassVar[Urgency] = "urgent"

    stock_item_id: UUID
    available: int

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id)


class AdRateSet(ListingEvent):
    """The channel shows another ad rate; read back."""

    rate_bps: int
