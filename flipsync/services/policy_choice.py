"""Which policy prices a listing now, and what each one chose, as an action that two policies can share.

Everything drawn here is drawn from the policy, the listing and the block of days: the same question gets the same
answer, on a replay too. A canary has no more listings than its budget allows (`canary_budget`), by what the blocks that
are over came to. With exploration on (the owner's setting; off by default) the rule now and then takes another
rung than the best, once a block, and the chance it had is kept beside the choice: off-policy evaluation needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from flipsync.domain.decisions import PolicyChoice
from flipsync.domain.money import Money
from flipsync.services import policy_staging
from flipsync.services.canary_budget import Spending
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.policy_staging import as_kept, share_of
from flipsync.services.pricing.fees import BPS
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import Quote, QuoteRequest
from flipsync.services.tenant_settings import PricingChoices

#: well below, below, at, above, well above the price now: halves of the largest step
RUNGS, STAY = 5, 2
_SHARES = (-0.75, -0.25, 0.0, 0.25, 0.75)
#: how long a listing stays with what was drawn for it
BLOCK = timedelta(days=3)


Version = policy_staging.Version[PricingPolicy]
SHIPPED = Version(None, "as shipped", PricingPolicy())


@dataclass(frozen=True)
class Staged(policy_staging.Staged[PricingPolicy]):
    """What the registry holds of price rules, and what its canary cost; without a live one the rule as shipped is."""

    live: Version = SHIPPED
    #: None: what the canary costs is not looked at
    spending: Spending | None = None


@lru_cache(maxsize=64)
def read_version(policy_id: UUID, digest: str, artefact: str) -> Version | None:
    """A version from its artefact; None when that is not what was kept, or no price rule: then it does not act."""
    policy = as_kept(digest, artefact)
    return Version(policy_id, policy.version, PricingPolicy(policy.settings)) if isinstance(policy, ShopPrice) else None


def block_start(now: datetime) -> datetime:
    whole = int(now.timestamp() // BLOCK.total_seconds())
    return datetime.fromtimestamp(whole * BLOCK.total_seconds(), UTC)


def rung_of(price: int, current: int, request: QuoteRequest) -> int:
    """The action a price is, against the price now."""
    step = request.max_step_up_bps if price > current else request.max_step_down_bps
    share = (price - current) * BPS / max(current * step, 1)
    if share == 0:
        return STAY
    return (4 if share >= 0.5 else 3) if share > 0 else (0 if share <= -0.5 else 1)


def choose(
    staged: Staged,
    listing_id: UUID,
    request: QuoteRequest,
    choices: PricingChoices,
    now: datetime,
    changed: Sequence[datetime],
) -> tuple[Version, Quote, tuple[PolicyChoice, ...]]:
    """Who prices this listing now, the quote, and what is kept of it. `changed`: when its price changed lately."""
    block = block_start(now)
    acting, role, held_back, share = staged.live, "acting", "", None
    if staged.canary is not None:
        share = most = choices.canary_bps / BPS
        if staged.spending is not None:
            share = staged.spending.part(choices)
        drawn = share_of("canary", staged.canary.version, listing_id, block)
        if drawn < share:
            acting, role = staged.canary, "canary"
        elif staged.spending is not None and drawn < most:
            held_back = f" Canary {staged.canary.version} is held back here: it {staged.spending.words(choices)}."
    quote = acting.rule.quote(request)
    chance = 1.0
    if choices.exploration_bps and quote.action != "blocked" and not any(at >= block for at in changed):
        quote, chance = _explored(acting, quote, listing_id, request, choices.exploration_bps / BPS, block)
    if staged.plain and not choices.exploration_bps:
        return acting, quote, ()
    if held_back:
        quote = quote.model_copy(update={"reason": quote.reason + held_back})

    def kept(version: Version, at: Any, told: Quote, likely: float) -> PolicyChoice:
        best, current = told.best.amount_minor, request.current.amount_minor
        return PolicyChoice(
            policy_id=version.id,
            version=version.version,
            listing_id=listing_id,
            role=at,
            rung=rung_of(best, current, request),
            chance=likely,
            canary_share=share,
            price=told.best,
            current=request.current,
        )

    made = [kept(acting, role, quote, chance)]
    if staged.shadow is not None:
        made.append(kept(staged.shadow, "shadow", staged.shadow.rule.quote(request), 1.0))
    return acting, quote, tuple(made)


def _explored(
    acting: Version, quote: Quote, listing_id: UUID, request: QuoteRequest, rate: float, block: datetime
) -> tuple[Quote, float]:
    """The quote, or one at a rung drawn among those in reach; with the chance the rung had."""
    current = request.current
    options: dict[int, Quote] = {}
    for rung, share in enumerate(_SHARES):
        step = request.max_step_up_bps if share > 0 else request.max_step_down_bps
        price = current.amount_minor + round(current.amount_minor * step * share / BPS)
        told = acting.rule.quote_at(request, Money(amount_minor=price, currency=current.currency))
        if told is not None and rung_of(price, current.amount_minor, request) == rung:
            options[rung] = told
    best = rung_of(quote.best.amount_minor, current.amount_minor, request)
    options[best] = quote
    drawn = share_of("explore", acting.version, listing_id, block)
    taken = best
    if drawn < rate:
        taken = sorted(options)[int(drawn / rate * len(options))]
    chance = rate / len(options) + (1 - rate if taken == best else 0.0)
    return options[taken], chance
