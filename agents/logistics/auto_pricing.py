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
        version="3",
        authority=Authority(auto_above=_SURE, max_stake=usd("5000.00")),
        batch=4,
    )

    async def decide(self, event: RepricingDue, ctx: Context) -> Decision[ChangePrice]:
        found = await ctx.services.pricing.repricing()
        sure = [move for move in found.moves if move.confidence >= _SURE]
        asked = {(choice.policy_id, choice.in_words()) for choice in found.choices if choice.policy_id is not None}
        policies = [Evidence(kind="policy", id=policy_id, note=note) for policy_id, note in sorted(asked)]
        policies += [Evidence(kind="directive", id=each.id, note=each.in_words()) for each in found.directives]
        # what a policy wanted but is left to the specialist is his to act on: only acts and holds are kept here
        left = {move.listing_id for move in found.moves} - {move.listing_id for move in sure}
        choices = tuple(choice for choice in found.choices if choice.listing_id not in left)
        if not sure:
            return Decision.hold(
                f"{found.looked_at} prices looked at, {len(found.moves)} could move, none for sure",
                evidence=policies,
                choices=choices,
            )
        currency = sure[0].best.currency
        stake = sum(
            abs(move.best.amount_minor - move.current.amount_minor) * max(1, move.units_on_offer)
            for move in sure
            if move.best.currency == currency
        )
        surest = max(sure, key=lambda move: move.confidence)
        return Decision.propose(
            *(
                ChangePrice(
                    account_id=move.account_id, listing_id=move.listing_id, price=move.best, previous=move.current
                )
                for move in sure
            ),
            why=f"{len(sure)} of {found.looked_at} prices earn more elsewhere; the surest: {surest.why}",
            confidence=min(move.confidence for move in sure),
            evidence=[*(Evidence(kind="listing", id=move.listing_id, note=move.sku) for move in sure[:50]), *policies],
            choices=choices,
            alternatives=tuple(
                Alternative(
                    name=f"{move.sku}: {move.current} → {move.best}",
                    scores={"confidence": move.confidence},
                    why=move.why,
                    chosen=move.confidence >= _SURE,
                )
                for move in found.moves
                if move.why
            )[:50],
            stake=Money(amount_minor=stake, currency=currency),
            source="policy",
        )
