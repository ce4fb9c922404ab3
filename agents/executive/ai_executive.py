"""AIExecutiveAgent: what a careful colleague would say to a decision with much at stake, and to the week.

It stands in for ExecutiveAgent where much is at stake: the decision is that agent's, made by the same rules and carried
out once. A language model, where the business has one, adds sentences to it: the story, reasons against, other ways.
It changes no proposal, no confidence and no stake, and a sentence whose figures are not those of the rows it cites is
struck out.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agents.executive.executive import ExecutiveAgent, ExecutiveCommand
from flipsync.domain.commands import ChangePrice, EndorseDecision
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import CycleStarted, DecisionEscalated, Event
from flipsync.domain.money import Money, usd
from flipsync.intelligence.language import Prompt
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.services.counsel import Counsel, Matter, advised, by_rules
from flipsync.services.week_desk import Week

#: from this stake on, in any currency's units
FROM_STAKE = usd("500.00")
PROMPT = Prompt.beside(__file__, Counsel)
_PRICES = 6
#: of what the brain knows
_KNOWN = 14
#: how far a chain of endorsements is followed to what it is about
_HOPS = 3


class AIExecutiveAgent(Agent[DecisionEscalated | CycleStarted]):
    """Adds the story, counter-arguments and other ways to executive decisions with much at stake, and to each week."""

    spec = AgentSpec(
        name="ai_executive",
        ecosystem="executive",
        reports_to="executive",
        wraps="executive",
        authority=ExecutiveAgent.spec.authority,
        pace=0.25,
        batch=4,
        version=f"1-{PROMPT.mark}",
        asks_model=True,
    )

    def __init__(self) -> None:
        self._wrapped = ExecutiveAgent()

    @classmethod
    def takes(cls, event: Event) -> bool:
        """The weekly review, and decisions of others that come up with 500.00 or more at stake."""
        if isinstance(event, CycleStarted):
            return event.cycle == "weekly"
        return (
            isinstance(event, DecisionEscalated)
            and event.from_agent != cls.spec.name
            and (event.stake_minor or 0) >= FROM_STAKE.amount_minor
        )

    async def decide(self, event: DecisionEscalated | CycleStarted, ctx: Context) -> Decision[ExecutiveCommand]:
        decision = await self._wrapped.decide(event, ctx)
        if isinstance(event, CycleStarted):
            if event.cycle != "weekly" or event.tenant_id != ctx.tenant_id:
                return decision
            week = await ctx.services.weeks.week()
            decision = _looking_back(decision, week)
        elif decision.is_hold:
            return decision
        if why_not := await ctx.services.language.why_not():
            return by_rules(decision, why_not)
        if isinstance(event, CycleStarted):
            return await self._advised(decision, _of_week(week, ctx), [], ctx)
        matter = await self._of_decision(event, ctx)
        return await self._advised(decision, matter, [("decision", event.decision_id)], ctx)

    async def _advised(
        self, decision: Decision[Any], matter: Matter, about: list[tuple[str, UUID]], ctx: Context
    ) -> Decision[Any]:
        """The same decision, with what the model has to say of it; it is told what was tried before."""
        rows = min(_KNOWN, matter.room)
        matter.know(await ctx.services.brain.brief(self.spec.name, about, words=_words(matter), rows=rows))
        question = PROMPT.ask(matter.facts, matter.texts)
        answer = await ctx.services.language.ask(question)
        counsel = answer.read(PROMPT, Counsel)
        if counsel is None:
            return by_rules(decision, answer.why or "the answer is of another version")
        return advised(decision, counsel, question.facts, answer.evidence(PROMPT))

    async def _of_decision(self, event: DecisionEscalated, ctx: Context) -> Matter:
        matter = Matter()
        decision_id = event.decision_id
        for _ in range(_HOPS):
            row = await ctx.services.decisions.get(decision_id)
            if row is None:
                break
            if row.stake_minor is not None and row.stake_currency:
                stake = Money(amount_minor=row.stake_minor, currency=row.stake_currency)
                matter.add(f"what could be lost, says {row.agent}", stake, "decision", row.id)
            matter.add(f"how sure {row.agent} is", row.confidence, "decision", row.id)
            matter.add(f"things {row.agent} proposes", len(row.proposals), "decision", row.id)
            matter.texts.append((f"the reason {row.agent} gives", row.rationale))
            prices = [each for each in row.proposals if each.command == ChangePrice.type_name()][:_PRICES]
            for at, price in enumerate(ChangePrice.model_validate(each.payload) for each in prices):
                if price.previous is not None:
                    matter.add(f"price of listing number {at} before", price.previous, "listing", price.listing_id)
                matter.add(f"price proposed for listing number {at}", price.price, "listing", price.listing_id)
            below = next((each for each in row.proposals if each.command == EndorseDecision.type_name()), None)
            if below is None:
                break
            decision_id = EndorseDecision.model_validate(below.payload).decision_id
        return matter


def _looking_back(decision: Decision[ExecutiveCommand], week: Week) -> Decision[ExecutiveCommand]:
    """The executive's review with the week in figures, by rules."""
    told = [
        f"{each.orders} orders ({each.orders_before} before), profit "
        f"{Money(amount_minor=each.profit, currency=each.currency)} "
        f"({Money(amount_minor=each.profit_before, currency=each.currency)})"
        for each in week.channels[:3]
    ]
    shown = zip(week.channels, told, strict=False)
    rows = [Evidence(kind="account", id=each.account_id, note=words) for each, words in shown]
    sold = "; ".join(told) or "nothing was sold in either week"
    asked = f"{week.decisions} decisions, {week.up} of them above an agent's authority, {week.questions} questions open"
    words = f"{decision.rationale}; the week: {sold}; {asked}"
    return decision.model_copy(update={"rationale": words[:900], "evidence": (*decision.evidence, *rows)})


def _words(matter: Matter) -> str:
    """What the matter is about, for memories of the like."""
    return " ".join(text for _, text in matter.texts)


def _of_week(week: Week, ctx: Context) -> Matter:
    matter = Matter()
    for at, each in enumerate(week.channels, 1):
        for says, now, before in (
            ("profit", each.profit, each.profit_before),
            ("revenue less refunds", each.net, each.net_before),
        ):
            for when, minor in (("this week", now), ("the week before", before)):
                amount = Money(amount_minor=minor, currency=each.currency)
                matter.add(f"{says} of channel number {at}, {when}", amount, "account", each.account_id)
        matter.add(f"orders of channel number {at}, this week", each.orders, "account", each.account_id)
        matter.add(f"orders of channel number {at}, the week before", each.orders_before, "account", each.account_id)
    matter.add("decisions of agents", week.decisions, "tenant", ctx.tenant_id)
    matter.add("decisions above an agent's authority", week.up, "tenant", ctx.tenant_id)
    matter.add("questions to the owner that are open", week.questions, "tenant", ctx.tenant_id)
    return matter
