"""What is asked about goods before they are bought, what catalogues answer, and what is advised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.channel import ChannelValue, Vendor
from flipsync.domain.commands import InternalCommand, ReadCommand
from flipsync.domain.events import AccountEvent, Event, Urgency
from flipsync.domain.money import Money

#: buy at up to the price said; do not; or something has to be known first
Verdict = Literal["buy", "pass", "ask"]
Share = Annotated[float, Field(ge=0, le=1)]


#: channels whose catalogue can be asked about goods that are not ours, and how many articles one call is about
CATALOGUES: Final[Mapping[Vendor, int]] = {"amazon": 20, "ebay": 1}


class CatalogueQuestion(ChannelValue):
    """What a channel's catalogue is asked about. `key` is ours and comes back with the answer."""

    key: str
    gtin: str | None = Field(default=None, pattern=r"^\d{14}$")
    asin: str | None = Field(default=None, pattern=r"^[0-9A-Z]{10}$")
    title: str = Field(default="", max_length=300)


class CatalogueEntry(ChannelValue):
    """An article as a channel's catalogue has it, and what others ask for it there now, cheapest first."""

    key: str
    external_id: str = Field(max_length=100)
    title: str = Field(max_length=500)
    brand: str = Field(default="", max_length=200)
    codes: tuple[str, ...] = Field(default=(), description="GTINs of 14 digits")
    sales_rank: int | None = Field(default=None, gt=0)
    offers: tuple[Money, ...] = ()


class ChannelScore(ChannelValue):
    """What goods would do on one channel, in minor units for one unit: the most to pay, the net profit (low, likely,
    high) at the cost told, else at the most; `gone`, the share of the lot sold by the owner's time; `worth`, the profit
    expected by then on each unit of money."""

    account_id: UUID
    channel: str
    price_minor: int
    most_minor: int
    low_minor: int
    likely_minor: int
    high_minor: int
    chance: Share
    gone: Share
    days_to_sell: float
    worth: float
    rivals: int = Field(description="offers of others that were seen")
    own_units: int = Field(description="units of ours whose prices are known")


class SourcingAsked(Event):
    """Somebody wants to know what goods are, and at which price they are worth buying: one part of a scan's lines."""

    scan_id: UUID
    part: int = Field(ge=0)

    def subject(self) -> tuple[str, UUID]:
        return ("sourcing_scan", self.scan_id)


class SourcingListSent(SourcingAsked):
    """The same about a supplier's list: nobody stands and waits for it."""

    urgency: ClassVar[Urgency] = "bulk"


class CatalogueAnswered(AccountEvent):
    """A channel told what its catalogue has of a part of a scan, or that it has nothing."""

    scan_id: UUID
    part: int = Field(ge=0)
    found: int = Field(ge=0)

    def subject(self) -> tuple[str, UUID]:
        return ("sourcing_scan", self.scan_id)

    def routing_vendor(self) -> str | None:
        return None


class LookUpGoods(ReadCommand):
    """Ask a channel's catalogue about all goods that wait for its answer."""


class RecordSourcingVerdict(InternalCommand):
    """Keep what is advised about one line of a scan. Amounts are minor units of `currency`, for one unit.

    `low` to `high` holds the net profit four times in five; `likely` is its middle. `chance` is that of earning what
    the owner asks, at the price asked for (at `most_minor` where none was said).
    """

    line_id: UUID
    verdict: Verdict
    why: str = Field(max_length=900)
    product: str = Field(default="", max_length=500)
    variant_id: UUID | None = None
    identified_by: str = ""
    identity: Share = 0.0
    account_id: UUID | None = None
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    most_minor: int | None = Field(default=None, ge=0)
    low_minor: int | None = None
    likely_minor: int | None = None
    high_minor: int | None = None
    chance: Share | None = None
    days_to_sell: float | None = Field(default=None, ge=0)
    worth: float | None = None
    scores: tuple[ChannelScore, ...] = ()
    waiting: tuple[str, ...] = Field(default=(), description="channels whose catalogue was asked and has not answered")

    def subject(self) -> tuple[str, UUID]:
        return ("sourcing_line", self.line_id)
