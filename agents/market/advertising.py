"""AdvertisingAgent: which ad rate each listing has, where ads are paid by the sale."""

from __future__ import annotations

from flipsync.domain.advertising import AdsRead, AdvertisedStockTurned, PullAds, SetAdRate
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted
from flipsync.domain.money import Money, usd
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Budget, Context
from flipsync.services.advertising.desk import AdReview

#: days of fees that are at stake by a rate: after that it has been looked at many times
_STAKE_DAYS = 14


class AdvertisingAgent(Agent[CycleStarted | AdsRead | AdvertisedStockTurned]):
    """Chooses the rates that leave most after all fees; stops at once what cannot be shipped, and brings it back."""

    spec = AgentSpec(
        name="advertising",
        ecosystem="market",
        version="2",
        reports_to="market",
        # a rate costs nothing until it sells, and is looked at again every day
        authority=Authority(auto_above=0.5, max_stake=usd("500.00")),
        budget=Budget(effects_per_hour=2_000),
        batch=8,
    )

    async def decide(
        self, event: CycleStarted | AdsRead | AdvertisedStockTurned, ctx: Context
    ) -> Decision[SetAdRate | PullAds]:
        if isinstance(event, AdvertisedStockTurned):
            return await self._turned(event, ctx)
        mode = (await ctx.services.profile()).settings.advertising.mode
        if isinstance(event, AdsRead):
            # looked at also where there are to be none: so it can be told later what would have been
            reviewed = _reviewed(await ctx.services.advertising.review(event.account_id))
            off = Decision[SetAdRate].hold("the owner wants no ads of ours (advertising.mode is off)")
            return off if mode == "off" else reviewed
        if event.cycle != "daily" or event.tenant_id != ctx.tenant_id:
            return Decision.hold("ads are looked at once a day")
        accounts, ended = await ctx.services.advertising.accounts(), await self._end_all(ctx)
        if mode == "off":
            return ended
        if not accounts:
            return Decision.hold("no account has ads that are paid by the sale")
        return Decision.propose(
            *(PullAds(account_id=each) for each in accounts), why="a day is over: what ads sold and cost is asked"
        )

    async def _turned(self, event: AdvertisedStockTurned, ctx: Context) -> Decision[SetAdRate]:
        """The last unit went, or the first one came; what is so by now counts, not what was told."""
        stands = await ctx.services.advertising.goods(event.stock_item_id)
        mode = (await ctx.services.profile()).settings.advertising.mode
        evidence = [Evidence(kind="listing", id=each.listing_id, note=each.sku) for each in stands]
        ending = [each for each in stands if each.rate_bps and (not each.available or each.status != "active")]
        back = [each for each in stands if not each.rate_bps and each.available and each.status == "active"]
        if mode == "off":
            back = []
        if not ending and not back:
            return Decision.hold("no ad has to end or can come back", evidence=evidence)
        commands = [
            SetAdRate(
                account_id=each.account_id,
                listing_id=each.listing_id,
                rate_bps=0,
                was_bps=each.rate_bps,
                resume_bps=each.rate_bps if each.status == "active" else 0,
                cause="stock",
            )
            for each in ending
        ] + [
            SetAdRate(
                account_id=each.account_id,
                listing_id=each.listing_id,
                rate_bps=each.resume_bps,
                was_bps=0,
                cause="stock",
            )
            for each in back
        ]
        why = "there is nothing to ship: what cannot be shipped is not advertised"
        if back:
            why = f"{back[0].available} units can be shipped again: the ad comes back at the rate it had"
        return Decision.propose(*commands, why=why, confidence=0.95, evidence=evidence)

    async def _end_all(self, ctx: Context) -> Decision[SetAdRate]:
        own = await ctx.services.advertising.own()
        if not own:
            return Decision.hold("the owner wants no ads of ours (advertising.mode is off), and there are none")
        return Decision.propose(
            *(
                SetAdRate(
                    account_id=each.account_id,
                    listing_id=each.listing_id,
                    rate_bps=0,
                    was_bps=each.rate_bps,
                    cause="off",
                )
                for each in own
            ),
            why=f"the owner wants no ads of ours (advertising.mode is off): {len(own)} end",
            confidence=0.95,
            evidence=[Evidence(kind="listing", id=each.listing_id, note=each.sku) for each in own[:50]],
        )


def _reviewed(review: AdReview) -> Decision[SetAdRate]:
    looked = f"{review.looked} listings looked at, {review.advertised} advertised, {review.tried} with days of ads"
    unfit = "; ".join(f"{count} {why}" for why, count in sorted(review.unfit.items()))
    if unfit:
        looked += f" ({unfit})"
    if review.budget_minor is not None:
        spent, budget = (
            Money(amount_minor=each, currency=review.currency) for each in (review.spent_minor, review.budget_minor)
        )
        looked += f"; {spent} of the month's {budget} spent"
    if not review.moves:
        return Decision.hold(f"every rate is right as it is: {looked}"[:900])
    stake = round(_STAKE_DAYS * sum(each.fees for each in review.moves))
    first = review.moves[-1]
    more = f"; {review.left} that bring less wait for tomorrow" if review.left else ""
    return Decision.propose(
        *(
            SetAdRate(
                account_id=review.account_id,
                listing_id=each.listing_id,
                rate_bps=each.rate_bps,
                was_bps=each.was_bps,
                resume_bps=each.resume_bps,
                cause=each.cause,
            )
            for each in review.moves
        ),
        why=f"{len(review.moves)} rates change{more}: {looked}. {first.sku}: {first.why}"[:900],
        confidence=round(sum(each.chance for each in review.moves) / len(review.moves), 4),
        evidence=[
            Evidence(kind="listing", id=each.listing_id, note=f"{each.sku}: {each.why}"[:200])
            for each in review.moves[:50]
        ],
        alternatives=tuple(
            Alternative(
                name=f"{each.sku}: {each.was_bps / 100:.1f} % → {each.rate_bps / 100:.1f} %",
                scores={f"{rate / 100:.1f} %": profit for rate, profit in each.curve}
                | {"chance": each.chance, "fees_a_day": each.fees},
                why=each.why[:500],
                chosen=True,
            )
            for each in review.moves[:20]
        ),
        stake=Money(amount_minor=stake, currency=review.currency),
        source="policy",
    )
