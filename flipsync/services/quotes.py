"""From rows to prices: gathers what the pricing policy and the price firewall need to know about a listing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import RivalOffer, Vendor
from flipsync.domain.decisions import PolicyChoice
from flipsync.domain.directives import Directive, bearing
from flipsync.domain.money import Money
from flipsync.services.fees.schedules import published_schedule
from flipsync.services.grounds import GoodsRow, Ground, MarginGround, PriceGround
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.policy_choice import SHIPPED, Staged, choose, read_version
from flipsync.services.policy_staging import acting
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import (
    FeeSchedule,
    percentage_plus_fixed,
)
from flipsync.services.pricing.marketplace_limits import market_limits
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.proposal import PriceProposal
from flipsync.services.pricing.quote import PolicySettings, PricePeriod, Quote, QuoteRequest
from flipsync.services.tenant_settings import PricingChoices, TenantProfile
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.repositories.price_brakes import CatalogueSize, HourOfMoves
from flipsync.store.repositories.pricing import PriceRow

WINDOW = timedelta(days=14)
_RETURN_WINDOW = timedelta(days=2)
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
    """What the firewall has to know to judge `price` for this listing. `row` holds the price changes of `WINDOW`."""

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


def _stays(row: PriceRow, choices: PricingChoices, now: datetime) -> bool:
    """Whether the price was set by hand on the channel and may stand: not once it is below the firewall's floor."""
    price = row.by_hand_minor
    if price is None or price != row.current_minor:
        return False
    return price >= lowest_price(row, choices, now)


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

    last_sale = row.sales[-1].at if row.sales else row.published_at
    recent = [old for at, old, _ in row.changes if at >= now - _RETURN_WINDOW and old is not None]
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
            )
            for rival in row.rivals
        ),
        history=_periods(row, now),
        stock=row.entitled,
        days_since_last_sale=max(0.0, (now - last_sale) / timedelta(days=1)),
        recent_prices=tuple(Money(amount_minor=minor, currency=here) for minor in recent),
    )


def _periods(row: PriceRow, now: datetime) -> tuple[PricePeriod, ...]:
    """Prices of the window with what they sold while they held. Hours without stock are unknown, count as exposed."""
    assert row.current_minor is not None and row.published_at is not None
    start = max(row.published_at, now - WINDOW)
    starts: list[tuple[datetime, int]] = []
    for at, old, new in row.changes:
        if not starts and old is not None and at > start:
            starts.append((start, old))
        starts.append((max(at, start), new))
    if not starts:
        starts = [(start, row.current_minor)]
    periods = []
    for index, (begin, price) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else now
        hours = (end - begin) / timedelta(hours=1)
        last = index + 1 == len(starts)
        units = sum(sale.units for sale in row.sales if begin <= sale.at and (last or sale.at < end))
        if hours > 0:
            money = Money(amount_minor=price, currency=row.currency)
            periods.append(PricePeriod(price=money, units=units, exposure_hours=hours))
    return tuple(periods)


def _bound(row: PriceRow, request: QuoteRequest, now: datetime, directives: Sequence[Directive]) -> ListingQuote | None:
    """The quote where a directive says how the listing is priced; None where none does. To hold goes before all."""

    def quoted(directive: Directive, quote: Quote) -> ListingQuote:
        return ListingQuote(
            row.listing_id, row.account_id, row.vendor, row.sku, quote, row.entitled, directive=directive
        )

    if (held := bearing(directives, now, "hold-prices", row.account_id, row.category)) is not None:
        stays = SHIPPED.rule.quote_at(request, request.current)
        if stays is None:  # out of its bounds: no directive keeps it there
            return None
        return quoted(held, stays.model_copy(update={"reason": f"A directive holds the price: {held.reason}"}))
    if (clear := bearing(directives, now, "clear-stock", row.account_id, row.category)) is not None:
        assert clear.patience_days is not None, "checked by its terms"
        quote = _impatient(clear.patience_days).quote(request)
        words = f"{quote.reason} A directive clears stock: {clear.reason}"
        return quoted(clear, quote.model_copy(update={"reason": words}))
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
    quotes = []
    for row in rows:
        if row.status != "active" or _stays(row, choices, now):
            continue
        request = request_for(row, choices, now)
        if request is not None and directives and (bound := _bound(row, request, now, directives)) is not None:
            quotes.append(bound)
        elif request is not None:
            changed = [at for at, old, _ in row.changes if old is not None]
            policy, quote, made = choose(staged, row.listing_id, request, choices, now, changed)
            quotes.append(
                ListingQuote(
                    row.listing_id, row.account_id, row.vendor, row.sku, quote, row.entitled, policy.version, made
                )
            )
    return quotes


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


class PricingDesk:
    """Quotes for listings, from one read-only transaction."""

    def __init__(
        self,
        session: AsyncSession,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        expected: Collection[UUID] = (),
        note: Callable[[Ground], None] = lambda _: None,
    ) -> None:
        """`expected`: listings that will be asked about, read together at the first question about one of them.

        `note` is told what each answer is worked out from.
        """
        self._session = session
        self._now = now
        self._profile = profile
        self._staged: Staged | None = None
        self._expected = expected
        self._rows: dict[UUID, PriceRow] | None = None
        self._note = note

    async def quote(self, listing_id: UUID) -> ListingQuote | None:
        """The next price of one listing; None when it has no price on its channel yet."""
        if listing_id in self._expected:
            if self._rows is None:
                self._rows = {row.listing_id: row for row in await self._read(list(self._expected))}
            row = self._rows.get(listing_id)
            quotes = await self._quotes([row] if row else [])
        else:
            quotes = await self._quotes(await self._read([listing_id]))
        return quotes[0] if quotes else None

    async def price_shown(self, listing_id: UUID) -> Money | None:
        """What the channel shows of a listing that is on sale."""
        found = await self._read([listing_id])
        if not found or found[0].status != "active" or found[0].current_minor is None:
            return None
        return Money(amount_minor=found[0].current_minor, currency=found[0].currency)

    async def quote_variant(self, variant_id: UUID) -> list[ListingQuote]:
        """The next prices of all listings of a variant."""
        listings = await pricing_rows.listings_of_variant(self._session, variant_id)
        return await self._quotes(await self._read(listings) if listings else [])

    async def quote_all(self) -> list[ListingQuote]:
        """The next price of every active listing."""
        return await self._quotes(await self._read(None))

    async def list_margins(self, product_id: UUID, vendors: Sequence[tuple[UUID, str, str]]) -> list[ListMargin]:
        """Net profit of one sale at list price, per variant and account given as (id, vendor, currency)."""
        choices = (await self._profile()).settings.pricing
        variants = [
            GoodsRow(variant.sku, variant.price_minor, variant.cost_minor)
            for variant in await pricing_rows.variants_of_product(self._session, product_id)
        ]
        self._note(MarginGround(choices, variants))
        return margins_from(variants, vendors, choices, self._now)

    async def _read(self, listing_ids: Sequence[UUID] | None) -> list[PriceRow]:
        return await pricing_rows.rows(self._session, since=self._now - WINDOW, listing_ids=listing_ids)

    async def _quotes(self, rows: Sequence[PriceRow]) -> list[ListingQuote]:
        profile = await self._profile()
        choices = profile.settings.pricing
        if not rows:
            self._note(PriceGround(choices, []))
            return []
        staged = await self._policies()
        canary, shadow = (each.id if each else None for each in (staged.canary, staged.shadow))
        bound = profile.directives
        self._note(PriceGround(choices, list(rows), staged.live.id, canary, shadow, bound))
        return quotes_from(rows, choices, self._now, staged, bound)

    async def _policies(self) -> Staged:
        """What the registry says at the first question: part of what the decision read."""
        if self._staged is None:
            read, _ = await acting(self._session, ShopPrice.kind, read_version)
            self._staged = Staged(read.get("live") or SHIPPED, read.get("canary"), read.get("shadow"))
        return self._staged
