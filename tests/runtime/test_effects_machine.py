"""The outbox under any sequence of wishes, failures and deaths: each price happens once as the channel sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scripted_channel import Channels, Step
from shop import Shop, open_store
from stall import Stall, drain

from flipsync.connectors.base import Unlimited
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker

T = TypeVar("T")
#: how a call to the channel may go, and whether it took effect
CALLS: dict[str, Callable[[], Step]] = {
    "busy": lambda: Step(Retryable("busy")),
    "refused": lambda: Step(Rejected("refused")),
    "lost before": lambda: Step(OutcomeUnknown("no answer")),
    "lost after": lambda: Step(OutcomeUnknown("no answer"), applied=True),
}


class Bench:
    """One database, event loop and scripted channel for all runs of the machine."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.channels = Channels()
        self.shop = Shop(open_store(url, routing={}, pool_size=2))
        self.do(self.shop.found())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.do(self.shop.store.aclose())
        self.loop.close()


class EffectsMachine(RuleBasedStateMachine):
    """Prices for one listing are wanted, superseded, sent, lost; workers die at any instant and come back."""

    bench: ClassVar[Bench]

    @initialize()
    def begin(self) -> None:
        bench = self.bench
        self.stall: Stall = bench.do(Stall(bench.shop, bench.channels).open())
        self.wanted: dict[UUID, int] = {}
        self.signed = {2999}
        self.applied: Counter[str] = Counter()
        self.broken: list[str] = []
        channel = self.stall.channel
        write = channel.set_price

        async def set_price(external_id: str, price: Any, key: str, expected: Any = None) -> Any:
            shelf = channel.shelves[external_id]
            before = shelf.price
            try:
                return await write(external_id, price, key, expected)
            finally:
                if shelf.price != before:
                    self.applied[key] += 1
                    if price.amount_minor not in self.signed:
                        self.broken.append(f"{price} was never signed")

        channel.set_price = set_price  # type: ignore[method-assign]
        self.worker = self.hire()

    def hire(self) -> EffectWorker:
        shop = self.bench.shop
        worker = EffectWorker(shop.store, shop.box, Unlimited(), shop.firewall, slot="effects-0", width=4)
        self.bench.do(worker.begin())
        return worker

    @rule(minor=st.integers(2_800, 3_200), supersede=st.booleans())
    def a_price_is_wanted(self, minor: int, supersede: bool) -> None:
        stall = self.stall

        async def want() -> UUID:
            command = await stall.shop.signed_price(stall.account, stall.listing, minor)
            self.signed.add(command.price.amount_minor)
            async with stall.shop.unit() as unit:
                key = f"price:{stall.listing}:{len(self.wanted)}"
                return unit.enqueue(command, account_id=stall.account.id, key=key, supersede=supersede)

        self.wanted[self.bench.do(want())] = minor

    @rule(how=st.sampled_from(sorted(CALLS)))
    def the_next_write_goes_wrong(self, how: str) -> None:
        self.stall.channel.script("set_price", CALLS[how]())

    @rule()
    def the_next_look_fails(self) -> None:
        self.stall.channel.script("read_listing", Step(Retryable("busy")))

    @rule()
    def the_worker_works(self) -> None:
        self.bench.do(self.worker.step())

    @precondition(lambda self: self.wanted)
    @rule(after=st.booleans())
    def the_worker_dies_at_work(self, after: bool) -> None:
        """Its process is gone in the middle of a call: nothing is written down, and the call has happened or not."""
        channel, dead = self.stall.channel, self.worker
        channel.script("set_price", Step(asyncio.CancelledError(), applied=after))  # type: ignore[arg-type]

        async def die() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await dead.step()

        self.bench.do(die())
        channel._script["set_price"].clear()
        self.worker = self.hire()

    @invariant()
    def every_write_happened_once_and_was_signed(self) -> None:
        if not hasattr(self, "applied"):
            return
        assert self.broken == []
        assert [key for key, times in self.applied.items() if times > 1] == []

    @invariant()
    def receipts_and_states_agree(self) -> None:
        if not getattr(self, "wanted", None):
            return
        rows = self.bench.do(
            self.stall.shop.rows(
                "SELECT e.id, e.state, e.finished_at IS NOT NULL AS finished, e.attempts,"
                " (SELECT outcome FROM receipt r WHERE r.effect_id = e.id ORDER BY attempt DESC LIMIT 1) AS last"
                " FROM effect e WHERE e.tenant_id = :tenant AND e.subject_id = :listing",
                listing=self.stall.listing,
            )
        )
        for row in rows:
            if row.finished and row.state == "confirmed":
                assert row.last == "confirmed"
            if row.finished and row.state == "superseded":
                assert row.last in (None, "retryable"), "what may have been sent is not superseded"
        confirmed = [row for row in rows if row.state == "confirmed"]
        changes = self.bench.do(
            self.stall.shop.rows("SELECT effect_id FROM price_change WHERE listing_id = :id", id=self.stall.listing)
        )
        assert sorted(row.effect_id for row in changes) == sorted(row.id for row in confirmed)

    def teardown(self) -> None:
        if not hasattr(self, "worker"):
            return
        channel = self.stall.channel
        channel._script.clear()
        self.bench.do(drain(self.worker, self.stall.shop))
        row = self.bench.do(self.stall.row())
        shown = channel.shelves[self.stall.external_id].price
        states = self.bench.do(
            self.stall.shop.rows(
                "SELECT state FROM effect WHERE tenant_id = :tenant AND subject_id = :id ORDER BY id",
                id=self.stall.listing,
            )
        )
        assert shown is not None
        if "unknown" not in {each.state for each in states}:
            assert row.price_minor == shown.amount_minor, "books and channel agree in the end"
        self.every_write_happened_once_and_was_signed()
        self.bench.do(self.worker.aclose())


@pytest.fixture
def bench(queue_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(queue_urls["worker"])
    monkeypatch.setattr(effects, "connect", bench.channels.connect)
    monkeypatch.setattr(effects, "_BACKOFF", (0.001, 0.002))
    yield bench
    bench.close()


@pytest.mark.slow
def test_the_outbox_keeps_its_promises_under_any_sequence(bench: Bench) -> None:
    EffectsMachine.bench = bench
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        EffectsMachine,
        settings=settings(
            max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
