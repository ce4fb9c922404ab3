"""CompetitorAgent: who a listing competes with, how each of them answers, and when the owner has to know."""

from __future__ import annotations

from flipsync.domain.commands import RaiseRivalAlarm
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import RivalsMoved
from flipsync.domain.money import Money
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.competitors import Reaction

_SHOWN = 5


class CompetitorAgent(Agent[RivalsMoved]):
    """Reads how rivals answer our prices, and raises alarms of price wars and hijacked listings."""

    spec = AgentSpec(
        name="competitor", ecosystem="market", reports_to="market", authority=Authority(auto_above=0.5), pace=1.0
    )

    async def decide(self, event: RivalsMoved, ctx: Context) -> Decision[RaiseRivalAlarm]:
        rivalry = await ctx.services.competitors.rivalry(event.listing_id)
        if rivalry is None:
            return Decision.hold("the listing is not on sale")
        listing = Evidence(kind="listing", id=event.listing_id)
        told = ", ".join(in_words(each) for each in rivalry.reactions[:_SHOWN]) or "nobody sells it beside us"
        if len(rivalry.reactions) > _SHOWN:
            told += f", {len(rivalry.reactions) - _SHOWN} more"
        if not rivalry.raised:
            known = f" (raised already: {', '.join(sorted(rivalry.known))})" if rivalry.known else ""
            return Decision.hold(f"nothing alarming{known}: {told}"[:900], evidence=[listing])
        commands = [
            RaiseRivalAlarm(
                listing_id=event.listing_id,
                alarm=each.alarm,
                why=each.why[:500],
                evidence=tuple(row.id for row in each.evidence if row.id is not None),
            )
            for each in rivalry.raised
        ]
        rows = [
            Evidence(
                kind="rival_move",
                id=row.id,
                note=f"{row.seller}: {Money(amount_minor=row.price_minor, currency=rivalry.currency)}"[:200],
            )
            for each in rivalry.raised
            for row in each.evidence
            if row.id is not None
        ]
        return Decision.propose(
            *commands,
            why="; ".join(f"{each.alarm}: {each.why}" for each in rivalry.raised)[:900],
            # the share of alarms that were right in `flipsync bench agents`, rounded down
            confidence=min(0.8 if each.alarm == "price-war" else 0.9 for each in rivalry.raised),
            evidence=[listing, *rows],
            alternatives=(
                Alternative(name="raise it", why="the owner can still act", chosen=True),
                Alternative(name="look on", why=told[:500]),
            ),
        )


def in_words(read: Reaction) -> str:
    """One rival in a few words."""
    if read.kind in ("matcher", "undercutter"):
        return f"{read.seller}: {read.kind} within {read.lag_hours} h (slope {read.slope:.2f} ± {read.error:.2f})"
    return f"{read.seller}: {read.kind}"
