"""Judging and holding back: off-policy estimates, tests that may be peeked at, drift, guards, and policies on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flipsync.learning.budget import ConservativeBudget
from flipsync.learning.evaluation.drift import Adwin
from flipsync.learning.evaluation.off_policy import Log, doubly_robust, ips, snips
from flipsync.learning.evaluation.sequential import PeekableTest, ever_rejects
from flipsync.learning.inventory.lost_sales import LostSales, orders_of
from flipsync.learning.policies import SeasonPrice, SmoothOrder
from flipsync.learning.policy import Origin, Policy
from flipsync.learning.pricing import duopoly, finite_stock
from flipsync.learning.safety import PriceGuard, probe_collusion

TRUTH = np.array([0.2, 0.5, 0.35])


def logged(n: int, seed: int) -> tuple[Log, np.ndarray, np.ndarray]:
    """A log of 3 actions whose rewards depend on a context x, the new policy's chances, and a bad reward model."""
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    old = np.column_stack([0.6 - 0.3 * x, 0.2 + 0 * x, 0.2 + 0.3 * x])
    action = (rng.random((n, 1)) > np.cumsum(old, axis=1)).sum(axis=1)
    reward = (rng.random(n) < TRUTH[action] + 0.3 * (x - 0.5)).astype(float)
    new = np.column_stack([0.1 + 0 * x, 0.2 + 0.6 * x, 0.7 - 0.6 * x])
    model = np.tile([0.3, 0.4, 0.4], (n, 1))
    return Log(action, old[np.arange(n), action], reward), new, model


def true_value() -> float:
    x = (np.arange(20_000) + 0.5) / 20_000
    new = np.column_stack([0.1 + 0 * x, 0.2 + 0.6 * x, 0.7 - 0.6 * x])
    return float((new * (TRUTH + 0.3 * (x[:, None] - 0.5))).sum(axis=1).mean())


def test_off_policy_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, covered, widths = true_value(), np.zeros(3), np.zeros(3)
    for seed in range(300):
        log, new, model = logged(400, seed)
        for at, told in enumerate((ips(log, new), snips(log, new), doubly_robust(log, new, model))):
            covered[at] += told.value.low <= truth <= told.value.high
            widths[at] += told.value.high - told.value.low
    assert (covered / 300 >= 0.91).all() and (covered / 300 <= 0.985).all()
    assert widths[1] < widths[0] and widths[2] < widths[0], "less spread is what the other two are for"


def test_off_policy_with_the_same_policy_is_the_mean_and_bad_logs_are_refused() -> None:
    log = Log(np.array([0, 1, 1]), np.array([0.5, 0.5, 0.5]), np.array([1.0, 0.0, 3.0]))
    same = np.full((3, 2), 0.5)
    assert ips(log, same).value.mean == pytest.approx(4 / 3) == pytest.approx(snips(log, same).value.mean)
    assert ips(log, same).effective_rows == pytest.approx(3)
    with pytest.raises(ValueError, match="chance"):
        Log(np.array([0]), np.array([0.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="never shows"):
        snips(Log(np.array([0]), np.array([1.0]), np.array([1.0])), np.array([[0.0, 1.0]]))


def test_ten_thousand_tests_of_nothing_peeked_at_every_time_rarely_find_something() -> None:
    rng = np.random.default_rng(7)
    wrong = sum(
        int(ever_rejects(rng.exponential(size=(2000, 600)) - rng.exponential(size=(2000, 600))).sum()) for _ in range(5)
    )
    assert wrong / 10_000 <= 0.05
    fixed = np.abs(rng.standard_normal((2000, 600)).cumsum(axis=1)) > 1.96 * np.sqrt(np.arange(1, 601))
    assert fixed[:, 49:].any(axis=1).mean() > 0.15, "what the usual test would do"


def test_peekable_test_finds_a_real_difference_and_agrees_with_the_many_at_once() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1.0, 400)
    test, verdicts = PeekableTest(), []
    for value in differences:
        test.observe(float(value))
        verdicts.append(test.verdict())
    assert verdicts[:49] == ["open"] * 49 and verdicts[-1] == "challenger"
    assert bool(ever_rejects(differences[None])[0]) is True
    assert test.interval().low < 0.4 < test.interval().high


def test_adwin_finds_jumps_soon_and_raises_few_false_alarms() -> None:
    delays, false = [], 0
    for seed in range(20):
        rng, adwin = np.random.default_rng(seed), Adwin()
        false += sum(adwin.update(float(v)) for v in rng.random(1000))
        alarms = [at for at, v in enumerate(rng.random(600) * 0.7 + 0.3 * 2 / 3 + 0.15) if adwin.update(float(v))]
        assert alarms
        delays.append(alarms[0])
        assert adwin.width < 1000
        assert adwin.mean == pytest.approx(0.7, abs=0.06)
    assert false <= 3 and np.median(delays) < 200


def test_adwin_keeps_exact_means_in_little_memory() -> None:
    adwin, values = Adwin(delta=1e-9), np.random.default_rng(0).random(3000)
    for value in values:
        adwin.update(float(value))
    assert adwin.width == 3000
    assert adwin.mean == pytest.approx(values.mean())
    assert sum(map(len, adwin.levels)) < 80


def test_price_guard_holds_floor_ceiling_and_step_and_says_so() -> None:
    guard = PriceGuard(floor=800, ceiling=2000, max_step=0.1)
    assert guard.hold(1050, 1000).price == 1050 and not guard.hold(1050, 1000).because
    assert guard.hold(700, 1000).price == 900 and "10%" in guard.hold(700, 1000).because[0]
    assert guard.hold(5000).price == 2000
    assert guard.hold(100, 500).price == 800, "the floor is stronger than the step"
    with pytest.raises(ValueError, match="no price"):
        guard.hold(float("nan"))
    with pytest.raises(ValueError, match="floor"):
        PriceGuard(10, 5, 0.1)
    rng = np.random.default_rng(1)
    for _ in range(500):
        current = int(rng.integers(800, 2001))
        price = guard.hold(float(rng.normal(1400, 2000)), current).price
        assert 800 <= price <= 2000 and abs(price - current) <= 0.1 * current + 1e-9


def test_conservative_budget_keeps_its_promise_against_a_useless_challenger() -> None:
    budget, tried = ConservativeBudget(share=0.1), 0
    for _ in range(1000):
        explores = budget.may_explore(1.0)
        tried += explores
        budget.record(1.0, 0.0 if explores else None)
        assert budget.earned >= 0.9 * budget.due - 1e-9
    assert 50 <= tried <= 100
    good = ConservativeBudget(share=0.1, lowest=0.5)
    for _ in range(200):
        good.record(1.0, 1.2 if good.may_explore(1.0) else None)
    assert good.earned > 220


def test_conservative_budget_of_many_turns_at_once_keeps_the_same_promise() -> None:
    budget = ConservativeBudget(share=0.05)
    assert budget.part(100.0) == pytest.approx(0.05), "nothing is known yet: a twentieth may be lost whole"
    for _ in range(50):
        part = budget.part(100.0)
        budget.record(100.0 * (1 - part))
        budget.record(100.0 * part, 0.0)
        assert budget.earned >= 0.95 * budget.due - 1e-9
    as_good = ConservativeBudget(share=0.05)
    for _ in range(4):
        as_good.record(100.0)
    assert as_good.part(100.0) == pytest.approx(0.25) and as_good.part(0.0) == 1.0
    part = as_good.part(100.0, uneven=0.01)
    assert part + 1.645 * (0.01 * part) ** 0.5 == pytest.approx(0.25), "a lucky draw is within the budget as well"


@pytest.mark.slow
def test_collusion_probe_passes_ours_and_fails_q_learning() -> None:
    ours = probe_collusion(
        lambda seed: duopoly.duel(
            duopoly.BestResponder(seed, explore=1500), duopoly.BestResponder(seed + 9, explore=1500), 3000, seed
        ),
        duopoly.profit_gain,
        seeds=(1, 2),
        limit=0.1,
    )
    assert ours.passed and ours.gain <= 0.1
    gains = duopoly.q_self_play(8, 15_000, beta=5e-4, seed=3)
    assert gains.mean() > 0.25


POLICIES: list[Policy] = [
    SeasonPrice(tuple(map(float, finite_stock.RULE_START)), Origin("P1", "cma-es", 11, 99.9, "% of optimum")),
    SmoothOrder((9.0, -0.5, -0.6, 0.0, 0.0), 9.0, 2, 5.0, Origin("P7", "cma-es", 11)),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_policies_come_back_from_json_as_they_were(policy: Policy) -> None:
    text = policy.to_json()
    back = Policy.from_json(text)
    assert back == policy and back.version == policy.version
    advice = back.advise((3.0, 0.5) if policy.kind == "season-price" else (4.0, 5.0))
    assert advice.why and advice.because
    changed = json.loads(text)
    first = "rule" if policy.kind == "season-price" else "weights"
    changed["figures"][first] = [value + 1 for value in changed["figures"][first]]
    with pytest.raises(ValueError, match="was changed"):
        Policy.from_json(json.dumps(changed))
    with pytest.raises(ValueError, match="form"):
        Policy.from_json(json.dumps({**changed, "form": 99}))
    with pytest.raises(ValueError, match="no policy of kind"):
        Policy.from_json(json.dumps({**changed, "kind": "oracle"}))


def test_kept_policies_act_as_the_learners_do() -> None:
    rule = np.array([1.05, 0.5, 0.3, -0.2, 0.05, 0.1])
    kept = SeasonPrice(tuple(rule.tolist()), Origin("P1", "cma-es", 1))
    table = finite_stock.rule_prices(rule[None], 5, 50)
    for step, items in ((10, 1), (30, 4), (49, 5)):
        advice = kept.advise((float(items), (step + 0.5) / 50))
        assert advice.action == pytest.approx(table[0, step, items])
        assert sum(advice.because.values()) == pytest.approx(advice.action, abs=1e-4)
    weights = np.array([9.0, -0.5, -0.6, 0.1, 0.0])
    problem = LostSales(9.0, 2, 5.0)
    orders = orders_of(weights, problem.states(), problem.order_cap)
    order = SmoothOrder(tuple(weights.tolist()), 9.0, 2, 5.0, Origin("P7", "cma-es", 1))
    assert order.advise((4.0, 5.0)).action == orders[4, 5]
    with pytest.raises(ValueError, match="expected"):
        order.advise((1.0,))
