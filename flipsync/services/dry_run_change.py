"""A change that is not made, to be tried on past decisions: settings, policies, authority, what binds agents, and what
one variant costs and may cost. What can be tried, and what it would have made of what there was."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar, cast, get_args
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import StockMode
from flipsync.domain.directives import MOST_IN_FORCE, Directive, Terms
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.money import MAX_MINOR
from flipsync.services import directives
from flipsync.services.grounds import GoodsRow
from flipsync.services.tenant_settings import (
    AgentLimits,
    TenantSettings,
    changed,
    known,
    refuse_unknown_agents,
    value_of,
)
from flipsync.store.repositories import catalogue
from flipsync.store.repositories import directives as directive_rows
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.repositories.advertising import AdRow
from flipsync.store.repositories.pricing import PriceRow

V = TypeVar("V")
#: the price policy that decides, which the registry names and no setting
POLICY: Final = "pricing.policy"
#: and the one that buys
BUYING_POLICY: Final = "purchasing.policy"
#: how the shelf is shared among channels, which is chosen channel by channel: tried for all goods at once
STOCK_MODE: Final = "stock.mode"
#: directives as if they had bound all the time, and those that bound as if they had not: terms, and ids
GIVE, END = "directives.give", "directives.end"
#: what one variant costs and may cost: variants.SKU.(one of these), minor units of its currency, null for none
TERMS: Final = ("cost_minor", "floor_minor", "ceiling_minor")
#: what the books alone tell of: limits by which no agent decides, and where a day begins (dry_run_books)
BY_BOOKS: Final[frozenset[str]] = frozenset(
    {
        "approval_hours",
        "time_zone",
        *(f"orders.{name}" for name in ("refund_approval_minor", "label_limit_minor")),
        *(f"fleet.{name}" for name in ("listings_per_hour", "margin_at_risk_minor")),
        *(f"fleet.{name}" for name in ("listing_shares_bps", "margin_shares_bps")),
    }
)
COVERED: Final[frozenset[str]] = BY_BOOKS | frozenset(
    {
        *(f"goals.{name}" for name in ("horizon", "risk", "questions")),
        *(f"pricing.{name}" for name in ("min_margin_bps", "shipping_cost_minor", "shipping_charged_minor", "tax_bps")),
        *(f"pricing.{name}" for name in ("default_ceiling_bps", "max_step_up_bps", "max_step_down_bps", "fees")),
        *(f"pricing.{name}" for name in ("marketplace_fee_bps", "marketplace_fee_fixed_minor", "exploration_bps")),
        *(f"pricing.{name}" for name in ("canary_bps", "canary_loss_bps", "retrain_days", "retrain_outcomes")),
        *(f"stock.{name}" for name in ("oversell_limit", "pooled_reserve", "demand_window_days")),
        *(f"purchasing.{name}" for name in ("alone_minor", "cash_minor", "cash_shares_bps", "review_days")),
        *(f"purchasing.{name}" for name in ("holding_bps", "line_cost_minor", "most_cover_days")),
        *(f"purchasing.{name}" for name in ("policy_step_bps", "canary_bps", "retrain_days", "retrain_outcomes")),
        *(f"advertising.{name}" for name in ("mode", "max_rate_bps", "monthly_budget_minor")),
        *(f"advertising.{name}" for name in ("total_budget_minor", "budget_shares_bps")),
        *(f"sourcing.{name}" for name in ("min_profit_minor", "min_roi_bps", "turn_days", "turn_share")),
        "listings.hand_edits",
        "auto_list",
        "fleet.share_out",
        "grades.move_authority",
        "agents",
    }
)
#: settings by which nothing is decided: they can be tried, and what they change is said
DECIDES_NOTHING: Final[Mapping[str, str]] = {
    "journal.reads_kept_days": "how long it is known what a decision read; none is made by it",
    "memory.kept_days": "how long attempts are remembered; they are told beside a decision, none is made by them",
    "privacy.amazon_days": "how long it is known who bought, which is no reason for a decision",
    "privacy.buyer_days": "how long it is known who bought, which is no reason for a decision",
    "webhook_base_url": "where channels tell of things, not what is decided about them",
    "approval_escalates_after": "who else is told of a question, not what is asked",
    **dict.fromkeys(
        ("language.enabled", "language.tokens_per_day", "language.usd_cents_per_day"),
        "a language model's words, which change nothing that is decided; it is not asked about the past",
    ),
}
_VARIANT = re.compile(rf"variants\.(.+)\.({'|'.join(TERMS)})", re.DOTALL)
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_GIVEN: TypeAdapter[list[Terms]] = TypeAdapter(list[Terms])
_ENDED: TypeAdapter[list[UUID]] = TypeAdapter(list[UUID])
#: settings that an order's fees depend on
_FEES = frozenset({"pricing.fees", "pricing.marketplace_fee_bps", "pricing.marketplace_fee_fixed_minor"})
#: settings that what a sale left depends on
_EARNINGS = _FEES | {f"pricing.{name}" for name in ("shipping_cost_minor", "shipping_charged_minor", "tax_bps")}
#: settings that what a sale would leave, or would have to leave, depends on
_LEFT_OVER = _EARNINGS | {"pricing.min_margin_bps"}
#: when a kind of policy is searched for anew
_RETRAIN = frozenset(
    f"{part}.{name}" for part in ("pricing", "purchasing") for name in ("retrain_days", "retrain_outcomes")
)
#: what shapes no answer of the desk it is named after: what an agent reads itself, and when trainings are due
_NOT_THEIRS = frozenset({"purchasing.alone_minor", *_RETRAIN})
#: by desk, settings beside its own that its answers depend on
_ALSO: Mapping[str, frozenset[str]] = {
    "purchasing": frozenset(
        f"pricing.{name}" for name in ("marketplace_fee_bps", "marketplace_fee_fixed_minor", "shipping_cost_minor")
    ),
    "advertising": frozenset(
        f"pricing.{name}"
        for name in ("fees", "shipping_cost_minor", "shipping_charged_minor", "tax_bps", "min_margin_bps")
    ),
    "models": _RETRAIN,
    "sourcing": _EARNINGS | {"goals.risk"},
}


@dataclass(frozen=True)
class GoodsTerms:
    """What of a variant's cost and bounds would be another (see `TERMS`). `currency` and its `listings` are known once
    it is looked up."""

    amounts: Mapping[str, int | None]
    currency: str = ""
    listings: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Change:
    """Settings as they would be. `policy` and `buying` are versions of the registry that would
    price and buy; `stock_mode` is how all goods would be shared among channels; `given` directives would bind and
    `ended` ones would not; `variants` are by SKU."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: str | None = None
    buying: str | None = None
    stock_mode: StockMode | None = None
    given: tuple[Directive, ...] = ()
    ended: frozenset[UUID] = frozenset()
    variants: Mapping[str, GoodsTerms] = field(default_factory=dict)

    def touches(self, part: str) -> bool:
        """Whether answers of that desk may be others."""
        theirs = any(key.startswith(f"{part}.") for key in set(self.settings) - _NOT_THEIRS)
        also = not _ALSO.get(part, frozenset()).isdisjoint(self.settings)
        beside = {
            "pricing": self.policy or self.given or self.ended or self.variants,
            "purchasing": self.buying,
            "stock": self.stock_mode,
            "advertising": self.touches_costs,
        }
        return theirs or also or bool(beside.get(part))

    @property
    def touches_costs(self) -> bool:
        return any("cost_minor" in each.amounts for each in self.variants.values())

    @property
    def touches_fees_or_costs(self) -> bool:
        return self.touches_costs or not _FEES.isdisjoint(self.settings)

    @property
    def touches_earnings(self) -> bool:
        return bool(self.policy) or self.touches_costs or not _EARNINGS.isdisjoint(self.settings)

    @property
    def touches_left_over(self) -> bool:
        """What a sale would leave, or would have to leave."""
        return self.touches_costs or not _LEFT_OVER.isdisjoint(self.settings)

    @property
    def decides_nothing(self) -> dict[str, str]:
        """What of it no decision depends on, and what it changes instead."""
        return {key: DECIDES_NOTHING[key] for key in self.settings if key in DECIDES_NOTHING}

    def as_dict(self) -> dict[str, Any]:
        told = dict(self.settings)
        beside = ((POLICY, self.policy), (BUYING_POLICY, self.buying), (STOCK_MODE, self.stock_mode))
        told |= {key: each for key, each in beside if each}
        for sku, terms in self.variants.items():
            told |= {f"variants.{sku}.{key}": amount for key, amount in terms.amounts.items()}
        if self.given:
            names = set(Terms.model_fields)
            told[GIVE] = [each.model_dump(mode="json", include=names, exclude_none=True) for each in self.given]
        if self.ended:
            told[END] = sorted(map(str, self.ended))
        return told

    def applied(self, settings: TenantSettings) -> TenantSettings:
        return _applied(settings.model_dump_json(), orjson.dumps(dict(self.settings)))

    def limits(self, then: TenantSettings) -> TenantSettings:
        """With the owner's limits of agents as they would have been."""
        return changed(then, {key: value for key, value in self.settings.items() if key.partition(".")[0] == "agents"})

    def bound(self, directives: Sequence[Directive]) -> tuple[Directive, ...]:
        """What would have bound instead; a new one takes the place of one alike, as it does when it is given."""
        ours = {_about(each) for each in self.given}
        return (*(each for each in directives if each.id not in self.ended and _about(each) not in ours), *self.given)

    def priced(self, rows: Sequence[PriceRow], now: datetime) -> list[PriceRow]:
        """The listings as they would have been. Another cost counts as found just then: it is no stale one."""
        return [self._priced(row, now) if row.listing_id in self._by_listing else row for row in rows]

    def _priced(self, row: PriceRow, now: datetime) -> PriceRow:
        amounts: dict[str, Any] = dict(self._by_listing[row.listing_id].amounts)
        if "cost_minor" in amounts:
            amounts["cost_as_of"] = None if amounts["cost_minor"] is None else now
        return replace(row, **amounts)

    def advertised(self, row: AdRow) -> AdRow:
        terms = self._by_listing.get(row.listing_id)
        if terms is None or "cost_minor" not in terms.amounts or terms.currency != row.currency:
            return row
        return replace(row, cost_minor=terms.amounts["cost_minor"])

    def goods(self, row: GoodsRow) -> GoodsRow:
        terms = self.variants.get(row.sku)
        if terms is None or "cost_minor" not in terms.amounts:
            return row
        return replace(row, cost_minor=terms.amounts["cost_minor"])

    @cached_property
    def _by_listing(self) -> dict[UUID, GoodsTerms]:
        return {listing: each for each in self.variants.values() for listing in each.listings}


@lru_cache(maxsize=256)
def _applied(settings: str, change: bytes) -> TenantSettings:
    return changed(TenantSettings.model_validate_json(settings), orjson.loads(change))


def change_of(wanted: Mapping[str, Any], agents: Collection[str]) -> Change:
    """Checked. Raises InvalidInput for what cannot be tried, with what can, and for values that no setting takes."""
    if not wanted:
        raise InvalidInput("no change is given", hint="for example pricing.min_margin_bps=800")
    settings: dict[str, Any] = {}
    variants: dict[str, dict[str, int | None]] = {}
    policy = buying = stock_mode = None
    given, ended = tuple[Directive, ...](), frozenset[UUID]()
    for key, value in wanted.items():
        if key == POLICY:
            policy = str(value)
        elif key == BUYING_POLICY:
            buying = str(value)
        elif key == STOCK_MODE:
            stock_mode = _mode(value)
        elif key == GIVE:
            given = _directives(_read(_GIVEN, key, value))
        elif key == END:
            ended = frozenset(_read(_ENDED, key, value))
        elif (of := _VARIANT.fullmatch(key)) is not None:
            variants.setdefault(of[1], {})[of[2]] = _amount(key, value)
        elif key in DECIDES_NOTHING or key in COVERED or known(key):
            settings[key] = value
        else:
            raise InvalidInput(
                f"{key} cannot be tried on the past: there is no such setting", hint=f"these can: {_names()}"
            )
    refuse_unknown_agents(settings, agents)
    checked = changed(TenantSettings(), settings)
    return Change(
        {key: value_of(checked, key) for key in settings},
        policy,
        buying,
        stock_mode,
        given,
        ended,
        {sku: GoodsTerms(amounts) for sku, amounts in variants.items()},
    )


async def looked_up(session: AsyncSession, change: Change) -> Change:
    """With the listings of its variants. Raises NotFound for a SKU, an account or a directive that nobody knows, and
    InvalidInput for bounds that the variant, as it is, could not have."""
    for directive_id in change.ended:
        await directives.get(session, directive_id)
    for each in change.given:
        if each.account_id is not None and not await directive_rows.account_exists(session, each.account_id):
            raise NotFound(f"no connected account {each.account_id}")
    if not change.variants:
        return change
    known = await catalogue.variants_by_sku(session, list(change.variants), lock=False)
    found = {}
    for sku, terms in change.variants.items():
        if (row := known.get(sku)) is None:
            raise NotFound(f"no variant has the SKU {sku!r}", hint="write it as in the catalogue")
        floor, ceiling = (terms.amounts.get(key, getattr(row, key)) for key in ("floor_minor", "ceiling_minor"))
        if floor is not None and ceiling is not None and ceiling < floor:
            raise InvalidInput(
                f"the ceiling of {sku} would be below its floor", hint="give both, the ceiling at least as high"
            )
        listings = frozenset(await pricing_rows.listings_of_variant(session, row.id))
        found[sku] = replace(terms, currency=row.currency, listings=listings)
    return replace(change, variants=found)


def _directives(terms: Sequence[Terms]) -> tuple[Directive, ...]:
    if not 0 < len(terms) <= MOST_IN_FORCE:
        raise InvalidInput(f"{GIVE}: between one and {MOST_IN_FORCE} directives are in force at once")
    begin, end = _ALWAYS
    return tuple(
        Directive(**each.model_dump(), id=UUID(int=place), reason="tried on the past", starts_at=begin, ends_at=end)
        for place, each in enumerate({_about(each): each for each in terms}.values(), start=1)
    )


def _about(directive: Terms) -> tuple[Any, ...]:
    return directive.kind, directive.account_id, directive.category


def _read(kind: TypeAdapter[list[V]], key: str, value: Any) -> list[V]:
    try:
        return kind.validate_python(value if isinstance(value, list) else [value])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        hint = (
            'for example [{"kind": "hold-prices"}]' if key == GIVE else "ids, as `flipsync directives list` shows them"
        )
        raise InvalidInput(f"{key} {where}: {first['msg']}", hint=hint) from None


def _amount(key: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_MINOR):
        raise InvalidInput(f"{key} {value!r}: a whole number of minor units above 0, or null for none")
    return value


def _mode(value: Any) -> StockMode:
    if value not in get_args(StockMode):
        hint = f"one of {', '.join(get_args(StockMode))}"
        raise InvalidInput(f"{STOCK_MODE} {value!r} is not a stock mode", hint=hint)
    return cast(StockMode, value)


def _names() -> str:
    beside = (
        POLICY,
        BUYING_POLICY,
        STOCK_MODE,
        *(f"agents.NAME.{each}" for each in AgentLimits.model_fields),
        GIVE,
        END,
    )
    beside += tuple(f"variants.SKU.{each}" for each in TERMS)
    return ", ".join([*sorted({*COVERED, *DECIDES_NOTHING}), *beside])
