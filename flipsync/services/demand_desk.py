"""Forecasts of a business: what an agent asks before it chooses one, making them, and comparing them with what sold.

A decision names the method; the forecasts of the whole catalogue follow from it, the books and the day. So neither the
decision nor what is kept of its reads grows with the catalogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import MakeForecasts
from flipsync.domain.errors import Conflict
from flipsync.services.forecast_choice import Choice
from flipsync.store.repositories import forecast_runs as rows
from flipsync.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from flipsync.services.forecasts import History
    from flipsync.store.models import ForecastRun

WEEK = timedelta(weeks=1)
#: every forecast of so many days is kept, one a week of so many weeks, and none older
KEPT_DAILY, KEPT_WEEKLY = timedelta(days=14), timedelta(weeks=26)
#: runs that are compared with what sold at one time
_MOST_JUDGED = 8


@dataclass(frozen=True)
class DemandState:
    """What was forecast last, and how many units have sold since (of all that sold, where nothing was)."""

    origin: datetime | None
    method: str
    weekly: float
    sold: int


@dataclass(frozen=True)
class DemandReview:
    """How each method would have done on past weeks: mean RMSSE, ours of then first; nothing for young books.

    `ours` names our method for books of this size; `sure` is how likely it is that the best is so by more than chance.
    """

    series: int
    judged: int
    ours: str
    rmsse: dict[str, float]
    coverage: float | None
    sure: float
    achieved: list[rows.Accuracy]


class DemandDesk:
    """Questions about demand, from one read-only transaction."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def state(self) -> DemandState:
        """Two small reads."""
        run = await rows.latest(self._session)
        if run is None:
            beginning = self._now - KEPT_WEEKLY
            return DemandState(None, "", 0.0, await rows.sold_since(self._session, beginning, self._now))
        sold = await rows.sold_since(self._session, run.origin, self._now)
        return DemandState(run.origin, run.method, await rows.weekly_total(self._session, run.id), sold)

    async def review(self) -> DemandReview:
        """All orders of two years are looked through."""
        from flipsync.services.forecasts import backtest, ours, read_history  # numpy: not in every process

        known, history = await read_history(self._session, self._now)
        if not known:
            return DemandReview(0, 0, "", {}, None, 0.5, [])
        tested = await asyncio.to_thread(backtest, history)
        achieved = await rows.accuracy(self._session, self._now - KEPT_WEEKLY)
        name = ours(*history.sold.shape)[0]
        if tested is None:
            return DemandReview(len(known), 0, name, {}, None, 0.5, achieved)
        scores = {each: round(mean, 4) for each, mean in tested.scores.items()}
        return DemandReview(len(known), tested.series, name, scores, tested.coverage, round(tested.sure, 4), achieved)


async def carry_out(unit: UnitOfWork, command: MakeForecasts) -> None:
    """Make and keep the forecasts, and look after earlier ones. Raises Conflict where later ones were made."""
    await make(unit, command)
    await judge(unit)
    await forget_old(unit)


async def make(unit: UnitOfWork, command: MakeForecasts) -> None:
    """Make and keep the forecasts. Raises Conflict where later ones were made."""
    from flipsync.learning.forecast.intermittent import HORIZON, scale
    from flipsync.services import forecasts as f

    last = await rows.latest(unit.session)
    if last is not None and last.origin >= command.origin:
        raise Conflict(f"forecasts of {last.origin:%Y-%m-%d %H:%M} UTC were made already")
    known, history = await f.read_history(unit.session, command.origin)
    if not known:
        raise Conflict("nothing is or was for sale")
    choice = Choice(command.method, command.baseline_wins, bool(command.rmsse), command.why)
    weekly, low, high = await asyncio.to_thread(f.tell, history, choice)
    step = scale(history.up_to(history.sold.shape[1]).filled)
    on_sale = [at for at, row in enumerate(known) if row.active]
    on_shelf = history.open.sum(axis=1)
    run_id = await rows.add_run(
        unit,
        origin=command.origin,
        horizon=HORIZON,
        inside=f.INSIDE,
        method=command.method,
        baseline_wins=command.baseline_wins,
        why=command.why,
        rmsse=dict(command.rmsse),
        coverage=command.coverage,
        series=len(on_sale),
        code_version=f.code_version(),
        decision_id=unit.cause.causation_id,
    )
    columns: dict[str, list[Any]] = {
        "items": [known[at].stock_item_id for at in on_sale],
        "accounts": [known[at].account_id for at in on_sale],
        "weekly": f.level(weekly)[on_sale].round(4).tolist(),
        "low": f.level(low)[on_sale].round(2).tolist(),
        "high": f.level(high)[on_sale].round(2).tolist(),
        "path": [_path(weekly, low, high, at) for at in on_sale],
        "scale": step[on_sale].round(6).tolist(),
        "own_share": f.own_share(on_shelf)[on_sale].round(3).tolist(),
        "shelf": on_shelf[on_sale].round(2).tolist(),
        "units": history.sold.sum(axis=1)[on_sale].astype(int).tolist(),
    }
    await rows.add_all(unit, run_id, columns)


def _path(weekly: Any, low: Any, high: Any, at: int) -> str | None:
    """As JSON, week by week; None where all weeks are alike."""
    if weekly.ndim == 1:
        return None
    told = {"weekly": weekly[at].round(4).tolist(), "low": low[at].tolist(), "high": high[at].tolist()}
    return orjson.dumps(told).decode()


async def judge(unit: UnitOfWork) -> int:
    """Compare forecasts with what sold in the weeks that are over since; returns how many runs that were."""
    from flipsync.services import forecasts as f

    due = await rows.to_judge(unit.session, unit.now, _MOST_JUDGED)
    if not due:
        return 0
    known, begun = await f.on_books(unit.session)
    for run in due:
        begin = run.origin + run.weeks_judged * WEEK
        weeks = min(int((unit.now - run.origin) / WEEK), run.horizon)
        history = await f.weeks_of(unit.session, known, begun, begin, weeks - run.weeks_judged)
        found = await rows.of_run(unit.session, run.id)
        place = {(row.stock_item_id, row.account_id): at for at, row in enumerate(known)}
        pairs = [(row, place[row[1], row[2]]) for row in found if (row[1], row[2]) in place]
        await rows.judge(unit.session, run, weeks, _compared(history, run, weeks, pairs))
    return len(due)


def _compared(history: History, run: ForecastRun, until: int, pairs: Sequence[tuple[Any, int]]) -> dict[str, list[Any]]:
    import numpy as np

    from flipsync.services.forecasts import WHOLE

    if not pairs:
        return {key: [] for key in ("ids", "weeks", "sold", "expected", "covered", "squared", "pinball")}
    at = [series for _, series in pairs]
    actual, whole = history.sold[at], history.open[at] >= WHOLE
    weeks = slice(run.weeks_judged, until)
    weekly, low, high = (
        np.array([row.path[name][weeks] if row.path else [getattr(row, name)] * actual.shape[1] for row, _ in pairs])
        for name in ("weekly", "low", "high")
    )
    edge = (1 - run.inside) / 2
    # the pinball loss of both edges, as quantiles that they are meant to be
    losses = [
        np.maximum(share * (actual - told), (share - 1) * (actual - told))
        for told, share in ((low, edge), (high, 1 - edge))
    ]
    inside = (actual >= low) & (actual <= high)
    return {
        "ids": [row[0] for row, _ in pairs],
        "weeks": whole.sum(axis=1).tolist(),
        "sold": (actual * whole).sum(axis=1).tolist(),
        "expected": (weekly * whole).sum(axis=1).tolist(),
        "covered": (inside & whole).sum(axis=1).tolist(),
        "squared": ((actual - weekly) ** 2 * whole).sum(axis=1).tolist(),
        "pinball": (sum(losses) / 2 * whole).sum(axis=1).tolist(),
    }


async def forget_old(unit: UnitOfWork) -> None:
    """Drop forecasts that are kept no longer."""
    today = unit.now.replace(hour=0, minute=0, second=0, microsecond=0)
    # whole weeks and days: what was the first of one yesterday is so today
    daily, weekly = today - KEPT_DAILY - timedelta(days=today.weekday()), today - KEPT_WEEKLY
    await rows.forget_before(unit.session, weekly)
    await rows.thin_out(unit.session, weekly, daily, "week")
    await rows.thin_out(unit.session, daily, today, "day")
