"""Facts and commands of looking after listings: what they lack, what is done about it, and what only a person can do.

Registered with the others by `flipsync.domain`.
"""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.channel import Vendor
from flipsync.domain.commands import InternalCommand, TenantCommand
from flipsync.domain.events import ListingEvent, TenantEvent, Urgency

#: what a listing is looked at for (services.listing_rules says how, and why)
Check = Literal[
    "on-sale", "told", "title-length", "title-words", "brand", "barcode", "category", "pictures", "description",
    "specifics", "variations",
]  # fmt: skip

# -- facts ------------------------------------------------------------------------------------------------------------


class ListingsDue(TenantEvent):
    """It is time to look what listings lack."""


class ListingLacking(ListingEvent):
    """A look at many listings found that this one lacks something."""

    urgency: ClassVar[Urgency] = "bulk"


class RevisionRefused(ListingEvent):
    """The channel refused new words of a live listing, which shows the old ones."""

    reason: str


# -- commands ---------------------------------------------------------------------------------------------------------


class PlanListingWork(TenantCommand):
    """Look at each of these listings, the most worth first: each lacks something."""

    listings: tuple[UUID, ...]


class ListingCare(InternalCommand):
    """About one listing. `mark` is of what it was decided on: the same about the same is proposed once."""

    listing_id: UUID
    account_id: UUID
    vendor: Vendor
    check: Check
    mark: str

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


class FitListing(ListingCare):
    """Give a listing words of the owner's own that its channel takes, and put one that was refused on sale again.

    `titles` are by what they stand for: the product's own, as long as it says that. `score` is of before, `expected` of
    after.
    """

    titles: dict[str, str] = Field(default_factory=dict)
    specifics: dict[str, str] = Field(default_factory=dict)
    relist: bool = False
    score: float = Field(ge=0, le=1)
    expected: float = Field(ge=0, le=1)


class OfferListingFix(FitListing):
    """The same when the owner says so."""

    owner_decides: ClassVar[str] = "it says more on the channel than your own product data do, or less"


class OfferProductFacts(ListingCare):
    """Write a brand or a category into the product, and so on every channel, when the owner says so."""

    owner_decides: ClassVar[str] = "it is concluded from your other goods, and only you know this one"

    product_id: UUID
    brand: str | None = Field(default=None, min_length=1, max_length=200)
    category: str | None = Field(default=None, min_length=1, max_length=500)

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class Need(BaseModel):
    """What only a person can put right, and the sales a week it is thought to cost, in minor units of the listing's
    currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Check
    says: str = Field(min_length=1, max_length=400)
    minutes: int = Field(ge=0)
    gain_minor: int = Field(ge=0)


class NoteListingNeeds(InternalCommand):
    """Keep what only a person can put right, and tell it once; `over` is what no longer is so."""

    listing_id: UUID
    needs: tuple[Need, ...] = Field(max_length=12)
    over: tuple[Check, ...] = ()

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)
