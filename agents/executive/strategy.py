"""StrategyAgent: what the business means to reach in the weeks to come, how likely that is, and what that asks for."""

from __future__ import annotations

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.directives import Terms
from flipsync.domain.events import CycleStarted, SettingsChanged
from flipsync.domain.goals import Goals
from flipsync.domain.money import Money
from flipsync.domain.steering_commands import AdoptPlan, ClosePlan, IssueDirective, SetTarget
from flipsync.domain.steering_events import PlanDue
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.plan_targets import chance_of, target_for, wanted_chance
from flipsync.services.strategy_desk import LENGTH, AgedStock, ChannelOutlook

Strategy = AdoptPlan | SetTarget | ClosePlan | IssueDirective
#: channels with targets of their own, the largest first; and chances that are shown beside the one that was taken
_MOST_CHANNELS, _SHOWN = 8, (0.3, 0.5, 0.7)
#: aged stock is to be cleared faster than it would go: so likely is its target without
_STRETCH = 0.3
#: how long money is waited for while stock is cleared
_PATIENCE = {"cash now": 7, "balanced": 14, "growth": 30}
#: channels' own agents; the others are the generic one's
_OF_VENDOR = ("amazon", "ebay", "shopify", "woocommerce")


class StrategyAgent(Agent[PlanDue | SettingsChanged | CycleStarted]):
    """Plans four weeks at a time and when goals change, each target with its probability; tells what came of it."""

    spec = AgentSpec(
        name="strategy", ecosystem="executive", reports_to="executive", authority=Authority(auto_above=0.5), batch=1
    )

    async def decide(self, event: PlanDue | SettingsChanged | CycleStarted, ctx: Context) -> Decision[Strategy]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's plans")
        if isinstance(event, CycleStarted):
            return await self._look_back(event, ctx)
        if isinstance(event, SettingsChanged) and not any(name.startswith("goals.") for name in event.after):
            return Decision.hold("no goal was changed")
        return await self._plan(ctx)

    async def _plan(self, ctx: Context) -> Decision[Strategy]:
        outlook = await ctx.services.strategy.outlook()
        if outlook is None:
            return Decision.hold("no forecast of goods on sale is kept: there is nothing to plan from")
        goals = (await ctx.services.profile()).settings.goals
        vendors = {account.id: account for account in await ctx.services.accounts.all()}
        chance = wanted_chance(goals)
        targets: list[SetTarget] = []
        alternatives: list[Alternative] = []
        largest = sorted(outlook.channels, key=lambda each: (-each.expected, str(each.account_id)))[:_MOST_CHANNELS]
        wholes = [outlook.whole] if outlook.whole is not None else []
        for place in [*wholes, *largest]:
            account = None if place is outlook.whole else vendors.get(place.account_id)
            if place is not outlook.whole and account is None:
                continue
            owner = "market" if account is None else account.vendor if account.vendor in _OF_VENDOR else "base_market"
            target = target_for(place.quantiles, chance)
            if target <= 0:
                continue
            where = "in all" if account is None else f"on {account.name}"
            told = Money(amount_minor=round(target), currency=place.currency)
            title = f"turn over {told} {where}"
            targets.append(_target(ctx, title, owner, place, target, account is not None))
            alternatives += _others(place, where, chance)
        directives = []
        if (aged := outlook.aged) is not None and (target := target_for(aged.quantiles, _STRETCH)) > 0:
            targets.append(_clear(ctx, aged, target))
            directives.append(_directive(ctx, aged, goals))
        if not targets:
            return Decision.hold(f"{outlook.series} series are not expected to turn anything over")
        words = f"{len(targets)} targets, each {chance:.0%} likely or as said, from {outlook.series} forecasts"
        off = f"forecasts of the whole were off by {outlook.sd:.0%} ({outlook.judged} compared)"
        why = f"{words}; {off}; {goals.in_words()}"
        plan = AdoptPlan(
            tenant_id=ctx.tenant_id,
            starts_at=ctx.now,
            ends_at=ctx.now + LENGTH,
            goals=goals.in_words(),
            why=why,
            forecast_origin=outlook.origin,
        )
        return Decision.propose(
            plan,
            *targets,
            *directives,
            why=why,
            confidence=0.9 if outlook.judged >= 4 else 0.75,
            evidence=[Evidence(kind="account", id=each.account_id) for each in largest],
            alternatives=tuple(alternatives[:60]),
        )

    async def _look_back(self, event: CycleStarted, ctx: Context) -> Decision[Strategy]:
        if event.cycle != "daily":
            return Decision.hold(f"a {event.cycle} review compares no plan")
        over = await ctx.services.strategy.overdue()
        if over:
            return Decision.propose(
                *(ClosePlan(tenant_id=ctx.tenant_id, plan_starts_at=each) for each in over),
                why=f"{len(over)} plans are over: what their figures came to is known",
            )
        running = await ctx.services.strategy.running()
        if running is None:  # the first one waits for forecasts only, the next ones for their time
            ever = await ctx.services.strategy.planned()
            return Decision.hold("no plan runs until the next is due") if ever else await self._plan(ctx)
        return Decision.hold(f"a plan of {running.targets} targets runs until {running.ends_at:%Y-%m-%d}")


def _target(ctx: Context, title: str, owner: str, place: ChannelOutlook, target: float, of_account: bool) -> SetTarget:
    return SetTarget(
        tenant_id=ctx.tenant_id,
        plan_starts_at=ctx.now,
        title=title,
        owner=owner,
        figure="goods",
        account_id=place.account_id if of_account else None,
        currency=place.currency,
        base=place.base,
        expected=place.expected,
        target=target,
        probability=chance_of(place.quantiles, target),
        quantiles=tuple(place.quantiles),
    )


def _clear(ctx: Context, aged: AgedStock, target: float) -> SetTarget:
    return SetTarget(
        tenant_id=ctx.tenant_id,
        plan_starts_at=ctx.now,
        title=f"sell {target:.0f} of {aged.units} aged units of {aged.category}"[:200],
        owner="pricing",
        figure="aged-units",
        skus=tuple(aged.skus),
        base=aged.base,
        expected=aged.expected,
        target=target,
        # as priced now: what clearing adds is not known beforehand, and so not counted
        probability=chance_of(aged.quantiles, target),
        quantiles=tuple(aged.quantiles),
    )


def _directive(ctx: Context, aged: AgedStock, goals: Goals) -> IssueDirective:
    terms = Terms(kind="clear-stock", category=aged.category[:200], patience_days=_PATIENCE[goals.horizon])
    reason = f"{aged.units} units of {aged.category[:200]} last longer than half a year"
    return IssueDirective(tenant_id=ctx.tenant_id, terms=terms, days=LENGTH.days, reason=reason)


def _others(place: ChannelOutlook, where: str, taken: float) -> list[Alternative]:
    """Targets of other chances beside the one that was taken."""
    return [
        Alternative(
            name=f"{Money(amount_minor=round(target_for(place.quantiles, chance)), currency=place.currency)} {where}",
            scores={"probability": chance, "expected_minor": round(place.expected)},
            chosen=chance == taken,
        )
        for chance in sorted({*_SHOWN, taken})
    ]
