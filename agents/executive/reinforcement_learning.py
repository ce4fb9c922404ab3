"""ReinforcementLearningAgent: when to train a policy, when to move one on, when to take one back."""

from __future__ import annotations

from flipsync.domain.commands import PromotePolicy, RollBackPolicy, TrainPolicy
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.model_registry import SERVED
from flipsync.services.model_review import Review

_SAMPLES = 40

Learning = TrainPolicy | PromotePolicy | RollBackPolicy


class ReinforcementLearningAgent(Agent[CycleStarted]):
    """Takes back a canary that does worse, moves on what proved better, asks for training on drift or schedule."""

    spec = AgentSpec(
        name="reinforcement_learning",
        ecosystem="executive",
        reports_to="executive",
        authority=Authority(auto_above=0.9),
    )

    async def decide(self, event: CycleStarted, ctx: Context) -> Decision[Learning]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's cycle")
        held = []
        for name in SERVED:
            decision = _decide(name, await ctx.services.models.review(name), event, ctx)
            if not decision.is_hold:
                return decision  # one thing a cycle; the other name has its turn in the next
            held.append(f"{name}: {decision.rationale}")
        why = "; ".join(held)[:900]
        return Decision.hold(why, alternatives=(Alternative(name="wait", why=why, chosen=True),))


def _decide(name: str, review: Review, event: CycleStarted, ctx: Context) -> Decision[Learning]:
    """What there is to do about the policies of one name."""
    if (canary := review.canary) is not None and review.canary_verdict != "open":
        worse = review.canary_verdict == "incumbent"
        reason = f"the canary does {'worse' if worse else 'better'}: {review.canary_words}"
        command: Learning = PromotePolicy(policy_id=canary.id, to="live", reason=reason)
        if worse:
            command = RollBackPolicy(policy_id=canary.id, name=name, reason=reason)
        return Decision.propose(
            command,
            why=f"{canary.version} {'earns less' if worse else 'earns more'} than what decides beside it",
            confidence=0.95,
            evidence=[Evidence(kind="policy", id=canary.id, note=f"{canary.version}, canary")],
            alternatives=_alternatives("take it back" if worse else "let it decide alone", review),
            source="policy",
        )
    if review.shadow is not None and review.shadow_better and review.canary is None:
        shadow = review.shadow
        return Decision.propose(
            PromotePolicy(policy_id=shadow.id, to="canary", reason=review.shadow_words),
            why=f"{shadow.version} may act on a share: {review.shadow_words}",
            confidence=0.95,
            evidence=[Evidence(kind="policy", id=shadow.id, note=f"{shadow.version}, shadow")],
            alternatives=_alternatives("let it act on a share", review),
            source="policy",
        )
    if review.candidate is not None and review.shadow is None and review.canary is None:
        candidate = review.candidate
        return Decision.propose(
            PromotePolicy(policy_id=candidate.id, to="shadow", reason="it beat the baseline in simulation"),
            why=f"{candidate.version} beat the baseline in simulation; looking on costs nothing",
            confidence=1.0,
            evidence=[Evidence(kind="policy", id=candidate.id, note=f"{candidate.version}, candidate")],
            alternatives=_alternatives("let it look on", review),
            source="policy",
        )
    if review.training:
        return Decision.hold("a training is under way")
    if event.cycle == "daily" and (cause := review.train_because):
        return Decision.propose(
            TrainPolicy(tenant_id=ctx.tenant_id, name=name, samples=_SAMPLES, seed=review.trained, cause=cause),
            why=f"a new policy is searched for: {cause}",
            confidence=1.0,
            alternatives=_alternatives("train", review),
        )
    return Decision.hold(f"nothing to change: {review.words}")


def _alternatives(chosen: str, review: Review) -> tuple[Alternative, ...]:
    return (
        Alternative(name=chosen, why=review.words, chosen=True),
        Alternative(name="wait", why="another cycle of evidence"),
    )
