"""MarketAgent: which product goes on which channel, and the word of its specialists' superior."""

from __future__ import annotations

from uuid import UUID

from flipsync.domain.commands import EndListing, EndorseDecision, ListOnChannel, OverruleDecision
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.directives import Directive, bearing
from flipsync.domain.events import DecisionEscalated, ListingsSurveyed, ListingUnwanted, ProductImported
from flipsync.domain.goals import BALANCED
from flipsync.domain.money import Money
from flipsync.intelligence.criteria import Option, choose
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.placement import places

#: below this a specialist's doubt is shared; above it the gain is worth the risk, since every price stays in bounds
_ENDORSE_FROM = 0.4
#: what doubt costs, so that an owner of balanced goals is indifferent at `_ENDORSE_FROM`
_DOUBT = BALANCED["profit"] * _ENDORSE_FROM / (BALANCED["risk"] * (1 - _ENDORSE_FROM))


class MarketAgent(Agent[ProductImported | ListingsSurveyed | ListingUnwanted | DecisionEscalated]):
    """Places products where a sale earns most, and decides for its specialists when they are unsure."""

    spec = AgentSpec(
        name="market",
        ecosystem="market",
        version="2",
        reports_to="executive",
        authority=Authority(auto_above=_ENDORSE_FROM),
        pace=0.25,
    )

    async def decide(
        self, event: ProductImported | ListingsSurveyed | ListingUnwanted | DecisionEscalated, ctx: Context
    ) -> Decision[ListOnChannel | EndListing | EndorseDecision | OverruleDecision]:
        if isinstance(event, DecisionEscalated):
            return await self._judge(event, ctx)
        if isinstance(event, ListingUnwanted):
            found = await ctx.services.listings.outdated(event.listing_id)
            if found is None or found.status != "active":
                return Decision.hold("the listing is not on sale")
            end = EndListing(account_id=found.account_id, listing_id=event.listing_id, reason=event.reason)
            listing = Evidence(kind="listing", id=event.listing_id)
            return Decision.propose(end, why=f"the owner wants it: {event.reason}", evidence=[listing])
        profile = await ctx.services.profile()
        by_hand = Decision[ListOnChannel].hold("the owner lists by hand (auto_list is off)")
        if isinstance(event, ListingsSurveyed) and not profile.settings.auto_list:
            return by_hand  # about all there is: too much to look at, and to keep, for nothing
        # one product is looked at all the same: so it can be told later what would have been
        decision = await self._list(event, profile.directives, ctx)
        return decision if profile.settings.auto_list else by_hand

    async def _list(
        self, event: ProductImported | ListingsSurveyed, directives: tuple[Directive, ...], ctx: Context
    ) -> Decision[ListOnChannel | EndListing | EndorseDecision | OverruleDecision]:
        if isinstance(event, ListingsSurveyed):
            products = await ctx.services.listings.products_not_on(event.account_id)
            others = set(await ctx.services.new_stock.being_listed())
            left = [each for each in products if each not in others]
            return await self._place(left, [event.account_id], directives, ctx)
        if await ctx.services.new_stock.looked_after(event.product_id, created=event.created):
            return Decision.hold("auto_listing looks after new stock, and after this until it is listed")
        accounts = [account.id for account in await ctx.services.accounts.connected()]
        return await self._place([event.product_id], accounts, directives, ctx)

    async def _place(
        self, products: list[UUID], accounts: list[UUID], directives: tuple[Directive, ...], ctx: Context
    ) -> Decision[ListOnChannel | EndListing | EndorseDecision | OverruleDecision]:
        chosen = [account for account in await ctx.services.accounts.connected() if account.id in set(accounts)]
        if not chosen:
            return Decision.hold("no channel is connected")
        chosen = [account for account in chosen if account.surveyed]
        if not chosen:
            return Decision.hold("what the channel offers already is not known yet: nothing may be listed twice")
        bound = {account.id: bearing(directives, ctx.now, "list-nothing", account.id) for account in chosen}
        held = [Evidence(kind="directive", id=each.id, note=each.in_words()) for each in bound.values() if each]
        proposals, alternatives = [], []
        for product_id in products:
            # as above: also where nothing may be listed
            for place in await places(ctx.services, product_id, chosen):
                if bound[place.account_id] is not None:
                    continue
                alternatives.append(place.alternative)
                if place.chosen:
                    proposals.append(ListOnChannel(product_id=product_id, account_id=place.account_id))
        if len(held) == len(chosen):
            return Decision.hold("a directive says to list nothing new there", evidence=held)
        evidence = [Evidence(kind="product", id=product_id) for product_id in products[:20]]
        if not proposals:
            reason = alternatives[0].why if alternatives else "nothing to place"
            return Decision.hold(f"not placed: {reason}", evidence=evidence, alternatives=tuple(alternatives))
        return Decision.propose(
            *proposals,
            why=f"{len(proposals)} placements where a sale at list price earns after fees and shipping",
            confidence=0.9,
            evidence=evidence,
            alternatives=tuple(alternatives),
        )

    async def _judge(
        self, event: DecisionEscalated, ctx: Context
    ) -> Decision[ListOnChannel | EndListing | EndorseDecision | OverruleDecision]:
        row = await ctx.services.decisions.get(event.decision_id)
        if row is None or row.state != "escalated":
            return Decision.hold("the decision is no longer open")
        evidence = [Evidence(kind="decision", id=row.id, note=f"by {row.agent}: {event.reason}")]
        stake = (
            Money(amount_minor=row.stake_minor, currency=row.stake_currency)
            if row.stake_minor is not None and row.stake_currency
            else None
        )
        goals = (await ctx.services.profile()).settings.goals
        go, stop = "let it go ahead", "stop it"
        gain = {"profit": row.confidence, "risk": -_DOUBT * (1 - row.confidence)}
        choice = choose([Option(go, gain, why=row.rationale), Option(stop, {})], goals.weights())
        if choice.best.name == stop:
            reason = f"{row.agent} is {row.confidence:.0%} sure, which is too little ({goals.in_words()})"
            return Decision.propose(
                OverruleDecision(decision_id=row.id, reason=reason),
                why=reason,
                evidence=evidence,
                alternatives=choice.alternatives(),
            )
        return Decision.propose(
            EndorseDecision(decision_id=row.id),
            why=f"{row.rationale} ({row.confidence:.0%} sure, within the firewall's bounds)",
            confidence=row.confidence,
            evidence=evidence,
            alternatives=choice.alternatives(),
            stake=stake,
        )
