"""What a language model adds to a decision that is made already: sentences, and nothing that is done.

Proposals, confidence and stake stay as the rules have them. A sentence whose figures are not those of the facts it
cites is struck out, and the decision says how many were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.money import Money
from flipsync.intelligence.language import Claim, Fact, verified
from flipsync.intelligence.language.question import MOST_FACTS
from flipsync.services.brain import Brief

D = TypeVar("D", bound=Decision[Any])
#: a rationale is read on a phone
MOST_WORDS = 950


class Idea(BaseModel):
    """Another way, in a few words and a sentence."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    why: Claim


class Counsel(BaseModel):
    """What a model is asked for when a decision is made."""

    model_config = ConfigDict(extra="forbid")

    narrative: list[Claim] = Field(min_length=1, max_length=4)
    against: list[Claim] = Field(default_factory=list, max_length=4)
    alternatives: list[Idea] = Field(default_factory=list, max_length=3)


@dataclass
class Matter:
    """What is put to a model: facts of ours by reference, and words of others."""

    facts: list[Fact] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, says: str, figure: Money | int | float, kind: str, row_id: UUID) -> None:
        """A figure of a row; a float is a share of 1."""
        ref = f"f{len(self.facts) + 1}"
        if isinstance(figure, Money):
            self.facts.append(Fact.money(ref, says, figure, kind, row_id))
        elif isinstance(figure, int):
            self.facts.append(Fact(ref=ref, says=says, value=str(figure), kind=kind, id=row_id))
        else:
            self.facts.append(Fact.share(ref, says, figure, kind, row_id))

    @property
    def room(self) -> int:
        """Facts that still fit."""
        return max(0, MOST_FACTS - len(self.facts))

    def know(self, brief: Brief) -> None:
        """What the brain told, after what was added already."""
        for each in brief.items[: self.room]:
            self.add(each.says, each.figure, each.row.kind, each.row.id)


def by_rules(decision: D, why: str) -> D:
    """The decision as it is; its explanation says that no model had a say, and why."""
    return decision.model_copy(update={"rationale": joined(decision.rationale, f"by rules alone: {why}")})


def advised(decision: D, counsel: Counsel, facts: Sequence[Fact], proof: Sequence[Evidence]) -> D:
    """The decision with what holds of the model's counsel; `proof` says which prompt and model it was."""
    story, lost = verified(counsel.narrative, facts)
    against, lost_against = verified(counsel.against, facts)
    ideas = [each for each in counsel.alternatives if not verified(_of_idea(each), facts)[1]]
    struck = struck_out(len(lost) + len(lost_against) + len(counsel.alternatives) - len(ideas))
    evidence = (*decision.evidence, *proof)
    if not (story or against or ideas):
        words = joined(decision.rationale, f"by rules alone: nothing that the model said held{struck}")
        return decision.model_copy(update={"rationale": words, "evidence": evidence})
    words = " ".join(each.text for each in story) or "no story that holds"
    return decision.model_copy(
        update={
            "rationale": joined(decision.rationale, f"the model adds: {words}{struck}"),
            "alternatives": (
                *decision.alternatives,
                *(Alternative(name="against it, says the model", why=each.text) for each in against),
                *(Alternative(name=f"{idea.name} (the model's)", why=idea.why.text) for idea in ideas),
            ),
            "evidence": (*evidence, *cited(facts, [*story, *against, *(idea.why for idea in ideas)], evidence)),
            "source": "model",
        }
    )


def cited(facts: Sequence[Fact], claims: Iterable[Claim], known: Sequence[Evidence]) -> list[Evidence]:
    """The rows that claims rest on, as far as they are not known already."""
    refs = {ref for claim in claims for ref in claim.cites}
    there = {(each.kind, each.id) for each in known}
    rows = {(fact.kind, fact.id): fact.says for fact in facts if fact.ref in refs}
    return [Evidence(kind=kind, id=id_, note=says) for (kind, id_), says in rows.items() if (kind, id_) not in there]


def struck_out(count: int) -> str:
    return f" ({count} sentences struck out: not what the facts say)" if count else ""


def joined(rules: str, more: str) -> str:
    """The rules' own words, whole, and as much of the others as there is room for."""
    return f"{rules} | {more}"[: max(MOST_WORDS, len(rules))]


def _of_idea(idea: Idea) -> list[Claim]:
    return [Claim(text=idea.name, cites=idea.why.cites), idea.why]
