"""What the owner wants of the business, in plain words, and what the words weigh when options are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Horizon = Literal["cash now", "balanced", "growth"]
Risk = Literal["careful", "balanced", "bold"]
Questions = Literal["few", "balanced", "many"]

#: each criterion's share while every word is "balanced"; higher is more
BALANCED: Final[Mapping[str, float]] = {"profit": 0.4, "risk": 0.35, "cash": 0.1, "attention": 0.15}

# by how much a word multiplies a criterion's share, before the shares are made to add up to one again
_HORIZON: Final[Mapping[Horizon, Mapping[str, float]]] = {
    "cash now": {"cash": 3.0, "profit": 0.8},
    "balanced": {},
    "growth": {"cash": 0.3, "profit": 1.25},
}
_RISK: Final[Mapping[Risk, Mapping[str, float]]] = {"careful": {"risk": 1.7}, "balanced": {}, "bold": {"risk": 0.5}}
_QUESTIONS: Final[Mapping[Questions, Mapping[str, float]]] = {
    "few": {"attention": 2.0},
    "balanced": {},
    "many": {"attention": 0.4},
}


class Goals(BaseModel):
    """How the owner weighs cash against growth, risk against gain, and being asked against being surprised.

    They move what is chosen within the limits; no goal moves a limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: Horizon = Field(default="balanced", description="money soon, or more of it later")
    risk: Risk = Field(default="balanced", description="how much a possible loss counts against a likely gain")
    questions: Questions = Field(default="balanced", description="how willingly the owner is asked")

    def weights(self) -> dict[str, float]:
        """The criteria's shares; they add up to one."""
        factors = (_HORIZON[self.horizon], _RISK[self.risk], _QUESTIONS[self.questions])
        raw = dict(BALANCED)
        for each in factors:
            for criterion, factor in each.items():
                raw[criterion] *= factor
        whole = sum(raw.values())
        return {criterion: share / whole for criterion, share in raw.items()}

    def in_words(self) -> str:
        money = {"cash now": "cash now", "balanced": "cash and growth alike", "growth": "growth before cash"}
        risk = {"careful": "careful", "balanced": "risk in measure", "bold": "bold"}
        asked = {"few": "few questions", "balanced": "questions in measure", "many": "rather asked once too often"}
        return f"{money[self.horizon]}, {risk[self.risk]}, {asked[self.questions]}"
