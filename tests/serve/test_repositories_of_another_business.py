"""Every public function of every repository, called as one business with the ids and rows of another.

Row-level security has to hold whatever the function asks: nothing of the other business comes back, and nothing of it
changes. No list to forget a function in: they are found by looking.
"""

from __future__ import annotations

import collections.abc
import inspect
import pkgutil
import types
import typing
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from api_world import Business, told_order, told_payout
from pydantic import BaseModel
from sqlalchemy import Row, select, text
from sqlalchemy.exc import (
    CompileError,
    DataError,
    DBAPIError,
    InvalidRequestError,
    NoResultFound,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import ListingState, UnreadOrder
from flipsync.domain.directives import Terms
from flipsync.domain.errors import NotFound
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.services.customer_reading import CUTS
from flipsync.store import models as m
from flipsync.store import repositories
from flipsync.store.database import Database, SessionReader
from flipsync.store.models import Base
from flipsync.store.reading import Question
from flipsync.store.repositories import payouts, sealed
from flipsync.store.repositories.bulk_effects import ClaimedEffect
from flipsync.store.repositories.effects import Outcome
from flipsync.store.repositories.price_brakes import CatalogueSize
from flipsync.store.sorting import Place, SortedQuestion, Sorts
from flipsync.store.unit_of_work import Store, UnitOfWork

#: by design these find a business by a secret or an address that only its people and vendors have
_BY_SECRET = {"sign_in_candidate", "tenant_of_refresh_token", "tenant_of_state", "account_of_webhook", "buyer_holders"}
_BY_SECRET |= {"tenant_of_passkey", "tenant_of_identity"}
#: how a repository, or PostgreSQL, says no; in none of them may stand what is another business's
REFUSALS = (DBAPIError, NoResultFound, InvalidRequestError, AssertionError, NotFound)
#: what a call ends with that never got as far as the question whose the rows are
MISFITS = (CompileError, StatementError, LookupError, ValueError, TypeError)
#: write rows made of nothing but what they are given, for whoever gives it: nobody's ids are in there to be misused.
#: Rows for another business are refused by the tables themselves (tests/store/test_row_level_security.py).
MADE_OF_WHAT_IS_GIVEN = frozenset(
    """
    api_keys.insert_key catalogue.insert_movements catalogue.insert_products catalogue.insert_stock_items
    catalogue.insert_variants deliveries.add_destination deliveries.put episodes.add experiments.add_step
    experiments.insert forecast_runs.add_all forecast_runs.add_run forecast_runs.judge grades.count grades.enrol
    grades.move_standing identity.insert_session
    identity.insert_user language.lease listing_care.add_need listings.record_rivals notices.raise_all
    own_roles.add_role passkeys.insert_passkey plans.add_initiative policies.put
    provider_identities.insert_identity purchase_orders.add purchase_orders.add_receipt recalibration.replace
    report_schedules.add second_factors.insert_factor sourcing.add_scan suppliers.add suppliers.put_offers
    transfers.add trends.add workflows.add workflows.add_step workflows.begin_run
    """.split()
)
#: names of parameters that are ids, and whose
_SUBJECTS = {
    "run_id": "product_id",
    "row_id": "listing_id",
    "run_ids": "report_run_id",
    "subject_id": "listing_id",
    "fault_id": "account_id",
    "held_id": "held_order_id",
}


def _found() -> list[tuple[str, Any]]:
    every = []
    for module in pkgutil.iter_modules(repositories.__path__):
        loaded = import_module(f"{repositories.__name__}.{module.name}")
        for name, value in vars(loaded).items():
            own = inspect.iscoroutinefunction(value) and value.__module__ == loaded.__name__
            if (own and not name.startswith("_")) or isinstance(value, Question):
                every.append((f"{module.name}.{name}", value))
            elif isinstance(value, SortedQuestion):
                every += [(f"{module.name}.{name}[{sort}]", each) for sort, each in value.questions.items()]
    return every


FOUND = _found()


class Foreign:
    """Values of alpha's for parameters of any kind."""

    def __init__(self, business: Business, rows: dict[type | str, Any], ids: dict[str, UUID]) -> None:
        self.business, self.rows, self.ids = business, rows, ids

    def of(self, name: str, kind: Any) -> Any:
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self.of(name, next(each for each in inner if each is not type(None)))
        if kind is UUID:
            return self.id(name)
        if kind is typing.Any and name.endswith("_at"):
            return datetime.now(UTC)
        if kind in (str, typing.Any):
            return self.word(name)
        if kind is datetime:
            return datetime(2000, 1, 1, tzinfo=UTC) if name in ("since", "after") else datetime.now(UTC)
        if kind is date:
            return date(2000, 1, 1) if name in ("first", "after") else datetime.now(UTC).date()
        if kind is timedelta:
            return timedelta(days=14)
        if kind is bool:
            return True
        if kind in (int, float):
            return 1 if name == "attempts" else 50
        if kind is bytes:
            return b"x"
        if kind is Money:
            return Money(amount_minor=100, currency="USD")
        if kind is CatalogueSize:
            return CatalogueSize(**{each.name: 1 for each in fields(CatalogueSize)})
        if kind in self.rows:
            return self.rows[kind]
        if origin is tuple and inner[-1] is not Ellipsis:
            return tuple(self.of(name, each) for each in inner)
        if origin in (dict, collections.abc.Mapping):
            return self.mapping(name, inner)
        if origin in (list, tuple, collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable):
            return [self.of(name, inner[0])]
        if isinstance(kind, type) and is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            return kind(**{each.name: self.of(each.name, hints[each.name]) for each in fields(kind)})
        raise LookupError(f"nothing to give for {name}: {kind}")

    def id(self, name: str) -> UUID:
        name = {"ids": "listing_ids", "causes": "event_ids", "of_events": "event_ids"}.get(name, name)
        name = _SUBJECTS.get(name, name).removesuffix("s")
        return self.ids.get(name) or self.ids["listing_id"]

    def word(self, name: str) -> str:
        told = {
            "kind": "listing",
            "subject_kind": "listing",
            "command": "ChangePrice",
            "currency": "USD",
            "agent": "market",
            "pool": "own",
            "period": "day",
            "group": "sku",
            "mode": "escrow",
            "status": "active",
            "state": "ready",
            "span": "day",
            "vendor": "custom",
            "external_id": f"{self.business.marker}-external",
            "external_ids": f"{self.business.marker}-external",
            "handles": f"{self.business.marker}-teapot",
        }
        return told.get(name, f"{self.business.marker}-SKU")

    def mapping(self, name: str, inner: tuple[Any, ...]) -> dict[Any, Any]:
        if inner[0] is UUID:
            return {self.id(name): 1}
        if name.endswith("payload"):
            return {each: str(value) for each, value in self.ids.items()}
        return {"id": self.ids["listing_id"], "tenant_id": self.business.tenant_id, "status": "connected"}


def _particular(foreign: Foreign) -> dict[str, dict[str, Any]]:
    """What functions are to be called with that do not say in their types what they take."""
    ids, now = foreign.ids, datetime.now(UTC)
    return {
        "advertising.record_days": {"sales": {(ids["listing_id"], now.date(), "USD"): (1, 100, 9)}},
        "advertising.record_shown": {"ads": {ids["listing_id"]: ("stolen", 300)}, "begun": now},
        "catalogue.update_products": {"changes": [{"id": ids["product_id"], "title": "stolen"}]},
        "catalogue.update_variants": {"changes": [{"id": ids["variant_id"], "barcode": "stolen"}]},
        "deliveries.renew_destination": {"values": {"detail": "stolen"}},
        "customer_reading.cohorts": {"group": "channel"},
        "customer_reading.segments": {"group": "channel", "cuts": CUTS},
        "customer_reading.orders": {"cuts": CUTS, "cells": list(range(11, 56))},
        "identity.update_user": {"values": {"password_hash": "stolen"}},
        "identity.update_session": {"values": {"device": "stolen"}},
        "labels.change": {"before": ("bought", "asked", "sent", "unknown"), "service": "stolen"},
        "own_roles.update_role": {"values": {"name": "stolen"}},
        "passkeys.update_passkey": {"values": {"name": "stolen"}},
        "payouts.differences": {"place": payouts.DIFFERENCE_SORTS.first(50)},
        "payouts.lines_of": {"place": payouts.LINE_SORTS.first(50)},
        "plans.replace": {"ends_at": now + timedelta(days=1)}
        | dict.fromkeys(("starts_at", "forecast_origin"), now)
        | dict.fromkeys(("goals", "why"), "stolen"),
        "pruning.prune": {"moments": dict.fromkeys(("day", "week", "month"), now)},
        "purchase_orders.write_mail": {"mail": "sent"},
        "report_schedules.end_run": {"values": {"detail": "stolen"}},
        "sealed.count": {"place": sealed.CREDENTIALS},
        "sealed.under_other_keys": {"place": sealed.CREDENTIALS, "after": None},
        "sealed.put": {"place": sealed.CREDENTIALS, "row_id": ids["account_id"], "was": foreign.rows["credentials"]},
        "second_factors.update_factor": {"values": {"failures": 9}},
        "sourcing.settle": {"why": "stolen"},
        "trial_books.orders_on_another_day": {"then": "UTC", "now": "Asia/Tokyo"},
        "why.owner_of": {"kind": "proposal", "row_id": ids["proposal_id"]},
    }


@pytest.fixture(scope="module")
async def foreign(store: Store, alpha: Business) -> Foreign:
    """Alpha's rows, read as alpha."""
    rows: dict[type | str, Any] = {}
    async with store.reader(alpha.tenant_id) as session:
        kinds = (m.Listing, m.Variant, m.Order, m.OrderLine, m.StockItem, m.EventRecord, m.Effect, m.Proposal)
        for kind in (*kinds, m.PolicyVersion, m.ForecastRun):
            rows[kind] = (await session.scalars(select(kind).limit(1))).one()
        account = await session.get_one(m.MarketplaceAccount, alpha.ids["account_id"])
        rows["credentials"] = account.credentials_encrypted
        session.expunge_all()
    effect = rows[m.Effect]
    kept = {each.name: getattr(effect, each.name, None) for each in fields(ClaimedEffect)}
    rows[Terms] = Terms(kind="hold-prices", category=f"{alpha.marker} lamps")
    rows[ClaimedEffect] = ClaimedEffect(**(kept | {"uncertain": False, "taken": ""}))
    rows[Outcome] = Outcome("rejected", "rejected", datetime.now(UTC))
    rows[type(told_order(alpha.marker, "x"))] = told_order(alpha.marker, "stolen")
    rows[ListingState] = ListingState(
        external_id="stolen", sku="stolen", title="stolen", status="active", price=None, quantity=1
    )
    rows[ChannelPayout], (rows[ChannelPayoutLine],) = told_payout(alpha.marker)
    rows[ChannelPayout] = rows[ChannelPayout].model_copy(update={"state": "failed", "vendor_state": "stolen"})
    rows[UnreadOrder] = UnreadOrder(external_id=f"{alpha.marker}-unread", mark="stolen", reason="stolen")
    ids = alpha.ids | {
        "tenant_id": alpha.tenant_id,
        "user_id": alpha.users["owner"],
        "event_id": rows[m.EventRecord].id,
        "effect_id": effect.id,
        "proposal_id": rows[m.Proposal].id,
        "fault_id": alpha.ids["account_id"],
    }
    return Foreign(alpha, rows, ids)


_TABLES = sorted(table.name for table in Base.metadata.tables.values() if "tenant_id" in table.columns)
_FINGERPRINT = text(
    " UNION ALL ".join(
        f"SELECT '{table}', count(*), coalesce(md5(string_agg(t::text, '|' ORDER BY t.id)), '') FROM {table} t"
        for table in _TABLES
    )
)


async def _fingerprint(store: Store, tenant_id: UUID) -> dict[str, tuple[int, str]]:
    async with store.reader(tenant_id) as session:
        return {row[0]: (row[1], row[2]) for row in await session.execute(_FINGERPRINT)}


def _words(value: Any, seen: set[int] | None = None) -> str:
    """All that is in an answer, rows opened."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return ""
    if isinstance(value, str | int | float | UUID | datetime | type(None)):
        return f" {value} "
    if isinstance(value, bytes):
        return f" {value!r} "
    seen.add(id(value))
    if isinstance(value, dict):
        return "".join(_words(key, seen) + _words(each, seen) for key, each in value.items())
    if isinstance(value, Row | list | tuple | set | frozenset):
        return "".join(_words(each, seen) for each in value)
    if isinstance(value, Base):
        return "".join(_words(each, seen) for name, each in vars(value).items() if not name.startswith("_"))
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if is_dataclass(value):
        return "".join(_words(getattr(value, each.name), seen) for each in fields(value))
    return repr(value)


def _arguments(function: Callable[..., Any], foreign: Foreign) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    given = {}
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if function.__name__ in _BY_SECRET:
            nobodys = {bytes: b"nobody's", UUID: new_id()}
            given[name] = nobodys.get(typing.get_type_hints(function)[name], "nobody's secret")
            continue
        if hints[name] is Place:
            known = vars(import_module(function.__module__)).values()
            given[name] = next(each for each in known if isinstance(each, Sorts)).first(50)
            continue
        optional = parameter.default is not inspect.Parameter.empty
        if optional and hints[name] not in (UUID, UUID | None) and "UUID" not in str(hints[name]):
            continue
        given[name] = foreign.of(name, hints[name])
    own = _particular(foreign).get(f"{function.__module__.rpartition('.')[2]}.{function.__name__}")
    if own is None:
        return given
    named = set(inspect.signature(function).parameters)
    return {name: each for name, each in given.items() if name not in ("values", "columns") or name in own} | {
        name: each for name, each in own.items() if name in named or named & {"values", "columns"}
    }


@pytest.fixture(scope="module", autouse=True)
async def the_installations_own(database_urls: dict[str, str], alpha: Business) -> AsyncIterator[None]:
    """What was kept for the whole installation is nobody's, and not left to the tests that follow."""
    yield
    database = Database(database_urls["owner"], pool_size=1)
    async with database.unbound() as session:
        words = {"mark": f"{alpha.marker}%"}
        await session.execute(text("DELETE FROM installation_secret WHERE name LIKE :mark"), words)
        await session.commit()
    await database.aclose()


@pytest.mark.parametrize(("name", "function"), FOUND, ids=[name for name, _ in FOUND])
async def test_nothing_comes_of_another_business_and_nothing_of_it_changes(
    name: str, function: Any, store: Store, alpha: Business, beta: Business, foreign: Foreign
) -> None:
    before = await _fingerprint(store, alpha.tenant_id)
    answer: Any = None
    refused: Exception | None = None
    try:
        answer = await (_ask if isinstance(function, Question) else _call)(function, store, beta, foreign)
        reached = True
    except REFUSALS as answered:
        reached, refused = not isinstance(answered, DataError), answered
    except MISFITS as misfit:
        reached, refused = False, misfit
    assert reached is (name not in MADE_OF_WHAT_IS_GIVEN), f"{name} ends before it is asked whose rows: {refused}"
    assert alpha.marker not in str(getattr(refused, "orig", refused)).split("parameters")[0]
    said = _words(answer)
    if name.split(".")[1] not in ("create_order", "insert_found"):  # made of what was passed, for beta itself
        assert alpha.marker not in said, name
    leaked = [kind for kind, value in foreign.ids.items() if str(value) in said]
    assert leaked == [], f"{name} tells of another business: {leaked}"
    assert await _fingerprint(store, alpha.tenant_id) == before, f"{name} changed another business"


async def _call(function: Any, store: Store, beta: Business, foreign: Foreign) -> Any:
    first = next(iter(inspect.signature(function).parameters))
    arguments = _arguments(function, foreign)
    if first == "unit":
        async with store.unit(beta.tenant_id) as unit:
            return await _undone(unit, function, arguments)
    async with store.database.session(beta.tenant_id) as session:
        answer = await function(session, **arguments)
        said = _words(answer)
        await session.flush()
        return said


async def _undone(unit: UnitOfWork, function: Any, arguments: dict[str, Any]) -> str:
    said = _words(await function(unit, **arguments))
    await unit.session.flush()
    return said


async def _ask(question: Question, store: Store, beta: Business, foreign: Foreign) -> Any:
    """With every id it may be asked for, one after the other and none."""
    said = ""
    names = ("product_id", "variant_id", "listing_id", "order_id", "stock_item_id", "account_id")
    async with store.database.session(beta.tenant_id) as session:
        reader = SessionReader(session)
        tried: list[dict[str, Any]] = [{name: foreign.ids[name]} for name in names]
        tried += [{"limit": 50, **more} for more in ({}, *tried, foreign.ids)]
        for wanted in tried:
            said += await _one(reader, session, question, wanted)
    return said


async def _one(reader: SessionReader, session: AsyncSession, question: Question, wanted: dict[str, Any]) -> str:
    try:
        async with session.begin_nested():
            return _words(await reader.ask(question(**wanted)))
    except (SQLAlchemyError, KeyError, TypeError):
        return ""  # not what it is asked by


def test_functions_were_found() -> None:
    assert len(FOUND) > 200


def test_every_kind_of_parameter_can_be_made(foreign: Foreign) -> None:
    for _, function in FOUND:
        if not isinstance(function, Question):
            _arguments(function, foreign)


async def test_the_attack_would_see_a_leak(store: Store, alpha: Business, foreign: Foreign) -> None:
    """As alpha itself, the same calls do find something: the net has no hole of its own."""
    found = 0
    for _, function in FOUND:
        try:
            if isinstance(function, Question):
                said = await _ask(function, store, alpha, foreign)
            elif next(iter(inspect.signature(function).parameters)) == "session" and "lock" not in function.__name__:
                async with store.reader(alpha.tenant_id) as session:
                    said = _words(await function(session, **_arguments(function, foreign)))
            else:
                continue
        except Exception:
            continue
        found += alpha.marker in said or any(str(value) in said for value in foreign.ids.values())
    assert found > 60, found
