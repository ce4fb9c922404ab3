"""One check on a policy before it moves on, and what came of what policies chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flipsync.services.canary_budget import Spending

if TYPE_CHECKING:
    from flipsync.learning.evaluation.sequential import PeekableTest
    from flipsync.services.policy_outcomes import OffPolicy


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was seen. `still_open`: it did not fail, it cannot be told yet."""

    name: str
    passed: bool
    words: str
    still_open: bool = False


@dataclass(frozen=True)
class Judged:
    """What the books say of a name's canary and shadow. `unit` is of the canary's difference; `moved`: what is earned
    is not what it was when the last policy was trained."""

    unit: str
    canary: PeekableTest | None = None
    shadow_better: bool = False
    shadow_words: str = ""
    moved: bool = False
    off_policy: OffPolicy | None = None
    #: of a canary price policy, and in words
    spending: Spending | None = None
    spending_words: str = ""

    @property
    def canary_words(self) -> str:
        if self.canary is None:
            return ""
        told = self.canary.interval()
        words = f"{told.mean:+.4g} [{told.low:.4g}, {told.high:.4g}] {self.unit}, {self.canary.n} blocks"
        return f"{words}; it {self.spending_words}" if self.spending_words else words


def canary_check(test: PeekableTest, unit: str, whose: str) -> Check:
    """Whether the canary has proved better; `whose` earn."""
    told = Judged(unit, test).canary_words
    words = {
        "challenger": f"its {whose} earn more: {told}",
        "incumbent": f"its {whose} earn less: {told}",
        "open": f"whether its {whose} earn more is still open: {told}",
    }
    verdict = test.verdict()
    return Check("canary", verdict == "challenger", words[verdict], still_open=verdict == "open")
