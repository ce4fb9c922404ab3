"""AutoPricingAgent: looks at every price of the catalogue in one run."""

from __future__ import annotations

from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import RepricingDue
from flipsync.domain.money import Money, usd
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context

#: moves the policy is less sure of are left to the specialist, who sees each listing when something happens to it
_SURE = 0.55


class AutoPricingAgent(Agent[RepricingDue]):
    """Proposes, in one batch, every price that the policy would change."""

    spec = AgentSpec(
        name="auto_pricing",
        ecosystem="logistics",
        reports_to="executive",
        authority=Authority(auto_above=_SURE, max_stake=usd("5000.00")),
        batch=4,
    )

    async def decide(self, event: RepricingDue, ctx: Context) -> Decision[ChangePrice]:
        quotes = await ctx.services.pricing.quote_all()
        moves = [each for each in quotes if each.quote.best != each.quote.current]
        sure = [each for each in moves if each.quote.confidence >= _SURE]
        asked = {
            (choice.policy_id, f"{choice.version}, {choice.role}")
            for each in quotes
            for choice in each.choices
            if choice.policy_id is not None
        }
        policies = [Evidence(kind="policy", id=policy_id, note=note) for policy_id, note in sorted(asked)]
        bound = {each.directive.id: each.directive for each in quotes if each.directive is not None}
        policies += [Evidence(kind="directive", id=each.id, note=each.in_words()) for each in bound.values()]
        # what a policy wanted but is left to the specialist is his to act on: only acts and holds are kept here
        left = {each.listing_id for each in moves} - {each.listing_id for each in sure}
        choices = tuple(choice for each in quotes if each.listing_id not in left for choice in each.choices)
        if not sure:
            return Decision.hold(
                f"{len(quotes)} prices looked at, {len(moves)} could move, none for sure",
                evidence=policies,
                choices=choices,
            )
        currency = sure[0].quote.best.currency
        stake = sum(
            abs(each.quote.best.amount_minor - each.quote.current.amount_minor) * max(1, each.units_on_offer)
            for each in sure
            if each.quote.best.currency == currency
        )
        return Decision.propose(
            *(
                ChangePrice(
                    account_id=each.account_id,
                    listing_id=each.listing_id,
                    price=each.quote.best,
                    previous=each.quote.current,
                )
                for each in sure
            ),
            why=f"{len(sure)} of {len(quotes)} prices earn more elsewhere; first: {sure[0].quote.reason}",
            confidence=min(each.quote.confidence for each in sure),
            evidence=[
                *(Evidence(kind="listing", id=each.listing_id, note=each.sku) for each in sure[:50]),
                *policies,
            ],
            choices=choices,
            alternatives=tuple(
                Alternative(
                    name=f"{each.sku}: {each.quote.current} → {each.quote.best}",
                    scores={"confidence": each.quote.confidence},
                    why=each.quote.reason,
                    chosen=each in sure,
                )
                for each in moves[:50]
            ),
            stake=Money(amount_minor=stake, currency=currency),
            source="policy",
        )
