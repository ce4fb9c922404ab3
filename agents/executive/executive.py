"""ExecutiveAgent: the last word of the house before the owner's."""

from __future__ import annotations

from flipsync.domain.commands import AskOwner, EndorseDecision, ExpireApproval, MoveAuthority, OverruleDecision
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import ApprovalAnswered, CycleStarted, DecisionEscalated
from flipsync.domain.money import usd
from flipsync.domain.steering_commands import RevokeDirective
from flipsync.domain.workflow_messages import ContinueWorkflow, WorkflowAsked
from flipsync.intelligence.criteria import Option, choose
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.contested import ways
from flipsync.services.standing import FALSE_RETURN
from flipsync.services.tenant_settings import TenantSettings

#: the owner's attention costs this much of a full score
_ASKING = 0.35

ExecutiveCommand = (
    EndorseDecision | OverruleDecision | AskOwner | ExpireApproval | MoveAuthority | ContinueWorkflow | RevokeDirective
)


class ExecutiveAgent(Agent[DecisionEscalated | ApprovalAnswered | CycleStarted | WorkflowAsked]):
    """Decides what its coordinators may not: lets go ahead, stops, or asks the owner, who has a time to answer.

    Once a day it takes authority from agents that prove too sure, and gives it back to those that are right again.
    """

    spec = AgentSpec(
        name="executive",
        ecosystem="executive",
        reports_to=None,
        authority=Authority(auto_above=0.0, max_stake=usd("1000.00")),
        pace=0.25,
        # its reviews read all there is before they say anything: so any of it can be tried otherwise
        version="4",
    )

    async def decide(
        self, event: DecisionEscalated | ApprovalAnswered | CycleStarted | WorkflowAsked, ctx: Context
    ) -> Decision[ExecutiveCommand]:
        if isinstance(event, ApprovalAnswered):
            return self._carry_out_answer(event)
        if isinstance(event, WorkflowAsked):
            if not await ctx.services.workflows.under_way(event.run_id):
                return Decision.hold("the automation has ended meanwhile")
            go_on = ContinueWorkflow(run_id=event.run_id)
            why = f"the automation {event.name} asks: {event.question}"
            return Decision.propose(go_on, why=why, evidence=[Evidence(kind="workflow_run", id=event.run_id)])
        if isinstance(event, CycleStarted):
            return await self._review(event, ctx)
        return await self._arbitrate(event, ctx)

    def _carry_out_answer(self, event: ApprovalAnswered) -> Decision[ExecutiveCommand]:
        evidence = [Evidence(kind="approval", id=event.approval_id)]
        if event.approved:
            endorse = EndorseDecision(decision_id=event.decision_id)
            return Decision.propose(endorse, why="the owner said yes", evidence=evidence)
        overrule = OverruleDecision(decision_id=event.decision_id, reason="the owner said no")
        return Decision.propose(overrule, why="the owner said no", evidence=evidence)

    async def _review(self, event: CycleStarted, ctx: Context) -> Decision[ExecutiveCommand]:
        moves = await ctx.services.grades.moves() if event.cycle == "daily" else []
        unanswered = await ctx.services.decisions.unanswered()
        accounts = await ctx.services.accounts.all()
        directives = (await ctx.services.profile()).directives
        if moves:
            fields = ("agent", "kind", "was", "trusted", "reason")
            return Decision.propose(
                *(
                    MoveAuthority(
                        tenant_id=ctx.tenant_id, to=move.becomes, **{name: getattr(move, name) for name in fields}
                    )
                    for move in moves
                ),
                why="; ".join(
                    f"{move.agent}, {move.kind}: {move.was} → {move.becomes}, {move.reason}" for move in moves
                ),
                confidence=1 - FALSE_RETURN,
            )
        if unanswered:
            return Decision.propose(
                *(ExpireApproval(decision_id=decision_id) for decision_id in unanswered),
                why=f"{event.cycle} review: {len(unanswered)} questions to the owner ran out of time",
                evidence=[Evidence(kind="decision", id=decision_id) for decision_id in unanswered[:20]],
            )
        gone = {account.id for account in accounts if account.status == "disconnected"}
        void = [each for each in directives if each.account_id in gone]
        if void:
            reason = "the account is disconnected"
            return Decision.propose(
                *(RevokeDirective(tenant_id=ctx.tenant_id, directive_id=each.id, reason=reason) for each in void),
                why=f"{event.cycle} review: {len(void)} directives bind nobody any more",
                evidence=[Evidence(kind="directive", id=each.id, note=each.in_words()) for each in void],
            )
        paused = [account for account in accounts if account.status == "paused"]
        if not paused:
            return Decision.hold(f"{event.cycle} review: {len(accounts)} accounts, none paused")
        names = ", ".join(account.name for account in paused)
        evidence = [Evidence(kind="account", id=account.id, note=account.name) for account in paused]
        return Decision.hold(f"{event.cycle} review: {names} cannot be written to", evidence=evidence)

    async def _arbitrate(self, event: DecisionEscalated, ctx: Context) -> Decision[ExecutiveCommand]:
        row = await ctx.services.decisions.get(event.decision_id)
        if row is None or row.state != "escalated":
            return Decision.hold("the decision is no longer open")
        if event.against:
            return await self._settle(event, ctx)
        settings = (await ctx.services.profile()).settings
        limit = self._most(settings)
        stake = row.stake_minor or 0
        exposure = min(1.0, stake / max(1, limit))
        doubt = 1.0 - row.confidence
        too_much = f"; {stake} minor units at stake, {limit} is the limit" if stake > limit else ""
        goals = settings.goals
        choice = choose(
            [
                Option(
                    "let it go ahead",
                    {
                        "profit": row.confidence,
                        "risk": -doubt * (0.2 + exposure),
                        "cash": -exposure / 2,
                        "attention": 0,
                    },
                    why=row.rationale + too_much,
                    breaks={"stake_limit": max(0.0, (stake - limit) / max(1, limit))},
                ),
                Option("ask the owner", {"profit": row.confidence * 0.8, "risk": 0, "cash": 0, "attention": -_ASKING}),
                Option("stop it", {"profit": 0, "risk": 0, "cash": 0, "attention": 0}),
            ],
            goals.weights(),
            safety=("stake_limit",),
        )
        evidence = [Evidence(kind="decision", id=row.id, note=f"by {row.agent}: {event.reason}")]
        why = f"{choice.best.name}, ahead by {choice.lead:.2f} ({goals.in_words()}): {row.rationale}"
        command: EndorseDecision | OverruleDecision | AskOwner
        if choice.best.name == "let it go ahead":
            command = EndorseDecision(decision_id=row.id)
        elif choice.best.name == "ask the owner":
            question = f"{row.agent} proposes: {row.rationale} ({event.reason})"
            command = AskOwner(decision_id=row.id, question=question)
        else:
            command = OverruleDecision(decision_id=row.id, reason=why)
        return Decision.propose(
            command,
            why=why,
            confidence=min(1.0, 0.5 + choice.lead),
            evidence=evidence,
            alternatives=choice.alternatives(),
        )

    async def _settle(self, event: DecisionEscalated, ctx: Context) -> Decision[ExecutiveCommand]:
        """Of agents that want contradictory things one has its way, or the owner says which."""
        found = [await ctx.services.decisions.get(each) for each in (event.decision_id, *event.against)]
        row, *others = [each for each in found if each is not None]
        if not others:
            return Decision.propose(EndorseDecision(decision_id=row.id), why="nobody is against it any more")
        settings = (await ctx.services.profile()).settings
        way = ways(row, others, event.stake_minor or 0, self._most(settings), _ASKING)
        choice = choose(way.options, settings.goals.weights(), safety=("stake_limit",))
        why = f"{choice.best.name}, ahead by {choice.lead:.2f} ({settings.goals.in_words()}): {event.reason}"
        command: EndorseDecision | OverruleDecision | AskOwner
        if choice.best.name == way.go:
            command = EndorseDecision(decision_id=row.id)
        elif choice.best.name == way.keep:
            command = OverruleDecision(decision_id=row.id, reason=why)
        else:
            command = AskOwner(decision_id=row.id, question=f"{event.reason}. {way.question}")
        return Decision.propose(
            command,
            why=why,
            confidence=min(1.0, 0.5 + choice.lead),
            evidence=[Evidence(kind="decision", id=each.id, note=f"by {each.agent}") for each in (row, *others)],
            alternatives=choice.alternatives(),
        )

    def _most(self, settings: TenantSettings) -> int:
        """Minor units at stake above which the owner has the last word."""
        most = settings.limits_of(self.spec.name).max_stake_minor
        return self.spec.authority.max_stake.amount_minor if most is None else most
