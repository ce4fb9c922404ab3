"""What agents ask about the state of listings, from the books: how good each is, and what is to be done about it.

Channels are not asked: what they refuse, and what they were told, is in the books already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Offer
from flipsync.domain.listing_care import (
    Check,
    FitListing,
    Need,
    OfferListingFix,
    OfferProductFacts,
)
from flipsync.domain.predictions import MENDED
from flipsync.services.listing_fixes import Action, Goods, goods_of, needs_of, offer_mark, plan
from flipsync.services.listing_rules import Family, Quality, Seen, judge
from flipsync.services.new_stock import words
from flipsync.services.offers import offer_of, with_fitted, with_overrides
from flipsync.store.repositories import listing_care as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import new_stock as new_stock_rows
from flipsync.store.repositories.listing_care import Row

#: listings of a look, in pages of so many, and those that something is done about by it
BATCH, PAGE, MOST = 4_000, 500, 100
#: how far back sales count
_WEEKS = 8
#: weeks of its like's sales that count beside a listing's own
_LIKE = 2
_WORDS = ("title", "description_html", "images", "specifics")
PROPOSED: Final = tuple(each.type_name() for each in (FitListing, OfferListingFix, OfferProductFacts))


@dataclass(frozen=True)
class Work:
    """A listing and what is to be done about it, the most worth first. `offer` is what its channel is to show once
    what needs nobody's word is done. `fresh` needs were not told, `over` ones are no more. `idle`: why nothing is."""

    listing_id: UUID
    account_id: UUID
    account: str
    vendor: str
    product_id: UUID
    title: str
    status: str
    currency: str
    score: float
    actions: tuple[Action, ...]
    fresh: tuple[Need, ...]
    over: tuple[Check, ...]
    offer: Offer | None
    idle: str = ""

    @property
    def lacks(self) -> bool:
        return bool(self.fresh or self.over or any(each.kind != "need" for each in self.actions))


@dataclass(frozen=True)
class ListingReview:
    """Of `looked` out of `listings`: the mean score, how many lack something, and those to see to now."""

    listings: int
    looked: int
    score: float
    lacking: int
    now: tuple[UUID, ...]


class ListingCareDesk:
    """Questions about what listings lack, from one read-only transaction."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def work(self, listing_id: UUID) -> Work | None:
        """None for a listing that is neither on sale nor refused, or on an account that is not connected."""
        found = await rows.some(self._session, [listing_id])
        told = await assess(self._session, found, self._now)
        if not told:
            return None
        work = told[0][1]
        return replace(work, actions=tuple(await self._written(work)))

    async def _written(self, work: Work) -> list[Action]:
        """The actions with the description that is to be written; without where nothing is known to write."""
        if all(each.kind != "content" for each in work.actions):
            return list(work.actions)
        found = await new_stock_rows.product(self._session, work.product_id)
        text = None if found is None else words(*found).description_html
        written = [replace(each, description_html=text) if each.kind == "content" else each for each in work.actions]
        return [each for each in written if each.kind != "content" or each.description_html is not None]

    async def review(self) -> ListingReview:
        """A bounded look, another part of a large business each week."""
        every = await rows.count(self._session)
        week = int(self._now.timestamp() // timedelta(weeks=1).total_seconds())
        after = await rows.nth(self._session, week * BATCH % every) if every > BATCH else None
        known: Goods | None = None
        found: list[tuple[tuple[bool, float, float], UUID]] = []
        looked, scores = 0, 0.0
        while looked < min(every, BATCH):
            page = await rows.page(self._session, after, min(PAGE, BATCH - looked))
            if not page:
                if after is None:
                    break
                after = None  # from the beginning again
                continue
            after = page[-1][0].id
            known = known or goods_of(await rows.goods(self._session))
            for _, work, quality in await assess(self._session, page, self._now, known):
                scores += quality.score
                if work.lacks:
                    best = max((each.worth for each in work.actions), default=(False, 0.0, 0.0))
                    found.append((best, work.listing_id))
            looked += len(page)
            self._session.expunge_all()
        found.sort(key=lambda each: (each[0], each[1]), reverse=True)
        chosen = tuple(listing_id for _, listing_id in found[:MOST])
        return ListingReview(every, looked, round(scores / looked, 3) if looked else 1.0, len(found), chosen)

    async def named(self, account_id: UUID, evidence: Collection[str]) -> list[UUID]:
        """Listings that a fault's evidence is about."""
        names = {f"{part[0]})" for each in evidence if len(part := each.split(")", 1)) == 2 and "(" in part[0]}
        return await rows.named(self._session, account_id, names) if names else []

    async def waiting(self, product_id: UUID) -> list[UUID]:
        """Listings of a product that may be mended by an edit of it."""
        return await rows.waiting(self._session, product_id)


async def assess(
    session: AsyncSession, found: Sequence[Row], now: datetime, goods: Goods | None = None
) -> list[tuple[Seen, Work, Quality]]:
    """Each listing as it is, what is to be done about it, and how good it is."""
    if not found:
        return []
    seen = await _seen(session, found, now)
    if goods is None:
        bare = any(each.offer is not None and not (each.offer.brand and each.offer.category) for each in seen)
        goods = goods_of(await rows.goods(session)) if bare else Goods()
    subjects = {each.listing_id for each in seen} | {each.product_id for each in seen}
    known = await rows.proposed(session, subjects, [*PROPOSED])
    came = await rows.outcomes(session, MENDED.kind)
    needs = await rows.open_needs(session, {each.listing_id for each in seen})
    told = []
    for each in seen:
        quality = judge(each)
        before = known.get(each.listing_id, set()) | known.get(each.product_id, set())
        actions = plan(each, quality, goods, before, came)
        open_ = needs.get(each.listing_id, {})
        now_needed = needs_of(actions)
        idle = _idle(each)
        over = () if idle else tuple(sorted(set(open_) - {need.check for need in now_needed}))
        fresh = tuple(need for need in now_needed if need.check not in open_ or open_[need.check].says != need.says)
        work = Work(
            listing_id=each.listing_id,
            account_id=each.account_id,
            account=each.account,
            vendor=each.vendor,
            product_id=each.product_id,
            title=(each.offer.title if each.offer is not None else each.sku)[:120],
            status=each.status,
            currency=each.currency,
            score=quality.score,
            actions=tuple(actions),
            fresh=fresh,
            over=cast(tuple[Check, ...], over),
            offer=_mended(each, actions),
            idle=idle,
        )
        told.append((each, work, quality))
    return told


def _idle(seen: Seen) -> str:
    if seen.edited:
        return "somebody edited it on the channel, and whose words it bears is not settled"
    if seen.busy:
        return "something is on its way to the channel"
    if not seen.published:
        return "its product is a draft"
    return "" if seen.offer is not None else "it has no price, so nothing can be offered"


def _mended(seen: Seen, actions: Sequence[Action]) -> Offer | None:
    """What the channel is to show, where something is told to it without anybody's word."""
    if seen.offer is None or seen.status != "active" or not any(each.kind in ("fit", "tell") for each in actions):
        return None
    titles = {of: to for each in actions if each.kind == "fit" for of, to in each.titles.items()}
    return with_fitted(seen.offer, {"titles": titles})


async def _seen(session: AsyncSession, found: Sequence[Row], now: datetime) -> list[Seen]:
    ids = [listing.id for listing, *_ in found]
    products = {product.id: product for _, _, product, _ in found}
    since: date = (now - timedelta(weeks=_WEEKS)).date()
    told = await rows.told(session, ids)
    variants = await rows.variants(session, products)
    several = [product_id for product_id, each in variants.items() if len(each) > 1]
    families = await rows.families(session, several) if several else {}
    sold = await rows.sales(session, since, {listing.sku for listing, *_ in found})
    usual = await rows.median_sales(session, since)
    read = await rows.read(session, products)
    seen = []
    for listing, variant, product, account in found:
        options = [each for _, each in variants[product.id]]
        plain = offer_of(variant, product, options)
        offer = None if plain is None else with_overrides(with_fitted(plain, listing.fitted), listing.overrides)
        last = told.get(listing.id, rows.Told())
        off = listing.status == "refused"
        was = None if last.refused is None else Offer.model_validate(last.refused)
        like = usual.get((account.id, listing.currency), 0.0) / _WEEKS
        own = sold.get((account.id, listing.sku, listing.currency), 0)
        for_sale, alone = families.get((product.id, account.id), (0, 0))
        names = set(product.option_names[:3])
        lacking = tuple(sku for sku, each in variants[product.id] if set(each) != names) if names else ()
        marks = listing.shown.get("marks", {})
        group = () if plain is None or plain.group is None else (plain.group.title,)
        seen.append(
            Seen(
                listing_id=listing.id,
                account_id=account.id,
                account=account.name,
                vendor=account.vendor,
                product_id=product.id,
                sku=listing.sku,
                status=listing.status,
                reason=listing.status_reason if off else last.detail,
                currency=listing.currency,
                titles=() if plain is None else (plain.title, *group),
                offer=offer,
                told=None if last.offer is None else Offer.model_validate(last.offer),
                # on a page that others described Amazon shows no words of ours
                own_words=last.offer is not None and (account.vendor != "amazon" or not marks or "title" in marks),
                overridden=frozenset(name for name in _WORDS if name in listing.overrides),
                edited=bool(listing.shown.get("told")),
                busy=last.busy,
                published=product.published,
                refused="" if was is None else offer_mark(was),
                family=Family(len(options), for_sale, alone, lacking if len(options) > 1 else ()),
                read=tuple((row["name"], row["value"]) for row in read.get(product.id, ())),
                # what sold nothing yet is taken for a little like others
                weekly_minor=round(like if off else (own + like * _LIKE) / (_WEEKS + _LIKE)),
            )
        )
    return seen


async def scores(session: AsyncSession, listing_ids: Collection[UUID], now: datetime) -> dict[UUID, tuple[str, float]]:
    """Status and score of listings now; what is neither on sale nor refused by its status alone."""
    found = await rows.some(session, listing_ids)
    told = {seen.listing_id: (seen.status, quality.score) for seen, _, quality in await assess(session, found, now)}
    for listing_id in set(listing_ids) - set(told):
        row = await listing_rows.get(session, listing_id)
        if row is not None:
            told[listing_id] = (row.status, 0.0)
    return told
