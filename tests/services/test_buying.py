"""How much is bought of everything at once: by what goods earn, what is there, packs, least orders, and cash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import nbinom

from flipsync.services.buying import Goods, Terms, plan, short

NOTHING = np.zeros(1)


def goods(count: int = 1, **columns: Any) -> Goods:
    """Ordinary goods of one supplier: four a week, ten days away, bought at 10 and sold for 10 more."""
    usual: dict[str, Any] = {
        "weekly": 4.0,
        "spread": 2.2,
        "doubt": 0.3,
        "position": 0.0,
        "margin": 1000.0,
        "pack_units": 1.0,
        "pack_cost": 1000.0,
        "least_units": 0.0,
        "lead_days": 10.0,
        "lead_spread": 3.0,
        "supplier": 0,
    }
    told = usual | columns
    return Goods(**{name: np.broadcast_to(np.asarray(value), (count,)).copy() for name, value in told.items()})


def test_the_level_covers_demand_with_the_newsvendors_chance() -> None:
    terms = Terms(line_cost=0.0)
    bought = plan(goods(), terms, least_order=NOTHING)
    weeks = 17 / 7
    mean = 4 * weeks
    variance = weeks * 2.2**2 + (weeks * 0.3) ** 2 + (4 * 3 / 7) ** 2
    chance = 1000 / (1000 + 1000 * 0.3 / (365 / 7))
    assert bought.service[0] == pytest.approx(min(chance, 0.995))
    wanted = nbinom.ppf(bought.service[0], mean**2 / (variance - mean), mean / variance)
    assert bought.level[0] == bought.units[0] == wanted


@pytest.mark.parametrize(
    ("fewer", "more"),
    [
        ({"margin": 50.0}, {"margin": 2000.0}),
        ({"pack_cost": 20_000.0}, {"pack_cost": 100.0}),
        ({"spread": 2.0}, {"spread": 6.0}),
        ({"lead_days": 5.0}, {"lead_days": 30.0}),
        ({"lead_spread": 0.0}, {"lead_spread": 12.0}),
        ({"doubt": 0.0}, {"doubt": 2.0}),
        ({"position": 12.0}, {"position": 0.0}),
    ],
)
def test_what_earns_more_or_is_less_sure_is_kept_more_of(fewer: dict[str, float], more: dict[str, float]) -> None:
    less, much = (plan(goods(**each), Terms(line_cost=0.0), least_order=NOTHING).units[0] for each in (fewer, more))
    assert less < much


def test_nothing_is_bought_of_what_is_there_earns_nothing_or_is_not_wanted() -> None:
    several = goods(3, position=[60.0, 0.0, 0.0], margin=[1000.0, -5.0, 1000.0], weekly=[4.0, 4.0, 0.0])
    assert plan(several, Terms(), least_order=NOTHING).units.tolist() == [0, 0, 0]


def test_packs_and_least_quantities_are_kept_and_nothing_lies_for_years() -> None:
    several = goods(4, pack_units=[12.0, 1.0, 1.0, 500.0], least_units=[0.0, 100.0, 4000.0, 0.0], pack_cost=1000.0)
    units = plan(several, Terms(line_cost=0.0), least_order=NOTHING).units
    assert units[0] % 12 == 0 and 12 <= units[0] <= 36
    assert units[1] == 100, "twenty-five weeks of it"
    assert units[2] == 0 and units[3] == 0, "years of it"


def test_a_line_that_costs_work_is_ordered_seldom_and_then_more() -> None:
    cheap, dear = (plan(goods(), Terms(line_cost=cost), least_order=NOTHING) for cost in (0.0, 2000.0))
    assert dear.up_to[0] > dear.level[0] >= 1 and cheap.up_to[0] == cheap.level[0]
    assert dear.level[0] <= cheap.level[0], "a larger order meets fewer ends"


def test_short_cash_goes_where_it_earns_most_and_is_never_overdrawn() -> None:
    rng = np.random.default_rng(3)
    many = goods(200, margin=rng.uniform(50, 4000, 200), pack_cost=rng.uniform(300, 4000, 200), weekly=6.0)
    free = plan(many, Terms(), least_order=NOTHING)
    worth = float((free.units * many.cost).sum())
    assert free.dearness == 0
    for share in (0.75, 0.4, 0.1, 0.0):
        tight = plan(many, Terms(), least_order=NOTHING, cash=worth * share)
        spent = float((tight.units * many.cost).sum())
        assert worth * share * 0.8 <= spent <= worth * share and tight.dearness > 0
        alike = np.floor(free.units * share)
        missed, missed_alike = ((many.margin * short(many, Terms(), units)).sum() for units in (tight.units, alike))
        assert missed <= missed_alike, "less is missed than when all goods give up alike"
        earns, kept = many.margin / many.cost, tight.units / np.maximum(free.units, 1)
        if share == 0.1:
            assert missed < 0.85 * missed_alike
            assert kept[earns > np.quantile(earns, 0.8)].mean() > 2 * kept[earns < np.quantile(earns, 0.2)].mean()


def test_a_supplier_who_takes_no_small_order_gets_a_larger_one_or_none() -> None:
    several = goods(4, supplier=[0, 0, 1, 1], position=[0.0, 40.0, 0.0, 40.0])
    alone = plan(several, Terms(), least_order=np.zeros(2))
    assert alone.units[1] == alone.units[3] == 0 and not alone.below
    worth = float((alone.units * several.cost)[:2].sum())
    both = plan(several, Terms(), least_order=np.array([worth * 1.4, 1e9]))
    assert float((both.units * several.cost)[:2].sum()) >= worth * 1.4, "what is needed later comes with it"
    assert both.units[2:].tolist() == [0, 0] and both.below == {1}
    poor = plan(several, Terms(), least_order=np.array([worth * 1.4, 0.0]), cash=worth * 2)
    assert 0 in poor.below or float((poor.units * several.cost).sum()) <= worth * 2


def test_what_is_expected_to_be_missed_is_less_with_an_order() -> None:
    one, terms = goods(), Terms()
    units = plan(one, terms, least_order=NOTHING).units
    without, with_it = short(one, terms, np.zeros(1))[0], short(one, terms, units)[0]
    assert without == pytest.approx(4 * 17 / 7, rel=0.02) and with_it < 0.1
