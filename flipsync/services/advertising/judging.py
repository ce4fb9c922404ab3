"""Whether an ad rate may go out: the owner's limits, once a day a listing, nothing that cannot be shipped."""

from __future__ import annotations

from datetime import timedelta

from flipsync.domain.advertising import SetAdRate
from flipsync.domain.decisions import Verdict
from flipsync.domain.errors import OverBudget
from flipsync.domain.money import Money
from flipsync.services.tenant_settings import AdvertisingChoices
from flipsync.store.repositories import advertising as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import UnitOfWork

#: between two changes of one listing's rate, unless it stops or goes back to what it was
BETWEEN = timedelta(hours=20)
_RULE = "advertising"


def beyond_limits(command: SetAdRate, choices: AdvertisingChoices) -> str:
    """Why the owner's choices forbid the rate; "" where they do not. Asked again before it is sent."""
    if command.rate_bps and choices.mode == "off":
        return "the owner wants no ads (advertising.mode is off)"
    if command.rate_bps > choices.max_rate_bps:
        return f"{command.rate_bps / 100:.1f} % is above the owner's limit of {choices.max_rate_bps / 100:.1f} %"
    return ""


async def judge_ad_rate(
    unit: UnitOfWork, command: SetAdRate, choices: AdvertisingChoices, *, approved: bool = False
) -> Verdict:
    """To stop is always allowed. `approved`: a person has said yes; the limits hold for a person's word too."""
    if command.rate_bps == 0:
        return Verdict.proceed("open", "to stop an ad is always allowed")
    if beyond := beyond_limits(command, choices):
        return Verdict.deny(_RULE, beyond)
    listing = await listing_rows.get(unit.session, command.listing_id)
    if listing is None or listing.status != "active":
        return Verdict.deny(_RULE, "the listing is not on sale")
    goods = await rows.goods(unit.session, command.listing_id)
    if goods is None or goods.available <= 0:
        return Verdict.deny(_RULE, "there is nothing to ship")
    state = await rows.state(unit.session, command.listing_id)
    back = state is not None and command.rate_bps == state.resume_bps
    if state is not None and state.changed_at is not None and not back and unit.now - state.changed_at < BETWEEN:
        return Verdict.deny(
            _RULE, f"its rate was changed at {state.changed_at:%Y-%m-%d %H:%M} UTC: once a day is enough"
        )
    if spent := await _beyond_money(unit, command, choices, listing.currency):
        return spent
    if choices.mode == "ask" and not approved and not back and command.rate_bps > command.was_bps:
        return Verdict(answer="ask", rule=_RULE, reason="you want to be asked before money is spent on ads")
    return Verdict.proceed("open", "within the owner's limits")


async def _beyond_money(
    unit: UnitOfWork, command: SetAdRate, choices: AdvertisingChoices, currency: str
) -> Verdict | None:
    """Why the month's money forbids it: the owner's limits, and the account's share of what all may spend."""
    if choices.month_of(command.account_id) is None:
        return None
    costs = await rows.spent_by_account(unit.session, unit.now.date().replace(day=1))
    spent = {account_id: int(fees) for account_id, money, fees in costs if money == currency}
    own, all_together = spent.get(command.account_id, 0), sum(spent.values())

    def told(minor: int) -> str:
        return str(Money(amount_minor=minor, currency=currency))

    if choices.monthly_budget_minor is not None and own >= choices.monthly_budget_minor:
        return Verdict.deny(_RULE, f"ads have cost {told(own)} this month, which is all they may")
    if choices.total_budget_minor is not None and all_together >= choices.total_budget_minor:
        return Verdict.deny(_RULE, f"ads have cost {told(all_together)} on all accounts this month: all they may")
    share = choices.share_of(command.account_id)
    if share is not None and own >= share:  # shares move: it is decided on anew
        return Verdict.deny(OverBudget.code, f"ads have cost {told(own)} here this month, all of the account's share")
    return None
