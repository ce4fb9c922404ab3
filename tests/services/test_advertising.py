"""How sales answer to ad rates is learned, and the rate that leaves most is chosen: examples with known answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flipsync.domain.ids import new_id
from flipsync.services.advertising.choosing import STEP_BPS, Candidate, choose, curves, within
from flipsync.services.advertising.desk import unit_ads
from flipsync.services.advertising.response import Seen, learn
from flipsync.services.fees.profile import FeeProfile
from flipsync.services.graders import GRADERS, EarnedByAd
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.advertising import AdRow
from flipsync.store.repositories.grades import DueRow
from flipsync.store.repositories.grading_facts import AdFacts

WEEK = "2026-W10"
LAMP = Candidate("lamp", (Seen(0, 28, 28),), margin=900, most_bps=2_500, fee=3_000, units=200)


def truly(rate: int, days: float, *, base: float, lift: float, own: float, reach: float) -> Seen:
    """What days at a rate come to where the answer is known, without chance."""
    share = 1 - np.exp(-rate / reach)
    ads = round(base * days * (lift + own) * share)
    return Seen(rate, days, ads + round(base * days * (1 - own * share)), ads)


def test_what_was_seen_often_is_known() -> None:
    true = {"base": 3.0, "lift": 1.0, "own": 0.25, "reach": 500.0}
    learned = learn([[Seen(0, 40, 120), truly(300, 40, **true), truly(800, 40, **true)]])
    weights, grid = learned.weights[0], learned.grid
    assert float(weights @ grid.lift) == pytest.approx(1.0, abs=0.15)
    assert float(weights @ grid.own) == pytest.approx(0.25, abs=0.1)
    assert float(weights @ learned.rates[0]) == pytest.approx(3.0, rel=0.1)


def test_a_listing_nobody_tried_starts_where_the_others_are() -> None:
    def believed(lift: float) -> float:
        true = {"base": 2.0, "lift": lift, "own": 0.25, "reach": 500.0}
        shop: list[list[Seen]] = [[Seen(0, 28, 56), truly(500, 60, **true)] for _ in range(15)]
        learned = learn([*shop, [Seen(0, 28, 28)]])
        return float(learned.weights[-1] @ learned.grid.lift)

    assert believed(0.0) < 0.25 < 0.9 < believed(1.5)


def test_without_any_days_of_ads_there_is_only_belief() -> None:
    learned = learn([[Seen(0, 28, 28)], [Seen(0, 28, 0)], []])
    assert np.allclose(learned.weights, learned.grid.belief)
    assert learned.rates[0, 0] > 10 * learned.rates[1, 0]


def test_the_rate_chosen_is_the_best_there_is() -> None:
    (choice,) = choose([LAMP], 1_000, WEEK)
    found = curves([LAMP], learn([LAMP.seen]), 1_000)
    profits = dict(zip(found.rates, found.mean[0], strict=True))
    assert choice.profit == pytest.approx(max(profits.values()))
    assert 0 < choice.rate_bps < 1_000 and choice.rate_bps % STEP_BPS == 0
    assert choice.idle == pytest.approx(profits[0]) and choice.before == pytest.approx(profits[0])
    assert 0.5 < choice.chance <= 1.0 and choice.fees > 0


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (replace(LAMP, units=0), "there is nothing to ship"),
        (replace(LAMP, units=5), "it sells out anyway"),
        (replace(LAMP, margin=200, most_bps=166), "the least rate would take more than it may"),
        (replace(LAMP, margin=-100), "every further sale loses money"),
        (replace(LAMP, seen=(Seen(0, 90, 900), Seen(500, 90, 900, 400))), "ads only take buyers who come anyway"),
    ],
)
def test_what_does_not_pay_has_no_ad_and_loses_the_one_it_has(candidate: Candidate, why: str) -> None:
    idle, running = choose([candidate, replace(candidate, rate_bps=400)], 1_000, WEEK)
    assert (idle.rate_bps, running.rate_bps) == (0, 0), why


def test_more_margin_never_means_a_lower_rate_and_limits_hold() -> None:
    lamps = [
        replace(LAMP, margin=margin, most_bps=(margin - 150) * 10 // 3) for margin in (300, 600, 900, 1_500, 2_500)
    ]
    rates = [each.rate_bps for each in choose(lamps, 1_000, WEEK)]
    assert rates == sorted(rates) and rates[-1] > rates[0]
    assert all(each.rate_bps <= 300 for each in choose(lamps, 300, WEEK))
    assert all(rate <= lamp.most_bps for rate, lamp in zip(rates, lamps, strict=True))


def test_small_differences_change_nothing() -> None:
    (first,) = choose([LAMP], 1_000, WEEK)
    for beside in (-STEP_BPS, 0, STEP_BPS):
        (again,) = choose([replace(LAMP, rate_bps=first.rate_bps + beside)], 1_000, WEEK)
        assert again.rate_bps == first.rate_bps + beside


def test_money_goes_where_it_brings_most() -> None:
    good, poor, none = choose([LAMP, replace(LAMP, margin=500, most_bps=1_166), replace(LAMP, units=0)], 1_000, WEEK)
    assert within([poor, good, none], 1e9) == [True, True, True]
    assert within([poor, good, none], good.fees) == [False, True, True]
    assert within([poor, good, none], 0.0) == [False, False, True]


def test_nothing_to_choose_from() -> None:
    assert choose([], 1_000, WEEK) == []


def row(**more: Any) -> AdRow:
    values: dict[str, Any] = {
        "listing_id": new_id(),
        "sku": "L",
        "status": "active",
        "currency": "USD",
        "price_minor": 3_000,
        "cost_minor": 1_000,
        "shown": 9,
        "available": 9,
        "rate_bps": 0,
        "resume_bps": 0,
        "changed_at": None,
        "days": 28.0,
        "sold": 3,
        "busy": False,
    }
    return AdRow(**(values | more))


def test_what_an_ad_costs_is_on_what_the_buyer_pays_and_not_in_the_margin_already() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    plain = unit_ads(PricingChoices(), "USD", now)(row())
    assert plain is not None and plain.fee == pytest.approx(3_300, abs=30), "tax included"
    assert 0 < plain.least < plain.margin < 2_000
    told = FeeProfile(plan="no_store", flags=frozenset({"no_store", "promoted"}), ad_rate_bps=500)
    assert unit_ads(PricingChoices(fees={"ebay": told}), "USD", now)(row()) == plain
    for unknown in (row(cost_minor=None), row(price_minor=None), row(currency="EUR")):
        assert unit_ads(PricingChoices(), "USD", now)(unknown) is None


@pytest.mark.parametrize(
    ("days", "units", "fees", "net", "outcome"),
    [
        ((14, 10), (14, 40), (0, 4_000), 900, 1),  # twice as much and more, for a few fees
        ((14, 10), (30, 24), (0, 18_000), 900, 0),  # hardly more, and most of it eBay's
        ((14, 10), (14, 12), (0, 600), 900, None),
        ((14, 2), (14, 40), (0, 100), 900, None),
        ((14, 10), (14, 40), (0, 4_000), None, None),
    ],
)
def test_a_rate_is_graded_by_what_it_left(
    days: Any, units: Any, fees: Any, net: int | None, outcome: int | None
) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    facts = AdFacts("ebay", "USD", 1_000, 3_000, days[0], units[0], fees[0], days[1], units[1], fees[1])
    due = DueRow(**dict.fromkeys(DueRow.__dataclass_fields__))  # type: ignore[arg-type]
    due = replace(
        due, effect_id=new_id(), effect_state="confirmed", verdict="proceed", decision_state="applied",
        decided_at=now, due_at=now + timedelta(days=14),
    )  # fmt: skip
    grade = GRADERS["ad-rate"].grade(due, EarnedByAd(facts, net), now + timedelta(days=14))
    assert grade is not None and grade.outcome == outcome, grade
