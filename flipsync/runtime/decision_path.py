"""What happens to a decision: recorded, sent up when above the agent's authority, judged by the gate, carried out.

All of it is one transaction with the completion of the task that caused it: a decision and its effects exist together
or not at all.
"""

from __future__ import annotations

import contextlib
import importlib
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from flipsync.domain import commands as c
from flipsync.domain import listing_care as care
from flipsync.domain import purchase_commands as b
from flipsync.domain import steering_commands as steer
from flipsync.domain import workflow_messages as w
from flipsync.domain.channel import Vendor
from flipsync.domain.decisions import Decision, PolicyChoice
from flipsync.domain.directives import bearing
from flipsync.domain.errors import Conflict, FlipSyncError, NotFound
from flipsync.domain.events import DecisionEscalated, ListingRequested
from flipsync.domain.goods_reading import NoteReading
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.runtime.agent import AgentSpec, Authority, Context
from flipsync.runtime.budgets import Budgets, Want
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.standings import Standings
from flipsync.services import (
    accounts,
    adopting,
    arbitration,
    channel_pace,
    competitor_desk,
    demand_desk,
    directives,
    hand_edits,
    listing_care,
    model_registry,
    money_out,
    new_stock,
    orders,
    oversold,
    purchase_orders,
    readings,
    refunds,
    resource_desk,
    standing_desk,
    stock,
    strategy_desk,
    trend_desk,
    workflows,
)
from flipsync.services.arbitration import Claim, Rank
from flipsync.services.offers import title_of
from flipsync.services.orders import AccountRef
from flipsync.services.recorded_desk import Notes
from flipsync.services.sourcing import scans
from flipsync.services.standing import Standing, above
from flipsync.store.journal import ProposedCommand
from flipsync.store.repositories import decisions as decision_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import policies
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories.budgets import FLEET
from flipsync.store.repositories.decisions import DecisionRow, ProposalRow
from flipsync.store.unit_of_work import Cause, UnitOfWork

#: commands whose carrying out refuses before it changes anything: nothing has to be taken back
_LOOKS_FIRST = (c.AllocateStock, c.MarkOrderReady, c.EndorseDecision, RecordSourcingVerdict)


def above_authority(authority: Authority, decision: Decision[Any]) -> str:
    """Why a decision is for the agent's superior; "" when it is not."""
    if all(command.scope == "read" for command in decision.proposals):
        return ""
    if decision.confidence < authority.auto_above:
        return f"confidence {decision.confidence:.2f} is below {authority.auto_above:.2f}"
    if decision.stake is not None and decision.stake.amount_minor > authority.max_stake.amount_minor:
        return f"{decision.stake} at stake is above {authority.max_stake.plain()}"
    return ""


def lost(authority: Authority, decision: Decision[Any], standing: Standing) -> str:
    """Why a decision within its agent's authority still goes up, by how right it was; "" when it does not."""
    stake = None if decision.stake is None else decision.stake.amount_minor
    return above(standing, decision.confidence, authority.auto_above, stake, authority.max_stake.amount_minor)


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
    ) -> UUID:
        """Write the decision on a `fact` of that type, with what it read, and do what follows; returns its id."""
        decision_id = new_id()
        why_up = above_authority(spec.authority, decision)
        standing = await self._standings.of(unit, spec.name, decision, fact)
        if standing is not None and not why_up:
            why_up = lost(spec.authority, decision, standing)
        superior = self._graph.superior(spec.name)
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
                "trusted": decision.confidence * standing.trusted if standing is not None else None,
                "stake_minor": decision.stake.amount_minor if decision.stake else None,
                "stake_currency": decision.stake.currency if decision.stake else None,
                "alternatives": [alternative.model_dump(mode="json") for alternative in decision.alternatives],
                "evidence": [evidence.model_dump(mode="json") for evidence in decision.evidence],
                "correlation_id": ctx.correlation_id,
            },
            proposals,
            notes.row(decision_id) if notes is not None else None,
        )
        cause = Cause(decision_id, ctx.correlation_id, unit.cause.traceparent)
        trusted = decision.confidence * (standing.trusted if standing is not None else 1.0)
        rank = arbitration.rank_of(fact, coordinates=spec.name in self._graph.coordinators)
        claim = Claim(spec.name, rank, trusted, decision_id)
        if why_up and superior:
            unit.emit(
                DecisionEscalated(
                    decision_id=decision_id,
                    from_agent=spec.name,
                    to_agent=superior,
                    reason=why_up,
                    stake_minor=decision.stake.amount_minor if decision.stake else None,
                ),
                cause=cause,
            )
        elif why_up:
            await self._ask(unit, ctx, decision_id, f"{decision.rationale} ({why_up})")
        else:
            stake = 0 if decision.stake is None else decision.stake.amount_minor // max(1, len(proposals))
            for proposal, command in zip(proposals, decision.proposals, strict=True):
                await self._carry_out(unit, ctx, claim, proposal, command, cause, why=decision.rationale, stake=stake)
        if decision.choices and not why_up:  # what waits for somebody else is not a policy's choice any more
            await unit.flush()
            await policies.add_choices(unit.session, [_chosen(unit, decision_id, each) for each in decision.choices])
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
                proposal.verdict, proposal.rule = "deny", "budget"
                proposal.reason = f"what {agent} may set in motion within an hour, {most} things, is done or promised"
                return
            if claim.rank is not Rank.PERSON and (short := await self._short_of(unit, ctx, command, stake)):
                proposal.verdict, proposal.rule, proposal.reason = "deny", "fleet-budget", short
                return
            verdict = await self._gate.judge(unit, ctx, agent, command, approved=approved, claim=claim)
            proposal.verdict, proposal.rule, proposal.reason = verdict.answer, verdict.rule, verdict.reason
            if verdict.answer == "ask":
                await self._ask(unit, ctx, proposal.decision_id, verdict.reason)
            elif verdict.answer in ("proceed", "mutate"):
                self._enqueue(unit, proposal, verdict.command or command)
        finally:
            if proposal.verdict == "deny":
                await money_out.ended(unit, command.type_name(), proposal.payload, proposal.reason)
            unit.cause = before

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
        match command:
            case c.ListOnChannel():
                await self._list_on_channel(unit, ctx, command)
            case steer.IssueDirective():
                await directives.issue(unit, command)
                ctx.services.forget_profile()
            case steer.ShareBudgets():
                await resource_desk.share(unit, command)
                ctx.services.forget_profile()
            case steer.AdoptPlan():
                await strategy_desk.adopt(unit, command)
            case steer.SetTarget():
                await strategy_desk.set_target(unit, command)
            case steer.ClosePlan():
                await strategy_desk.close(unit, command)
            case steer.RevokeDirective():
                await directives.revoke(unit, command)
                ctx.services.forget_profile()
            case c.AdoptListing():
                await adopting.adopt(unit, command.listing_id, AccountRef(command.account_id, command.vendor))
            case c.KeepEdit():
                await hand_edits.keep_theirs(unit, command)
            case c.SettleRefund():
                await refunds.settle_doubted(unit, command.order_id, given=True)
            case c.AllocateStock():
                await stock.set_targets(unit, command.stock_item_id, command.shares)
            case c.MeasureChannels():
                await channel_pace.measure(unit)
            case c.ReserveStock():
                await orders.reserve_missing(unit, command.order_id)
            case c.CancelByHand():
                look = c.PullOrders(account_id=command.account_id)
                key = f"cancelled-by-hand:{command.order_id}:{new_id()}"
                unit.enqueue(look, account_id=command.account_id, key=key, supersede=True)
            case c.HandOverUnits():
                await oversold.hand_over_units(unit, command)
            case c.MarkOrderReady():
                await orders.mark_ready(unit, command.order_id)
            case c.EndorseDecision():
                await self.endorse(unit, ctx, command.decision_id)
            case c.OverruleDecision():
                await self.overrule(unit, command.decision_id, command.reason)
            case c.AskOwner():
                await self._ask(unit, ctx, command.decision_id, command.question)
            case c.ExpireApproval():
                await self.expire(unit, command.decision_id)
            case c.PauseAccount():
                await accounts.pause_account(unit, command.account_id, command.reason)
                ctx.services.accounts.forget()
            case c.MoveAuthority():
                if command.agent not in self._graph.agents:
                    raise NotFound(f"no agent {command.agent}")
                await standing_desk.move(unit, command)
                self._standings.forget(unit.tenant_id)
            case c.RaiseRivalAlarm():
                await competitor_desk.raise_alarm(unit, command)
            case c.MakeForecasts():
                await demand_desk.carry_out(unit, command)
            case b.PlanPurchases():
                for supplier_id in command.suppliers:
                    unit.emit(PurchaseDue(supplier_id=supplier_id, urgent=command.urgent))
            case b.PlacePurchaseOrder():
                await purchase_orders.carry_out(unit, command)
            case care.PlanListingWork():
                await listing_care.plan_work(unit, command)
            case care.FitListing():
                await listing_care.fit(unit, command)
            case care.OfferProductFacts():
                await listing_care.state_facts(unit, command)
            case care.NoteListingNeeds():
                await listing_care.note(unit, command)
            case c.NoteTrend():
                await trend_desk.note(unit, command)
            case RecordSourcingVerdict():
                await scans.settle(unit, command)
            case NoteReading():
                await readings.note(unit, command)
            case c.TrainPolicy():
                requests = importlib.import_module("flipsync.training.requests")  # simulators: not in every process
                await requests.request(
                    unit, command.name, seed=command.seed, samples=command.samples, cause=command.cause
                )
            case c.PromotePolicy():
                await model_registry.promote(unit, str(command.policy_id), to=command.to, reason=command.reason)
            case c.RollBackPolicy():
                await model_registry.roll_back(unit, command.name, command.reason)
            case w.ContinueWorkflow():
                await workflows.go_on(unit, command.run_id)
            case w.ConfirmIdentity():
                await new_stock.confirm_identity(unit, command)
            case w.WriteContent():
                await new_stock.write_content(unit, command)
            case w.SetListPrice():
                await new_stock.set_list_price(unit, command)
            case c.ResumeAccount():
                await accounts.resume_account(unit, command.account_id)
                ctx.services.accounts.forget()
            case _:
                raise FlipSyncError(f"nobody knows how to carry out {command.type_name()}")

    async def endorse(self, unit: UnitOfWork, ctx: Context, decision_id: UUID) -> None:
        """Let an escalated or awaiting decision go ahead; the gate still has its say."""
        row = await decision_rows.lock(unit.session, decision_id)
        if row is None:
            raise NotFound(f"decision {decision_id} does not exist")
        if row.state not in ("escalated", "awaiting"):
            raise Conflict(f"the decision is {row.state} already")
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

    async def _list_on_channel(self, unit: UnitOfWork, ctx: Context, command: c.ListOnChannel) -> None:
        account = await ctx.services.accounts.get(command.account_id)
        if account is None or account.status == "disconnected":
            raise Conflict("the account is not connected")
        bound = bearing((await ctx.services.profile()).directives, ctx.now, "list-nothing", command.account_id)
        if bound is not None:
            raise Conflict(f"a directive says to list nothing new there: {bound.reason}")
        created = 0
        rows = await listing_rows.variants_to_list(unit.session, command.product_id, command.account_id)
        for variant, product in rows:
            listing_id = await listing_rows.create_listing(
                unit,
                account_id=account.id,
                variant=variant,
                title=title_of(variant, product),
                currency=account.currency,
            )
            if listing_id is None:
                continue
            item = await ledger.ensure_item(unit, variant.id, mode=account.stock_mode)
            await ledger.ensure_allocation(unit, listing_id, item.id)
            created += 1
        if created:
            unit.emit(
                ListingRequested(
                    account_id=account.id, vendor=cast(Vendor, account.vendor), product_id=command.product_id
                )
            )


def _proposed(decision_id: UUID, ordinal: int, command: c.Command) -> ProposedCommand:
    kind, subject_id = command.subject()
    payload = command.model_dump(mode="json")
    return ProposedCommand(decision_id, ordinal, command.type_name(), payload, kind, subject_id)


def _chosen(unit: UnitOfWork, decision_id: UUID, choice: PolicyChoice) -> dict[str, Any]:
    return {
        "tenant_id": unit.tenant_id,
        "decision_id": decision_id,
        **choice.model_dump(include={"policy_id", "listing_id", "role", "rung", "chance"}),
        "price_minor": choice.price.amount_minor,
        "current_minor": choice.current.amount_minor,
        "currency": choice.price.currency,
        "at": unit.now,
    }


def _open_proposals(row: DecisionRow) -> list[ProposalRow]:
    """Those that nobody has judged yet, or that wait for a person: the rest has been carried out or denied."""
    return [proposal for proposal in row.proposals if proposal.verdict in (None, "ask")]
