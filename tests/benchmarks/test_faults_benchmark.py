"""The bench of named faults: a slice of it, and that its figures are counted from what happened."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from benchmarks import faults
from benchmarks.fault_rig import Switchboard
from benchmarks.faults import Case, chosen, run_calm, run_case
from flipsync.sandbox.named_faults import FAULTS


@pytest.mark.parametrize(
    "pair",
    ["token-expired-403@amazon", "webhooks-deleted@shopify", "write-half-applied@custom", "listing-deleted@ebay"],
)
async def test_a_fault_is_found_within_a_minute_and_named(pair: str) -> None:
    name, _, channel = pair.partition("@")
    async with Switchboard().serving() as board:
        case = await run_case(board, FAULTS[name], cast(Any, channel), seed=5)
    assert case.early == "" and case.named, case
    assert case.done and case.evidence


async def test_trading_without_faults_raises_no_alarm() -> None:
    async with Switchboard().serving() as board:
        assert await run_calm(board, "custom", days=0.02, seed=5) == []


def test_every_fault_is_run_on_each_of_its_channels() -> None:
    pairs = chosen([], quick=False)
    assert len(pairs) == sum(len(fault.channels) for fault in FAULTS.values())
    assert {fault.name for fault, _ in chosen([], quick=True)} < set(FAULTS)


def test_what_was_late_or_called_otherwise_counts_as_it_is() -> None:
    def case(seconds: float | None, cause: str) -> Case:
        return Case("f", "auth", "custom", 1, "scope-lost", cause, seconds)

    cases = [case(10, "scope-lost"), case(61, "scope-lost"), case(5, "access-revoked"), case(None, "")]
    result = faults._result(cases, {"custom": ["one"]}, 3.5, [])
    assert (result["found"]["hits"], result["named"]["hits"], result["found"]["of"]) == (2, 1, 4)
    assert result["false_alarms"]["a_week"] == 2.0
    assert result["table"][0]["cause"] == ["access-revoked", "nothing", "scope-lost"]


@pytest.mark.slow
def test_the_whole_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main(["--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["found"]["share"] == told["named"]["share"] == 1.0
    assert told["false_alarms"]["alarms"] == 0
