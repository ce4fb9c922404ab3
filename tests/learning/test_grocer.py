"""A grocer's weeks: read from files of the package's schema, fitted, replayed, and judged from their log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grocer_panel import WEEKS, drawn

from flipsync.learning import grocer
from flipsync.learning.grocer import Panel
from flipsync.learning.pricing import price_response as response
from flipsync.learning.pricing.logged_prices import RUNGS, LoggedPrices
from flipsync.learning.pricing.replayed_market import ReplayedMarket
from flipsync.learning.simulator import GymFace


def columns() -> dict[str, Any]:
    """Three goods of one category and one of another; the second carries a row that costs ten times as much."""
    rows: list[tuple[int, int, float, float, float, int]] = []
    basket = 0
    for week in range(1, 54):
        for _ in range(3):
            basket += 1
            for product, price in ((11, 2.0), (12, 1.5), (21, 4.0)):
                cheap = 0.8 if week % 4 == 0 and product == 11 else 1.0
                rows.append((product, basket, 2, 2 * price * cheap - 0.1, 0.1, week))
    rows += [(12, 1, 1, 15.0, 0.0, 9), (11, 2, 0, 1.0, 0.0, 9), (12, 3, 5_000, 9.0, 0.0, 9), (11, 7, 1, 0.0, 0.0, 30)]
    rows.append((13, basket + 1, 1, 2.0, 0.0, 9))
    names = ("product_id", "basket_id", "quantity", "sales_value", "coupon_match_disc", "week")
    return {name: np.array(each) for name, each in zip(names, zip(*rows, strict=True), strict=True)}


CATEGORY = {11: "BREAD", 12: "BREAD", 13: "BREAD", 21: "BEER"}


def test_shelf_prices_and_units_come_out_of_the_rows() -> None:
    bought = grocer.purchases(columns())
    assert len(bought.units) == 53 * 9 + 3, "rows of nothing, and of thousands, are no purchases"
    panel = grocer.panel(bought, CATEGORY)
    assert panel.product.tolist() == [11, 12], "beer has nobody else in its category, and 13 sold once"
    assert panel.units.shape == (2, WEEKS) and panel.units[0, 1] == 6
    assert panel.usual == pytest.approx([200.0, 150.0])
    cheap = panel.price[0] < 190
    assert [week + 2 for week in np.flatnonzero(cheap)] == [week for week in range(2, 53) if week % 4 == 0]
    assert panel.price[1] == pytest.approx(np.full(WEEKS, 150.0)), "the odd price is left out"
    busier = np.arange(WEEKS) == 9 - 2
    assert panel.traffic[0].tolist() == np.where(busier, 5.0, 3.0).tolist(), "one with 12 alone, and one with 13"
    busier[30 - 2] = True
    assert panel.traffic[1].tolist() == np.where(busier, 4.0, 3.0).tolist(), "one with 13, and one with 11 for nothing"


def test_a_week_without_a_sale_has_the_last_price() -> None:
    told = columns()
    kept = ~((told["product_id"] == 11) & (told["week"] == 13))
    panel = grocer.panel(grocer.purchases({name: each[kept] for name, each in told.items()}), CATEGORY)
    assert panel.units[0, 13 - 2] == 0 and panel.price[0, 13 - 2] == pytest.approx(160.0)


def test_files_of_the_packages_schema_are_read(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns()), tmp_path / "transactions.parquet")
    goods = {"product_id": list(CATEGORY), "product_category": list(CATEGORY.values()), "brand": ["x"] * len(CATEGORY)}
    parquet.write_table(arrow.table(goods), tmp_path / "products.parquet")
    bought, category = grocer.read(tmp_path)
    assert category == CATEGORY and len(bought.units) == 53 * 9 + 3
    names, units = grocer.weekly(bought, 1, 52)
    assert names.tolist() == [11, 12, 13, 21] and units[0, 0] == 6


# -- P13 --------------------------------------------------------------------------------------------------------------


def test_regressions_find_the_elasticities_that_were_drawn() -> None:
    panel = drawn(300, noise=1e6)
    logs = np.log(panel.price / panel.usual[:, None])
    assert response.pooled_elasticity(panel.units, logs) == pytest.approx(2.0, abs=0.15)
    own, information = response.own_elasticities(panel.units, logs, panel.traffic)
    assert (information > 0).all() and float(np.median(own)) == pytest.approx(2.0, abs=0.2)
    told = response.shrunk(panel.units, logs, panel.traffic)
    assert told.centre == pytest.approx(2.0, abs=0.15) and told.between == pytest.approx(0.8, abs=0.2)
    assert own.std() > told.mean.std(), "towards the mean"
    still = response.own_elasticities(panel.units[:5], np.zeros((5, WEEKS)))
    assert (still[0] == 0).all() and (still[1] == 0).all(), "a price that never moved tells nothing"


def test_the_spread_of_weeks_is_found() -> None:
    panel = drawn(300, noise=5.0)
    logs = np.log(panel.price / panel.usual[:, None])
    assert response.shrunk(panel.units, logs, panel.traffic).shape == pytest.approx(5.0, rel=0.25)
    rng = np.random.default_rng(2)
    calm = rng.poisson(20.0, (100, 50)).astype(np.float64)
    assert response.spread_of(calm, np.full(calm.shape, 20.0)) > 100


def test_a_distribution_knows_its_own_chances() -> None:
    counts = np.arange(400, dtype=np.float64)
    told = response.Foretold(np.tile([0.3, 0.7], (400, 1)), np.tile([2.0, 9.0], (400, 1)), np.full(400, 3.0))
    chances, inside = np.exp(told.log_score(counts)), told.inside(counts)
    assert chances.sum() == pytest.approx(1.0) and chances @ counts == pytest.approx(told.mean[0])
    assert chances @ inside == pytest.approx(0.8), "the band of 80 % holds 80 % of what the distribution says"
    wide = told.spread(1.0)
    assert wide.mean == pytest.approx(told.mean) and wide.shape[0] == pytest.approx(0.75)


def test_walking_forward_prefers_what_is_true() -> None:
    panel, first = drawn(80, noise=6.0, elasticity=(2.5, 0.3)), 42
    told = {
        name: response.walk_forward(each, panel.units, panel.price, first) for name, each in response.BASELINES.items()
    }
    score = {name: each.spread.mean() for name, each in told.items()}
    assert score["constant demand"] < score["regression of each good"] < score["pooled regression"]
    assert score["regression of each, shrunk"] == pytest.approx(score["pooled regression"], abs=0.02)
    for each in told.values():
        assert each.error.shape == (80, WEEKS - first) and (each.spread.mean() >= each.plain.mean())
    assert told["pooled regression"].inside_spread.mean() == pytest.approx(0.8, abs=0.04)


# -- P14 --------------------------------------------------------------------------------------------------------------


def test_a_replay_is_the_same_for_every_policy_and_keeps_to_what_was_seen() -> None:
    market = ReplayedMarket(drawn(), goods=5)
    first = market.reset(4, 9)
    row, e, usual = market.row.copy(), market.elasticity.copy(), market.usual.copy()
    assert first.shape == (4, market.observation_size) and market.horizon == 25 * 7
    assert (market.asked(np.full((4, 5), 9.0)) == market.highest).all()
    assert (market.asked(np.zeros((4, 5))) == market.lowest).all()
    sold = {}
    for share in (1.0, 0.8):
        market.reset(4, 9)
        assert (market.row == row).all() and (market.elasticity == e).all()
        days = [market.step(np.full((4, 5), share))[0].reshape(4, 5, 3)[..., 1] for _ in range(market.horizon)]
        sold[share] = np.stack(days)
    assert (sold[0.8] >= sold[1.0]).all(), "a lower price sells no less to the same buyers"
    assert market.cost == pytest.approx(0.7 * usual)
    with pytest.raises(ValueError, match="the episode is over"):
        market.step(np.ones((4, 5)))
    for wrong in ({"weeks": 60}, {"margin": 1.0}, {"goods": 0}):
        with pytest.raises(ValueError, match=r"panel|share"):
            ReplayedMarket(drawn(), **wrong)  # type: ignore[arg-type]


def test_who_knows_the_elasticity_earns_most_of_what_is_expected() -> None:
    market = ReplayedMarket(drawn(), goods=10)
    market.reset(20, 3)
    best = market.best()

    def worth(action: np.ndarray) -> np.ndarray:
        return np.asarray(market.expected(action) * (market.asked(action) - market.cost))

    for share in np.linspace(0.7, 1.1, 9):
        assert (worth(best) >= worth(np.full(best.shape, share)) - 1e-9).all()


def test_sales_in_a_replay_are_what_the_weeks_say() -> None:
    """At the prices as they were a replay sells about what was sold; drawn and real weeks are of one size."""
    panel = drawn(40)
    market = ReplayedMarket(panel, goods=40)
    market.reset(6, 5)
    total = np.zeros((6, 40))
    for day in range(market.horizon):
        total += market.step(market.logged(day))[0].reshape(6, 40, 3)[..., 1]
    real = panel.units[:, 26:].sum(axis=1)[market.row]
    assert total.sum() == pytest.approx(real.sum(), rel=0.05)
    assert np.corrcoef(np.log(total.mean(axis=0)), np.log(real.mean(axis=0)))[0, 1] > 0.0


def test_a_replay_has_a_gymnasium_face() -> None:
    face = GymFace(ReplayedMarket(drawn(), goods=3, weeks=1))
    seen, _ = face.reset(seed=4)
    assert seen.shape == (9,) and face.action_space.shape == (3,)
    for day in range(7):
        seen, reward, over, _, _ = face.step(np.ones(3, dtype=np.float64))
        assert np.isfinite(reward) and over == (day == 6)


def test_the_log_tells_what_each_kind_of_price_is_worth_where_prices_are_blind() -> None:
    panel = drawn(100, seed=4, elasticity=(1.5, 0.3))
    log = LoggedPrices.of(panel)
    assert len(log.action) > 60 and (log.chance > 0).all()
    for rung, cut in enumerate((0.75, 0.9, 1.0)):
        told = log.worth(np.eye(len(RUNGS))[rung])
        truth = cut**-1.5 * np.exp(0.5 * (0.3 * np.log(cut)) ** 2) * (cut - 0.7) / 0.3
        for name in ("IPS", "SNIPS", "doubly robust"):
            assert told[name].low - 0.05 < truth < told[name].high + 0.05, (name, cut)
    assert abs(log.traffic_beside(0).mean) < 0.01
    assert log.as_logged().mean < log.worth(np.eye(3)[2])["SNIPS"].mean
    with pytest.raises(ValueError, match="no good stood"):
        LoggedPrices.of(Panel(panel.product, panel.units, np.ones_like(panel.units), panel.traffic, panel.family))
