"""SourcingAgent: what a thing is, whether to buy it, and for how much at most."""

from __future__ import annotations

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.money import Money
from flipsync.domain.sourcing import (
    CatalogueAnswered,
    LookUpGoods,
    RecordSourcingVerdict,
    SourcingAsked,
    SourcingListSent,
    Verdict,
)
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.adoption import SURE
from flipsync.services.sourcing.desk import Assessed, ScanPart


class SourcingAgent(Agent[SourcingAsked | SourcingListSent | CatalogueAnswered]):
    """Recognises goods that somebody may buy, and advises: buy up to a price, pass, or find something out first."""

    spec = AgentSpec(
        name="sourcing",
        ecosystem="market",
        reports_to="market",
        # advice moves neither money nor goods: whoever buys decides
        authority=Authority(auto_above=0.0),
        batch=4,
    )

    async def decide(
        self, event: SourcingAsked | SourcingListSent | CatalogueAnswered, ctx: Context
    ) -> Decision[RecordSourcingVerdict | LookUpGoods]:
        part = await ctx.services.sourcing.part(event.scan_id, event.part)
        if part is None:
            return Decision.hold("nobody asks about that any more")
        waiting = (*part.waiting, *(each.channel for each in part.ask))
        advice = [advise(line, part, waiting) for line in part.lines]
        sure = [_sure(each) for each in advice]
        counts = {verdict: sum(each.verdict == verdict for each in advice) for verdict in ("buy", "pass", "ask")}
        told = ", ".join(f"{count} × {verdict}" for verdict, count in counts.items() if count)
        why = advice[0].why if len(advice) == 1 else f"{part.name}: {told} of {len(advice)} lines"
        return Decision.propose(
            *advice,
            *(LookUpGoods(account_id=each.account_id) for each in part.ask),
            why=why[:900],
            confidence=sum(sure) / len(sure),
            evidence=[Evidence(kind="sourcing_scan", id=event.scan_id)]
            + [Evidence(kind="variant", id=each.variant_id) for each in part.lines if each.variant_id is not None],
            alternatives=_alternatives(part.lines[0], advice[0]) if len(advice) == 1 else (),
        )


def advise(line: Assessed, part: ScanPart, waiting: tuple[str, ...]) -> RecordSourcingVerdict:
    """The verdict on one line, with its best channel."""
    verdict, why = _verdict(line, part)
    best = line.scores[0] if line.scores else None
    return RecordSourcingVerdict(
        line_id=line.line_id,
        verdict=verdict,
        why=why[:900],
        product=line.product,
        variant_id=line.variant_id,
        identified_by=line.by,
        identity=line.identity,
        account_id=best.account_id if best else None,
        currency=line.currency,
        most_minor=best.most_minor if best else None,
        low_minor=best.low_minor if best else None,
        likely_minor=best.likely_minor if best else None,
        high_minor=best.high_minor if best else None,
        chance=best.chance if best else None,
        days_to_sell=best.days_to_sell if best else None,
        worth=best.worth if best else None,
        scores=line.scores,
        waiting=waiting,
    )


def _verdict(line: Assessed, part: ScanPart) -> tuple[Verdict, str]:
    if line.by == "nothing":
        return "ask", f"what is it? {line.identity_why}"
    if line.identity < SURE:
        return "ask", f"is it “{line.product}”? {line.identity_why}"
    if not line.scores:
        return "ask", f"“{line.product}”: {'; '.join(line.missing)}"
    best = line.scores[0]

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=line.currency)

    earns = f"a unit earns {money(best.low_minor)} to {money(best.high_minor)} on {best.channel}, four times in five"
    cost, paid = line.cost_minor, money(line.cost_minor) if line.cost_minor is not None else None
    if best.most_minor <= 0:
        return "pass", f"“{line.product}” earns nothing at any price, with a chance of {part.chance:.0%}"
    if cost is not None and cost > best.most_minor:
        if line.missing and best.chance > 1 - part.chance:
            return "ask", f"“{line.product}” at {paid}: {earns}; missing: {'; '.join(line.missing)}"
        return "pass", f"“{line.product}” is worth {money(best.most_minor)} at most, not {paid}: {earns}"
    if line.missing:
        return "ask", f"“{line.product}” up to {money(best.most_minor)}, but missing: {'; '.join(line.missing)}"
    if best.gone < part.turn_share:
        slow = f"{best.gone:.0%} of {line.units} sold in {part.turn_days} days"
        return "pass", f"“{line.product}” sells too slowly on {best.channel}: {slow} expected"
    return "buy", f"“{line.product}” up to {money(best.most_minor)}: {earns}, sold in {best.days_to_sell:.0f} days"


def _sure(advice: RecordSourcingVerdict) -> float:
    """How likely the verdict is right: of advice to find something out there is nothing to be wrong about."""
    chance = advice.chance or 0.0
    return {"buy": advice.identity * chance, "pass": advice.identity * (1 - chance), "ask": 1.0}[advice.verdict]


def _alternatives(line: Assessed, advice: RecordSourcingVerdict) -> tuple[Alternative, ...]:
    sell = tuple(
        Alternative(
            name=f"sell on {each.channel}",
            scores={
                "most_minor": each.most_minor,
                "net_minor": each.likely_minor,
                "chance": each.chance,
                "sold_share": each.gone,
                "profit_per_money": each.worth,
            },
            why=f"{each.rivals} others sell it, {each.own_units} of ours were sold",
            chosen=advice.verdict == "buy" and each is line.scores[0],
        )
        for each in line.scores
    )
    return (*sell, Alternative(name="leave it", scores={"net_minor": 0}, chosen=advice.verdict == "pass"))
