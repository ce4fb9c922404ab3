"""What agents ask about prices, answered from one read-only transaction."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.directives import Directive
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.money import Money
from flipsync.services.canary_budget import Spending
from flipsync.services.grounds import GoodsRow, Ground, MarginGround, PriceGround
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.policy_choice import SHIPPED, Staged, block_start, read_version
from flipsync.services.policy_staging import acting
from flipsync.services.pricing.bundles import MOST_PARTS, BundleQuote, Part, Together, quote_bundle
from flipsync.services.pricing.history import EVIDENCE
from flipsync.services.quotes import (
    Asked,
    ListingQuote,
    ListMargin,
    asked_of,
    is_priced,
    margins_from,
    quotes_from,
)
from flipsync.services.repricing import Repricing, repricing_from
from flipsync.services.tenant_settings import PricingChoices, TenantProfile
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import catalogue
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.repositories.pricing import PriceRow

#: in which orders are looked at for what is bought together
TOGETHER_WINDOW = timedelta(days=180)
#: what canaries had spent when their block began, by version, since when it is one, and block
_SPENT: dict[tuple[UUID, datetime, datetime], Spending] = {}
_SPENT_KEPT = 256


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

    async def asked(self, listing_id: UUID) -> Asked | None:
        """The next price of one listing with what it was worked out from; None when it has no price of ours."""
        found = await self._asked([listing_id])
        return found[0] if found else None

    async def asked_sku(self, sku: str) -> list[Asked]:
        """The same of all listings of a SKU. Raises NotFound for one that is not in the catalogue."""
        variant = (await catalogue.variants_by_sku(self._session, [sku], lock=False)).get(sku)
        if variant is None:
            raise NotFound(f"no variant has the SKU {sku}")
        return await self._asked(await pricing_rows.listings_of_variant(self._session, variant.id))

    async def bundle(self, quantities: Mapping[UUID, int], shipping_cost_minor: int | None = None) -> BundleQuote:
        """What these listings of one account, so many of each, should cost as one article.

        Raises NotFound for a listing that does not exist or has no price of ours, InvalidInput for listings of several
        accounts and whatever `quote_bundle` refuses.
        """
        if not 1 <= len(quantities) <= MOST_PARTS:
            raise InvalidInput(f"a bundle has 1 to {MOST_PARTS} different parts")
        found = {each.listing.listing_id: each for each in await self._asked(list(quantities))}
        if lacking := [str(listing_id) for listing_id in quantities if listing_id not in found]:
            raise NotFound(f"not on sale with a price that we choose: {', '.join(lacking)}")
        if len({each.listing.account_id for each in found.values()}) > 1:
            raise InvalidInput("the parts are on several accounts", hint="name listings of one account")
        parts = [
            Part(listing_id, found[listing_id].listing.sku, units, found[listing_id].request, found[listing_id].rule)
            for listing_id, units in quantities.items()
        ]
        currency = parts[0].request.current.currency
        parcel = None
        if shipping_cost_minor is not None:
            parcel = Money(amount_minor=shipping_cost_minor, currency=currency)
        seen = Together(*await pricing_rows.bought_together(self._session, self._now - TOGETHER_WINDOW, quantities))
        return quote_bundle(parts, seen, parcel)

    async def _asked(self, listing_ids: Sequence[UUID]) -> list[Asked]:
        rows = await self._read(listing_ids) if listing_ids else []
        choices, staged, bound = await self._grounds(rows)
        priced = (row for row in rows if is_priced(row, choices, self._now))
        found = (asked_of(row, choices, self._now, staged, bound) for row in priced)
        return [each for each in found if each is not None]

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

    async def repricing(self) -> Repricing:
        """What of the whole catalogue should move."""
        rows = await self._read(None)
        choices, staged, bound = await self._grounds(rows)
        # seconds for a hundred thousand listings, in which the agent has to say that it is alive
        return await asyncio.to_thread(repricing_from, rows, choices, self._now, staged, bound)

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
        since = self._now - EVIDENCE
        return await pricing_rows.rows(self._session, since=since, listing_ids=listing_ids, now=self._now)

    async def _quotes(self, rows: Sequence[PriceRow]) -> list[ListingQuote]:
        choices, staged, bound = await self._grounds(rows)
        return quotes_from(rows, choices, self._now, staged, bound)

    async def _grounds(self, rows: Sequence[PriceRow]) -> tuple[PricingChoices, Staged, tuple[Directive, ...]]:
        """What quotes for these rows are worked out from beside them; noted."""
        profile = await self._profile()
        choices = profile.settings.pricing
        if not rows:
            self._note(PriceGround(choices, []))
            return choices, Staged(), ()
        staged = await self._policies()
        canary, shadow = (each.id if each else None for each in (staged.canary, staged.shadow))
        bound = profile.directives
        self._note(PriceGround(choices, list(rows), staged.live.id, canary, shadow, bound, staged.spending))
        return choices, staged, profile.directives

    async def _policies(self) -> Staged:
        """What the registry says at the first question: part of what the decision read."""
        if self._staged is None:
            read, found = await acting(self._session, ShopPrice.kind, read_version)
            spent = await self._spending(found["canary"]) if "canary" in read else None
            self._staged = Staged(read.get("live") or SHIPPED, read.get("canary"), read.get("shadow"), spent)
        return self._staged

    async def _spending(self, canary: PolicyVersion) -> Spending:
        """What the canary cost, worked out once a block: a listing stays where it is for the whole of one."""
        key = canary.id, canary.staged_at, block_start(self._now)
        if key not in _SPENT:
            outcomes = importlib.import_module("flipsync.services.policy_outcomes")  # numpy: only beside a canary
            told: Spending = await outcomes.spending(self._session, canary.tenant_id, canary, self._now)
            while len(_SPENT) >= _SPENT_KEPT:
                _SPENT.pop(next(iter(_SPENT)))
            _SPENT[key] = told
        return _SPENT[key]
