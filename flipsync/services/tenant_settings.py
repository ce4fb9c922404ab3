"""The owner's choices, with careful defaults. Kept in `tenant.settings`; unknown keys are refused when written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain import clock
from flipsync.domain.directives import Directive
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.goals import Goals
from flipsync.domain.money import MAX_MINOR
from flipsync.services.fees.profile import FeeProfile
from flipsync.store.models import Tenant
from flipsync.store.reading import Question
from flipsync.store.repositories.directives import IN_FORCE

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,100}$")]


class PricingChoices(BaseModel):
    """How prices may move. Shares are basis points (100 = 1 %), amounts minor units of the books' currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_margin_bps: int = Field(default=500, ge=0, lt=10_000, description="least share of the price a sale must earn")
    shipping_cost_minor: int = Field(default=450, ge=0, description="what one parcel costs us, until a carrier says")
    shipping_charged_minor: int = Field(default=0, ge=0)
    tax_bps: int = Field(default=1_000, ge=0, le=5_000, description="highest tax added at checkout")
    default_ceiling_bps: int = Field(
        default=20_000, ge=10_000, description="ceiling without an owner's: share of list price"
    )
    max_step_up_bps: int = Field(default=1_000, gt=0)
    max_step_down_bps: int = Field(default=800, gt=0)
    fees: dict[str, FeeProfile] = Field(
        default_factory=dict, description="how accounts of a vendor sell, as far as its published fees depend on it"
    )
    marketplace_fee_bps: int = Field(default=1_200, ge=0, lt=10_000, description="custom channel's share of the price")
    marketplace_fee_fixed_minor: int = Field(default=0, ge=0)
    exploration_bps: int = Field(
        default=0,
        ge=0,
        le=2_000,
        description="how often a price may differ from the best, to learn; 0: never",
    )
    retrain_days: int = Field(
        default=0, ge=0, le=365, description="search for a new price policy after so many days; 0: never by itself"
    )
    retrain_outcomes: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="or once so many price moves have shown what came of them since the last search; 0: never for that",
    )
    canary_bps: int = Field(default=2_000, ge=500, le=5_000, description="share of the listings a canary policy prices")
    canary_loss_bps: int = Field(
        default=500,
        ge=50,
        le=10_000,
        description="the most a canary may cost so far: share of what all listings would have earned without it",
    )


class StockChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    oversell_limit: float = Field(
        default=0.01, ge=0, le=1, description="pooled: the odds of selling a unit twice that one sale may have"
    )
    pooled_reserve: int = Field(default=0, ge=0, description="units held back from every pooled channel")
    demand_window_days: int = Field(default=14, ge=1, le=365)


class ListingChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    hand_edits: Literal["ask", "ours", "theirs"] = Field(
        default="ask", description="who wins when a listing was edited on its channel"
    )


class OrderChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    refund_approval_minor: int = Field(
        default=10_000, ge=0, description="refunds above it wait for a second word, in minor units of their currency"
    )
    label_limit_minor: int = Field(
        default=3_000, gt=0, description="the most a label may cost, in minor units of the order's currency"
    )


class SourcingChoices(BaseModel):
    """What goods have to promise before they are bought; with which chance, `goals.risk` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_profit_minor: int = Field(
        default=0, ge=0, description="least net profit of a unit, in minor units of the books' currency"
    )
    min_roi_bps: int = Field(
        default=0, ge=0, le=100_000, description="least net profit as a share of what a unit costs"
    )
    turn_days: int = Field(default=90, ge=1, le=1_095, description="by when goods should be sold")
    turn_share: float = Field(
        default=0.5, ge=0, le=1, description="the share of a purchase expected to be sold by then"
    )


class JournalChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reads_kept_days: int = Field(
        default=90, ge=1, le=3_650, description="how long what a decision read is kept, to make it again from"
    )


class MemoryChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kept_days: int = Field(
        default=730, ge=1, le=3_650, description="how long it is remembered what was tried and what came of it"
    )


class PrivacyChoices(BaseModel):
    """How long an order that is over says who bought, in days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amazon_days: int = Field(
        default=28,
        ge=0,
        le=29,
        description="Amazon allows 30 days after delivery; counted from shipping, with a day over",
    )
    buyer_days: int = Field(default=0, ge=0, le=36_500, description="on other channels; 0: until somebody asks")


def _shares_of_ids(shares: dict[str, int]) -> dict[str, int]:
    for each, share in shares.items():
        UUID(each)
        if not 0 <= share <= 10_000:
            raise ValueError("a share is from 0 to 10000 basis points")
    if len(shares) > 1_000:
        raise ValueError("at most 1000 have a share")
    return shares


#: basis points by id; those of one currency are of one whole, so they may add up to more
Shares = Annotated[dict[str, int], AfterValidator(_shares_of_ids)]


class FleetChoices(BaseModel):
    """What all agents together may set in motion within an hour. Stock, and what a person wished or approved, passes.
    Shares (basis points by account id) divide the totals among channels; a channel without one has the total."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listings_per_hour: int = Field(
        default=1_000_000, ge=1, le=10_000_000, description="prices, words and listings that agents may change an hour"
    )
    margin_at_risk_minor: int = Field(
        default=100_000_000,
        ge=1,
        le=10**12,
        description="what agents may stake on them an hour, in any currency's minor units",
    )
    listing_shares_bps: dict[str, int] = Field(
        default_factory=dict, description="share of listings_per_hour by account id, in basis points"
    )
    margin_shares_bps: dict[str, int] = Field(
        default_factory=dict, description="share of margin_at_risk_minor by account id, in basis points"
    )
    share_out: bool = Field(default=True, description="the resource agent moves the shares; false: they stay")

    @field_validator("listing_shares_bps", "margin_shares_bps")
    @classmethod
    def _shares(cls, shares: dict[str, int]) -> dict[str, int]:
        if len(shares) > 200 or sum(_shares_of_ids(shares).values()) > 10_000:
            raise ValueError("shares add up to 10000 basis points at most")
        return shares


class PurchasingChoices(BaseModel):
    """How goods may be bought. Amounts are minor units of the supplier's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alone_minor: int = Field(
        default=25_000, ge=0, description="orders with suppliers that cost more wait for your word; 0: all of them"
    )
    cash_minor: int | None = Field(
        default=None,
        ge=0,
        description="the most that goods still to come may cost together, in each currency; no limit",
    )
    cash_shares_bps: Shares = Field(
        default_factory=dict,
        description="share of cash_minor by supplier id, in basis points; a supplier without one may have all of it",
    )
    review_days: int = Field(
        default=7, ge=1, le=90, description="days between orders with one supplier, unless something runs out"
    )
    holding_bps: int = Field(
        default=3_000, ge=100, le=20_000, description="what keeping goods for a year costs, as a share of their cost"
    )
    line_cost_minor: int = Field(
        default=200, ge=0, description="what unpacking and booking one line of a delivery costs"
    )
    most_cover_days: int = Field(
        default=180, ge=14, le=730, description="never buy more than is expected to sell in so many days"
    )
    policy_step_bps: int = Field(
        default=5_000,
        ge=0,
        le=10_000,
        description="how far a learned rule's levels may be from those of the rule as shipped; 0: it decides nothing",
    )
    canary_bps: int = Field(
        default=2_000, ge=500, le=5_000, description="share of the suppliers that a canary policy buys of"
    )
    retrain_days: int = Field(
        default=0, ge=0, le=365, description="search for a new buying policy after so many days; 0: never by itself"
    )
    retrain_outcomes: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="or once so many orders have shown what came of them since the last search; 0: never for that",
    )

    def cash_of(self, supplier_id: UUID) -> int | None:
        """What of the cash a supplier's goods still to come may cost; None where nothing is divided."""
        share = self.cash_shares_bps.get(str(supplier_id))
        return None if self.cash_minor is None or share is None else self.cash_minor * share // 10_000


class AdvertisingChoices(BaseModel):
    """How money may be spent on ads that are paid by the sale. Rates are basis points of the sale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "ask", "auto"] = Field(
        default="off",
        description="off: no ads of FlipSync's; ask: you say yes to each higher rate; auto: it decides, of ads that"
        " were set by hand too",
    )
    max_rate_bps: int = Field(default=1_000, ge=200, le=5_000, description="the highest ad rate, in basis points")
    monthly_budget_minor: int | None = Field(
        default=None,
        ge=0,
        description="the most ads may cost an account in a calendar month, in minor units of its currency; no limit",
    )
    total_budget_minor: int | None = Field(
        default=None,
        ge=0,
        description="the most ads may cost all accounts together in a calendar month, in each currency; no limit",
    )
    budget_shares_bps: Shares = Field(
        default_factory=dict,
        description="share of total_budget_minor by account id, in basis points; one without may have all of it",
    )

    def share_of(self, account_id: UUID) -> int | None:
        """What of a month's money an account may spend by its share; None where nothing is divided."""
        share = self.budget_shares_bps.get(str(account_id))
        return None if self.total_budget_minor is None or share is None else self.total_budget_minor * share // 10_000

    def month_of(self, account_id: UUID) -> int | None:
        """The most that ads may cost an account in a month, by all of the owner's limits; None: no limit."""
        limits = (self.monthly_budget_minor, self.total_budget_minor, self.share_of(account_id))
        return min((each for each in limits if each is not None), default=None)


class GradeChoices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    move_authority: bool = Field(
        default=True, description="agents that prove too sure decide less alone until they are right again"
    )


class AgentLimits(BaseModel):
    """How far an agent may go by itself, by the owner's word. None: as the agent declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auto_above: float | None = Field(default=None, ge=0, le=1, description="as sure as that it decides by itself")
    max_stake_minor: int | None = Field(
        default=None, ge=0, le=MAX_MINOR, description="with more at stake, in whatever currency, the owner is asked"
    )


class LanguageChoices(BaseModel):
    """What a language model may read and use, where the installation has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(
        default=False, description="let the installation's language model read along: texts and figures go to it"
    )
    tokens_per_day: int = Field(default=200_000, ge=0, le=1_000_000_000, description="the most it may use in 24 hours")
    usd_cents_per_day: int = Field(
        default=100, ge=0, le=1_000_000, description="the most it may cost in 24 hours, in US cents"
    )


class TenantSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pricing: PricingChoices = PricingChoices()
    stock: StockChoices = StockChoices()
    listings: ListingChoices = ListingChoices()
    orders: OrderChoices = OrderChoices()
    sourcing: SourcingChoices = SourcingChoices()
    privacy: PrivacyChoices = PrivacyChoices()
    goals: Goals = Goals()
    journal: JournalChoices = JournalChoices()
    memory: MemoryChoices = MemoryChoices()
    grades: GradeChoices = GradeChoices()
    agents: dict[AgentName, AgentLimits] = Field(
        default_factory=dict,
        description="limits by agent: agents.NAME.auto_above, and agents.NAME.max_stake_minor above which it must ask",
    )
    language: LanguageChoices = LanguageChoices()
    fleet: FleetChoices = FleetChoices()
    purchasing: PurchasingChoices = PurchasingChoices()
    time_zone: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(clock.time_zone)] = Field(
        default="UTC", description="whose days, weeks and months figures are counted by, as Europe/Berlin"
    )
    advertising: AdvertisingChoices = AdvertisingChoices()
    webhook_base_url: str | None = Field(default=None, description="where channels can reach our API")
    approval_hours: int = Field(default=48, ge=1)
    approval_escalates_after: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="the share of its time after which a question nobody answered goes to the next person; 1: never",
    )
    auto_list: bool = Field(default=True, description="put imported products on every connected channel")

    def limits_of(self, agent: str, office: str | None = None) -> AgentLimits:
        """The owner's for an agent; who stands in for another (`office`) is bound by that one's too."""
        own, others = (self.agents.get(name or "", AgentLimits()) for name in (agent, office))
        return AgentLimits(
            auto_above=others.auto_above if own.auto_above is None else own.auto_above,
            max_stake_minor=others.max_stake_minor if own.max_stake_minor is None else own.max_stake_minor,
        )


def _leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{path}{name}.")
        else:
            yield path + name, field.description or ""


#: the limits of one agent have names of their own
_OF_AGENT: Final = re.compile(rf"agents\.([a-z_]{{1,100}})\.({'|'.join(AgentLimits.model_fields)})")
#: dotted name: what it is for, where the name does not say it
SETTINGS: Final[Mapping[str, str]] = dict(_leaves(TenantSettings))


def changed(settings: TenantSettings, change: Mapping[str, Any]) -> TenantSettings:
    """With other values under dotted names. Raises InvalidInput for no such name, or a value it does not take."""
    whole = settings.model_dump(mode="json")
    for key, value in change.items():
        of_agent = _OF_AGENT.fullmatch(key)
        if of_agent is not None:
            whole["agents"].setdefault(of_agent[1], {})
        elif key not in SETTINGS:
            raise InvalidInput(f"there is no setting {key[:80]!r}", hint="`flipsync settings list` names them")
        try:
            orjson.dumps(value)
        except TypeError as error:  # integers beyond 64 bits, half a character
            raise InvalidInput(f"{key} does not take that value: {error}") from None
        *path, last = key.split(".")
        place = whole
        for each in path:
            place = place[each]
        place[last] = value
    try:
        return TenantSettings.model_validate(whole)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise InvalidInput(f"{where} {first['input']!r}: {first['msg']}") from None


def value_of(settings: TenantSettings, key: str) -> Any:
    """What is under a dotted name, as JSON has it; None for what the owner has said nothing of."""
    found: Any = settings.model_dump(mode="json")
    of_agent = _OF_AGENT.fullmatch(key)
    if of_agent is not None:
        return found["agents"].get(of_agent[1], {}).get(of_agent[2])
    for each in key.split("."):
        found = found[each]
    return found


def known(key: str) -> bool:
    """Whether there is a setting of that name."""
    return key in SETTINGS or _OF_AGENT.fullmatch(key) is not None


def refuse_unknown_agents(change: Mapping[str, Any], agents: Collection[str]) -> None:
    """Raises InvalidInput for limits of an agent that is not one of these."""
    for key, value in change.items():
        of_agent = _OF_AGENT.fullmatch(key)
        named = [of_agent[1]] if of_agent else list(value) if key == "agents" and isinstance(value, dict) else []
        if strangers := [name for name in named if name not in agents]:
            raise InvalidInput(f"no agent is called {str(strangers[0])!r}", hint="`flipsync agents list` names them")


class TenantProfile(BaseModel):
    """A business's settings, and the directives that nobody has ended."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    currency: str
    settings: TenantSettings
    directives: tuple[Directive, ...] = ()


PROFILE = Question(
    lambda given: select(Tenant.id, Tenant.name, Tenant.currency, Tenant.settings, IN_FORCE.label("directives")).where(
        Tenant.id == bindparam("tenant_id")
    )
)


async def profile(session: AsyncSession, tenant_id: UUID) -> TenantProfile:
    asked = PROFILE(tenant_id=tenant_id)
    tenant = (await session.execute(asked.statement.query, asked.values)).one_or_none()
    if tenant is None:
        raise NotFound(f"tenant {tenant_id} does not exist")
    return profile_of(tenant)


def profile_of(tenant: Any) -> TenantProfile:
    """From a row that answers `PROFILE`."""
    return TenantProfile(
        id=tenant.id,
        name=tenant.name,
        currency=tenant.currency,
        settings=TenantSettings.model_validate(tenant.settings),
        directives=tuple(Directive.model_validate(each) for each in tenant.directives or ()),
    )
