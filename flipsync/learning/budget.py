"""What a challenger may cost before it has proved itself. No numpy: agents that ask a price rule do without."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: how sure a draw is to stay within the budget, and so many standard deviations that is, on one side
SURE, SURE_SIGMAS = 0.95, 1.645


@dataclass
class ConservativeBudget:
    """How far a challenger may fall behind the incumbent (Wu, Shariff, Lattimore, Szepesvári, ICML 2016).

    At every moment what was `earned` must be at least (1 − share) of what was `due`: what the incumbent is estimated to
    have earned on the same turns. The challenger acts only while even the worst it may do next, `lowest` a turn, keeps
    that promise; else the incumbent does, whose turns count as what it is estimated to earn.
    """

    share: float
    lowest: float = 0.0
    earned: float = 0.0
    due: float = 0.0

    def may_explore(self, incumbent: float) -> bool:
        """Whether the next turn, worth `incumbent` to the incumbent, may be the challenger's."""
        return self.earned + self.lowest >= (1 - self.share) * (self.due + incumbent)

    def record(self, incumbent: float, reward: float | None = None) -> None:
        """A turn that was worth `incumbent` to the incumbent; what the challenger earned of it, None where it did not
        act."""
        self.earned += incumbent if reward is None else reward
        self.due += incumbent

    def part(self, ahead: float, uneven: float = 0.0) -> float:
        """The greatest part of the turns ahead, worth `ahead` together to the incumbent, that may be drawn for the
        challenger at once when it earns nothing of them: from 0 to 1.

        Turns differ: `uneven` is the sum of their squared worths over the square of the sum. What is drawn by lot with
        chance s is worth s on average, give or take √(uneven·s), and with a chance of `SURE` not above the budget.
        """
        if ahead <= 0:
            return 1.0
        spare = max(self.earned + ahead - (1 - self.share) * (self.due + ahead), 0.0) / ahead
        give = SURE_SIGMAS * math.sqrt(uneven)
        return min(((math.sqrt(give**2 + 4 * spare) - give) / 2) ** 2, 1.0)
