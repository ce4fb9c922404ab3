"""What answers to agents were worked out from. Kept beside them, so that other settings can be tried on them later."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from flipsync.domain.directives import Directive
from flipsync.domain.goals import Risk
from flipsync.services.canary_budget import Spending
from flipsync.services.channel_pace import Pace
from flipsync.services.lead_times import LeadTime
from flipsync.services.sourcing.taught import Lessons
from flipsync.services.standing import StandingMove
from flipsync.services.tenant_settings import (
    AdvertisingChoices,
    PricingChoices,
    PurchasingChoices,
    SourcingChoices,
    StockChoices,
)
from flipsync.store.repositories.advertising import AdRow
from flipsync.store.repositories.listings import AccountRow
from flipsync.store.repositories.pricing import PriceRow
from flipsync.store.repositories.purchasing_reading import BuyRow, Lately


@dataclass(frozen=True)
class PriceGround:
    """Of quotes: the owner's choices, the listings' rows, which policies of the registry were staged, what bound them,
    and what the canary had spent (None: it was not looked at)."""

    choices: PricingChoices
    rows: list[PriceRow]
    live: UUID | None = None
    canary: UUID | None = None
    shadow: UUID | None = None
    directives: tuple[Directive, ...] = ()
    spending: Spending | None = None


@dataclass(frozen=True)
class GoodsRow:
    sku: str
    price_minor: int | None
    cost_minor: int | None


@dataclass(frozen=True)
class MarginGround:
    """Of margins at list price: the owner's choices and the product's variants."""

    choices: PricingChoices
    variants: list[GoodsRow]


@dataclass(frozen=True)
class PaceGround:
    """Of an item's picture: the owner's choices and, of a pooled one, how fast its accounts are. The rest is in it."""

    choices: StockChoices
    paces: dict[UUID, Pace]


@dataclass(frozen=True)
class Seller:
    """A supplier as a plan looks at one. `least_order_minor` is in minor units of `currency`."""

    id: UUID
    name: str
    currency: str
    mailed: bool
    least_order_minor: int


@dataclass(frozen=True)
class BuyGround:
    """Of what is to be bought: the owner's choices, the goods that are offered, by whom, how long each takes, when each
    was last ordered from and refused, what goods still to come cost by currency and supplier (minor units), and which
    policies of the registry were staged. `stopped` says why nothing was looked at."""

    purchasing: PurchasingChoices
    pricing: PricingChoices
    stopped: str = ""
    goods: list[BuyRow] = field(default_factory=list)
    sellers: list[Seller] = field(default_factory=list)
    leads: dict[UUID, LeadTime] = field(default_factory=dict)
    lately: dict[UUID, Lately] = field(default_factory=dict)
    committed: dict[str, dict[UUID, int]] = field(default_factory=dict)
    live: UUID | None = None
    canary: UUID | None = None
    shadow: UUID | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class AdGround:
    """Of a look at an account's ads: the owner's choices, its listings, what came of their days by rate (see
    `reviewed`), the currency of most, and what the month's ads cost so far in minor units of it."""

    pricing: PricingChoices
    limits: AdvertisingChoices
    listings: list[AdRow]
    seen: dict[UUID, list[tuple[int, int, int, int]]]
    currency: str
    spent: int


@dataclass(frozen=True)
class TrainingGround:
    """Of whether a training is due: whether what policies earn has moved, when the last one was, after how many days
    and how many outcomes the owner wants the next (0: never for that), and how many outcomes have come since."""

    moved: bool
    last: datetime | None
    days: int
    outcomes: int = 0
    enough: int = 0


@dataclass(frozen=True)
class MovesGround:
    """Of whose authority should change: what outcomes say, and whether the owner lets it."""

    on: bool
    moves: list[StandingMove]


class Case(NamedTuple):
    """A line, by its place in the part, on one account: the mean logarithm of what `units` of ours brought, the
    cheapest offer of `rivals` others, our list price, and units `sold` in `days` on show. Amounts are minor units; None
    where nothing is known. A tuple: there are hundreds, and it is written without names."""

    line: int
    account_id: UUID
    own: float | None = None
    units: int = 0
    market: int | None = None
    rivals: int = 0
    listed: int | None = None
    sold: float = 0.0
    days: float = 0.0


@dataclass(frozen=True)
class JudgeGround:
    """Of goods that somebody may buy: the owner's choices, the accounts they may be sold on, what the books teach by
    currency, and the cases in which a price is known. The lines are in the answer.

    `by_usual_parcel`: how wide intervals are was learnt with the owner's usual parcel, for want of any label.
    """

    pricing: PricingChoices
    sourcing: SourcingChoices
    risk: Risk
    accounts: list[AccountRow]
    lessons: dict[str, Lessons]
    cases: list[Case]
    by_usual_parcel: bool = False


#: enough to work an answer out again; a picture of stock may ask the books beside it
Enough = PriceGround | MarginGround | BuyGround | AdGround | TrainingGround | MovesGround | JudgeGround
Ground = Enough | PaceGround

#: by the question it belongs to
GROUNDS: dict[str, type[Ground]] = {
    "pricing.quote": PriceGround,
    "pricing.quote_variant": PriceGround,
    "pricing.quote_all": PriceGround,
    "pricing.repricing": PriceGround,
    "pricing.list_margins": MarginGround,
    "stock.picture": PaceGround,
    "purchasing.review": BuyGround,
    "purchasing.plan": BuyGround,
    "advertising.review": AdGround,
    "models.review": TrainingGround,
    "grades.moves": MovesGround,
    "sourcing.part": JudgeGround,
}
