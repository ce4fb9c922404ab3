"""A buyer is told once that the goods are gone, or a person is asked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from uuid import UUID

import pytest
from scripted_channel import Step
from shop import Shop
from sqlalchemy import text
from stall import Stall, drain

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain import commands as c
from flipsync.domain.called_off import TellBuyer, WriteByHand
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import EffectFailed
from flipsync.domain.ids import new_id
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.approvals import answer_approval

Hire = Callable[..., EffectWorker]
SORRY = "We are sorry."


async def sold(stall: Stall, hire: Hire, how: Literal["none", "listed", "blind"]) -> tuple[EffectWorker, TellBuyer]:
    """A worker, and a message to the buyer of an order on a channel that takes messages like that."""
    stall.channel.capabilities = stall.channel.capabilities.model_copy(update={"buyer_messages": how})  # type: ignore[misc]
    async with stall.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE marketplace_account SET config = config || CAST(:more AS jsonb) WHERE id = :id"),
            {"more": '{"landing_seconds": 0.01}', "id": stall.account.id},
        )
    assert stall.channel.sell(stall.external_id, 1) is not None
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    worker = hire()
    await drain(worker, stall.shop)
    order_id: UUID = (await stall.shop.rows("SELECT id FROM customer_order"))[0][0]
    return worker, TellBuyer(account_id=stall.account.id, order_id=order_id, text=SORRY)


async def send(stall: Stall, worker: EffectWorker, message: TellBuyer) -> list[str]:
    effect = await stall.shop.enqueue(message, stall.account)
    await drain(worker, stall.shop)
    return await stall.outcomes(effect)


def told(stall: Stall) -> list[str]:
    return [words for _, words in stall.channel.messages]


async def test_a_buyer_is_told(stall: Stall, hire: Hire) -> None:
    worker, message = await sold(stall, hire, "listed")
    stall.channel.script("tell_buyer", Step(Retryable("slow down")))
    assert await send(stall, worker, message) == ["retryable", "confirmed"]
    assert told(stall) == [SORRY]


@pytest.mark.parametrize("arrived", [True, False])
async def test_without_an_answer_the_channels_list_is_read_before_anything_is_sent_again(
    stall: Stall, hire: Hire, arrived: bool
) -> None:
    worker, message = await sold(stall, hire, "listed")
    stall.channel.script("tell_buyer", Step(OutcomeUnknown("timeout"), applied=arrived))
    assert await send(stall, worker, message) == ["unknown", "confirmed"]
    assert told(stall) == [SORRY]


async def test_where_nothing_is_listed_a_person_looks(stall: Stall, hire: Hire, shop: Shop) -> None:
    worker, message = await sold(stall, hire, "blind")
    stall.channel.script("tell_buyer", Step(OutcomeUnknown("timeout"), applied=True))
    assert await send(stall, worker, message) == ["unknown", "unknown"]
    assert told(stall) == [SORRY], "and not twice"
    (failed,) = await shop.events(EffectFailed)
    decision = await shop.decide(ComplianceAgent(), EffectFailed.model_validate(failed))
    assert decision.proposals == (WriteByHand(order_id=message.order_id),)
    assert "may not have been told" in decision.rationale


@pytest.mark.parametrize("how", ["none", "listed"])
async def test_a_message_the_channel_does_not_take_is_for_the_owner(
    stall: Stall, hire: Hire, shop: Shop, how: Literal["none", "listed"]
) -> None:
    worker, message = await sold(stall, hire, how)
    stall.channel.script("tell_buyer", Step(Rejected("no messages here")))
    assert await send(stall, worker, message) == ["rejected"]
    (failed,) = await shop.events(EffectFailed)
    decision = await shop.decide(ComplianceAgent(), EffectFailed.model_validate(failed))
    assert decision.proposals == (WriteByHand(order_id=message.order_id),)


async def test_a_channel_that_has_cancelled_already_told_the_buyer_itself(stall: Stall, hire: Hire) -> None:
    worker, message = await sold(stall, hire, "blind")
    stall.channel.sales[0].status = "cancelled"
    stall.channel.script("tell_buyer", Step(Rejected("not for this order")))
    assert await send(stall, worker, message) == ["confirmed"]
    assert told(stall) == []


async def test_that_the_owner_wrote_by_hand_is_on_record(stall: Stall, hire: Hire, shop: Shop) -> None:
    _, message = await sold(stall, hire, "none")
    order_id = message.order_id
    failed = EffectFailed(
        effect_id=new_id(),
        command=TellBuyer.type_name(),
        outcome="rejected",
        auth=False,
        account_id=message.account_id,
        vendor="custom",
        subject_kind="order",
        subject_id=order_id,
        detail="no messages here",
    )
    async with shop.unit() as unit:
        unit.emit(failed)
    graph = Graph(ROSTER)
    path = DecisionPath(graph, Gate(shop.firewall, [ComplianceAgent()]))

    async def run(agent: str) -> None:
        runner = AgentRunner(graph.agents[agent](), shop.store, path)
        await runner.begin()
        while await runner.step():
            pass

    await run("compliance")
    (asked,) = await shop.rows("SELECT id, question FROM approval WHERE state = 'open'")
    assert "was not told" in asked.question and "look there whether they were told" in asked.question
    async with shop.unit() as unit:
        await answer_approval(unit, asked.id, approved=True, by=new_id())
    await run("executive")
    done = await shop.rows("SELECT subject_id FROM audit_entry WHERE action = 'buyer.told-by-hand'")
    assert [str(row.subject_id) for row in done] == [str(order_id)]
