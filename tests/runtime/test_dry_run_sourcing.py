"""Settings tried on past advice about goods to buy: it is what would be told if they were so, to the cent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from asked_goods import CODE, ask, experienced, sells
from shop import Shop, dollars, open_store
from trials import GRAPH, choose, figure, tried, work

from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.domain.sourcing import CatalogueEntry
from flipsync.services import orders, recorded_desk
from flipsync.services.desk import Services
from flipsync.services.dry_run import CannotTell, ChangedDesk
from flipsync.services.dry_run_change import change_of
from flipsync.services.recorded_desk import RecordingDesk
from flipsync.services.sourcing import scans
from flipsync.services.sourcing.desk import ScanPart
from flipsync.services.tenant_settings import TenantSettings, value_of
from flipsync.store.models import LabelPurchase
from flipsync.store.repositories import sourcing as rows
from flipsync.store.repositories import sourcing_facts as facts
from flipsync.store.repositories.sourcing_facts import OutcomeRow


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=ManualClock(utc_now()))
    yield await Shop(store).found()
    await store.aclose()


async def verdicts(shop: Shop, since: datetime, change: dict[str, Any]) -> tuple[str, str]:
    """The verdict on the one line that was asked about since then, as it was and as it would have been."""
    found = await tried(shop, change, since=since)
    assert (found.decisions, found.changed, found.cannot) == (1, 1, {})
    (told,) = found.differences
    then, now = told.then.partition(":")[0], told.now.partition(":")[0]
    assert figure(found, "goods to buy") == (then == "buy", now == "buy")
    return then, now


async def known(shop: Shop) -> None:
    """A business whose books teach, with goods of the code: on a channel whose fee is the owner's setting."""
    await sells(shop, await experienced(shop, "custom"), CODE)


async def answer(shop: Shop, scan: UUID) -> ScanPart:
    """What the desk tells of a scan by the settings that are so now."""
    async with shop.store.reader(shop.tenant_id) as session:
        told = await Services(session, shop.tenant_id, shop.store.clock.now()).sourcing.part(scan, 0)
    assert told is not None
    return told


async def notes(shop: Shop, scan: UUID) -> bytes:
    """What an agent that asks about a scan keeps."""
    async with shop.store.reader(shop.tenant_id) as session:
        desk = RecordingDesk(Services(session, shop.tenant_id, shop.store.clock.now()))
        await desk.as_services().sourcing.part(scan, 0)
    packed = desk.notes().packed
    assert packed is not None
    return packed


async def otherwise(shop: Shop, packed: bytes, scan: UUID, change: dict[str, Any]) -> ScanPart:
    """What the desk would have told with the change."""
    desk = ChangedDesk(shop.tenant_id, packed, change_of(change, GRAPH.agents), {})
    told = await desk.as_services().sourcing.part(scan, 0)
    assert told is not None
    return told


async def dearest_asked(shop: Shop) -> datetime:
    """Goods are asked about at the most they may cost, to the cent; since when."""
    most = (await answer(shop, await ask(shop, CODE))).lines[0].scores[0].most_minor
    await work(shop, "sourcing")
    since = utc_now()
    await ask(shop, CODE, cost=dollars(most))
    await work(shop, "sourcing")
    return since


async def test_a_higher_profit_lets_goods_pass_and_a_lower_one_has_them_bought(shop: Shop) -> None:
    await known(shop)
    await choose(shop, {"sourcing.min_profit_minor": 200})
    since = await dearest_asked(shop)
    assert await verdicts(shop, since, {"sourcing.min_profit_minor": 201}) == ("buy", "pass")
    assert (await tried(shop, {"sourcing.min_profit_minor": 200}, since=since)).unchanged == 1
    lower = await tried(shop, {"sourcing.min_profit_minor": 0}, since=since)
    before, after = lower.differences[0].then, lower.differences[0].now
    assert before.startswith("buy") and after.startswith("buy") and before != after, "up to two dollars more"
    await choose(shop, {"sourcing.min_profit_minor": 5_000})
    since = utc_now()
    await ask(shop, CODE, cost=dollars(100))
    await work(shop, "sourcing")
    assert await verdicts(shop, since, {"sourcing.min_profit_minor": 0}) == ("pass", "buy")


async def test_a_higher_return_on_cost_lets_goods_pass(shop: Shop) -> None:
    await known(shop)
    since = await dearest_asked(shop)
    assert await verdicts(shop, since, {"sourcing.min_roi_bps": 50}) == ("buy", "pass")


async def test_a_careful_owner_passes_what_a_bold_one_buys(shop: Shop) -> None:
    await known(shop)
    since = await dearest_asked(shop)
    assert await verdicts(shop, since, {"goals.risk": "careful"}) == ("buy", "pass")
    bold = await tried(shop, {"goals.risk": "bold"}, since=since)
    assert bold.differences[0].now.startswith("buy")
    assert (await tried(shop, {"goals.horizon": "growth", "goals.questions": "few"}, since=since)).unchanged == 1


async def test_fees_and_parcels_are_tried_on_advice(shop: Shop) -> None:
    await known(shop)
    since = await dearest_asked(shop)
    assert await verdicts(shop, since, {"pricing.marketplace_fee_bps": 1_300}) == ("buy", "pass")
    assert await verdicts(shop, since, {"pricing.marketplace_fee_fixed_minor": 30}) == ("buy", "pass")
    assert await verdicts(shop, since, {"pricing.shipping_cost_minor": 480}) == ("buy", "pass")
    charged = await tried(shop, {"pricing.shipping_charged_minor": 100}, since=since)
    assert charged.changed == 1 and charged.differences[0].now.startswith("buy")
    for neither in ("pricing.min_margin_bps", "pricing.max_step_up_bps"):
        assert (await tried(shop, {neither: 900}, since=since)).unchanged == 1, "no price of ours is asked for"


async def test_by_when_how_much_should_be_sold_is_tried(shop: Shop) -> None:
    """Of seven lines the last is so many units that they would not be sold in time: it is told first."""
    await known(shop)
    async with shop.unit() as unit:
        cost = dollars(500)
        some = [scans.read_question(CODE, cost=cost, units=each) for each in (1, 1, 1, 1, 1, 1, 60)]
        await scans.ask(unit, some, name="lot")
    await work(shop, "sourcing")
    (slow,) = (await tried(shop, {"sourcing.turn_share": 0.9})).differences
    assert slow.then.startswith("buy") and slow.now.startswith("pass") and "60 sold in 90 days" in slow.now
    assert slow.now.endswith("; and 2 more") and slow.now.count("buy: ") == 4
    hurried = await tried(shop, {"sourcing.turn_days": 20})
    (told,) = hurried.differences
    assert "60 sold in 20 days" in told.now and "60 sold" not in told.then
    (buys,) = [each for each in hurried.figures if each.name == "goods to buy"]
    assert (buys.then, buys.now) == (7, 6)
    assert (await tried(shop, {"sourcing.turn_days": 90, "sourcing.turn_share": 0.5})).unchanged == 1
    later = await tried(shop, {"sourcing.turn_days": 1_095, "sourcing.turn_share": 0.9})
    assert next(each for each in later.figures if each.name == "goods to buy").now == 7


async def mixed(shop: Shop) -> UUID:
    """A scan of goods of ours and of others, with and without a cost; a case, a riddle, goods in another currency."""
    ebay = await experienced(shop)
    custom = await shop.account()
    for account in (ebay, custom):
        await sells(shop, account, CODE)
    foreign = "0036000291452"
    texts = [(CODE, 900), (CODE, None), (foreign, 700), ("10614141000415", 800), ("what is it", 100), (foreign, None)]
    questions = [
        scans.read_question(text, cost=None if cost is None else dollars(cost), units=1 + place * 7)
        for place, (text, cost) in enumerate(texts)
    ]
    questions.append(scans.read_question(CODE, cost=Money(amount_minor=900, currency="EUR"), currency="EUR"))
    async with shop.unit() as unit:
        scan = (await scans.ask(unit, questions, name="mixed")).id
    async with shop.unit() as unit:
        lines = await rows.lines(unit.session, scan, 0, 100)
        pages = [
            CatalogueEntry(
                key=str(line.id), external_id=line.gtin, title=line.title, codes=(line.gtin,), offers=(dollars(2500),)
            )
            for line in lines
            if line.gtin
        ]
        await scans.enter_answer(unit, ebay, scan, 0, pages, "USD")
    return scan


async def buy_labels(shop: Shop, count: int) -> None:
    """Labels at about five dollars each."""
    account, goods = await shop.account(), await shop.variant(units=9)
    await shop.listing(account, goods, units=9)
    about = {"parcel": {}, "ship_from": {}, "service": "s", "most_minor": 900, "state": "bought", "currency": "USD"}
    async with shop.unit() as unit:
        for each in range(count):
            order = await orders.ingest_order(unit, account, shop.order({goods.sku: 1}, minute=each))
            label = {"tenant_id": shop.tenant_id, "order_id": order.order_id, "cost_minor": 480 + 10 * each}
            unit.session.add(LabelPurchase(**label, **about))


@pytest.mark.parametrize("labels", [4, 5])
async def test_it_is_what_the_desk_tells_once_the_settings_are_so(shop: Shop, labels: int) -> None:
    """Five labels teach what a parcel costs: then the owner's word for it shapes nothing."""
    scan = await mixed(shop)
    await buy_labels(shop, labels)
    then, packed = await answer(shop, scan), await notes(shop, scan)
    assert [len(line.scores) for line in then.lines] == [2, 2, 1, 1, 0, 1, 0]
    assert then.lines[3].missing == ("how many articles the case holds",)
    plain = TenantSettings()
    for change, unknown in (
        ({"sourcing.min_profit_minor": 300}, ""),
        ({"sourcing.min_roi_bps": 2_500}, ""),
        ({"sourcing.turn_days": 7, "sourcing.turn_share": 0.75}, ""),
        ({"goals.risk": "careful"}, ""),
        ({"pricing.marketplace_fee_bps": 4_000, "pricing.marketplace_fee_fixed_minor": 25}, ""),
        ({"pricing.fees": {"ebay": {"plan": "no_store", "flags": ["below_standard", "no_store"]}}}, ""),
        ({"pricing.fees": {"ebay": {"country": "AQ"}}}, "the fees of ebay"),
        ({"pricing.shipping_charged_minor": 499, "pricing.tax_bps": 2_000}, ""),
        ({"pricing.shipping_cost_minor": 1_000}, ""),
    ):
        would = await otherwise(shop, packed, scan, change)
        await choose(shop, change)
        assert would == await answer(shop, scan), change
        await choose(shop, {key: value_of(plain, key) for key in change})
        assert (would == then) == ("pricing.shipping_cost_minor" in change and labels == 5), change
        assert not unknown or would.lines[2].missing[-1] == unknown


async def test_a_parcels_cost_is_not_tried_where_earlier_advice_was_judged_by_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcomes(*_: Any, **__: Any) -> list[OutcomeRow]:
        row = OutcomeRow(
            new_id(), "lamp", "buy", shop.store.clock.now(), "USD", 900, 200, 500, 800, 9, 8_100, 9, 0, 15_000
        )
        return [replace(row, sold_minor=row.sold_minor + 90 * each) for each in range(20)]

    monkeypatch.setattr(facts, "outcomes", outcomes)
    scan = await mixed(shop)
    then, packed = await answer(shop, scan), await notes(shop, scan)
    with pytest.raises(CannotTell, match="usual parcel of then"):
        await otherwise(shop, packed, scan, {"pricing.shipping_cost_minor": 451})
    assert await otherwise(shop, packed, scan, {"pricing.shipping_cost_minor": 450, "pricing.tax_bps": 1_000}) == then
    assert await otherwise(shop, packed, scan, {"pricing.tax_bps": 2_000}) != then
    await buy_labels(shop, 1)  # what came of advice is worked out with what was paid
    then, packed = await answer(shop, scan), await notes(shop, scan)
    await choose(shop, {"pricing.shipping_cost_minor": 700})
    assert await otherwise(shop, packed, scan, {"pricing.shipping_cost_minor": 700}) == await answer(shop, scan) != then


async def test_advice_that_kept_nothing_to_work_it_out_from_is_counted_apart(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(shop)
    monkeypatch.setattr(recorded_desk, "GROUNDS", {})
    await ask(shop, CODE, cost=dollars(500))
    await work(shop, "sourcing")
    monkeypatch.undo()
    await ask(shop, CODE, cost=dollars(500))
    await work(shop, "sourcing")
    for change in ({"sourcing.min_profit_minor": 5_000}, {"goals.risk": "careful"}, {"pricing.tax_bps": 2_000}):
        found = await tried(shop, change)
        (why,) = found.cannot
        assert (found.decisions, found.changed + found.unchanged, found.cannot[why]) == (2, 1, 1)
        assert "worked out from is not kept" in why
    assert (await tried(shop, {"goals.horizon": "growth"})).unchanged == 2
