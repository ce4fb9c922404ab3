"""Decisions: what an agent proposes, why, how sure it is, and what it passed over. And the gate's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.commands import Command
from flipsync.domain.money import Money

C_co = TypeVar("C_co", bound=Command, covariant=True)


class Evidence(BaseModel):
    """A row somebody can look at."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: UUID
    note: str = ""


class Alternative(BaseModel):
    """Something that was considered. Scores are named, higher is better, units in the name (profit_minor_per_day)."""

    model_config = ConfigDict(frozen=True)

    name: str
    scores: dict[str, float] = Field(default_factory=dict)
    why: str = ""
    chosen: bool = False


class PolicyChoice(BaseModel):
    """What a policy in the registry chose for a listing, whether it acts or only looks on (`shadow`).

    `rung` is the action (services.policy_choice), `chance` the one it had. `policy_id` is None for the rule as shipped.
    `canary_share` is the chance the canary had to price the listing; None where there was no canary.
    """

    model_config = ConfigDict(frozen=True)

    policy_id: UUID | None
    version: str
    listing_id: UUID
    role: Literal["acting", "canary", "shadow"]
    rung: int
    chance: float = Field(gt=0, le=1)
    canary_share: float | None = Field(default=None, ge=0, le=1)
    price: Money
    current: Money

    def in_words(self) -> str:
        """The version and its part in it; of a canary how many of the listings its budget lets it price."""
        share = f" on {self.canary_share:.1%} of the listings" if self.canary_share is not None else ""
        return f"{self.version}, {self.role}{share if self.role == 'canary' else ''}"


class OrderChoice(BaseModel):
    """How many units of a good a policy in the registry would buy, whether it acts or only looks on (`shadow`).

    `shipped_units` is what the rule as shipped would have bought; `level` and `up_to` are the policy's s and S.
    """

    model_config = ConfigDict(frozen=True)

    policy_id: UUID | None
    version: str
    stock_item_id: UUID
    role: Literal["acting", "canary", "shadow"]
    units: int = Field(ge=0)
    shipped_units: int = Field(ge=0)
    level: float
    up_to: float


class Decision(BaseModel, Generic[C_co]):
    """The outcome of one `decide`. No proposals means: hold, on purpose, for the reason given."""

    model_config = ConfigDict(frozen=True)

    proposals: tuple[Command, ...] = ()
    rationale: str
    confidence: float = Field(ge=0, le=1)
    alternatives: tuple[Alternative, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    stake: Money | None = Field(default=None, description="what could be lost if this is wrong")
    source: Literal["rules", "model", "policy"] = "rules"
    choices: tuple[PolicyChoice | OrderChoice, ...] = ()

    @classmethod
    def hold(
        cls, why: str, *, confidence: float = 1.0, evidence: Sequence[Evidence] = (), **more: Any
    ) -> Decision[C_co]:
        return cls(rationale=why, confidence=confidence, evidence=tuple(evidence), **more)

    @classmethod
    def propose(
        cls, *commands: Command, why: str, confidence: float = 1.0, evidence: Sequence[Evidence] = (), **more: Any
    ) -> Decision[C_co]:
        return cls(proposals=commands, rationale=why, confidence=confidence, evidence=tuple(evidence), **more)

    @property
    def is_hold(self) -> bool:
        return not self.proposals


class Verdict(BaseModel):
    """The gate's answer to one proposal; always with the rule that spoke and its reason."""

    model_config = ConfigDict(frozen=True)

    answer: Literal["proceed", "mutate", "ask", "deny"]
    rule: str
    reason: str
    command: Command | None = Field(default=None, description="the command that may go ahead, when it was changed")

    @classmethod
    def proceed(cls, rule: str, reason: str) -> Verdict:
        return cls(answer="proceed", rule=rule, reason=reason)

    @classmethod
    def mutate(cls, rule: str, reason: str, command: Command) -> Verdict:
        return cls(answer="mutate", rule=rule, reason=reason, command=command)

    @classmethod
    def ask(cls, rule: str, reason: str) -> Verdict:
        return cls(answer="ask", rule=rule, reason=reason)

    @classmethod
    def deny(cls, rule: str, reason: str) -> Verdict:
        return cls(answer="deny", rule=rule, reason=reason)
