"""From rows to prices: gathers what the pricing policy and the price firewall need to know about a listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import cast
from uuid import UUID

from flipsync.domain.channel import RivalOffer, Vendor
from flipsync.domain.decisions import PolicyChoice
from flipsync.domain.directives import Directive, bearing
from flipsync.domain.money import Money
from flipsync.services.fees.schedules import published_schedule
from flipsync.services.grounds import GoodsRow
from flipsync.services.policy_choice import SHIPPED, Staged, choose
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import (
    FeeSchedule,
    percentage_plus_fixed,
)
from flipsync.services.pricing.history import days_without_sale, left_lately, spans
from flipsync.services.pricing.marketplace_limits import market_limits
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.proposal import PriceProposal
from flipsync.services.pricing.quote import PolicySettings, PricePeriod, Quote, QuoteRequest
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.price_brakes import CatalogueSize, HourOfMoves
from flipsync.store.repositories.pricing import PriceRow

#: of price changes that the firewall adds up
WINDOW = timedelta(days=14)
_DAY = timedelta(hours=24)
_SINCE = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ListingQuote:
    """A quote with the listing it is for."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    sku: str
    quote: Quote
    units_on_offer: int
    #: of the policy that chose it ("as shipped" for the rule in the code), and what is kept of its choice and of those
    #: that looked on
    policy_version: str = SHIPPED.version
    choices: tuple[PolicyChoice, ...] = ()
    #: what bound it
    directive: Directive | None = None


@dataclass(frozen=True)
class Asked:
    """A quote with what it was worked out from: the question, and the rule that answered."""

    listing: ListingQuote
    request: QuoteRequest
    rule: PricingPolicy


@dataclass(frozen=True)
class ListMargin:
    """What one sale of a variant at its list price would earn on an account; None where cost or price is unknown."""

    account_id: UUID
    sku: str
    net: Money | None


def fee_schedule(vendor: str, currency: str, choices: PricingChoices) -> FeeSchedule | None:
    """All fees of an account's orders: the vendor's published ones, for how the owner says the account sells."""
    profile = choices.fees.get(vendor)
    published = published_schedule(vendor, currency, profile)
    if published is not None or profile is not None:
        return published  # None: the owner told how it sells, and the tables do not know that
    return percentage_plus_fixed(
        cast(Vendor, vendor),
        Decimal(choices.marketplace_fee_bps),
        Money(amount_minor=choices.marketplace_fee_fixed_minor, currency=currency),
        valid_from=_SINCE,
        source="the owner's setting pricing.marketplace_fee_bps",
    )


def ceiling_of(row: PriceRow, choices: PricingChoices) -> int | None:
    """The owner's ceiling, else a multiple of the list price; None when neither is known."""
    if row.ceiling_minor is not None:
        return row.ceiling_minor
    return None if row.list_minor is None else row.list_minor * choices.default_ceiling_bps // 10_000


def proposal_for(
    row: PriceRow,
    price: Money,
    choices: PricingChoices,
    now: datetime,
    hour: HourOfMoves,
    *,
    released: bool = False,
) -> PriceProposal:
    """What the firewall has to know to judge `price` for this listing. `row` holds at least the changes of `WINDOW`."""

    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(amount_minor=minor, currency=row.variant_currency)

    here = row.currency
    here_money = partial(Money, currency=here)
    moves = [(at, old, new) for at, old, new in row.changes if at >= now - WINDOW and old is not None]
    day = [abs(new - old) for at, old, new in moves if at >= now - _DAY]
    lowest, highest = market_limits(row.vendor, here)
    return PriceProposal(
        listing_id=row.listing_id,
        channel_currency=here,
        current=None if row.current_minor is None else Money(amount_minor=row.current_minor, currency=here),
        proposed=price,
        unit_cost=money(row.cost_minor),
        cost_as_of=row.cost_as_of,
        fees=fee_schedule(row.vendor, here, choices),
        shipping_cost=Money(amount_minor=choices.shipping_cost_minor, currency=here),
        shipping_charged=Money(amount_minor=choices.shipping_charged_minor, currency=here),
        tax_bps=choices.tax_bps,
        floor=money(row.floor_minor),
        ceiling=money(ceiling_of(row, choices)),
        min_margin=Money.zero(here),
        min_margin_bps=choices.min_margin_bps,
        max_step_up_bps=choices.max_step_up_bps,
        max_step_down_bps=choices.max_step_down_bps,
        changes_24h=len(day),
        moved_24h=here_money(amount_minor=sum(day)),
        travel_14d=here_money(amount_minor=sum(abs(new - old) for _, old, new in moves)),
        start_14d=here_money(amount_minor=moves[0][1] if moves else row.current_minor or price.amount_minor),
        market_floor=lowest,
        market_ceiling=highest,
        # the listing asked about is one of them, on sale yet or not
        catalogue_listings=max(hour.size.listings, 1),
        catalogue_value=here_money(amount_minor=max(hour.size.value_minor, price.amount_minor)),
        catalogue_moved_1h=hour.others_moved,
        at_risk_1h=here_money(amount_minor=hour.at_risk_minor),
        released=released,
        quantity=max(row.entitled, 1),
    )


def is_priced(row: PriceRow, choices: PricingChoices, now: datetime) -> bool:
    """Whether prices are chosen for it: on sale, and not at a price that was set by hand on the channel, which stands
    unless it is below the firewall's floor."""
    if row.status != "active":
        return False
    price = row.by_hand_minor
    return price is None or price != row.current_minor or price < lowest_price(row, choices, now)


def lowest_price(row: PriceRow, choices: PricingChoices, now: datetime) -> int:
    """The lowest price of the listing that the firewall would let through: minor units of the listing's currency."""
    nothing_moved = HourOfMoves(CatalogueSize(1, 0), 0, 0)  # brakes look at moves, not at floors
    return proposal_for(row, Money(amount_minor=1, currency=row.currency), choices, now, nothing_moved).lowest(now)


def request_for(row: PriceRow, choices: PricingChoices, now: datetime) -> QuoteRequest | None:
    """What the policy looks at; None for a listing that has no price yet."""
    if row.current_minor is None or row.published_at is None:
        return None
    here = row.currency

    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(amount_minor=minor, currency=row.variant_currency)

    return QuoteRequest(
        current=Money(amount_minor=row.current_minor, currency=here),
        at=now,
        unit_cost=money(row.cost_minor),
        shipping_cost=Money(amount_minor=choices.shipping_cost_minor, currency=here),
        shipping_charged=Money(amount_minor=choices.shipping_charged_minor, currency=here),
        tax_bps=choices.tax_bps,
        fees=fee_schedule(row.vendor, here, choices),
        floor=money(row.floor_minor),
        ceiling=money(ceiling_of(row, choices)),
        min_margin=Money.zero(here),
        min_margin_bps=choices.min_margin_bps,
        max_step_up_bps=choices.max_step_up_bps,
        max_step_down_bps=choices.max_step_down_bps,
        rivals=tuple(
            RivalOffer(
                sku=row.sku,
                seller=rival.seller,
                price=Money(amount_minor=rival.price_minor, currency=here),
                in_stock=rival.in_stock,
                seen_at=now,
                featured=rival.featured,
            )
            for rival in row.rivals
        ),
        history=tuple(
            PricePeriod(price=Money(amount_minor=price, currency=here), units=units, exposure_hours=hours)
            for price, units, hours in spans(row, now)
        ),
        stock=row.entitled,
        days_since_last_sale=days_without_sale(row, now),
        restock_days=row.restock_days,
        recent_prices=tuple(Money(amount_minor=minor, currency=here) for minor in left_lately(row, now)),
    )


def _bound(row: PriceRow, request: QuoteRequest, now: datetime, directives: Sequence[Directive]) -> Asked | None:
    """The quote where a directive says how the listing is priced; None where none does. To hold goes before all."""

    def asked(directive: Directive, quote: Quote, rule: PricingPolicy) -> Asked:
        listing = ListingQuote(
            row.listing_id, row.account_id, row.vendor, row.sku, quote, row.entitled, directive=directive
        )
        return Asked(listing, request, rule)

    if (held := bearing(directives, now, "hold-prices", row.account_id, row.category)) is not None:
        stays = SHIPPED.rule.quote_at(request, request.current)
        if stays is None:  # out of its bounds: no directive keeps it there
            return None
        quote = stays.model_copy(update={"reason": f"A directive holds the price: {held.reason}"})
        return asked(held, quote, SHIPPED.rule)
    if (clear := bearing(directives, now, "clear-stock", row.account_id, row.category)) is not None:
        assert clear.patience_days is not None, "checked by its terms"
        rule = _impatient(clear.patience_days)
        quote = rule.quote(request)
        words = f"{quote.reason} A directive clears stock: {clear.reason}"
        return asked(clear, quote.model_copy(update={"reason": words}), rule)
    return None


@lru_cache(maxsize=64)
def _impatient(patience_days: int) -> PricingPolicy:
    """The shipped rule for somebody who waits so long for money: what sells sooner counts for more."""
    return PricingPolicy(PolicySettings(patience_days=float(patience_days)))


def quotes_from(
    rows: Sequence[PriceRow],
    choices: PricingChoices,
    now: datetime,
    staged: Staged,
    directives: Sequence[Directive] = (),
) -> list[ListingQuote]:
    """The next prices of those of the listings that are on sale, have a price, and are not priced by hand."""
    priced = (row for row in rows if is_priced(row, choices, now))
    found = (asked_of(row, choices, now, staged, directives) for row in priced)
    return [each.listing for each in found if each is not None]


def asked_of(
    row: PriceRow, choices: PricingChoices, now: datetime, staged: Staged, directives: Sequence[Directive] = ()
) -> Asked | None:
    """The next price of one listing; None for one that has no price yet."""
    request = request_for(row, choices, now)
    if request is None:
        return None
    if directives and (bound := _bound(row, request, now, directives)) is not None:
        return bound
    changed = [at for at, old, _ in row.changes if old is not None]
    policy, quote, made = choose(staged, row.listing_id, request, choices, now, changed)
    listing = ListingQuote(
        row.listing_id, row.account_id, row.vendor, row.sku, quote, row.entitled, policy.version, made
    )
    return Asked(listing, request, policy.rule)


def margins_from(
    variants: Sequence[GoodsRow], vendors: Sequence[tuple[UUID, str, str]], choices: PricingChoices, now: datetime
) -> list[ListMargin]:
    """Net profit of one sale at list price, per variant and account given as (id, vendor, currency)."""
    found = []
    for variant in variants:
        for account_id, vendor, currency in vendors:
            fees = fee_schedule(vendor, currency, choices)
            if variant.price_minor is None or not variant.cost_minor or fees is None:
                found.append(ListMargin(account_id, variant.sku, None))
                continue
            economics = UnitEconomics(
                terms=fees.terms(now),
                unit_cost=variant.cost_minor,
                shipping_cost=choices.shipping_cost_minor,
                shipping_charged=choices.shipping_charged_minor,
                tax_bps=choices.tax_bps,
                min_margin=0,
                margin_bps=choices.min_margin_bps,
            )
            net = Money(amount_minor=economics.net(variant.price_minor), currency=currency)
            found.append(ListMargin(account_id, variant.sku, net))
    return found
