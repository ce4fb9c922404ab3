"""What happens to a decision: recorded, sent up when above the agent's authority, judged by the gate, carried out.

All of it is one transaction with the completion of the task that caused it: a decision and its effects exist together
or not at all.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any
from uuid import UUID

from flipsync.domain import commands as c
from flipsync.domain.decisions import Decision, OrderChoice, PolicyChoice
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import DecisionEscalated
from flipsync.domain.ids import new_id
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.runtime import book_changes, budgets, contests
from flipsync.runtime.agent import AgentSpec, Context
from flipsync.runtime.budgets import Budgets, Want
from flipsync.runtime.contests import CONTESTED
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.reach import above_authority, authority_of, beyond, lost, owners_limits, reads_only
from flipsync.runtime.standings import Standings
from flipsync.services import (
    adopting,
    arbitration,
    hand_edits,
    money_out,
    refunds,
    standing_desk,
)
from flipsync.services.arbitration import Claim, Rank
from flipsync.services.orders import AccountRef
from flipsync.services.recorded_desk import Notes
from flipsync.services.tenant_settings import AgentLimits
from flipsync.store.journal import ProposedCommand
from flipsync.store.repositories import decisions as decision_rows
from flipsync.store.repositories import policies
from flipsync.store.repositories.budgets import FLEET
from flipsync.store.repositories.decisions import DecisionRow, ProposalRow
from flipsync.store.unit_of_work import Cause, UnitOfWork

#: commands whose carrying out refuses before it changes anything: nothing has to be taken back
_LOOKS_FIRST = (c.AllocateStock, c.MarkOrderReady, c.EndorseDecision, RecordSourcingVerdict)


#: contested proposals a reason tells of
_NAMED = 5


class DecisionPath:
    """Takes decisions from agents to effects."""

    def __init__(self, graph: Graph, gate: Gate) -> None:
        self._graph = graph
        self._gate = gate
        self.budgets = Budgets()
        self._standings = Standings()

    async def record(
        self,
        unit: UnitOfWork,
        ctx: Context,
        spec: AgentSpec,
        decision: Decision[Any],
        notes: Notes | None = None,
        *,
        fact: str = "",
        task_id: UUID | None = None,
    ) -> UUID:
        """Write the decision on a `fact` of that type, with what it read, and do what follows; returns its id.

        What an hour's budget denies is decided on anew later: the task it was decided on, if any, comes again.
        """
        decision_id = new_id()
        limits = AgentLimits() if reads_only(decision) else await _limits(ctx, spec, fact)
        authority = authority_of(spec, limits)
        stake_minor = None if decision.stake is None else decision.stake.amount_minor
        asked = beyond(spec.name, limits, stake_minor)
        why_up = asked or above_authority(authority, decision)
        bearing = await self._standings.of(unit, spec.name, decision, fact)
        if bearing is not None and not why_up:
            why_up = lost(authority, decision, bearing)
        counts = decision.confidence if bearing is None else bearing.counts(decision.confidence)
        superior = None if asked else self._graph.superior(spec.name)
        if superior and not why_up:
            why_up = next((each.executive_decides for each in decision.proposals if each.executive_decides), "")
        state = "held" if decision.is_hold else "applied"
        if why_up:
            state = "escalated" if superior else "awaiting"
        proposals = [_proposed(decision_id, ordinal, command) for ordinal, command in enumerate(decision.proposals)]
        unit.decide(
            {
                "id": decision_id,
                "agent": spec.name,
                "agent_version": spec.version,
                "event_id": ctx.event_id,
                "state": state,
                "source": decision.source,
                "rationale": decision.rationale,
                "confidence": decision.confidence,
                "trusted": None if bearing is None else counts,
                "recalibration": None if bearing is None else bearing.kept(),
                "stake_minor": stake_minor,
                "stake_currency": decision.stake.currency if decision.stake else None,
                "alternatives": [alternative.model_dump(mode="json") for alternative in decision.alternatives],
                "evidence": [evidence.model_dump(mode="json") for evidence in decision.evidence],
                "correlation_id": ctx.correlation_id,
            },
            proposals,
            notes.row(decision_id) if notes is not None else None,
        )
        cause = Cause(decision_id, ctx.correlation_id, unit.cause.traceparent)
        rank = arbitration.rank_of(fact, coordinates=spec.name in self._graph.coordinators)
        claim = Claim(spec.name, rank, counts, decision_id)
        if why_up and superior:
            unit.emit(
                DecisionEscalated(
                    decision_id=decision_id,
                    from_agent=spec.name,
                    to_agent=superior,
                    reason=why_up,
                    stake_minor=stake_minor,
                ),
                cause=cause,
            )
        elif why_up:
            await self._ask(unit, ctx, decision_id, f"{decision.rationale} ({why_up})")
        else:
            stake = (stake_minor or 0) // max(1, len(proposals))
            for proposal, command in zip(proposals, decision.proposals, strict=True):
                await self._carry_out(unit, ctx, claim, proposal, command, cause, why=decision.rationale, stake=stake)
            if any(each.rule == CONTESTED for each in proposals):
                await self._contested(unit, decision_id, spec.name, proposals, cause)
            if task_id is not None and budgets.comes_again(decision.proposals, proposals):
                await budgets.put_off(unit, task_id)
        if decision.choices and not why_up:  # what waits for somebody else is not a policy's choice any more
            await unit.flush()
            await policies.add_choices(
                unit.session,
                [_chosen(unit, decision_id, each) for each in decision.choices if isinstance(each, PolicyChoice)],
                [_ordered(unit, decision_id, each) for each in decision.choices if isinstance(each, OrderChoice)],
            )
        return decision_id

    async def _carry_out(
        self,
        unit: UnitOfWork,
        ctx: Context,
        claim: Claim,
        proposal: ProposedCommand,
        command: c.Command,
        cause: Cause,
        *,
        why: str,
        stake: int = 0,
        approved: bool = False,
    ) -> None:
        agent = claim.agent
        before = unit.cause
        unit.cause = cause
        try:
            if command.owner_decides and not approved:
                proposal.verdict, proposal.rule, proposal.reason = "ask", "owner-decides", command.owner_decides
                await self._ask(unit, ctx, proposal.decision_id, f"{why}? ({command.owner_decides})")
                return
            if command.scope == "internal":
                proposal.verdict, proposal.rule, proposal.reason = await self._apply(unit, ctx, command)
                return
            most = self._graph.agents[agent].spec.budget.effects_per_hour
            if command.scope == "external" and not await self.budgets.take(unit, agent, most):
                proposal.verdict, proposal.rule = "deny", budgets.OF_AGENT
                proposal.reason = f"what {agent} may set in motion within an hour, {most} things, is done or promised"
                return
            if claim.rank is not Rank.PERSON and (short := await self._short_of(unit, ctx, command, stake)):
                proposal.verdict, proposal.rule, proposal.reason = "deny", budgets.OF_FLEET, short
                return
            settings = (await ctx.services.profile()).settings

            def most_of(name: str) -> int:
                spec = self._graph.agents[name].spec
                return authority_of(spec, owners_limits(spec, settings, "")).max_stake.amount_minor

            how: dict[str, Any] = {"approved": approved, "claim": claim, "stake": stake, "most_of": most_of}
            verdict = await self._gate.judge(unit, ctx, agent, command, **how)
            proposal.verdict, proposal.rule, proposal.reason = verdict.answer, verdict.rule, verdict.reason
            if verdict.rule == CONTESTED:
                return  # goes up with the whole decision
            if verdict.answer == "ask":
                await self._ask(unit, ctx, proposal.decision_id, verdict.reason)
            elif verdict.answer in ("proceed", "mutate"):
                self._enqueue(unit, proposal, verdict.command or command)
        finally:
            if proposal.verdict == "deny":
                await money_out.ended(unit, command.type_name(), proposal.payload, proposal.reason)
            unit.cause = before

    async def _contested(
        self, unit: UnitOfWork, decision_id: UUID, agent: str, proposals: list[ProposedCommand], cause: Cause
    ) -> None:
        """What of a decision is against what another agent wants goes up to who is over both; the rest went ahead."""
        await unit.flush()
        row = await decision_rows.get(unit.session, decision_id)
        if row is None or row.state != "applied":
            return  # the owner is asked about a part of it: the answer is about this too
        found = [each for each in proposals if each.rule == CONTESTED]
        against, together = await contests.others(unit, agent, [each.subject_id for each in found])
        await decision_rows.set_state(unit.session, decision_id, "escalated")
        told = {"decision_id": decision_id, "from_agent": agent, "to_agent": self._graph.top, "against": against}
        reason = "; ".join(each.reason for each in found[:_NAMED])
        stake = (row.stake_minor or 0) * len(found) // max(1, len(proposals))
        unit.emit(DecisionEscalated(**told, reason=reason, stake_minor=stake + together), cause=cause)

    async def _short_of(self, unit: UnitOfWork, ctx: Context, command: c.Command, stake: int) -> str:
        """Why the fleet may not touch one more listing this hour, or stake that much; "" where it may."""
        if not isinstance(command, c.ChangePrice | c.ReviseListing | c.EndListing | c.PublishListing):
            return ""
        fleet = (await ctx.services.profile()).settings.fleet
        account = str(command.account_id)
        wants = [Want(f"{FLEET}listings", fleet.listings_per_hour)]
        if (share := fleet.listing_shares_bps.get(account)) is not None:
            wants.append(Want(f"{FLEET}listings:{account}", max(1, fleet.listings_per_hour * share // 10_000)))
        if stake:
            wants.append(Want(f"{FLEET}margin", fleet.margin_at_risk_minor, stake))
            if (share := fleet.margin_shares_bps.get(account)) is not None:
                most = max(1, fleet.margin_at_risk_minor * share // 10_000)
                wants.append(Want(f"{FLEET}margin:{account}", most, stake))
        short = await self.budgets.take_all(unit, wants)
        if short is None:
            return ""
        what = "listings to touch" if "listings" in short.budget else "minor units to stake"
        whose = "this channel's share" if short.budget.endswith(account) else "all agents together"
        return f"{whose} within an hour, {short.most} {what}, is done or promised: {short.units} more are too many"

    def _enqueue(self, unit: UnitOfWork, proposal: ProposedCommand, command: c.Command) -> None:
        assert isinstance(command, c.AccountCommand), "external commands go to an account"
        undo = None
        if isinstance(command, c.ChangePrice) and command.previous is not None:
            undo = command.model_copy(
                update={"price": command.previous, "previous": command.price, "certificate": None}
            )
        unit.enqueue(
            command,
            account_id=command.account_id,
            key=f"{proposal.decision_id}:{proposal.ordinal}",
            proposal_id=proposal.id,
            undo=undo,
            supersede=command.supersedes,
        )

    async def _apply(self, unit: UnitOfWork, ctx: Context, command: c.Command) -> tuple[str, str, str]:
        """Carry out an internal command; what cannot be done is denied with the reason, never half done."""
        try:
            if isinstance(command, _LOOKS_FIRST):
                await self._change_books(unit, ctx, command)
            else:
                await unit.flush()
                try:
                    async with unit.session.begin_nested():
                        await self._change_books(unit, ctx, command)
                        await unit.session.flush()
                except (Conflict, NotFound):
                    unit.drop()
                    raise
        except (Conflict, NotFound) as error:
            return "deny", error.code, error.message
        return "proceed", "books", "done in the same transaction"

    async def _change_books(self, unit: UnitOfWork, ctx: Context, command: c.Command) -> None:
        """Decisions themselves are moved here; all other books by their services."""
        match command:
            case c.EndorseDecision():
                await self.endorse(unit, ctx, command.decision_id)
            case c.OverruleDecision():
                await self.overrule(unit, command.decision_id, command.reason)
            case c.AskOwner():
                await self._ask(unit, ctx, command.decision_id, command.question)
            case c.ExpireApproval():
                await self.expire(unit, command.decision_id)
            case c.MoveAuthority():
                if command.agent not in self._graph.agents:
                    raise NotFound(f"no agent {command.agent}")
                await standing_desk.move(unit, command)
                self._standings.forget(unit.tenant_id)
            case _:
                await book_changes.carry_out(unit, ctx, command)

    async def endorse(self, unit: UnitOfWork, ctx: Context, decision_id: UUID) -> None:
        """Let an escalated or awaiting decision go ahead. The gate has its say; beyond the owner's limit the owner."""
        row = await decision_rows.lock(unit.session, decision_id)
        if row is None:
            raise NotFound(f"decision {decision_id} does not exist")
        if row.state not in ("escalated", "awaiting"):
            raise Conflict(f"the decision is {row.state} already")
        if not row.approved and row.agent in self._graph.agents:
            limits = await _limits(ctx, self._graph.agents[row.agent].spec)
            if asked := beyond(row.agent, limits, row.stake_minor):
                await self._ask(unit, ctx, decision_id, f"{row.rationale} ({asked})")
                return
        await decision_rows.set_state(unit.session, decision_id, "applied")
        cause = Cause(decision_id, row.correlation_id, unit.cause.traceparent)
        # who let it go ahead is above the agent: it goes before other specialists'
        claim = Claim(row.agent, Rank.PERSON if row.approved else Rank.COORDINATOR, row.confidence, decision_id)
        stake = (row.stake_minor or 0) // max(1, len(row.proposals))
        for known in _open_proposals(row):
            command = c.Command.from_store(known.command, known.payload)
            proposal = _proposed(decision_id, known.ordinal, command)
            proposal.id = known.id
            unit.judge_again(proposal)
            await self._carry_out(
                unit, ctx, claim, proposal, command, cause, why=row.rationale, stake=stake, approved=row.approved
            )

    async def overrule(self, unit: UnitOfWork, decision_id: UUID, reason: str) -> None:
        """Stop an escalated or awaiting decision."""
        row = await decision_rows.lock(unit.session, decision_id)
        if row is None:
            raise NotFound(f"decision {decision_id} does not exist")
        if row.state not in ("escalated", "awaiting"):
            raise Conflict(f"the decision is {row.state} already")
        await decision_rows.set_state(unit.session, decision_id, "overruled")
        await contests.lost(unit, row, reason)
        for proposal_row in _open_proposals(row):
            await decision_rows.set_verdict(unit.session, proposal_row.id, "deny", "overruled", reason)
            if proposal_row.command == c.EndorseDecision.type_name():  # the one it would have let go ahead ends too
                endorsed = c.EndorseDecision.model_validate(proposal_row.payload).decision_id
                with contextlib.suppress(Conflict):
                    await self.overrule(unit, endorsed, reason)
            elif proposal_row.command == c.AdoptListing.type_name():
                refused = c.AdoptListing.model_validate(proposal_row.payload)
                await adopting.list_apart(unit, refused.listing_id, AccountRef(refused.account_id, refused.vendor))
            await money_out.ended(unit, proposal_row.command, proposal_row.payload, reason)
            if proposal_row.command == c.SettleRefund.type_name() and row.refused:
                with contextlib.suppress(Conflict):  # settled some other way meanwhile
                    order_id = c.SettleRefund.model_validate(proposal_row.payload).order_id
                    await refunds.settle_doubted(unit, order_id, given=False)
            elif proposal_row.command == c.OfferEdit.type_name():
                edit = c.OfferEdit.model_validate(proposal_row.payload)
                if row.refused:
                    await hand_edits.keep_ours(unit, edit)
                elif not row.superseded:  # else the newer question is about what the channel shows now
                    await hand_edits.ask_again(unit, edit)

    async def expire(self, unit: UnitOfWork, decision_id: UUID) -> None:
        """Close a question whose time is over and stop what waited for it. Raises Conflict while it can be answered."""
        if not await decision_rows.expire_approval(unit, decision_id):
            raise Conflict("the question was answered, or there still is time to")
        with contextlib.suppress(Conflict):  # settled some other way meanwhile
            await self.overrule(unit, decision_id, "nobody answered in time")

    async def _ask(self, unit: UnitOfWork, ctx: Context, decision_id: UUID, question: str) -> None:
        await unit.flush()
        hours = (await ctx.services.profile()).settings.approval_hours
        await decision_rows.ask(unit, decision_id, question, unit.now + timedelta(hours=hours))
        await decision_rows.set_state(unit.session, decision_id, "awaiting")
        await self._supersede_older(unit, decision_id)

    async def _supersede_older(self, unit: UnitOfWork, decision_id: UUID) -> None:
        """A person is asked once about one thing: open questions that hold nothing beside what this one asks end."""
        questions = await decision_rows.open_questions(unit.session)
        asked = questions.pop(decision_id, set())
        for older, waiting in questions.items():
            if waiting <= asked and await decision_rows.supersede_approval(unit.session, older):
                with contextlib.suppress(Conflict):  # settled some other way meanwhile
                    await self.overrule(unit, older, "a newer question about the same takes its place")


async def _limits(ctx: Context, spec: AgentSpec, fact: str = "") -> AgentLimits:
    return owners_limits(spec, (await ctx.services.profile()).settings, fact)


def _proposed(decision_id: UUID, ordinal: int, command: c.Command) -> ProposedCommand:
    kind, subject_id = command.subject()
    payload = command.model_dump(mode="json")
    return ProposedCommand(decision_id, ordinal, command.type_name(), payload, kind, subject_id)


def _chosen(unit: UnitOfWork, decision_id: UUID, choice: PolicyChoice) -> dict[str, Any]:
    return {
        "tenant_id": unit.tenant_id,
        "decision_id": decision_id,
        **choice.model_dump(include={"policy_id", "listing_id", "role", "rung", "chance", "canary_share"}),
        "price_minor": choice.price.amount_minor,
        "current_minor": choice.current.amount_minor,
        "currency": choice.price.currency,
        "at": unit.now,
    }


def _ordered(unit: UnitOfWork, decision_id: UUID, choice: OrderChoice) -> dict[str, Any]:
    kept = choice.model_dump(exclude={"version"})
    return {"tenant_id": unit.tenant_id, "decision_id": decision_id, **kept, "at": unit.now}


def _open_proposals(row: DecisionRow) -> list[ProposalRow]:
    """Those that nobody has judged yet, or that wait for a person: the rest has been carried out or denied."""
    return [proposal for proposal in row.proposals if proposal.verdict in (None, "ask")]
