"""PricingAgent: the next price of one listing."""

from __future__ import annotations

from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CostChanged, OfferChanged, PriceUnwanted, PriceWished, RivalsMoved
from flipsync.domain.money import Money
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.quotes import ListingQuote


class PricingAgent(Agent[OfferChanged | RivalsMoved | CostChanged | PriceUnwanted | PriceWished]):
    """Proposes the next price of a listing when rivals, sales or costs moved."""

    spec = AgentSpec(
        name="pricing",
        ecosystem="market",
        reports_to="market",
        # what suppliers offer bears on how long it is worth waiting for a price
        version="2",
        authority=Authority(auto_above=0.55),
    )

    async def decide(
        self, event: OfferChanged | RivalsMoved | CostChanged | PriceUnwanted | PriceWished, ctx: Context
    ) -> Decision[ChangePrice]:
        if isinstance(event, PriceUnwanted):
            return await self.go_back(event, ctx)
        if isinstance(event, PriceWished):
            return await self.as_wished(event, ctx)
        if isinstance(event, CostChanged):
            quotes = await ctx.services.pricing.quote_variant(event.variant_id)
        else:
            quote = await ctx.services.pricing.quote(event.listing_id)
            quotes = [quote] if quote else []
        if not quotes:
            return Decision.hold("the listing is not on sale, or its price was set by hand and stays")
        moves = [quote for quote in quotes if quote.quote.best != quote.quote.current]
        if not moves:
            first = quotes[0]
            return Decision.hold(
                first.quote.reason,
                confidence=first.quote.confidence,
                evidence=[Evidence(kind="listing", id=first.listing_id), *policies(quotes), *directives(quotes)],
                alternatives=alternatives(first),
                choices=tuple(choice for quote in quotes for choice in quote.choices),
            )
        return Decision.propose(
            *(change(quote) for quote in moves),
            why=moves[0].quote.reason,
            confidence=min(quote.quote.confidence for quote in moves),
            evidence=[
                *(Evidence(kind="listing", id=quote.listing_id, note=quote.sku) for quote in moves),
                *policies(quotes),
                *directives(quotes),
            ],
            alternatives=alternatives(moves[0]),
            choices=tuple(choice for quote in quotes for choice in quote.choices),
            stake=stake(moves),
            source="policy",
        )

    async def go_back(self, event: PriceUnwanted, ctx: Context) -> Decision[ChangePrice]:
        """The price a person wants back, while the one they take back is still shown."""
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        shown = await ctx.services.pricing.price_shown(event.listing_id)
        if shown != event.replaces:
            why = f"it costs {shown} by now, not {event.replaces}: nothing is taken back"
            return Decision.hold(why, evidence=evidence)
        back = ChangePrice(
            account_id=event.account_id, listing_id=event.listing_id, price=event.price, previous=event.replaces
        )
        why = f"a person takes the change from {event.price} to {event.replaces} back"
        return Decision.propose(back, why=why, evidence=evidence)

    async def as_wished(self, event: PriceWished, ctx: Context) -> Decision[ChangePrice]:
        """The price a person wants, while the listing still costs what they saw. The gate has the last word."""
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        shown = await ctx.services.pricing.price_shown(event.listing_id)
        if shown != event.seen or shown == event.price:
            why = f"it costs {shown} by now; {event.price} was wished for when it cost {event.seen}"
            return Decision.hold(why, evidence=evidence)
        wish = ChangePrice(
            account_id=event.account_id, listing_id=event.listing_id, price=event.price, previous=event.seen
        )
        return Decision.propose(wish, why=f"a person wants {event.price} instead of {event.seen}", evidence=evidence)


def change(quote: ListingQuote) -> ChangePrice:
    """The command that carries a quote out."""
    return ChangePrice(
        account_id=quote.account_id,
        listing_id=quote.listing_id,
        price=quote.quote.best,
        previous=quote.quote.current,
    )


def alternatives(quote: ListingQuote) -> tuple[Alternative, ...]:
    """What the policy considered, and what one that only looks on would have done."""
    considered = [
        Alternative(
            name=str(each.price),
            scores={"expected_profit_per_day": float(each.expected_profit_per_day)},
            why=each.why,
            chosen=each.price == quote.quote.best,
        )
        for each in quote.quote.alternatives
    ]
    looking_on = [
        Alternative(name=f"{choice.price} by policy {choice.version}", why="looks on, does not act")
        for choice in quote.choices
        if choice.role == "shadow"
    ]
    return (*considered, *looking_on)


def policies(quotes: list[ListingQuote]) -> list[Evidence]:
    """The policies of the registry that were asked, each once, with their part in it."""
    asked = {
        (choice.policy_id, choice.role): choice.in_words()
        for quote in quotes
        for choice in quote.choices
        if choice.policy_id is not None
    }
    return [
        Evidence(kind="policy", id=policy_id, note=words)
        for (policy_id, _), words in asked.items()
        if policy_id is not None
    ]


def directives(quotes: list[ListingQuote]) -> list[Evidence]:
    """What bound the quotes, each once."""
    bound = {quote.directive.id: quote.directive for quote in quotes if quote.directive is not None}
    return [Evidence(kind="directive", id=each.id, note=each.in_words()) for each in bound.values()]


def stake(moves: list[ListingQuote]) -> Money:
    """What could be lost: the step times the units on offer, at most."""
    currency = moves[0].quote.best.currency
    same = [move for move in moves if move.quote.best.currency == currency]
    return Money(
        amount_minor=sum(
            abs(move.quote.best.amount_minor - move.quote.current.amount_minor) * max(1, move.units_on_offer)
            for move in same
        ),
        currency=currency,
    )
