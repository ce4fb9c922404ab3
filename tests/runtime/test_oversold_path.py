"""From an order of goods that are not there to the owner's word, and what follows it."""

from __future__ import annotations

from uuid import UUID

import pytest
from shop import Shop

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.ids import new_id
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.approvals import answer_approval
from flipsync.services.orders import AccountRef, ingest_order

GRAPH = Graph(ROSTER)


class TwoBuyers:
    """One unit, sold by a web shop and, before it knew, by Amazon."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))

    async def sell(self, first: str, second: str) -> TwoBuyers:
        self.goods = await self.shop.variant(units=1, mode="pooled")
        places: list[AccountRef] = []
        for vendor in (first, second):
            places.append(await self.shop.account(vendor, stock_mode="pooled"))  # type: ignore[arg-type]
            await self.shop.listing(places[-1], self.goods, units=1)
        self.orders: list[UUID] = []
        for place in places:
            async with self.shop.unit() as unit:
                told = await ingest_order(unit, place, self.shop.order({self.goods.sku: 1}))
                self.orders.append(told.order_id)
        await self.run("fulfillment")
        return self

    async def run(self, agent: str) -> None:
        runner = AgentRunner(GRAPH.agents[agent](), self.shop.store, self.path)
        await runner.begin()
        while await runner.step():
            pass

    async def question(self) -> str:
        rows = await self.shop.rows("SELECT question FROM approval WHERE state = 'open'")
        assert len(rows) == 1, "the owner is asked one thing"
        return str(rows[0].question)

    async def answer(self, *, approved: bool) -> None:
        approval = (await self.shop.rows("SELECT id FROM approval WHERE state = 'open'"))[0].id
        async with self.shop.unit() as unit:
            await answer_approval(unit, approval, approved=approved, by=new_id())
        await self.run("executive")
        await self.run("fulfillment")

    async def states(self) -> list[str]:
        rows = await self.shop.rows("SELECT id, state FROM customer_order")
        by_id = {row.id: str(row.state) for row in rows}
        return [by_id[order] for order in self.orders]


@pytest.fixture
async def buyers(shop: Shop) -> TwoBuyers:
    return TwoBuyers(shop)


async def test_with_the_owners_yes_the_dearer_buyer_gets_the_unit_and_the_other_is_asked_about(
    buyers: TwoBuyers,
) -> None:
    await buyers.sell("woocommerce", "amazon")
    assert "which of two buyers is let down" in await buyers.question()
    assert await buyers.states() == ["ready", "received"], "nothing has happened yet"
    await buyers.answer(approved=True)
    assert await buyers.states() == ["received", "ready"]
    assert "cannot cancel on a channel" in await buyers.question()
    await buyers.answer(approved=True)
    effects = await buyers.shop.rows("SELECT command FROM effect WHERE tenant_id = :tenant ORDER BY id")
    last = [row.command for row in effects][-2:]
    assert sorted(last) == ["PullOrders", "TellBuyer"], "we look whether the channel says so too, and its buyer is told"


async def test_with_a_no_everything_stays_and_the_order_waits(buyers: TwoBuyers) -> None:
    await buyers.sell("woocommerce", "amazon")
    await buyers.answer(approved=False)
    assert await buyers.states() == ["ready", "received"]


@pytest.mark.parametrize("home", [True, False])
async def test_a_unit_whose_order_was_refunded_unpacked_is_sold_again_when_the_owner_has_it(
    shop: Shop, home: bool
) -> None:
    buyers = await TwoBuyers(shop).sell("woocommerce", "amazon")
    first = (await shop.rows("SELECT external_id FROM customer_order WHERE state = 'ready'"))[0].external_id
    shop_account = (await shop.rows("SELECT id FROM marketplace_account WHERE vendor = 'woocommerce'"))[0].id
    told = shop.order({buyers.goods.sku: 1}, external_id=first, status="refunded", minute=9)
    await buyers.answer(approved=False)  # nobody's unit is given to another
    async with shop.unit() as unit:
        await ingest_order(unit, AccountRef(shop_account, "woocommerce"), told)
    await buyers.run("fulfillment")
    assert (await shop.item(buyers.goods)).on_hand == 0, "it is not promised to the one who waits"
    rows = await shop.rows("SELECT question FROM approval WHERE state = 'open' ORDER BY id DESC")
    assert str(rows[0].question).endswith("to be sold again? (only you can see whether they lie on the shelf)")
    await buyers.answer(approved=home)
    assert await buyers.states() == ["cancelled", "ready" if home else "received"]
