"""What answers to agents were worked out from. Kept beside them, so that other settings can be tried on them later."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flipsync.domain.directives import Directive
from flipsync.services.channel_pace import Pace
from flipsync.services.tenant_settings import PricingChoices, StockChoices
from flipsync.store.repositories.pricing import PriceRow


@dataclass(frozen=True)
class PriceGround:
    """Of quotes: the owner's choices, the listings' rows, which policies of the registry were staged, and what bound
    them."""

    choices: PricingChoices
    rows: list[PriceRow]
    live: UUID | None = None
    canary: UUID | None = None
    shadow: UUID | None = None
    directives: tuple[Directive, ...] = ()


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
    """Of a pooled item's picture: the owner's choices and how fast its accounts are. The rest is in the picture."""

    choices: StockChoices
    paces: dict[UUID, Pace]


Ground = PriceGround | MarginGround | PaceGround

#: by the question it belongs to
GROUNDS: dict[str, type[Ground]] = {
    "pricing.quote": PriceGround,
    "pricing.quote_variant": PriceGround,
    "pricing.quote_all": PriceGround,
    "pricing.repricing": PriceGround,
    "pricing.list_margins": MarginGround,
    "stock.picture": PaceGround,
}
