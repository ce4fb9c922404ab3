"""DemandAgent: which forecast of demand a business is served, and when it is time for a new one."""

from __future__ import annotations

from datetime import timedelta

from flipsync.domain.commands import MakeForecasts
from flipsync.domain.decisions import Alternative, Decision
from flipsync.domain.events import CycleStarted
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.demand_desk import DemandReview, DemandState
from flipsync.services.forecast_choice import choose

#: between two daily forecasts: sales that ask for a new one, in units and in weeks of what was expected, and its pause
_FEWEST, _WEEKS, _PAUSE = 20, 0.5, timedelta(hours=6)


class DemandAgent(Agent[CycleStarted]):
    """Every day, and when sales run ahead, backs the method that forecast the business's own last weeks best."""

    spec = AgentSpec(
        name="demand",
        ecosystem="market",
        reports_to="market",
        # a forecast moves nothing by itself, and the next one takes its place
        authority=Authority(auto_above=0.0),
        # one catalogue at a time: two years of orders are looked through
        batch=1,
    )

    async def decide(self, event: CycleStarted, ctx: Context) -> Decision[MakeForecasts]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's cycle")
        if event.cycle not in ("hourly", "daily"):
            return Decision.hold(f"a {event.cycle} review asks for no forecast")
        state = await ctx.services.demand.state()
        if state.origin is not None and state.origin >= ctx.now:
            return Decision.hold("forecasts of this moment were made already")
        if event.cycle == "hourly" and (calm := _calm(state, ctx)):
            return Decision.hold(calm)
        review = await ctx.services.demand.review()
        if not review.series:
            return Decision.hold("nothing is or was for sale")
        choice = choose(review.rmsse, review.ours, review.judged, state.method or None)
        return Decision.propose(
            MakeForecasts(
                tenant_id=ctx.tenant_id,
                origin=ctx.now,
                method=choice.method,
                baseline_wins=choice.baseline_wins,
                why=choice.why,
                rmsse=review.rmsse,
                coverage=review.coverage,
            ),
            why=f"{review.series} series; {choice.why}{_record(review)}"[:900],
            confidence=review.sure,
            alternatives=tuple(
                Alternative(name=name, scores={"rmsse": error}, chosen=name == choice.method)
                for name, error in sorted(review.rmsse.items(), key=lambda each: each[1])
            ),
        )


def _calm(state: DemandState, ctx: Context) -> str:
    """Why the last forecast still does; empty when so much sold that it may not."""
    enough = max(float(_FEWEST), _WEEKS * state.weekly)
    if state.origin is not None and ctx.now - state.origin < _PAUSE:
        return f"forecast at {state.origin:%Y-%m-%d %H:%M} UTC"
    if state.sold < enough:
        return f"{state.sold} units sold since the last forecast, fewer than {enough:.0f}"
    return ""


def _record(review: DemandReview) -> str:
    """How forecasts that were served did."""
    return "".join(
        f"; served so far, {each.method}: RMSSE {each.rmsse:.3f}, {each.coverage:.0%} of {each.weeks} weeks inside"
        for each in review.achieved
    )
