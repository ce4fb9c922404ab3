"""The sandbox's market as an environment: the same sales as over HTTP, the same again, and Gymnasium's own checks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from flipsync.learning.pricing.sandbox_market import BEGIN_MS, OneMarket, SandboxMarket
from flipsync.learning.simulator import GymFace
from flipsync.sandbox.app import Sandbox, SandboxConfig
from flipsync.services.pricing.quote import PolicySettings
from flipsync.training.sandbox_shops import play

USUAL = np.array([2_000, 3_500, 900])
DAY = 86_400


async def over_http(rig: Any, prices: list[list[int]]) -> list[list[int]]:
    """Units sold by day and good, when the prices of the day are set through the channel's own API."""
    token = {"X-Sandbox-Token": rig.sandbox.control_token}
    references = {f"S{n}": int(minor) for n, minor in enumerate(USUAL)}
    body = {"reference_prices": references}
    assert (await rig.http.post("/_sandbox/open-for-business", json=body, headers=token)).status_code == 200
    for sku, minor in references.items():
        await rig.list_custom(sku, minor, 1_000_000)
    sold, seen = [], dict.fromkeys(references, 0)
    for day in prices:
        for sku, minor in zip(references, day, strict=True):
            asked = {"price": {"amount_minor": minor, "currency": "USD"}}
            assert (await rig.custom("PUT", f"/listings/{sku}/price", asked)).status_code == 200
        await rig.http.post("/_sandbox/advance", json={"seconds": DAY}, headers=token)
        report = (await rig.http.get("/_sandbox/books", headers=token)).json()
        now = dict.fromkeys(references, 0)
        for order in report["orders"]:
            for line in order["lines"]:
                now[line["sku"]] += line["quantity"]
        sold.append([now[sku] - seen[sku] for sku in references])
        seen = now
    return sold


@pytest.mark.parametrize("seed", [7, 8])
async def test_the_same_prices_sell_the_same_as_over_http(seed: int, rig: Any) -> None:
    rig.__init__(Sandbox(SandboxConfig(seed=seed, start_ms=BEGIN_MS)))
    shares = np.random.default_rng(seed).uniform(0.85, 1.1, (6, 3))
    prices = np.rint(shares * USUAL).astype(np.int64)
    there = await over_http(rig, prices.tolist())
    here = OneMarket(seed, USUAL)
    here.price(USUAL)
    sold = []
    for day in prices:
        here.price(day)
        sold.append(here.day().tolist())
    assert sold == there and sum(map(sum, sold)) > 15
    rivals = [[r.price_minor for r in rig.sandbox.market.rival_offers(sku)] for sku in here.skus]
    assert rivals == [[r.price_minor for r in here.market.rival_offers(sku)] for sku in here.skus]


def test_gymnasium_accepts_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(symmetric and normalized|infinity).*")  # bounds are money's
        check_env(GymFace(SandboxMarket(goods=2, horizon=3)), skip_render_check=True)


def test_the_same_seed_and_prices_tell_the_same_story_and_runs_are_apart() -> None:
    def story(runs: int, seed: int) -> np.ndarray:
        world = SandboxMarket(goods=2, horizon=4)
        told = [world.reset(runs, seed)]
        rng = np.random.default_rng(1)
        for _ in range(4):
            shares = np.broadcast_to(rng.uniform(0.8, 1.2, 2), (runs, 2))
            observation, reward, _ = world.step(shares)
            told.append(np.concatenate([observation, reward[:, None]], axis=1)[:, :6])
        return np.stack(told)

    assert np.array_equal(story(3, 5), story(3, 5)) and not np.array_equal(story(3, 5), story(3, 6))
    whole = story(3, 5)
    assert not np.array_equal(whole[:, 0], whole[:, 1])


def test_dearer_sells_less_and_below_cost_loses_money() -> None:
    def played(share: float) -> tuple[float, float]:
        world = SandboxMarket(horizon=8)
        world.reset(2, 3)
        told = [world.step(np.full((2, 4), share))[:2] for _ in range(8)]
        return sum(seen[:, 2::3].sum() for seen, _ in told), sum(earned.sum() for _, earned in told)

    (cheap, lost), (fair, earned), (dear, _) = (played(share) for share in (0.4, 1.0, 1.8))
    assert cheap > fair > dear and lost < 0 < earned


def test_wrong_actions_and_prices_are_refused_or_held() -> None:
    world = SandboxMarket(goods=2, horizon=1)
    with pytest.raises(ValueError, match="call reset"):
        world.step(np.ones((1, 2)))
    world.reset(1, 1)
    with pytest.raises(ValueError, match="shape"):
        world.step(np.ones((1, 3)))
    assert world.asked(np.array([[-5.0, 99.0]])).tolist() == [[round(world.usual[0, 0] * 0.3), world.usual[0, 1] * 3]]


def test_the_shops_rule_earns_in_a_strange_market_what_it_earned_before() -> None:
    once, again = (play(PolicySettings(), 2, 11) for _ in range(2))
    assert np.array_equal(once, again) and (once > 0).all()
    assert not np.array_equal(once, play(None, 2, 11))
