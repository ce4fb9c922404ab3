"""A buyer's name planted in every place it can get to, then forgotten: it is nowhere, and the books are right."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from erased_buyer import BUYER, BUYER_ID, MARK, holding, sell, told
from redis.asyncio import Redis
from shop import Shop, open_store
from sqlalchemy import text, update

from flipsync.domain.channel import Address
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound
from flipsync.domain.events import Event, RefundRequested, StockMoved
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.runtime.mailbox import RedisWaker
from flipsync.services import erasure, orders, privacy_export, recorded_desk, retention
from flipsync.services.erasure import Buyer
from flipsync.services.orders import AccountRef
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store


@pytest.fixture
async def shop(database_urls: dict[str, str], redis_url: str) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"])
    store.waker = RedisWaker(redis_url)
    yield await Shop(store).found()
    await store.waker.aclose()
    await store.aclose()


@pytest.fixture
async def worker(shop: Shop, database_urls: dict[str, str]) -> AsyncIterator[Store]:
    """As the scheduler has the books."""
    store = open_store(database_urls["worker"])
    yield store
    await store.aclose()


async def plant(shop: Shop, account: AccountRef, order_id: UUID) -> None:
    """Every place in the books that free text gets to, in the order's own chain and elsewhere."""
    tenant = {"tenant_id": shop.tenant_id}
    whole = f"please ring {BUYER.name} at {BUYER.line1},\n{BUYER.line2}; {BUYER.phone}, {BUYER.email} ({BUYER_ID})"
    inside = {"note": whole, "list": [BUYER.email, {"deep": BUYER.company}], BUYER.email: 1, "count": 7}
    for elsewhere in (False, True):
        async with shop.unit() as unit:
            about = order_id if not elsewhere else new_id()
            event_id = unit.emit(
                RefundRequested(
                    order_id=about,
                    account_id=account.id,
                    vendor="custom",
                    refund_id=new_id(),
                    amount=Money(amount_minor=1, currency="USD"),
                    reason=whole,
                )
            )
            await unit.flush()
            who = {"correlation_id": event_id}
            decision = m.AgentDecision(
                **tenant,
                **who,
                event_id=event_id,
                agent="market",
                agent_version="1",
                state="awaiting",
                source="rules",
                rationale=whole,
                confidence=1.0,
                alternatives=[inside],
                evidence=[whole],
            )
            effect = m.Effect(
                **tenant,
                **who,
                account_id=account.id,
                command="IssueRefund",
                payload=inside,
                subject_kind="order",
                subject_id=about,
                key=f"plant {about}",
                priority=50,
                state="rejected",
                result=inside,
                undo=inside,
                finished_at=unit.now,
            )
            unit.session.add_all([decision, effect])
            await unit.session.flush()
            read = {"now": utc_now().isoformat(), "reads": [["orders.one", [], inside]]}
            packed = zlib.compress(orjson.dumps(read))
            unit.session.add_all(
                [
                    m.Proposal(
                        **tenant,
                        decision_id=decision.id,
                        ordinal=0,
                        command="IssueRefund",
                        payload=inside,
                        subject_kind="order",
                        subject_id=about,
                        reason=whole,
                    ),
                    m.Approval(
                        **tenant,
                        decision_id=decision.id,
                        question=whole,
                        note=whole,
                        expires_at=unit.now + timedelta(days=1),
                    ),
                    m.Receipt(
                        **tenant, effect_id=effect.id, attempt=1, outcome="rejected", detail=whole, started_at=unit.now
                    ),
                    m.DecisionNotes(**tenant, id=decision.id, packed=packed, size=len(packed)),
                    m.IdempotencyRecord(**tenant, key=f"plant {about}", fingerprint="f", status=200, body=inside),
                    m.ChannelFault(
                        **tenant,
                        account_id=account.id,
                        cause=f"cause {about}",
                        since=unit.now,
                        opened_at=unit.now,
                        last_seen_at=unit.now,
                        evidence=[whole],
                        hint=whole,
                    ),
                ]
            )
    async with shop.unit() as unit:
        unit.session.add_all(
            [
                m.RefundRequest(
                    **tenant,
                    order_id=order_id,
                    amount_minor=1,
                    currency="USD",
                    reason=f"{MARK} is unhappy",
                    units={},
                    restock=False,
                    state="refused",
                    detail=whole,
                ),
                m.LabelPurchase(
                    **tenant,
                    order_id=order_id,
                    parcel={},
                    ship_from={},
                    service="",
                    most_minor=1,
                    currency="USD",
                    state="bought",
                    detail=whole,
                    tracking_number=f"TRACK{MARK}123",
                    media_type="application/pdf",
                    document=MARK.encode(),
                ),
            ]
        )
        parcel = update(m.Shipment).where(m.Shipment.order_id == order_id)
        await unit.session.execute(parcel.values(carrier="UPS", tracking_number=f"TRACK{MARK}123"))


async def in_redis(redis_url: str) -> list[str]:
    redis = Redis.from_url(redis_url)
    found = []
    async for key in redis.scan_iter("*"):
        kind = (await redis.type(key)).decode()
        reads = {
            "string": lambda k: redis.get(k),
            "hash": lambda k: redis.hgetall(k),
            "list": lambda k: redis.lrange(k, 0, -1),
            "set": lambda k: redis.smembers(k),
            "zset": lambda k: redis.zrange(k, 0, -1),
            "stream": lambda k: redis.xrange(k),
        }
        if MARK in repr((key, await reads[kind](key))):
            found.append(key.decode())
    await redis.aclose()
    return found


async def sums(shop: Shop) -> list[Any]:
    """What an accountant reads of the orders."""
    return await shop.rows(
        "SELECT o.number, o.total_minor, o.tax_minor, o.shipping_minor, o.currency, o.placed_at, o.ship_to->>'country',"
        " o.ship_to->>'region', sum(l.total_minor), sum(l.tax_minor), sum(l.quantity), min(l.sku)"
        " FROM customer_order o JOIN order_line l ON l.order_id = o.id WHERE o.tenant_id = :tenant GROUP BY o.id"
        " ORDER BY o.number"
    )


async def test_after_forgetting_a_buyer_their_name_is_nowhere_and_the_sums_are_right(
    shop: Shop, database_urls: dict[str, str], redis_url: str
) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    order_id = await sell(shop, account, told(shop, goods.sku, "forget-1", status="shipped"))
    await plant(shop, account, order_id)
    before, books = holding(database_urls["owner"], shop), await sums(shop)
    assert before >= {
        *("customer_order", "event", "agent_decision", "decision_notes", "proposal", "approval", "effect", "receipt"),
        *("idempotency_record", "channel_fault", "refund_request", "label_purchase", "shipment"),
    }, "there is something to find"

    async with shop.unit() as unit:
        found = await erasure.find(unit.session, Buyer(email=BUYER.email.upper()))
        done = await erasure.forget(unit, found, reason="asked")
    assert (done.orders, done.waiting) == (1, 0)
    assert holding(database_urls["owner"], shop) == set()
    assert await in_redis(redis_url) == []
    assert await sums(shop) == books

    [order] = await shop.rows("SELECT ship_to, buyer_id FROM customer_order WHERE tenant_id = :tenant")
    assert Address.model_validate(order.ship_to).name.startswith("erased buyer ")
    assert (order.ship_to["country"], order.ship_to["region"], order.buyer_id) == ("US", "OR", "")
    for row in await shop.rows("SELECT type, payload FROM event WHERE tenant_id = :tenant"):
        assert Event.from_journal(row.type, row.payload), "what programs read can still be read"
    [payload, *_] = [row.payload for row in await shop.rows("SELECT payload FROM effect WHERE tenant_id = :tenant")]
    assert payload["count"] == 7 and payload["note"].startswith("please ring erased at erased,")
    for row in await shop.rows("SELECT packed FROM decision_notes WHERE tenant_id = :tenant"):
        assert recorded_desk.unpacked(row.packed)["reads"][0][0] == "orders.one"
    lines = await shop.rows("SELECT action, subject_id FROM audit_entry WHERE tenant_id = :tenant ORDER BY seq")
    assert (lines[-1].action, lines[-1].subject_id) == ("buyer.erased", str(order_id))

    with pytest.raises(NotFound):
        async with shop.unit() as unit:
            await erasure.find(unit.session, Buyer(email=BUYER.email))


async def test_a_channel_that_tells_the_order_again_does_not_bring_the_buyer_back(
    shop: Shop, database_urls: dict[str, str]
) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    order_id = await sell(shop, account, told(shop, goods.sku, "again-1", status="shipped"))
    async with shop.unit() as unit:
        await erasure.forget(unit, await erasure.find(unit.session, Buyer(order_id=order_id)), reason="asked")
    later = utc_now() + timedelta(minutes=5)
    await sell(shop, account, told(shop, goods.sku, "again-1", status="refunded", modified_at=later))
    assert holding(database_urls["owner"], shop) == set()
    [row] = await shop.rows("SELECT status, modified_at FROM customer_order WHERE tenant_id = :tenant")
    assert (row.status, row.modified_at) == ("refunded", later), "what concerns no person was taken over"
    async with shop.unit() as unit:  # whoever writes past the service meets the database
        await unit.session.execute(
            text("UPDATE customer_order SET ship_to = CAST(:to AS jsonb), erased_at = NULL WHERE id = :id"),
            {"to": BUYER.model_dump_json(), "id": order_id},
        )
    assert holding(database_urls["owner"], shop) == set()


async def test_an_order_under_way_keeps_its_address_until_it_is_over(
    shop: Shop, worker: Store, database_urls: dict[str, str]
) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    await sell(shop, account, told(shop, goods.sku, "old", status="shipped"))
    under_way = await sell(shop, account, told(shop, goods.sku, "under way"))
    async with shop.unit() as unit:
        found = await erasure.find(unit.session, Buyer(buyer_id=BUYER_ID, vendor="custom"))
        done = await erasure.forget(unit, found, reason="asked")
    assert (done.orders, done.waiting) == (1, 1)
    [row] = await shop.rows("SELECT ship_to FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL")
    assert row.ship_to["line1"] == BUYER.line1
    assert (await retention.run(worker, shop.tenant_id)).orders == 0, "it is not over"
    async with shop.unit() as unit:
        await orders.mark_ready(unit, under_way)
    async with shop.unit() as unit:
        await orders.confirm_shipped(unit, account, under_way)
    assert (await retention.run(worker, shop.tenant_id)).orders == 1
    assert holding(database_urls["owner"], shop) == set()


async def test_one_persons_orders_are_found_under_their_other_names_and_nobody_elses(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=9)
    await shop.listing(account, goods, units=9)
    other = {"buyer_id": "", "ship_to": BUYER.model_copy(update={"email": "ann2@mail.example"})}
    neighbour = {"buyer_id": "bob", "ship_to": BUYER.model_copy(update={"name": "Bob Smith", "email": "b@x.example"})}
    first = await sell(shop, account, told(shop, goods.sku, "a", status="shipped"))
    second = await sell(shop, account, told(shop, goods.sku, "b", status="shipped", **other))
    await sell(shop, account, told(shop, goods.sku, "c", status="shipped", **neighbour))
    async with shop.unit() as unit:
        found = await erasure.find(unit.session, Buyer(email=BUYER.email))
        await erasure.forget(unit, found, reason="asked")
    assert {order.id for order in found} == {first, second}
    [row] = await shop.rows("SELECT ship_to FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL")
    assert (row.ship_to["name"], row.ship_to["line1"]) == ("Bob Smith", BUYER.line1)


async def test_a_name_that_is_a_word_breaks_no_word_of_the_programs(shop: Shop) -> None:
    """Surnames are sale, short, custom, paid. Journal and outbox are read by programs."""
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    buyer = BUYER.model_copy(
        update={"name": "custom paid sale Short", "line1": "active street 1", "company": "reserve"}
    )
    await sell(shop, account, told(shop, goods.sku, "w", status="shipped", ship_to=buyer, buyer_id="custom"))
    async with shop.unit() as unit:
        found = await erasure.find(unit.session, Buyer(email=buyer.email))
        await erasure.forget(unit, found, reason="asked")
    read = [Event.from_journal(row.type, row.payload) for row in await shop.rows("SELECT * FROM event")]
    assert {event.type_name() for event in read} >= {"AccountConnected"}


async def test_a_buyer_who_is_called_like_a_piece_of_the_books_breaks_none_of_them(shop: Shop) -> None:
    """Buyers fill in the form themselves, and forgetting them must not be a way to write into a seller's history."""
    account, goods = await shop.account(), await shop.variant(units=9)
    listing = await shop.listing(account, goods, units=9)
    today = utc_now().date().isoformat()
    nasty = [
        {"name": "listing_id", "company": "amount_minor", "line1": today[:7], "phone": today},
        {"name": goods.sku, "company": str(listing), "line1": str(listing)[:8], "phone": str(listing)[9:18]},
        {"name": "USD OfferChanged own", "company": today[:4], "line1": f"{today}T", "phone": "0000000"},
    ]
    for number, words in enumerate(nasty):
        ship_to = BUYER.model_copy(update={**words, "email": f"x{number}@mail.example"})
        for buyer_id in ("correlation_id", today[2:], "9-7000-8"):
            order = told(shop, goods.sku, f"{number}{buyer_id}", status="shipped", ship_to=ship_to, buyer_id=buyer_id)
            await sell(shop, account, order)
    async with shop.unit() as unit:
        unit.emit(
            StockMoved(
                stock_item_id=goods.stock_item_id,
                variant_id=goods.variant_id,
                kind="count",
                quantity=1,
                on_hand=1,
                reserved=0,
            )
        )

    async def elsewhere() -> list[Any]:
        tables = {"event": "payload", "effect": "payload", "agent_decision": "evidence", "stock_movement": "note"}
        return [
            (table, row.id, row.said)
            for table, column in tables.items()
            for row in await shop.rows(f"SELECT id, {column} AS said FROM {table} ORDER BY id")
            if MARK not in str(row.said)
        ]

    before = await elsewhere()
    assert any(str(listing) in str(said) for _, _, said in before)
    async with shop.unit() as unit:
        found = await erasure.find(unit.session, Buyer(email="x0@mail.example"))  # the others have the same buyer_ids
        await erasure.forget(unit, found, reason="asked")
    assert len(found) == 9
    assert await elsewhere() == before
    assert [Event.from_journal(row.type, row.payload) for row in await shop.rows("SELECT * FROM event")]
    left = await shop.rows("SELECT id FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL")
    assert left == []


async def test_the_export_has_everything_that_names_the_buyer(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    order_id = await sell(shop, account, told(shop, goods.sku, "export-1", status="shipped"))
    await plant(shop, account, order_id)
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE label_purchase SET document = NULL"))
        export = await privacy_export.buyer(unit.session, shop.box, shop.tenant_id, Buyer(order_id=order_id))
    assert export.records["order"][0]["ship_to"] == BUYER.model_dump()
    assert set(export.mentions) >= {
        *("event", "agent_decision", "decision_notes", "proposal", "approval", "effect", "receipt"),
        *("idempotency_record", "channel_fault", "refund_request", "label_purchase", "shipment"),
    }
    assert len(export.mentions["approval"]) == 2, "in the order's chain, and elsewhere"
    assert len(export.mentions["decision_notes"]) == 2
    assert all(BUYER.phone in "".join(row["texts"]) for row in export.mentions["decision_notes"])
