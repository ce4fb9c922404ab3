"""A shop that sold before us: what it offers is looked at first, taken over or asked about, and never listed twice."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_channel import Channels, ScriptedChannel
from shop import Shop

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.channel import ListingState, TakenIn
from flipsync.domain.commands import SurveyListings
from flipsync.domain.errors import Rejected
from flipsync.domain.events import ListingsSurveyed, ProductImported
from flipsync.domain.ids import new_id
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.approvals import answer_approval
from flipsync.services.orders import AccountRef

GRAPH = Graph(ROSTER)


class OldShop:
    """An account whose channel shows three listings: one with our SKU, one that reads like ours, one of other goods."""

    def __init__(self, shop: Shop, channels: Channels) -> None:
        self.shop, self.channels = shop, channels
        self.path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))

    async def build(self) -> OldShop:
        self.account: AccountRef = await self.shop.account(surveyed=False)
        self.channel = ScriptedChannel()
        self.channels.by_account[str(self.account.id)] = self.channel
        self.same = await self.shop.variant(units=3, title="Brass desk lamp")
        self.alike = await self.shop.variant(units=2, title="Canon EOS 550D camera body black")
        self.fresh = await self.shop.variant(units=1, title="Garden hose, 20 m")
        self.channel.put(self.same.sku, 7)
        self.channel.put("old-camera", 1)
        self.channel.shelves["x-old-camera"].title = "CANON EOS 550D Camera Body (Black)"
        self.channel.put("old-vase", 4)
        return self

    async def survey(self, hire: Any) -> None:
        await self.shop.enqueue(SurveyListings(account_id=self.account.id), self.account)
        await hire().step()

    async def run(self, agent: str) -> None:
        runner = AgentRunner(GRAPH.agents[agent](), self.shop.store, self.path)
        await runner.begin()
        while await runner.step():
            continue

    async def statuses(self) -> dict[str, str]:
        rows = await self.shop.rows("SELECT variant_id, status, external_id FROM listing WHERE tenant_id = :tenant")
        names = {self.same.variant_id: "same", self.alike.variant_id: "alike", self.fresh.variant_id: "fresh"}
        return {names[row.variant_id]: row.status for row in rows}

    async def question(self) -> Any:
        (row,) = await self.shop.rows("SELECT id, question, state FROM approval WHERE tenant_id = :tenant")
        return row


@pytest.fixture
async def old_shop(shop: Shop, channels: Channels) -> OldShop:
    return await OldShop(shop, channels).build()


async def test_what_is_surely_ours_is_taken_over_and_the_rest_is_counted(old_shop: OldShop, hire: Any) -> None:
    await old_shop.survey(hire)
    assert await old_shop.statuses() == {"same": "active", "alike": "recognised"}
    (told,) = await old_shop.shop.events(ListingsSurveyed)
    assert (told["adopted"], told["doubtful"], told["unknown"]) == (1, 1, 1)
    await old_shop.survey(hire)
    assert await old_shop.statuses() == {"same": "active", "alike": "recognised"}, "a second look adds nothing"
    (row,) = await old_shop.shop.rows(
        "SELECT external_id, price_minor, quantity_shown FROM listing WHERE status = 'active' AND tenant_id = :tenant"
    )
    assert (row.external_id, row.price_minor, row.quantity_shown) == (f"x-{old_shop.same.sku}", 2999, 7)


async def test_only_what_is_not_there_is_listed_anew(old_shop: OldShop, hire: Any) -> None:
    async with old_shop.shop.unit() as unit:
        unit.emit(ProductImported(product_id=old_shop.same.product_id, created=True))
    await old_shop.run("market")
    assert await old_shop.statuses() == {}, "nothing is listed before somebody has looked"
    await old_shop.survey(hire)
    await old_shop.run("market")
    assert await old_shop.statuses() == {"same": "active", "alike": "recognised", "fresh": "requested"}


@pytest.mark.parametrize(("yes", "then"), [(True, "active"), (False, "requested")])
async def test_a_likeness_is_the_owners_to_judge(old_shop: OldShop, hire: Any, yes: bool, then: str) -> None:
    await old_shop.survey(hire)
    await old_shop.run("base_market")
    asked = await old_shop.question()
    assert asked.state == "open"
    assert "CANON EOS 550D" in asked.question and "only a person" in asked.question
    async with old_shop.shop.unit() as unit:
        await answer_approval(unit, asked.id, approved=yes, by=new_id())
    for agent in ("executive", "market"):
        await old_shop.run(agent)
    assert (await old_shop.statuses())["alike"] == then


async def test_the_ledger_takes_over_the_quantity(old_shop: OldShop, hire: Any) -> None:
    await old_shop.survey(hire)
    await old_shop.run("inventory")
    worker = hire()
    for _ in range(5):
        await worker.step()
    assert old_shop.channel.shelves[f"x-{old_shop.same.sku}"].quantity == 3, "three are on the shelf, whatever it said"


async def test_what_is_out_of_reach_is_told_and_holds_up_nothing(old_shop: OldShop, hire: Any) -> None:
    async def take_in(known: Any) -> TakenIn:
        assert old_shop.same.sku in known
        if not left:
            raise Rejected("no permission for that report")
        return TakenIn(states=(made,), left_out=left)

    made = ListingState(
        external_id="x-hose",
        sku=old_shop.fresh.sku,
        title="Hose",
        status="active",
        price=None,
        quantity=1,
    )
    left: dict[str, str] = {}
    old_shop.channel.take_in = take_in  # type: ignore[method-assign]
    await old_shop.survey(hire)
    assert await old_shop.statuses() == {"same": "active", "alike": "recognised"}
    left["77"] = "it has no SKU"
    await old_shop.survey(hire)
    assert (await old_shop.statuses())["fresh"] == "active"
    rows = await old_shop.shop.rows("SELECT detail FROM receipt WHERE tenant_id = :tenant ORDER BY id")
    assert "1 out of reach (listings made elsewhere: no permission" in rows[0].detail
    assert "1 out of reach (77: it has no SKU)" in rows[1].detail
