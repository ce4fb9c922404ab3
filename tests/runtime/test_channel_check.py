"""CheckChannel in an effect worker: what is found is a row, a fact and a remedy; and it costs little."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from scripted_channel import Step
from shop import Shop, open_store
from stall import Stall, drain

from flipsync.connectors.base import MarketplaceConnector
from flipsync.domain.channel_fault import Finding
from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import CheckChannel
from flipsync.domain.errors import Rejected
from flipsync.domain.events import AccountHealthChanged, ChannelFaultCleared, ChannelFaultFound
from flipsync.runtime.scheduler import Scheduler
from flipsync.runtime.watched import WatchedConnector
from flipsync.services import accounts
from flipsync.services.channel_faults import open_faults, record
from flipsync.settings import Cadence


async def look(stall: Stall, worker: Any) -> str:
    effect_id = await stall.shop.enqueue(CheckChannel(account_id=stall.account.id), stall.account)
    await drain(worker, stall.shop)
    effect = await stall.shop.effect(effect_id)
    assert effect.state == "confirmed"
    return str((effect.result or {})["detail"])


async def test_a_channel_that_tells_the_truth_leaves_no_trace(stall: Stall, hire: Any) -> None:
    worker = hire()
    assert await look(stall, worker) == await look(stall, worker) == "as it should be"
    assert await stall.shop.rows("SELECT id FROM channel_fault") == []


async def test_a_listing_that_is_gone_is_found_once_told_and_shown(stall: Stall, hire: Any) -> None:
    worker = hire()
    await look(stall, worker)
    del stall.channel.shelves[stall.external_id]
    assert await look(stall, worker) == "listing-gone (1 new)"
    assert await look(stall, worker) == "listing-gone (0 new)"
    (fact,) = await stall.shop.events(ChannelFaultFound)
    assert (fact["cause"], fact["account_id"]) == ("listing-gone", str(stall.account.id))
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        summary = await accounts.get_account(session, stall.account.id)
    (fault,) = summary.faults
    assert fault.hint and stall.goods.sku in fault.evidence[0]
    assert summary.as_dict()["faults"][0]["cause"] == "listing-gone"


async def test_credentials_that_are_refused_end_the_look_and_are_named(stall: Stall, hire: Any) -> None:
    worker = hire()
    refusal = Rejected("Access denied for orders field.", vendor_code="ACCESS_DENIED", vendor_status=200, auth=True)
    stall.channel.script("orders", Step(raises=refusal))
    assert await look(stall, worker) == "scope-lost (1 new)"


async def test_a_look_neither_waits_for_a_broken_circuit_nor_mends_it(stall: Stall, hire: Any) -> None:
    worker = hire()
    await look(stall, worker)
    link = worker._links[stall.account.id]
    link.failures, link.open_until = 20, time.monotonic() + 60
    assert await look(stall, worker) == "as it should be"
    assert link.failures == 20
    assert await stall.shop.events(AccountHealthChanged) == []


async def test_what_a_write_does_is_seen_by_the_same_watch(stall: Stall, hire: Any) -> None:
    worker = hire()
    await look(stall, worker)
    before = len(stall.channel.calls)
    await stall.price(3100)
    await drain(worker, stall.shop)
    assert len(stall.channel.calls) > before, "the write went through the connector that is watched"
    assert await look(stall, worker) == "as it should be"


async def test_findings_open_once_are_seen_again_and_close_when_not_seen_for_long(queue_urls: dict[str, str]) -> None:
    clock = ManualClock(datetime(2026, 3, 2, 14, tzinfo=UTC))
    store = open_store(queue_urls["worker"], clock=clock)
    shop = await Shop(store).found()
    account = await shop.account()
    frozen = Finding(cause="stock-frozen", since=clock.now() - timedelta(seconds=30), evidence=("two",))
    blind = Finding(cause="access-revoked", since=clock.now())

    async def told(*findings: Finding) -> int:
        async with shop.unit() as unit:
            return await record(unit, account.id, account.vendor, findings)

    assert (await told(frozen), await told(frozen)) == (1, 0)
    clock.advance(timedelta(seconds=170))
    assert await told() == 0
    async with store.reader(shop.tenant_id) as session:
        assert [fault.cause for fault in await open_faults(session)] == ["stock-frozen"], "not seen, but not for long"
    clock.advance(timedelta(seconds=20))
    assert await told(blind) == 1
    async with store.reader(shop.tenant_id) as session:
        assert len(await open_faults(session, account.id)) == 2, "who cannot see cannot say that it is over"
    clock.advance(timedelta(seconds=10))
    await told()
    assert [fact["cause"] for fact in await shop.events(ChannelFaultCleared)] == ["stock-frozen"]
    assert len(await shop.events(ChannelFaultFound)) == 2
    await store.aclose()


async def test_the_clock_of_the_house_asks_for_looks_and_for_nothing_else(
    make_database: Callable[[], dict[str, str]],
) -> None:
    alone = open_store(make_database()["worker"])  # the clock goes through every business of its database
    shop = await Shop(alone).found()
    account = await shop.account()
    quiet = Cadence(orders=1e6, rivals=1e6, listings=1e6, prices=1e6, hourly=1e6, daily=1e6, watch=0.05)
    scheduler = Scheduler(alone, quiet)
    assert scheduler.seconds("watch") == Scheduler(alone, quiet, speed=600.0).seconds("watch") == 0.05
    for each in (scheduler, Scheduler(alone, quiet)):
        await each.beat()
        if each.beside is not None:
            await each.beside
        each.stop()
    rows = await shop.rows(
        "SELECT state FROM effect WHERE command = 'CheckChannel' AND account_id = :account AND tenant_id = :tenant",
        account=account.id,
    )
    assert 1 <= len(rows) <= 2
    assert sum(row.state == "pending" for row in rows) == 1, "a newer look takes the older one's place"


def test_a_watched_connector_passes_on_everything_a_connector_does() -> None:
    """A method it forgot would be answered by the base class, as if the vendor had nothing of its own."""
    names = {name for name in vars(MarketplaceConnector) if not name.startswith("_")}
    data = {"price_guard", "needs", "signs_with", "answer_challenge", "learns_all"}  # the last is taken over when made
    assert names - data - set(vars(WatchedConnector)) == set()
