"""One reseller's day on a real channel (the sandbox), and what `explain` tells of it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, dollars, open_store
from sqlalchemy import event as sqlalchemy_event

from agents import ROSTER
from agents.market.pricing import PricingAgent
from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import ChannelCheckDue, RivalsMoved
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.sandbox.client import SandboxClient
from flipsync.services import accounts, orders
from flipsync.services.approvals import answer_approval
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.why import Explanation, Step, explain
from flipsync.store.database import Database
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.unit_of_work import Cause

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Day:
    """What happened, by the ids of it."""

    shop: Shop
    path: DecisionPath
    worker: EffectWorker
    runners: list[AgentRunner]
    account: AccountRef
    goods: Goods
    ids: dict[str, UUID] = field(default_factory=dict)

    async def quiet(self) -> None:
        """Let everybody work until nothing is left to do."""
        for _ in range(400):
            worked = [await runner.step() for runner in self.runners]
            if not sum(worked) + await self.worker.step():
                left = await self.shop.rows(
                    "SELECT 1 FROM effect WHERE finished_at IS NULL UNION ALL "
                    "SELECT 1 FROM agent_task WHERE state IN ('pending', 'leased')"
                )
                if not left:
                    return
                await asyncio.sleep(0.05)
        raise AssertionError("the day does not come to an end")

    async def decide(self, event_id: UUID, decision: Decision[Any]) -> UUID:
        """A decision of the pricing agent on a fact, recorded as its runner would."""
        async with self.shop.store.unit(self.shop.tenant_id, Cause(event_id, event_id)) as unit:
            services = Services(unit.session, self.shop.tenant_id, unit.now)
            context = Context(self.shop.tenant_id, unit.now, services, event_id, event_id)
            decision_id = await self.path.record(unit, context, PricingAgent.spec, decision)
        await self.quiet()
        return decision_id

    async def explain(self, subject: object, **more: Any) -> Explanation:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await explain(session, str(subject), **more)

    async def one(self, sql: str, **values: Any) -> UUID:
        found: UUID = (await self.shop.rows(sql, **values))[0][0]
        return found

    def price(self, minor: int, before: int) -> ChangePrice:
        return ChangePrice(
            account_id=self.account.id,
            listing_id=self.ids["listing"],
            price=dollars(minor),
            previous=dollars(before),
        )


@pytest.fixture(scope="module")
async def day(make_database: Callable[[], dict[str, str]]) -> AsyncIterator[Day]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flipsync.sandbox", "--json", "--seed", "7"], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    told = json.loads(await asyncio.to_thread(process.stdout.readline))
    store = open_store(make_database()["worker"])
    shop = await Shop(store).found()
    governance = [agent() for agent in ROSTER if agent.spec.ecosystem == "governance"]
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, governance))
    runners = [AgentRunner(agent(), store, path) for agent in ROSTER]
    worker = EffectWorker(store, shop.box, Unlimited(), shop.firewall)
    for runner in runners:
        await runner.begin()
    try:
        async with SandboxClient(told["base_url"], told["control_token"]) as control:
            yield await _live(shop, path, worker, runners, control, told["channels"]["custom"])
    finally:
        await worker.aclose()
        await store.aclose()
        process.terminate()
        process.wait(timeout=10)


async def _live(
    shop: Shop,
    path: DecisionPath,
    worker: EffectWorker,
    runners: list[AgentRunner],
    control: SandboxClient,
    known: dict[str, str],
) -> Day:
    goods = await shop.variant(units=4, price=2999, cost=1000, floor_minor=2000, title="Brass teapot")
    claimed = await shop.variant(units=1, price=4999, cost=1000, title="Clinically proven lamp")
    async with shop.unit() as unit:
        account_id = await accounts.connect_account(
            unit,
            shop.box,
            vendor="custom",
            name="Bazaar",
            config=AccountConfig(
                vendor="custom",
                base_url=known["base_url"],  # type: ignore[arg-type]
                currency="USD",
                settle_seconds=0.05,
            ),
            credentials={"token": known["token"]},
        )
    day = Day(shop, path, worker, runners, AccountRef(account_id, "custom"), goods)
    await day.quiet()
    day.ids["listing"] = await day.one("SELECT id FROM listing WHERE sku = :sku AND status = 'active'", sku=goods.sku)
    day.ids["claimed"] = await day.one("SELECT id FROM listing WHERE sku = :sku", sku=claimed.sku)

    sold = await control.place_order("custom", goods.sku, 2)
    assert sold["accepted"], sold
    async with shop.unit() as unit:
        unit.emit(ChannelCheckDue(account_id=account_id, vendor="custom"))
    await day.quiet()
    day.ids["order"] = await day.one("SELECT id FROM customer_order")
    async with shop.unit() as unit:
        await orders.hand_over(unit, day.account, day.ids["order"], "usps", "9400100000000000000001")
    await day.quiet()

    async with shop.unit() as unit:
        day.ids["fact"] = unit.emit(RivalsMoved(listing_id=day.ids["listing"], account_id=account_id, vendor="custom"))
    await day.quiet()
    shown = (await shop.rows("SELECT price_minor FROM listing WHERE id = :id", id=day.ids["listing"]))[0][0]
    day.ids["unsure"] = await day.decide(
        day.ids["fact"],
        Decision.propose(
            day.price(shown - 100, shown),
            why="A rival may be cheaper.",
            confidence=0.5,
            evidence=[Evidence(kind="listing", id=day.ids["listing"], note="the listing")],
            alternatives=(
                Alternative(name=str(dollars(shown)), scores={"profit_minor_per_day": 812.0}, why="the price now"),
                Alternative(name=str(dollars(shown - 100)), scores={"profit_minor_per_day": 855.0}, chosen=True),
            ),
            stake=dollars(200),
        ),
    )
    day.ids["slip"] = await day.decide(
        day.ids["fact"], Decision.propose(day.price(290_000, shown), why="A slip of the decimal point.")
    )
    approval = await day.one("SELECT id FROM approval WHERE state = 'open'")
    async with shop.unit() as unit:
        await answer_approval(unit, approval, approved=True, by=new_id(), note="it is tested")
    await day.quiet()
    day.ids["approval"] = approval
    return day


def steps(explanation: Explanation, kind: str = "", words: str = "") -> list[Step]:
    return [
        step
        for chain in explanation.chains
        for step in chain.steps
        if step.kind in (kind, kind or step.kind) and words in step.text
    ]


def in_order(explanation: Explanation, *words: str) -> None:
    """Each of `words` is in a later step than the one before."""
    texts = [step.text for chain in explanation.chains for step in chain.steps]
    at = -1
    for each in words:
        found = [index for index, text in enumerate(texts) if index > at and each in text]
        assert found, f"no step {each!r} after step {at} of {json.dumps(texts, indent=1, ensure_ascii=False)}"
        at = found[0]


async def test_an_order_is_told_from_its_first_fact_to_the_parcel(day: Day) -> None:
    told = await day.explain(day.ids["order"])
    in_order(
        told,
        "came in; every unit was reserved",
        "fulfillment decided: every unit is reserved",
        "ready to pack – may go ahead",
        "was ready to pack",
        "was handed to usps as 9400100000000000000001",
        "fulfillment decided: parcel handed to usps",
        "left with usps 9400100000000000000001 – confirmed",
        "usps 9400100000000000000001 confirmed",
        "the channel knew that",
    )
    assert [step.data["reserved_delta"] for step in steps(told, "stock", "reserve of")] == [2]
    assert [step.data["on_hand_delta"] for step in steps(told, "stock", "ship of")] == [-2]
    assert len({step.id for step in steps(told)}) == len(steps(told)), "every step is told once"
    assert "2 units for 59.98 USD" in told.summary
    assert "by asking the channel for its orders" in told.summary
    assert "It left with usps 9400100000000000000001; the channel confirmed it at" in told.summary
    assert [line.text for line in told.now if line.name == day.goods.sku] == [
        "2 units for 59.98 USD: 0 reserved, 0 short, 2 shipped, 0 returned"
    ]


async def test_an_order_that_was_fetched_is_told_from_the_reason_to_look(day: Day) -> None:
    effect = await day.one("SELECT id FROM effect WHERE command = 'PullOrders' ORDER BY id DESC LIMIT 1")
    async with day.shop.store.unit(day.shop.tenant_id, Cause(effect, new_id())) as unit:
        fetched = (await orders.ingest_order(unit, day.account, day.shop.order({day.goods.sku: 1}))).order_id
    told = await day.explain(fetched)
    in_order(
        told,
        "it was time to look at Bazaar",
        "base_market decided: time to look for what webhooks did not tell",
        "fetch the orders of Bazaar – confirmed",
        "attempt 1 confirmed: ",
        "came in; every unit was reserved",
    )
    assert "by asking the channel for its orders" in told.summary
    await day.quiet()


async def test_an_order_that_was_pushed_says_so(day: Day) -> None:
    async with day.shop.unit() as unit:
        await account_rows.insert_delivery(unit.session, unit.tenant_id, day.account.id, "delivery-1", "order.created")
        pushed = (await orders.ingest_order(unit, day.account, day.shop.order({day.goods.sku: 9}))).order_id
    told = await day.explain(pushed)
    assert "We learned of it by webhook" in told.summary
    assert "units could not be reserved" in told.summary
    in_order(told, "came in, short of ")
    await day.quiet()
    in_order(await day.explain(pushed), "came in, short of ", "fulfillment waits for the owner: ")


async def test_a_sale_is_followed_to_what_other_agents_made_of_it(day: Day) -> None:
    told = await day.explain(day.ids["order"])
    in_order(told, "moved (reserve 2 units): 4 on hand, 2 reserved", "inventory")
    assert steps(told, "fact", "moved: a sale was made")


async def test_a_decision_above_its_authority_is_told_with_its_superiors_answer(day: Day) -> None:
    told = await day.explain(day.ids["unsure"])
    in_order(
        told,
        "the market around",
        "pricing decided: A rival may be cheaper.",
        "pricing passed the decision up to market: confidence 0.50 is below 0.55",
        "market decided",
        "let the decision go ahead",
        "change the price of",
        "– confirmed, 1 attempt",
        "attempt 1 confirmed",
        "showed",
    )
    decision = steps(told, "decision", "A rival may be cheaper.")[0]
    assert (decision.data["agent"], decision.data["confidence"]) == ("pricing", 0.5)
    assert decision.data["stake"] == {"amount_minor": 200, "currency": "USD"}
    assert decision.details[0] == "confidence 50%, at stake 2.00 USD, by rules"
    assert any(detail.startswith("chosen: ") and "profit per day 8.55 USD" in detail for detail in decision.details), (
        decision.details
    )
    assert f"looked at: {day.goods.sku}@Bazaar (the listing)" in decision.details
    proposal = steps(told, "proposal", "change the price of")[0]
    assert (proposal.data["verdict"], proposal.data["rule"]) == ("proceed", "price-firewall")
    assert "certificate" not in proposal.data["payload"]
    assert "pricing proposed to change the price of" in told.summary
    assert "The channel confirmed at the first attempt" in told.summary


async def test_what_was_blocked_says_by_which_rule_and_why(day: Day) -> None:
    told = await day.explain(day.ids["slip"])
    (proposal,) = steps(told, "proposal")
    assert (proposal.data["verdict"], proposal.data["rule"]) == ("deny", "price-firewall")
    assert "factor" in proposal.data["reason"]
    assert "It was blocked (price-firewall): " in told.summary
    assert not steps(told, "effect")


async def test_a_question_to_the_owner_is_told_with_its_answer(day: Day) -> None:
    told = await day.explain(day.ids["approval"])
    assert told.subject.kind == "decision"
    in_order(
        told,
        "base_market",
        "the owner was asked: “Clinically proven” is a claim that needs proof: publish it? – approved",
        "the owner said yes",
        "executive decided: the owner said yes",
        "publish",
    )
    assert steps(told, "approval")[0].details == ["note: it is tested"]
    listing = await day.explain(day.ids["claimed"])
    assert listing.now[0].text.startswith("active on Bazaar at 49.99 USD")


async def test_an_effect_is_told_with_its_decision_its_receipts_and_what_followed(day: Day) -> None:
    effect = await day.one(
        "SELECT id FROM effect WHERE command = 'PublishListing' AND subject_id = :id", id=day.ids["listing"]
    )
    told = await day.explain(effect)
    assert told.title == f"Effect: publish {day.goods.sku}@Bazaar at 29.99 USD"
    in_order(told, "Bazaar was connected", "market decided", "was wanted on Bazaar", "base_market decided", "publish")
    in_order(told, "publish", "attempt 1 confirmed: shown as", f"the channel showed {day.goods.sku}@Bazaar")
    assert told.summary.count("The channel confirmed at the first attempt: shown as") == 1
    receipt = await day.one("SELECT id FROM receipt WHERE effect_id = :id", id=effect)
    assert (await day.explain(receipt)).subject == told.subject
    proposal = await day.one("SELECT proposal_id FROM effect WHERE id = :id", id=effect)
    assert (await day.explain(proposal)).subject.kind == "decision"


async def test_a_fact_is_told_with_what_was_made_of_it(day: Day) -> None:
    told = await day.explain(day.ids["fact"])
    assert told.title == f"Fact: the market around {day.goods.sku}@Bazaar moved: a rival's offer changed"
    agents = [step.data["agent"] for step in steps(told, "decision")]
    assert agents.count("pricing") >= 3, "its own, the unsure one and the slip"
    assert "market" in agents


async def test_a_listing_is_told_as_it_is_with_its_prices_and_newest_decisions_first(day: Day) -> None:
    told = await day.explain(f"{day.goods.sku}@Bazaar")
    assert (told.subject.kind, told.subject.id) == ("listing", day.ids["listing"])
    by_name = {line.name: line.text for line in told.now}
    assert by_name["on the channel"].startswith("active on Bazaar at ")
    assert re.search(r"the ledger lets it sell \d units?; 2 on hand, \d reserved for buyers", by_name["stock"])
    lowered = [price for price in told.prices if price.startswith("lowered from ")]
    assert [price.endswith("by pricing, floor 20.00 USD: A rival may be cheaper") for price in lowered] == [True]
    assert "first shown at 29.99 USD" in told.prices[-1]
    assert "by base_market" in told.prices[-1]
    newest = [next(step.id for step in chain.steps if step.kind == "decision") for chain in told.chains]
    assert newest == sorted(newest, reverse=True)
    assert 3 <= len(newest) <= 10
    assert len((await day.explain(day.ids["listing"], decisions=2)).chains) == 2


async def test_goods_are_found_by_sku_whatever_the_case_and_by_every_id_of_theirs(day: Day) -> None:
    by_sku = await day.explain(day.goods.sku)
    assert (by_sku.subject.kind, by_sku.subject.id) == ("variant", day.goods.variant_id)
    assert await day.explain(day.goods.sku.lower()) == by_sku
    for kind, row_id in (("product", day.goods.product_id), ("stock_item", day.goods.stock_item_id)):
        told = await day.explain(row_id)
        assert told.subject.kind == kind
        assert any(day.goods.sku in line.name for line in told.now)
    movements = by_sku.chains[-1].steps
    assert [step.data["kind"] for step in movements][:3] == ["receive", "reserve", "ship"]
    account = await day.explain("Bazaar")
    assert account.summary.startswith("Bazaar is connected.")


async def test_what_is_unknown_or_means_several_things_names_candidates(day: Day) -> None:
    with pytest.raises(NotFound) as nothing:
        await day.explain(day.goods.sku[:-2])
    assert day.goods.sku in nothing.value.hint
    with pytest.raises(NotFound):
        await day.explain(new_id())
    with pytest.raises(NotFound):
        await day.explain("50% off_")
    with pytest.raises(InvalidInput):
        await day.explain("  ")
    with pytest.raises(InvalidInput):
        await day.explain(day.goods.sku, decisions=0)
    number = (await day.shop.rows("SELECT number FROM customer_order WHERE id = :id", id=day.ids["order"]))[0][0]
    assert (await day.explain(f"#{number}")).subject.kind == "order"
    async with day.shop.unit() as unit:
        twin = day.shop.order({day.goods.sku: 1}, status="pending", holds_stock=False)
        twin_id = (await orders.ingest_order(unit, day.account, twin.model_copy(update={"number": number}))).order_id
    with pytest.raises(InvalidInput) as several:
        await day.explain(number)
    assert str(twin_id) in several.value.hint
    assert str(day.ids["order"]) in several.value.hint
    silent = await day.explain(twin_id)
    assert silent.chains == []
    assert "waits for its units or its payment" in silent.summary


async def test_text_fits_its_width_and_json_is_plain(day: Day) -> None:
    for subject in (day.ids["order"], day.ids["listing"], day.ids["unsure"], day.goods.sku):
        told = await day.explain(subject)
        for width in (60, 100):
            lines = told.to_text(width).splitlines()
            assert max(map(len, lines)) <= width
            assert told.title.split()[0] in lines[0]
        plain = json.loads(json.dumps(told.to_json()))
        assert plain["subject"]["id"] == str(told.subject.id)
        times = [step["at"] for chain in plain["chains"] for step in chain["steps"]]
        assert times
        assert all(each.endswith("Z") for each in times)


async def test_another_tenant_knows_nothing_of_it(day: Day, make_database: Callable[[], dict[str, str]]) -> None:
    stranger = await Shop(day.shop.store).found()
    effect = await day.one("SELECT id FROM effect LIMIT 1")
    for subject in (*day.ids.values(), effect, day.goods.sku, f"{day.goods.sku}@Bazaar", "Bazaar"):
        async with stranger.store.reader(stranger.tenant_id) as session:
            with pytest.raises(NotFound) as found:
                await explain(session, str(subject))
        assert day.goods.sku not in found.value.hint


async def test_the_number_of_queries_is_small_and_does_not_grow_with_the_history(day: Day) -> None:
    counted: list[str] = []
    engine = day.shop.store.database.engine.sync_engine

    def count(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    async def queries(subject: object, **more: Any) -> int:
        counted.clear()
        await day.explain(subject, **more)
        return len(counted)

    sqlalchemy_event.listen(engine, "before_cursor_execute", count)
    try:
        assert await queries(day.ids["listing"], decisions=1) + 8 >= await queries(day.ids["listing"], decisions=10)
        for subject in day.ids.values():
            assert await queries(subject) <= 40
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", count)


async def test_a_reader_of_the_app_role_is_told_the_same(day: Day) -> None:
    url = day.shop.store.database.engine.url.set(username="flipsync_app", password="app-for-tests")
    database = Database(url, pool_size=1)
    async with database.reader(day.shop.tenant_id) as session:
        told = await explain(session, str(day.ids["order"]))
    await database.aclose()
    assert told == await day.explain(day.ids["order"])
