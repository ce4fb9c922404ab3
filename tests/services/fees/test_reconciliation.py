"""Predicted against settled: each difference has its name, and nothing is left without one."""

from __future__ import annotations

import ast
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fees as benchmark
from benchmarks import settlements
from flipsync.services.fees import Sale, SettledLine, SoldItem, default_profile, predict, predict_refund, reconcile

NOW = datetime(2026, 5, 1, tzinfo=UTC)
AMAZON = predict(
    Sale("amazon", "USD", NOW, (SoldItem(goods=10_000, shipping=500, category="media"),), default_profile("amazon"))
)
#: as Amazon tells it: 15 % of the goods, 1.80 for media
SETTLED = (
    SettledLine("Principal", 10_000),
    SettledLine("Shipping", 500),
    SettledLine("Commission", -1_500),
    SettledLine("VariableClosingFee", -180),
)


def test_what_was_predicted_was_settled() -> None:
    told = reconcile(AMAZON, SETTLED)
    assert told.differences == ()
    assert told.predicted == told.settled == AMAZON.payout == 8_820


@pytest.mark.parametrize(
    ("lines", "named", "amount"),
    [
        ((*SETTLED[:3],), "missing_fee", 180),
        ((*SETTLED[:2], SettledLine("Commission", -1_700), SETTLED[3]), "wrong_rate", -200),
        ((*SETTLED[:2], SettledLine("Commission", -1_501), SETTLED[3]), "rounding", -1),
        ((*SETTLED, SettledLine("TaxOnFees", -336)), "tax_on_fee", -336),
        ((*SETTLED, SettledLine("FBAPerUnitFulfillmentFee", -306)), "unexpected_fee", -306),
        ((*SETTLED, SettledLine("SolarFlareFee", -42)), "unknown_line", -42),
        ((SettledLine("Principal", 9_000), *SETTLED[1:]), "wrong_proceeds", -1_000),
    ],
)
def test_a_difference_is_named(lines: tuple[SettledLine, ...], named: str, amount: int) -> None:
    told = reconcile(AMAZON, lines)
    assert [(each.named, each.amount) for each in told.differences] == [(named, amount)]
    assert told.unexplained == 0 and all(each.why for each in told.differences)


def test_a_rate_that_is_wrong_is_told_with_the_one_it_comes_to() -> None:
    (found,) = reconcile(AMAZON, (*SETTLED[:2], SettledLine("Commission", -1_785), SETTLED[3])).differences
    assert "predicted by 15 %" in found.why and "17.000 % of 10500" in found.why


def test_a_refund_whose_fee_was_kept() -> None:
    refund = predict_refund(AMAZON, 10_500)
    back = (
        SettledLine("Principal", -10_500, refund=True),
        SettledLine("Commission", 1_500, refund=True),
        SettledLine("VariableClosingFee", 180, refund=True),
    )
    assert reconcile(AMAZON, (*SETTLED, *back), refund).differences == ()
    kept = reconcile(AMAZON, (*SETTLED, back[0], back[2]), refund)
    assert [(each.named, each.amount) for each in kept.differences] == [("refund_fee_kept", -1_500)]
    less = reconcile(AMAZON, (*SETTLED, back[0], replace(back[1], amount=1_200), back[2]), refund)
    assert [(each.named, each.amount) for each in less.differences] == [("refund_fee_wrong", -300)]


def test_a_processor_that_tells_one_fee_is_compared_with_the_sum() -> None:
    usual = default_profile("woocommerce")
    card = predict(
        Sale("woocommerce", "USD", NOW, (SoldItem(goods=10_000, tax=800),), usual, frozenset({"international"}))
    )
    lines = (SettledLine("charge", 10_800), SettledLine("stripe_fee", -(343 + 162)))
    assert reconcile(card, lines).differences == ()
    domestic = reconcile(card, (lines[0], SettledLine("stripe_fee", -343)))
    assert [(each.named, each.amount) for each in domestic.differences] == [("wrong_rate", 162)]


names = st.sampled_from(["Principal", "Commission", "VariableClosingFee", "TaxOnFees", "Tax", "Mystery", "closing"])


@given(st.lists(st.builds(SettledLine, names, st.integers(-20_000, 20_000), st.booleans()), max_size=12), st.booleans())
def test_named_differences_always_add_up(lines: list[SettledLine], refunded: bool) -> None:
    refund = predict_refund(AMAZON, 4_000) if refunded else None
    told = reconcile(AMAZON, lines, refund)
    assert told.unexplained == 0
    assert told.settled == sum(line.amount for line in lines)
    assert told.predicted == AMAZON.payout + (refund.payout if refund else 0)


# --- the benchmark's generator, which knows nothing of ours -----------------------------------------------------------


def test_the_settlement_generator_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(settlements.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= {"__future__", "random", "dataclasses", "datetime", "decimal"}


@pytest.mark.parametrize("channel", settlements.CHANNELS)
def test_payouts_are_predicted_within_a_cent(channel: str) -> None:
    rng = random.Random(channel)
    for _ in range(300):
        found = benchmark.compare(settlements.order(rng, channel))
        assert abs(found.settled - found.predicted) <= 1, found.differences
        assert found.unexplained == 0
        assert {each.named for each in found.differences} <= {"rounding"}


@pytest.mark.parametrize("fault", settlements.FAULTS)
def test_faults_are_found_under_their_name(fault: str) -> None:
    told = benchmark.faulty(15, seed=4)["by_fault"][fault]
    assert told["share"] == 1.0, told["named_instead"]


@pytest.mark.slow
def test_the_fees_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fee_types"] >= 40 and told["clean"]["unexplained"] == 0
    assert set(told["clean"]["by_channel"]) == set(settlements.CHANNELS)
