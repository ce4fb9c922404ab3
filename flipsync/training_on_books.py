"""What the command line does with forecasts, training and the registry: a study on a Ray of its own or on a cluster."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from flipsync.commands_on_books import in_books, tenant_named
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.ids import new_id
from flipsync.embedded.instance import live_state
from flipsync.embedded.ray_head import RayHead, join
from flipsync.services import model_registry
from flipsync.services.forecasts import Forecasts, forecasts
from flipsync.services.reading_forecasts import stored_forecasts
from flipsync.services.reading_models import ExperimentView, ModelSummary, ModelView, experiment_of, list_all, model_of
from flipsync.services.reading_page import SortedRequest
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Routing, Store
from flipsync.system import open_books, open_worker_books
from flipsync.training.catalogue import problem as problem_named
from flipsync.training.study import Books, Outcome, Report, Study

#: trials at once on a Ray of our own
CPUS = 2
RESEARCH = "Research"


def forecast(home: Path, sku: str | None, tenant: str | None, *, fresh: bool) -> Forecasts:
    """Demand to come of all goods for sale, or of one SKU: as forecast last, computed where that is old or `fresh`.

    Raises NotFound when that SKU is not for sale.
    """

    async def work(store: Store, tenant_id: UUID) -> Forecasts:
        async with store.reader(tenant_id) as session:
            now = store.clock.now()
            told = None if fresh else await stored_forecasts(session, now, sku)
            told = told or await forecasts(session, now, sku)
        if sku is not None and not told.items:
            raise NotFound(f"{sku!r} is not for sale on any channel", hint="`flipsync forecast` lists what is")
        return told

    return in_books(home, {}, tenant, work)


def train(
    home: Path,
    name: str,
    *,
    samples: int,
    seed: int,
    address: str | None,
    judged: int,
    tenant: str | None,
    report: Report,
) -> Outcome:
    """Search for a policy of the problem and keep the best one; an unfinished search like this one is gone on with.

    Without `address` a Ray of two cores is started for it on this machine's loopback; "auto" is the running system's.
    Raises NotFound, InvalidInput, Conflict (a training runs here already) or Unavailable.
    """
    problem = problem_named(name)
    if samples < 2:
        raise InvalidInput("a search needs two trials at least: the first is the baseline")
    folder = home / "training"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), open_books(home, {}) as store, open_worker_books(home) as lister:
        tenant_id = asyncio.run(_business(store, lister, tenant))
        asyncio.run(store.aclose())  # its connections belong to the loop that has ended
        books = Books(store, tenant_id)
        try:
            study = Study(books, problem, seed=seed, samples=samples)
            with _ray(home, folder, address) as at_once:
                try:
                    search: Any = importlib.import_module("flipsync.training.tuner").search
                    search(study, report, folder=folder / "tune", at_once=at_once)
                    return study.conclude(judged=judged, report=report)
                except Exception as error:
                    study.fail(error)
                    raise
        finally:
            books.close()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict("a training runs in this data folder already", hint="wait for it, or give --home") from None
        yield


@contextmanager
def _ray(home: Path, folder: Path, address: str | None) -> Iterator[int | None]:
    """Connected to Ray; how many trials may run at once (None: what the cluster has)."""
    if address is None:
        head = RayHead(folder, cpus=CPUS)
        head.start()
        try:
            yield CPUS
        finally:
            head.stop()
        return
    join(home, live_state(home).url("ray") if address == "auto" else address)
    try:
        yield None
    finally:
        sys.modules["ray"].shutdown()


async def _business(store: Store, lister: Any, wanted: str | None) -> UUID:
    """The business whose books are kept; in empty books, one for research."""
    try:
        return await tenant_named(lister, wanted)
    except NotFound:
        if wanted is not None:
            raise
    finally:
        await lister.aclose()
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        await tenants.found(unit.session, tenant_id, RESEARCH)
    return tenant_id


# -- the registry -----------------------------------------------------------------------------------------------------


def list_models(home: Path, *, name: str | None, stage: str | None, tenant: str | None) -> Sequence[ModelSummary]:
    """The newest hundred policies."""

    async def work(store: Store, tenant_id: UUID) -> Sequence[ModelSummary]:
        async with store.reader(tenant_id) as session:
            return (await list_all(session, SortedRequest(limit=100), name=name, stage=stage)).items

    return in_books(home, {}, tenant, work)


def show_experiment(home: Path, experiment_id: UUID, tenant: str | None) -> ExperimentView:
    """Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> ExperimentView:
        async with store.reader(tenant_id) as session:
            return await experiment_of(session, experiment_id)

    return in_books(home, {}, tenant, work)


def show_model(home: Path, wanted: str, tenant: str | None) -> ModelView:
    async def work(store: Store, tenant_id: UUID) -> ModelView:
        async with store.reader(tenant_id) as session:
            return await model_of(session, wanted, store.clock.now())

    return in_books(home, {}, tenant, work)


def promote_model(
    home: Path, wanted: str, *, to: str | None, reason: str, on_my_word: bool, tenant: str | None, routing: Routing
) -> ModelView:
    """Raises Conflict with every check that failed."""

    async def work(store: Store, tenant_id: UUID) -> ModelView:
        async with store.unit(tenant_id) as unit:
            stage: Any = to
            row = await model_registry.promote(unit, wanted, to=stage, reason=reason, on_my_word=on_my_word)
            return await model_of(unit.session, str(row.id), unit.now)

    return in_books(home, routing, tenant, work)


def roll_back_model(home: Path, name: str, reason: str, tenant: str | None, routing: Routing) -> tuple[str, str | None]:
    """(version taken back, version that is live now; None: the rule as shipped)."""

    async def work(store: Store, tenant_id: UUID) -> tuple[str, str | None]:
        async with store.unit(tenant_id) as unit:
            back, now = await model_registry.roll_back(unit, name, reason)
            return back.version, now.version if now is not None else None

    return in_books(home, routing, tenant, work)


__all__ = ["list_models", "promote_model", "roll_back_model", "show_experiment", "show_model", "train"]
