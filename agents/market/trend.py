"""TrendAgent: goods and categories that rise or fall, seasons, and weeks out of line."""

from __future__ import annotations

from flipsync.domain.commands import NoteTrend
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import TrendsDue
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context

#: the share of changes that were told right, goods and week, in `flipsync bench agents`; rounded down
_RIGHT = 0.85


class TrendAgent(Agent[TrendsDue]):
    """Once a week tells what sells otherwise than before, each with the sales it rests on, and each once."""

    spec = AgentSpec(
        name="trend",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.5),
        # one catalogue at a time: a year of orders is looked through
        batch=1,
    )

    async def decide(self, event: TrendsDue, ctx: Context) -> Decision[NoteTrend]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's week")
        review = await ctx.services.trends.review()
        looked = f"{review.goods} goods and {review.categories} categories over {review.weeks} weeks"
        if not review.found:
            known = f", {review.known} told before" if review.known else ""
            return Decision.hold(f"nothing new in {looked}{known}")
        more = f"; {review.more} less sure are left out" if review.more else ""
        return Decision.propose(
            *(
                NoteTrend(
                    tenant_id=ctx.tenant_id,
                    kind=each.kind,
                    stock_item_id=each.stock_item_id,
                    category=each.category,
                    since=each.since,
                    ratio=each.ratio,
                    q=each.q,
                    why=each.why,
                    evidence=each.evidence,
                )
                for each in review.found
            ),
            why=f"{len(review.found)} new in {looked}{more}; first: {review.found[0].why}"[:900],
            confidence=_RIGHT,
            evidence=[
                Evidence(kind="stock_item", id=each.stock_item_id, note=each.why[:200])
                for each in review.found
                if each.stock_item_id is not None
            ],
            alternatives=(
                Alternative(name="tell it", why="who buys and prices can still act", chosen=True),
                Alternative(name="wait a week", why="another week of sales would make it surer"),
            ),
        )
