"""What a canary price policy may cost before it has proved itself: `learning.budget` over blocks of days.

The promise is about the whole business: what all listings earned since the canary began is at least (1 − the owner's
`pricing.canary_loss_bps`) of what they are estimated to have earned without it, even if all that it prices in the block
to come earns nothing. So a canary begins on as many listings as could be lost whole; one that earns what the others
earn is on its whole share after a few blocks, one that earns much less loses its listings to the incumbent until the
others' blocks have made room again. Where few listings earn most, fewer are drawn: the promise holds with a chance of
`learning.budget.SURE` over the draw. What the books say stands in `policy_outcomes.spent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flipsync.learning.budget import ConservativeBudget
from flipsync.services.pricing.fees import BPS
from flipsync.services.tenant_settings import PricingChoices


@dataclass(frozen=True)
class Spending:
    """By currency, in minor units: what all listings earned in the `blocks` that are over since the canary began, what
    is estimated to be due, had the incumbent priced them all, and how uneven they are (see `learning.budget`)."""

    blocks: int = 0
    sums: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def part(self, choices: PricingChoices) -> float:
        """The share of the listings that the canary prices now: the owner's, or less where its budget is spent."""
        limit = choices.canary_loss_bps / BPS
        parts = [
            ConservativeBudget(limit, earned=earned, due=due).part(due / self.blocks if self.blocks else 1.0, uneven)
            for earned, due, uneven in self.sums.values()
        ]
        return min([choices.canary_bps / BPS, *(parts or [limit])])

    @property
    def kept(self) -> float:
        """What was earned as a share of what was due, where it is least; 1 before anything was due."""
        return min((earned / due for earned, due, _ in self.sums.values() if due > 0), default=1.0)

    def words(self, choices: PricingChoices) -> str:
        least = 1 - choices.canary_loss_bps / BPS
        return (
            f"prices {self.part(choices):.1%} of the listings of {choices.canary_bps / BPS:.0%}: with it all earned "
            f"{self.kept:.1%} of what is estimated without, {least:.1%} at least is allowed"
        )
