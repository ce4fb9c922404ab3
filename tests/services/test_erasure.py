"""A buyer's name planted in every place it can get to, then forgotten: it is nowhere, and the books are right."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis
from shop import Shop, open_store
from sqlalchemy import create_engine, text

from flipsync.domain.channel import Address, ChannelOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound
from flipsync.domain.events import Event, RefundRequested, StockMoved
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.runtime.mailbox import RedisWaker
from flipsync.services import erasure, orders, privacy_export, recorded_desk, retention
from flipsync.services.erasure import Buyer
from flipsync.services.orders import AccountRef
from flipsync.services.tenant_settings import PrivacyChoices
from flipsync.store import models as m
from flipsync.store.database import driver_url
from flipsync.store.unit_of_work import Store

MARK = "Qz7xv"
BUYER = Address(
    name=f"Ann {MARK}-Quartermain",
    company=f"{MARK} Pottery & Sons",
    line1=f"77 {MARK} (rear) Way",
    line2=f'Flat "{MARK}" 2b',
    city=f"{MARK}ville",
    region="OR",
    postal_code=f"{MARK}97",
    country="US",
    phone=f"+1 (555) {MARK} 01",
    email=f"ann.{MARK}@mail.example",
)
BUYER_ID = f"{MARK}-buys"


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


def told(shop: Shop, sku: str, external_id: str, **changes: Any) -> ChannelOrder:
    order = shop.order({sku: 1}, external_id=external_id, status=changes.pop("status", "paid"))
    return order.model_copy(update={"ship_to": BUYER, "buyer_id": BUYER_ID} | changes)


async def sell(shop: Shop, account: AccountRef, order: ChannelOrder) -> UUID:
    async with shop.unit() as unit:
        return (await orders.ingest_order(unit, account, order)).order_id


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
                m.Shipment(**tenant, order_id=order_id, carrier="UPS", tracking_number=f"TRACK{MARK}123"),
            ]
        )


def dump(url: str, tenant_id: UUID) -> dict[str, str]:
    """Every row of every table that is not another business's, as text; what is packed is unpacked."""
    owned = (
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'"
    )
    every = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        of_tenants = set(connection.execute(text(owned)).scalars())
        found = {}
        for table in connection.execute(text(every)).scalars().all():
            mine = f"WHERE t.tenant_id = '{tenant_id}'" if table in of_tenants else ""
            found[table] = "\n".join(connection.execute(text(f'SELECT t::text FROM "{table}" t {mine}')).scalars())
        query = text("SELECT packed FROM decision_notes WHERE packed <> '' AND tenant_id = :tenant")
        for packed in connection.execute(query, {"tenant": tenant_id}).scalars():
            found["decision_notes"] += zlib.decompress(packed).decode()
    engine.dispose()
    return found


def holding(url: str, shop: Shop) -> set[str]:
    """Tables with the mark in them, in whatever case, or as bytes."""
    needles = (MARK.lower(), MARK.encode().hex())
    return {name for name, rows in dump(url, shop.tenant_id).items() if any(each in rows.lower() for each in needles)}


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


async def test_retention_is_bounded_counts_by_vendor_and_leaves_no_order_twice(
    shop: Shop, worker: Store, database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    accounts = {vendor: await shop.account(vendor) for vendor in ("amazon", "shopify")}
    days = {"new": 27, "due": 29, "old": 400, "in the year 2100": -27_000}
    for vendor, account in accounts.items():
        for age, since in days.items():
            for number in range(2):
                over = utc_now() - timedelta(days=since, minutes=number)
                order = told(shop, f"{vendor} {age}", f"{vendor} {age} {number}", status="shipped", modified_at=over)
                await sell(shop, account, order)

    async def left() -> set[str]:
        rows = await shop.rows("SELECT external_id FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL")
        return {row.external_id.rpartition(" ")[0] for row in rows}

    fresh = ("new", "in the year 2100")
    rows = await shop.rows("SELECT max(closed_at) AS last FROM customer_order WHERE tenant_id = :tenant")
    assert rows[0].last <= utc_now(), "what a channel says of the future keeps nobody's name until then"
    first = await retention.run(worker, shop.tenant_id)
    assert (first.orders, first.more) == (4, True)
    assert await left() == {f"amazon {each}" for each in fresh} | {f"shopify {each}" for each in days}
    assert (await retention.run(worker, shop.tenant_id)).orders == 0
    async with shop.unit() as unit:
        tenant = await unit.session.get_one(m.Tenant, shop.tenant_id)
        tenant.settings = {"privacy": {"buyer_days": 365}}
    assert (await retention.run(worker, shop.tenant_id)).orders == 2
    assert await left() == {f"{each} {age}" for each in accounts for age in fresh} | {"shopify due"}
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased' ORDER BY seq")
    assert [line.details["orders"] for line in lines] == [2, 2, 2]


async def test_no_setting_keeps_amazons_buyers_longer_than_amazon_allows(shop: Shop) -> None:
    with pytest.raises(ValidationError):
        PrivacyChoices(amazon_days=30)


async def test_a_batch_that_is_cut_off_is_done_by_the_next_run(
    shop: Shop, worker: Store, database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await shop.account("amazon")
    for number in range(3):
        over = utc_now() - timedelta(days=40)
        await sell(shop, account, told(shop, "x", f"cut {number}", status="shipped", modified_at=over))
    monkeypatch.setattr(retention, "BATCH", 1)
    real, calls = erasure.forget_old, 0

    async def killed(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        done = await real(*given)
        if calls == 2:
            raise ConnectionError("the process is gone before it could commit")
        return done

    monkeypatch.setattr(erasure, "forget_old", killed)
    with pytest.raises(ConnectionError):
        await retention.run(worker, shop.tenant_id)
    assert (await retention.run(worker, shop.tenant_id)).orders == 2
    assert holding(database_urls["owner"], shop) == set()
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased'")
    assert sum(line.details["orders"] for line in lines) == 3


_RUN = """
import asyncio, sys
from uuid import UUID
from flipsync.services import retention
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store
retention.BATCH, retention.BATCHES = 1, 1000
asyncio.run(retention.run(Store(Database(sys.argv[1]), {}), UUID(sys.argv[2])))
"""


async def test_a_run_that_is_killed_leaves_nothing_half_done(
    shop: Shop, worker: Store, database_urls: dict[str, str]
) -> None:
    account, count = await shop.account("amazon"), 150
    over = utc_now() - timedelta(days=40)
    async with shop.unit() as unit:
        for number in range(count):
            order = told(shop, "x", f"kill {number}", status="shipped", modified_at=over)
            await orders.ingest_order(unit, account, order)

    async def left() -> int:
        query = "SELECT id FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL"
        return len(await shop.rows(query))

    words = [sys.executable, "-c", _RUN, database_urls["worker"], str(shop.tenant_id)]
    process = subprocess.Popen(words)
    while process.poll() is None and await left() > count - 5:
        await asyncio.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < await left() < count, "it was killed in the middle"
    while (await retention.run(worker, shop.tenant_id)).more or await left():
        pass
    assert holding(database_urls["owner"], shop) == set()
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased'")
    assert sum(line.details["orders"] for line in lines) == count, "each is told of once"


async def test_what_has_had_its_time_is_pruned_and_what_has_not_stays(shop: Shop, worker: Store) -> None:
    old, fresh = utc_now() - timedelta(days=31), utc_now() - timedelta(hours=1)
    tenant = {"tenant_id": shop.tenant_id}
    async with shop.unit() as unit:
        users = [m.User(**tenant, email=f"{new_id()}@example.com", password_hash="x") for _ in range(2)]
        unit.session.add_all(users)
        await unit.session.flush()
        for user, moment in zip(users, (old, fresh), strict=True):
            name = str(moment)
            unit.session.add_all(
                [
                    m.UserSession(**tenant, user_id=user.id, expires_at=moment),
                    m.RefreshToken(
                        **tenant, user_id=user.id, family_id=new_id(), token_hash=f"{new_id()}", expires_at=moment
                    ),
                    m.RecoveryCode(**tenant, user_id=user.id, code_hash=f"{new_id()}", used_at=moment),
                    m.SecondFactor(**tenant, user_id=user.id, sealed=b"", created_at=moment),
                    m.IdempotencyRecord(**tenant, key=name, fingerprint="f", created_at=moment),
                ]
            )
    done = await retention.run(worker, shop.tenant_id)
    tables = ("idempotency_record", "refresh_token", "user_session", "recovery_code", "second_factor")
    assert done.pruned == dict.fromkeys(tables, 1)
    for table in tables:
        assert len(await shop.rows(f"SELECT id FROM {table} WHERE tenant_id = :tenant")) == 1
    assert (await retention.run(worker, shop.tenant_id)).pruned == {}
