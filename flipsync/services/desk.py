"""What an agent sees: read-only questions, answered from one read-only transaction. Agents get nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Offer
from flipsync.intelligence.memory.port import Index
from flipsync.services.advertising.desk import AdvertisingDesk
from flipsync.services.brain import BrainDesk
from flipsync.services.buying_desk import PurchasingDesk
from flipsync.services.channel_pace import Pace, never_told, paces, racing
from flipsync.services.competitor_desk import CompetitorDesk
from flipsync.services.demand_desk import DemandDesk
from flipsync.services.grounds import Ground, PaceGround
from flipsync.services.language_desk import Asked, LanguageDesk
from flipsync.services.listing_care_desk import ListingCareDesk
from flipsync.services.model_review import ModelDesk
from flipsync.services.new_stock import NewStockDesk
from flipsync.services.offers import offer_of, with_fitted, with_overrides
from flipsync.services.oversold import Oversold, remedies
from flipsync.services.partition import Claim, escrow_shares
from flipsync.services.pricing_desk import PricingDesk
from flipsync.services.readings import ReadingDesk
from flipsync.services.resource_desk import ResourceDesk
from flipsync.services.sourcing.desk import SourcingDesk
from flipsync.services.standing_desk import GradeDesk
from flipsync.services.strategy_desk import StrategyDesk
from flipsync.services.tenant_settings import StockChoices, TenantProfile, profile, profile_of
from flipsync.services.transfer_desk import TransferDesk
from flipsync.services.trend_desk import TrendDesk
from flipsync.services.week_desk import WeekDesk
from flipsync.services.workflows import WorkflowDesk
from flipsync.store.models import Listing, Product, Variant
from flipsync.store.repositories import decisions as decision_rows
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories import inventory as inventory_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories.decisions import DecisionRow
from flipsync.store.repositories.inventory import ItemRow, OrderRow, ShareRow
from flipsync.store.repositories.listings import AccountRow


@dataclass(frozen=True)
class Odds:
    """That the next sale of a pooled item is one too many: as it is to be shown, and if every channel showed it all.

    `unseen` is the share of buyers it is not shown to, `rates` expected sales a day by listing, `sales` how many the
    delays were measured on, where fewest.
    """

    shown: float
    everywhere: float
    limit: float
    unseen: float
    rates: dict[UUID, float]
    sales: int


@dataclass(frozen=True)
class StockPicture:
    """One stock item, its listings, and the shares it should be split into. Units."""

    item: ItemRow
    listings: tuple[ShareRow, ...]
    shares: dict[UUID, int]
    available: int
    odds: Odds | None = None

    def changed(self) -> dict[UUID, int]:
        """Listings whose channel has to be told something else than what it is entitled to show now."""
        changed = {}
        for row in self.listings:
            share = self.shares[row.listing_id]
            shows_other = row.quantity_shown != share
            if row.listing_status == "active" and (row.entitled != share or row.pending or shows_other):
                changed[row.listing_id] = share
        return changed


@dataclass(frozen=True)
class RequestedOffer:
    """A listing that waits to be published, with what to show."""

    listing_id: UUID
    offer: Offer | None
    blocked: str = ""


def picture_from(
    item: ItemRow, rows: tuple[ShareRow, ...], settings: StockChoices, known: Mapping[UUID, Pace]
) -> StockPicture:
    """The shares of an item; `known` is how fast the accounts of a pooled one are."""
    on_shelf = item.on_hand if item.pending_count is None else min(item.on_hand, item.pending_count)
    available = max(0, on_shelf - item.reserved - item.owed)
    selling = [row for row in rows if row.listing_status == "active" and row.account_status == "connected"]
    odds = None
    if item.mode == "pooled":
        stuck = [row for row in rows if row not in selling and row.listing_status == "active" and row.entitled]
        shares, odds = _pooled(available, selling, stuck, settings, known)
    else:
        # units of listings that cannot be written to now are still theirs: nobody else may sell them
        theirs = sum(row.entitled for row in rows if row not in selling)
        # what was decided counts, not how far its carrying out has come: else two decisions undo each other
        claims = [Claim(row.listing_id, 1.0 + row.sold, row.target) for row in selling]
        shares = escrow_shares(available - theirs, claims)
    for row in rows:
        shares.setdefault(row.listing_id, row.entitled)
    return StockPicture(item, rows, shares, available, odds)


def _pooled(
    available: int,
    selling: Sequence[ShareRow],
    stuck: Sequence[ShareRow],
    choices: StockChoices,
    known: Mapping[UUID, Pace],
) -> tuple[dict[UUID, int], Odds | None]:
    """What each listing shows of a shared shelf, and the odds that this is too much."""
    if not selling or available <= choices.pooled_reserve:
        return {row.listing_id: 0 for row in selling}, None
    from flipsync.services.oversell import quantities_to_show  # brings numpy, which the other agents do without

    rows = [*selling, *stuck]
    fast = [known.get(row.account_id, Pace()) for row in rows]
    sold, on_show = [row.ever_sold for row in rows], [row.on_show for row in rows]
    goods, racers = racing(fast, sold, on_show, choices.demand_window_days)
    sellers = racers[: len(selling)]
    found = quantities_to_show(
        available,
        goods,
        sellers,
        choices.oversell_limit,
        held_back=choices.pooled_reserve,
        stuck=[(never_told(one), row.entitled) for one, row in zip(racers[len(selling) :], stuck, strict=True)],
    )
    rates = {row.listing_id: goods.rate * one.weight * 86_400 for row, one in zip(selling, sellers, strict=True)}
    shares = {row.listing_id: units for row, units in zip(selling, found.quantities, strict=True)}
    measured = min(pace.sales for pace in fast)
    return shares, Odds(found.odds, found.odds_everywhere, choices.oversell_limit, found.unseen, rates, measured)


class StockDesk:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._expected: dict[UUID, tuple[ItemRow, tuple[ShareRow, ...]]] | None = None
        self._paces: dict[UUID, Pace] | None = None

    async def picture(self, stock_item_id: UUID) -> StockPicture | None:
        settings = (await self._services.profile()).settings.stock
        found = (await self._items(stock_item_id, settings.demand_window_days)).get(stock_item_id)
        if found is None:
            return None
        item, rows = found
        known: dict[UUID, Pace] = {}
        if item.mode == "pooled":
            if self._paces is None:
                self._paces = await paces(self._services.session)
            known = {row.account_id: self._paces[row.account_id] for row in rows if row.account_id in self._paces}
        self._services.note(PaceGround(settings, known))
        return picture_from(item, rows, settings, known)

    async def _items(self, stock_item_id: UUID, window: int) -> dict[UUID, tuple[ItemRow, tuple[ShareRow, ...]]]:
        session, now = self._services.session, self._services.now
        since = now - timedelta(days=window)
        if stock_item_id not in self._services.expected:
            return await inventory_rows.items(session, [stock_item_id], since=since, now=now)
        if self._expected is None:
            self._expected = await inventory_rows.items(session, self._services.expected, since=since, now=now)
        return self._expected

    async def item_of_listing(self, listing_id: UUID) -> UUID | None:
        return await inventory_rows.item_of_listing(self._services.session, listing_id)

    async def short_orders(self, stock_item_id: UUID) -> Sequence[UUID]:
        """Orders waiting for units of this item, oldest first."""
        return await inventory_rows.short_orders(self._services.session, stock_item_id)


def _offer(listing: Listing, variant: Variant, product: Product, choices: Sequence[Mapping[str, Any]]) -> Offer | None:
    offer = offer_of(variant, product, choices)
    return None if offer is None else with_overrides(with_fitted(offer, listing.fitted), listing.overrides)


class ListingDesk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def products_not_on(self, account_id: UUID) -> Sequence[UUID]:
        return await listing_rows.products_not_on(self._services.session, account_id)

    async def can_list(self, product_id: UUID, account_id: UUID) -> int:
        """How many variants of the product the account does not list."""
        return len(await listing_rows.variants_to_list(self._services.session, product_id, account_id))

    async def requested(self, product_id: UUID, account_id: UUID) -> list[RequestedOffer]:
        """What to publish of a product on an account; variants without a price say why they cannot be."""
        rows = await listing_rows.requested(self._services.session, product_id, account_id)
        choices = await listing_rows.choices_of(self._services.session, product_id) if rows else []
        return [
            RequestedOffer(listing.id, offer, "" if offer else "no price: set one for the variant")
            for listing, variant, product in rows
            for offer in [_offer(listing, variant, product, choices)]
        ]

    async def outdated(self, listing_id: UUID) -> OutdatedListing | None:
        """What the listing should show, beside what its channel was told and whether it is on sale."""
        found = await listing_rows.with_goods(self._services.session, listing_id)
        if found is None:
            return None
        listing, variant, product = found
        told = await effect_rows.offer_told(self._services.session, listing_id)
        choices = await listing_rows.choices_of(self._services.session, product.id)
        return OutdatedListing(
            account_id=listing.account_id,
            status=listing.status,
            published=product.published,
            offer=_offer(listing, variant, product, choices),
            told=Offer.model_validate(told) if told is not None else None,
        )


@dataclass(frozen=True)
class OutdatedListing:
    """A listing beside its goods. `told` is the offer its channel was last told, None when that is not known."""

    account_id: UUID
    status: str
    published: bool
    offer: Offer | None
    told: Offer | None

    @property
    def differs(self) -> bool:
        """Whether the channel has to be told; price and quantity have their own ways there."""
        if self.offer is None or self.told is None:
            return True
        apart: dict[str, object] = {"price": self.offer.price, "quantity": self.offer.quantity}
        if self.told.group is not None and self.offer.group is not None:
            apart["group"] = self.offer.group  # its words are the listing's too; a sibling's choices are no edit
        return self.told.model_copy(update=apart) != self.offer


class OrderDesk:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._expected: dict[UUID, OrderRow] | None = None

    async def get(self, order_id: UUID) -> OrderRow | None:
        if order_id not in self._services.expected:
            return (await inventory_rows.orders(self._services.session, [order_id])).get(order_id)
        if self._expected is None:
            self._expected = await inventory_rows.orders(self._services.session, self._services.expected)
        return self._expected.get(order_id)

    async def oversold(self, order_id: UUID) -> Oversold | None:
        """What can be done for an order of goods that are not there; None when it lacks nothing."""
        choices = (await self._services.profile()).settings.pricing
        return await remedies(self._services.session, order_id, choices, self._services.now)


class DecisionDesk:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._expected: dict[UUID, DecisionRow] | None = None

    async def get(self, decision_id: UUID) -> DecisionRow | None:
        if decision_id not in self._services.expected:
            return (await decision_rows.get_all(self._services.session, [decision_id])).get(decision_id)
        if self._expected is None:
            self._expected = await decision_rows.get_all(self._services.session, self._services.expected)
        return self._expected.get(decision_id)

    async def unanswered(self) -> Sequence[UUID]:
        """Decisions whose question to a person ran out of time, longest ago first; at most 200 at once."""
        return await decision_rows.unanswered(self._services.session, self._services.now, limit=200)


class AccountDesk:
    """Accounts as they are at the first question."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._all: Sequence[AccountRow] | None = None

    def forget(self) -> None:
        """They were changed in this transaction: the next question looks again."""
        self._all = None

    async def all(self) -> Sequence[AccountRow]:
        if self._all is None:
            self._all = await listing_rows.accounts(self._services.session)
        return self._all

    async def connected(self) -> list[AccountRow]:
        return [account for account in await self.all() if account.status == "connected"]

    async def get(self, account_id: UUID) -> AccountRow | None:
        return next((account for account in await self.all() if account.id == account_id), None)


class Services:
    """The desks of one tenant, at one moment of business time."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, now: datetime) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.now = now
        self.expected: frozenset[UUID] = frozenset()
        self._profile: TenantProfile | None = None
        self._read: Any = None
        #: what is known of a language model; None: there is none
        self.asked: Asked | None = None
        #: the index of meanings; None: memories are looked for by their words
        self.index: Index | None = None
        #: what the newest answer was worked out from, where that is kept
        self.ground: Ground | None = None

    def note(self, ground: Ground) -> None:
        self.ground = ground

    def expect(self, subject_ids: Iterable[UUID]) -> None:
        """What will be asked about: the first question about one of these is answered for all of them, in one read."""
        self.expected = frozenset(subject_ids)

    @property
    def knows_profile(self) -> bool:
        """Whether anybody asked for it."""
        return self._profile is not None

    def expect_profile(self, row: Any) -> None:
        """It was read already: a row that answers `tenant_settings.PROFILE`."""
        self._read = row

    async def profile(self) -> TenantProfile:
        if self._profile is None and self._read is not None:
            self._profile, self._read = profile_of(self._read), None
        if self._profile is None:
            self._profile = await profile(self.session, self.tenant_id)
        return self._profile

    def forget_profile(self) -> None:
        """It was changed in this transaction: the next question looks again."""
        self._profile = self._read = None

    @cached_property
    def stock(self) -> StockDesk:
        return StockDesk(self)

    @cached_property
    def listings(self) -> ListingDesk:
        return ListingDesk(self)

    @cached_property
    def care(self) -> ListingCareDesk:
        return ListingCareDesk(self.session, self.now)

    @cached_property
    def orders(self) -> OrderDesk:
        return OrderDesk(self)

    @cached_property
    def decisions(self) -> DecisionDesk:
        return DecisionDesk(self)

    @cached_property
    def accounts(self) -> AccountDesk:
        return AccountDesk(self)

    @cached_property
    def models(self) -> ModelDesk:
        return ModelDesk(self.session, self.now, self.profile, self.note)

    @cached_property
    def grades(self) -> GradeDesk:
        return GradeDesk(self.session, self.tenant_id, self.now, self.profile, self.note)

    @cached_property
    def competitors(self) -> CompetitorDesk:
        return CompetitorDesk(self.session, self.now)

    @cached_property
    def demand(self) -> DemandDesk:
        return DemandDesk(self.session, self.now)

    @cached_property
    def language(self) -> LanguageDesk:
        return LanguageDesk(self.session, self.tenant_id, self.asked)

    @cached_property
    def brain(self) -> BrainDesk:
        return BrainDesk(self.session, self.tenant_id, self.now, self.profile, self.index)

    @cached_property
    def trends(self) -> TrendDesk:
        return TrendDesk(self.session, self.now)

    @cached_property
    def sourcing(self) -> SourcingDesk:
        return SourcingDesk(self.session, self.now, self.profile, self.note)

    @cached_property
    def readings(self) -> ReadingDesk:
        return ReadingDesk(self.session)

    @cached_property
    def advertising(self) -> AdvertisingDesk:
        return AdvertisingDesk(self.session, self.now, self.profile, self.note)

    @cached_property
    def weeks(self) -> WeekDesk:
        return WeekDesk(self.session, self.now)

    @cached_property
    def strategy(self) -> StrategyDesk:
        return StrategyDesk(self.session, self.tenant_id, self.now)

    @cached_property
    def resources(self) -> ResourceDesk:
        return ResourceDesk(self.session, self.tenant_id, self.profile, self.pricing.quote_all)

    @cached_property
    def purchasing(self) -> PurchasingDesk:
        return PurchasingDesk(self.session, self.now, self.profile, self.note)

    @cached_property
    def transfers(self) -> TransferDesk:
        return TransferDesk(self.session, self.tenant_id, self.now)

    @cached_property
    def pricing(self) -> PricingDesk:
        return PricingDesk(self.session, self.now, self.profile, self.expected, self.note)

    @cached_property
    def new_stock(self) -> NewStockDesk:
        return NewStockDesk(self.session, self.tenant_id, self.now, self.profile)

    @cached_property
    def workflows(self) -> WorkflowDesk:
        return WorkflowDesk(self.session)
