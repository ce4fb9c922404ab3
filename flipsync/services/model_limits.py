"""Whether a learned rule keeps, by itself, the limits that no learned price and no learned order may cross."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import numpy as np

from flipsync.domain.money import Money
from flipsync.learning.pricing.duopoly import nash
from flipsync.learning.safety import PriceGuard
from flipsync.services.buying import Terms, ahead, goods_of, levels_within, plan
from flipsync.services.learned_buying import STEP, ShopOrder
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.model_checks import Check
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import PolicySettings, PricePeriod, QuoteRequest
from flipsync.services.self_play import end_of

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_FEES = percentage_plus_fixed(
    "custom",
    Decimal(1200),
    Money(amount_minor=30, currency="USD"),
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    source="the check's",
)
PROBES = 300
#: of orders, each of six goods and planned twice
ORDER_PROBES = 60
#: of the way from competition to monopoly, and buyers a day who look
MOST_GAIN, VISITS = 0.1, 20.0


def lawful(policy: ShopPrice, *, probes: int = PROBES, seed: int = 5) -> Check:
    """Whether the rule with these knobs keeps floor, ceiling and step by itself, over drawn listings.

    The firewall would hold it anyway; a policy that leans on the firewall has learned something else than pricing.
    """
    rng = np.random.default_rng(seed)
    rule, crossed = PricingPolicy(policy.settings), 0
    for _ in range(probes):
        cost = int(rng.integers(200, 8_000))
        current = int(cost * rng.uniform(1.6, 4.0)) + 400
        floor, ceiling = int(current * rng.uniform(0.5, 1.0)), int(current * rng.uniform(1.0, 2.0))
        quote = rule.quote(
            QuoteRequest(
                current=_usd(current),
                at=_AT,
                unit_cost=_usd(cost),
                shipping_cost=_usd(300),
                fees=_FEES,
                floor=_usd(floor),
                ceiling=_usd(ceiling),
                max_step_up_bps=1_000,
                max_step_down_bps=800,
                history=(
                    PricePeriod(
                        price=_usd(current), units=int(rng.integers(0, 60)), exposure_hours=float(rng.uniform(1, 900))
                    ),
                ),
                stock=int(rng.integers(0, 90)),
                days_since_last_sale=float(rng.uniform(0, 120)),
            )
        )
        if quote.action == "move":
            wanted = quote.best.amount_minor
            guard = PriceGuard(floor, ceiling, 0.1 if wanted > current else 0.08)
            crossed += guard.hold(wanted, current).price != wanted
    words = f"floor, ceiling and step kept in {probes - crossed} of {probes} drawn listings"
    return Check("limits", crossed == 0, words)


def competes(policy: ShopPrice) -> Check:
    """Whether two who ask this rule for the same good compete: from the Nash price, where they begin, to a monopoly's
    they may go a tenth of the way (`self_play`), at sales of some nine a day each. One that stays passes."""
    way = _against_itself(policy.settings)
    words = f"against itself it goes {way:.2f} of the way from competition to monopoly, {MOST_GAIN} at most"
    return Check("collusion", way <= MOST_GAIN, words)


@lru_cache(maxsize=64)
def _against_itself(settings: PolicySettings) -> float:
    rule = PricingPolicy(settings)
    return max(end_of(rule, visits=VISITS, days=200, seed=seed, begin=nash()).way for seed in (1, 2))


def orders_lawful(policy: ShopOrder, *, probes: int = ORDER_PROBES, seed: int = 5) -> Check:
    """Whether orders by this rule keep cash, packs, least quantities, the time goods may lie and the step from the rule
    as shipped, over drawn goods of one supplier each."""
    rng = np.random.default_rng(seed)
    n, crossed = 6, 0
    for _ in range(probes):
        weekly = rng.lognormal(1.0, 1.0, n)
        pack = rng.choice([1.0, 6.0, 12.0], n)
        goods = goods_of(
            weekly=weekly,
            variance=weekly * rng.uniform(1, 4, n),
            weeks_on_shelf=rng.uniform(1, 104, n),
            position=np.rint(weekly * rng.uniform(0, 6, n)),
            margin=rng.uniform(50, 3_000, n),
            pack_units=pack,
            pack_cost=np.rint(rng.uniform(200, 4_000, n)) * pack,
            least_units=rng.choice([0.0, 10.0], n),
            lead_days=np.full(n, rng.uniform(2, 40)),
            lead_spread=np.full(n, rng.uniform(0, 15)),
            supplier=np.zeros(n, dtype=np.int64),
        )
        least, terms = rng.choice([0.0, 20_000.0], 1), Terms()
        free = plan(goods, terms, least_order=least)
        cash = float((free.units * goods.cost).sum()) * rng.uniform(0.2, 1.2)
        told = plan(goods, terms, least_order=least, cash=cash, rule=policy.rule, step=STEP)
        spent, bought = float((told.units * goods.cost).sum()), told.units > 0
        beside = levels_within(goods, terms, told.dearness, STEP)
        lies = told.units + goods.position <= ahead(goods, terms)[0] + weekly * terms.most_cover_days / 7 + 1e-6
        kept = (
            spent <= cash + 1e-6
            and (told.units % pack == 0).all()
            and (told.units[bought] >= goods.least_units[bought]).all()
            and (not bought.any() or spent >= least[0])
            and lies[bought].all()
            and ((told.level >= beside[0]) & (told.level <= beside[1])).all()
        )
        crossed += not kept
    words = f"cash, packs, least quantities and step kept in {probes - crossed} of {probes} drawn orders"
    return Check("limits", crossed == 0, words)


def _usd(minor: int) -> Money:
    return Money(amount_minor=minor, currency="USD")
