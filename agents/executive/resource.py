"""ResourceAgent: divides what is scarce by what more of it would bring: what the fleet may do within an hour among the
channels, cash for goods among suppliers, a month's money for ads among accounts."""

from __future__ import annotations

from dataclasses import dataclass

from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import CycleStarted
from flipsync.domain.money import Money
from flipsync.domain.steering_commands import ShareBudgets
from flipsync.domain.steering_events import BudgetRunningLow
from flipsync.intelligence.sharing import Division, divide, shares
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.money_shares import LEAST_BPS, WORTH_BPS, apart, scores, share_out, why, words
from flipsync.services.resource_desk import CALLS_AN_HOUR, LISTINGS, MARGIN, ChannelMoves, ResourceReview

#: below this part of its total no budget is scarce, and nobody waits for anything
_SCARCE = 0.5
#: takers of money that are told one by one
_TOLD = 50


@dataclass(frozen=True)
class _Kind:
    """A kind of money: what those who spend it are, and how it is told."""

    name: str
    of: str
    words: tuple[str, str]


CASH = _Kind("cash", "supplier", ("for goods still to come", "within eight weeks"))
ADS = _Kind("ad money", "account", ("a month for ads", "this month"))


class ResourceAgent(Agent[BudgetRunningLow | CycleStarted]):
    """Shares out what is scarce among who needs it, always within the owner's totals.

    Touched listings and margin at risk an hour, and daily the cash for goods still to come and the money for ads.
    """

    spec = AgentSpec(
        name="resource",
        ecosystem="executive",
        version="2",
        reports_to="executive",
        authority=Authority(auto_above=0.6),
        batch=1,
    )

    async def decide(self, event: BudgetRunningLow | CycleStarted, ctx: Context) -> Decision[ShareBudgets]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's budgets")
        if isinstance(event, CycleStarted) and event.cycle not in ("hourly", "daily"):
            return Decision.hold(f"a {event.cycle} review divides no budget")
        fleet = (await ctx.services.profile()).settings.fleet
        daily = isinstance(event, CycleStarted) and event.cycle == "daily"
        # looked at also where the owner keeps the shares: so it can be told later what would have been
        decision = await (self._money(ctx) if daily else self._hour(event, ctx))
        return decision if fleet.share_out else Decision.hold("the owner keeps the shares (fleet.share_out is off)")

    async def _hour(self, event: BudgetRunningLow | CycleStarted, ctx: Context) -> Decision[ShareBudgets]:
        used = await ctx.services.resources.used()
        if isinstance(event, CycleStarted) and max(used.listings, used.margin) < _SCARCE:
            told = f"{used.listings:.0%} of the listings and {used.margin:.0%} of the margin an hour are used"
            return Decision.hold(f"{told}: no budget is scarce, one more unit of either would bring nothing")
        review = await ctx.services.resources.review()
        if len(review.channels) < 2:
            return Decision.hold("one channel has all of it")
        return self._share(review, ctx)

    async def _money(self, ctx: Context) -> Decision[ShareBudgets]:
        """Cash and ad money; where there is enough of it for all, nobody is held to a share."""
        settings = (await ctx.services.profile()).settings
        cash, ads = settings.purchasing, settings.advertising
        kinds = (
            (CASH, cash.cash_minor, await ctx.services.purchasing.returns(), cash.cash_shares_bps),
            (ADS, ads.total_budget_minor, await ctx.services.advertising.returns(), ads.budget_shares_bps),
        )
        wanted: dict[str, dict[str, int]] = {}
        told: list[str] = []
        evidence: list[Evidence] = []
        alternatives: list[Alternative] = []
        for kind, limit, reviews, present in kinds:
            if limit is not None and not reviews:
                told.append(f"nobody knows what {kind.name} would bring now: its shares stay")
                continue
            found = {each.currency: (each, share_out(each)) for each in reviews if len(each.takers) > 1}
            shares: dict[str, int] = {}
            for review, shared in found.values():
                told.append(words(review, shared, *kind.words))
                evidence += [Evidence(kind=kind.of, id=each.taker.id, note=each.taker.name) for each in shared.told]
                alternatives += [
                    Alternative(
                        name=f"{each.taker.name}, {kind.name}",
                        scores=scores(each),
                        why=why(each, shared.price)[:500],
                        chosen=True,
                    )
                    for each in shared.told
                ]
                if shared.price > 0:
                    shares |= shared.shares_bps
            if set(shares) != set(present) or apart(shares, present) >= WORTH_BPS:
                wanted[kind.name] = shares
        if not wanted:
            why_not = "; ".join(told) or "no limit on cash or ad money is set that more than one could spend of"
            return Decision.hold(
                f"the shares of money are right as they are: {why_not}"[:900],
                evidence=evidence[:_TOLD],
                alternatives=tuple(alternatives[:_TOLD]),
            )
        reason = "; ".join(told) or "there is no limit any more to divide"
        return Decision.propose(
            ShareBudgets(
                tenant_id=ctx.tenant_id,
                cash_shares_bps=wanted.get(CASH.name),
                ad_shares_bps=wanted.get(ADS.name),
                reason=reason[:500],
            ),
            why=f"{' and '.join(wanted)} go where they bring most; {reason}"[:900],
            confidence=0.8,
            evidence=evidence[:_TOLD],
            alternatives=tuple(alternatives[:_TOLD]),
        )

    def _share(self, review: ResourceReview, ctx: Context) -> Decision[ShareBudgets]:
        totals = {
            LISTINGS: float(review.fleet.listings_per_hour),
            MARGIN: float(review.fleet.margin_at_risk_minor),
        }
        names = {str(each.account_id): each for each in review.channels}
        found = divide(
            {name: [each.waiting] if each.waiting is not None else [] for name, each in names.items()},
            totals,
            {name: {CALLS_AN_HOUR: each.calls_per_hour} for name, each in names.items()},
        )
        alternatives = tuple(
            Alternative(name=each.name, scores=_scores(found, account_id), why=_marginal(found, each), chosen=True)
            for account_id, each in names.items()
        )
        scarce = [name for name in totals if found.prices[name] > 0]
        prices = _prices(found, review)
        evidence = [Evidence(kind="account", id=each.account_id, note=each.name) for each in review.channels]
        wanted = {
            name: shares({account_id: found.taken[account_id].get(name, 0.0) for account_id in names}, LEAST_BPS)
            for name in scarce
        }
        present = {LISTINGS: review.fleet.listing_shares_bps, MARGIN: review.fleet.margin_shares_bps}
        moved = {
            name: each
            for name, each in wanted.items()
            if set(each) != set(present[name]) or apart(each, present[name]) >= WORTH_BPS
        }
        if not moved:
            why = "the shares are right as they are" if scarce else "no budget binds what is worth doing now"
            return Decision.hold(f"{why}; {prices}", evidence=evidence, alternatives=alternatives)
        return Decision.propose(
            ShareBudgets(
                tenant_id=ctx.tenant_id,
                listing_shares_bps=moved.get(LISTINGS),
                margin_shares_bps=moved.get(MARGIN),
                reason=prices[:500],
            ),
            why=f"{' and '.join(moved)} of an hour go where they bring most; {prices}"[:900],
            confidence=0.8,
            evidence=evidence,
            alternatives=alternatives,
        )


def _prices(found: Division, review: ResourceReview) -> str:
    """The shadow prices in words."""
    currency = review.channels[0].currency
    told = []
    hundred = Money(amount_minor=10_000, currency=currency)
    for name, size, unit in (
        (LISTINGS, 1, "one more listing an hour"),
        (MARGIN, hundred.amount_minor, f"{hundred} more at stake an hour"),
    ):
        worth = Money(amount_minor=round(found.prices[name] * size), currency=currency)
        told.append(f"{unit} would bring {worth} a day" if found.prices[name] > 0 else f"{unit} would bring nothing")
    return "; ".join(told)


def _marginal(found: Division, channel: ChannelMoves) -> str:
    price = found.at_limit.get(str(channel.account_id), {}).get(CALLS_AN_HOUR, 0.0)
    if price <= 0:
        return f"one more call an hour on {channel.name} would bring nothing"
    worth = Money(amount_minor=round(price), currency=channel.currency)
    return f"one more call an hour on {channel.name} would bring {worth} a day"


def _scores(found: Division, account_id: str) -> dict[str, float]:
    taken = found.taken[account_id]
    return {
        "listings_per_hour": round(taken.get(LISTINGS, 0.0), 2),
        "margin_minor_per_hour": round(taken.get(MARGIN, 0.0), 2),
    }
