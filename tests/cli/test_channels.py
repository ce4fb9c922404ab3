"""`flipsync channels` against a market that runs: tried, connected, listed, let go; and what can be got wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from command import Flipsync


@pytest.fixture
def run(flipsync: Flipsync) -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(flipsync, "channels")


async def test_a_channel_is_tried_connected_listed_and_let_go(start_sandbox: Any, run: Any) -> None:
    market = await start_sandbox()
    keys = json.dumps({name: value for name, value in market.woocommerce.items() if name != "base_url"})
    address = ("--base-url", market.woocommerce["base_url"])
    tried = run("probe", "woocommerce", *address, "--credentials", "-", "--json", given=keys)
    assert tried.returncode == 0, tried.stderr
    told = json.loads(tried.stdout)
    assert told["healthy"] and told["channel"]["currency"] == "USD"
    names = ["credentials", "listings", "find by SKU", "orders", "webhooks", "limits"]
    assert [check["name"] for check in told["checks"]] == names
    connected = run("connect", "woocommerce", "--name", "My shop", *address, "--credentials", "-", "--json", given=keys)
    assert connected.returncode == 0, connected.stderr
    account_id = json.loads(connected.stdout)["account_id"]
    again = run("connect", "woocommerce", "--name", "My shop", *address, "--credentials", "-", given=keys)
    assert again.returncode == 1 and "already" in again.stderr
    listed = json.loads(run("list", "--json").stdout)["channels"]
    assert [(each["id"], each["name"], each["status"]) for each in listed] == [(account_id, "My shop", "connected")]
    probed = run("probe", "My shop")
    assert probed.returncode == 0 and "credentials" in probed.stdout
    for output in (tried, connected, probed):
        assert market.woocommerce["consumer_secret"] not in output.stdout + output.stderr
    gone = json.loads(run("disconnect", account_id, "--json").stdout)
    assert gone == {"account_id": account_id, "name": "My shop", "disconnected": True}
    assert json.loads(run("disconnect", "My shop", "--json").stdout)["disconnected"] is False
    refused = run("probe", "My shop")
    assert refused.returncode == 1 and "is disconnected" in refused.stderr


async def test_a_key_that_may_only_read_is_not_healthy(start_sandbox: Any, run: Any) -> None:
    market = await start_sandbox()
    tried = run(
        "probe",
        "custom",
        *("--base-url", market.custom["base_url"], "--json"),
        FLIPSYNC_CHANNEL_TOKEN="wrong",
    )
    assert tried.returncode == 1
    told = json.loads(tried.stdout)
    assert told["channel"] is None and not told["healthy"]
    assert [(check["ok"], check["cause"]) for check in told["checks"]] == [(False, "rejected")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("probe", "myspace", "--base-url", "http://127.0.0.1:9"), "is not a vendor"),
        (("probe", "custom", "--base-url", "not a url"), "--base-url"),
        (("probe", "custom", "--base-url", "http://127.0.0.1:9"), "FLIPSYNC_CHANNEL_TOKEN"),
        (("probe", "custom", "--base-url", "http://127.0.0.1:9", "--option", "x"), "is not NAME=VALUE"),
        (("probe", "custom", "--base-url", "http://127.0.0.1:9", "--credentials", "/no/such"), "cannot be read"),
        (("connect", "custom", "--name", "x"), "--base-url"),
        (("connect", "custom", "--name", "x", "--stock-mode", "shared"), "is not a stock mode"),
        (("disconnect", "nobody"), "no channel is called"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_a_hint(run: Any, words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_channel_that_is_not_there_is_told_as_such(run: Any) -> None:
    done = run("probe", "custom", "--base-url", "http://127.0.0.1:9", "--json", FLIPSYNC_CHANNEL_TOKEN="x")
    assert done.returncode == 1
    (check,) = json.loads(done.stdout)["checks"]
    assert (check["cause"], check["hint"]) == ("retryable", "check base_url and the network")
