"""Settings tried on the books: what other limits, hours and days would have meant to what happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from shop import Shop
from trials import figure, priced, tried, work

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.services import dry_run_books, orders
from flipsync.services.dry_run_books import put_off
from flipsync.services.tenant_settings import FleetChoices
from flipsync.store import models as m
from flipsync.store.repositories.trial_books import HourOfChanges


async def test_how_long_a_question_waits_is_counted_in_the_books(shop: Shop) -> None:
    await priced(shop)
    await work(shop, "pricing")
    (told,) = await shop.rows("SELECT event_id FROM agent_decision WHERE tenant_id = :tenant")
    asked = utc_now()
    async with shop.unit() as unit:
        for state, hours in (("approved", 1), ("refused", 10), ("approved", 40), ("expired", None), ("open", None)):
            decision = m.AgentDecision(
                tenant_id=shop.tenant_id, agent="pricing", agent_version="1", event_id=told.event_id,
                state="awaiting", source="rules", rationale="r", confidence=0.5, correlation_id=told.event_id,
            )  # fmt: skip
            unit.session.add(decision)
            await unit.session.flush()
            answered = None if hours is None else asked + timedelta(hours=hours)
            about = {"decision_id": decision.id, "question": "May I?", "state": state, "asked_at": asked}
            rest = {"expires_at": asked + timedelta(hours=48), "answered_at": answered}
            unit.session.add(m.Approval(tenant_id=shop.tenant_id, **about, **rest))
    for hours, unanswered in ((48, 1), (30, 2), (10, 2), (9, 3), (72, 1)):
        found = await tried(shop, {"approval_hours": hours})
        assert figure(found, "questions unanswered") == (1, unanswered), hours


async def test_limits_of_refunds_and_labels_are_counted_in_the_books(shop: Shop) -> None:
    account = await shop.account()
    goods = await shop.variant(units=9)
    await shop.listing(account, goods, units=9)
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, shop.order({goods.sku: 8}, minute=1))
    (order,) = await shop.rows("SELECT id FROM customer_order WHERE tenant_id = :tenant")
    of = {"tenant_id": shop.tenant_id, "order_id": order.id, "currency": "USD"}
    async with shop.unit() as unit:
        for amount in (1_000, 8_000, 12_000):
            unit.session.add(
                m.RefundRequest(**of, amount_minor=amount, reason="r", units={}, restock=False, state="issued")
            )
        for cost in (900, 2_500, 4_000):
            about = {"parcel": {}, "ship_from": {}, "service": "s", "most_minor": 5_000, "state": "cancelled"}
            unit.session.add(m.LabelPurchase(**of, **about, cost_minor=cost))
    found = await tried(shop, {"orders.refund_approval_minor": 5_000, "orders.label_limit_minor": 2_000})
    of_unit = {(each.name, each.unit): (each.then, each.now) for each in found.figures}
    assert of_unit["refunds to approve", "count"] == (1, 2)
    assert of_unit["refunds to approve", "USD"] == (12_000, 20_000)
    assert of_unit["labels above the limit", "count"] == (1, 2)
    assert of_unit["labels above the limit", "USD"] == (4_000, 6_500)
    other = await Shop(shop.store).found()
    assert (await tried(other, {"orders.refund_approval_minor": 0})).figures == []


async def test_budgets_of_an_hour_are_counted_in_the_books(shop: Shop) -> None:
    for _ in range(4):
        await priced(shop, cost=2000)
    await work(shop, "pricing")
    made = await shop.rows(
        "SELECT date_trunc('hour', decided_at) AS hour, count(*) AS changes, sum(stake_minor) AS stake"
        " FROM agent_decision WHERE tenant_id = :tenant GROUP BY 1"
    )
    assert sum(row.changes for row in made) == 4
    found = await tried(shop, {"fleet.listings_per_hour": 1, "fleet.margin_at_risk_minor": 1})
    assert figure(found, "changes put off") == (0, 4 - len(made)), "one an hour is let through"
    assert figure(found, "stake put off") == (0, sum(max(0, row.stake - 1) for row in made))
    assert found.decisions == found.unchanged == 4


def test_what_is_put_off_goes_by_the_hour_and_the_channels_share() -> None:
    noon, one, other = utc_now(), new_id(), new_id()
    later = noon + timedelta(hours=1)
    hours = [HourOfChanges(noon, one, 8, 80), HourOfChanges(noon, other, 4, 40), HourOfChanges(later, one, 3, 0)]
    for most, shares, beyond in (
        (100, {}, 0), (10, {}, 2), (2, {}, 11), (10, {str(one): 5_000}, 3), (10, {str(one): 1_000}, 9),
    ):  # fmt: skip
        fleet = FleetChoices(listings_per_hour=most, listing_shares_bps=shares)
        assert put_off(hours, fleet) == (beyond, 0), (most, shares)
    assert put_off(hours, FleetChoices(margin_at_risk_minor=50, margin_shares_bps={str(other): 2_000})) == (0, 70)


async def test_where_a_day_begins_is_counted_in_the_books(shop: Shop) -> None:
    """Half an hour before midnight it is tomorrow in Berlin; at two it is still yesterday in New York."""
    account = await shop.account()
    goods = await shop.variant(units=9)
    await shop.listing(account, goods, units=9)
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    async with shop.unit() as unit:
        for hours, units in ((-0.5, 1), (-12, 2), (-22, 3)):
            placed = {"placed_at": midnight + timedelta(hours=hours)}
            await orders.ingest_order(unit, account, shop.order({goods.sku: units}).model_copy(update=placed))
    for zone, units in (("Europe/Berlin", [1]), ("America/New_York", [3]), ("UTC", []), ("Africa/Abidjan", [])):
        found = await tried(shop, {"time_zone": zone})
        told = {each.unit: (each.then, each.now) for each in found.figures if each.name == "orders on another day"}
        assert told == ({"count": (0, len(units)), "USD": (0, 2_999 * sum(units))} if units else {}), zone


async def test_what_was_decided_by_sales_of_days_is_not_taken_over_to_other_days(shop: Shop) -> None:
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await priced(shop)
    await work(shop, "pricing", "reinforcement_learning")
    found = await tried(shop, {"time_zone": "Asia/Tokyo"})
    assert found.by_agent["pricing"].decisions == 1 and found.changed == 0
    assert list(found.cannot.values()) == [1] and "choices of then" in next(iter(found.cannot))


async def test_a_zone_that_the_database_does_not_know_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any) -> bool:
        return False

    monkeypatch.setattr(dry_run_books, "knows_zone", unknown)
    with pytest.raises(InvalidInput, match="the database does not know it"):
        await tried(shop, {"time_zone": "Europe/Berlin"})
