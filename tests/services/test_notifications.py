"""What is worth telling is told once to whoever may hear it, is settled when it is over, and names no buyer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from erased_buyer import holding
from pydantic import ValidationError
from shop import Shop
from sqlalchemy import text
from told_people import House

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound, VersionMismatch
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.security.roles import ROLES
from flipsync.services import identity, orders, privacy_export, retention
from flipsync.services.approvals import answer_approval
from flipsync.services.notices import inbox, matters, preferences, wording
from flipsync.services.notices.inbox import NotificationFilter
from flipsync.services.notices.kinds import AUDIENCE, KINDS, heard_by
from flipsync.services.notices.preferences import Preferences
from flipsync.services.reading_page import SortedRequest
from flipsync.store import models as m
from flipsync.store.database import SessionReader
from flipsync.store.models import door


async def test_an_oversold_order_is_told_once_to_who_may_ship_and_is_settled_when_the_goods_are_there(
    house: House,
) -> None:
    order_id = await house.oversell(number="1001\r\nBcc: all@x.example\u202e")
    assert [await house.tell(), await house.tell()] == [3, 0]
    for role in ROLES:
        told = await house.told(role)
        assert [each.kind for each in told] == (["oversold"] if role in ("owner", "manager", "clerk") else [])
    told = (await house.told("clerk"))[0]
    assert (told.subject_id, told.link) == (order_id, f"/orders/{order_id}")
    assert told.title.startswith("Order 1001 Bcc: all@x.example of Ada's <b>shop</b>") and "2 units" in told.title
    assert not set(told.title) & set("\r\n\u202e")
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE order_line SET short = 0"))
    assert await house.tell() == 0
    assert await house.told("clerk") == []
    settled = await house.told("clerk", settled=True)
    assert [each.settled_at is not None for each in settled] == [True]
    # and again: one row, told a second time, unread
    async with house.shop.unit() as unit:
        await inbox.read_one(unit, house.people["clerk"], heard_by("clerk"), told.id)
        await unit.session.execute(text("UPDATE order_line SET short = 1"))
    assert await house.tell() == 3
    again = await house.told("clerk")
    assert [(each.id, each.times, each.read_at) for each in again] == [(told.id, 2, None)]


async def test_two_passes_at_once_tell_nobody_twice(house: House) -> None:
    for _ in range(5):
        await house.oversell()
    assert sorted(await asyncio.gather(*(house.tell() for _ in range(4)))) == [0, 0, 0, 15]
    assert len(await house.told("owner")) == 5


async def test_a_question_goes_from_the_manager_to_the_owner_once_half_of_its_time_is_over(house: House) -> None:
    approval_id = await house.ask(hours=8)
    await house.tell()
    assert [each.kind for each in await house.told("manager")] == ["approval-waiting"]
    assert await house.told("owner") == [] == await house.told("clerk")
    words = (await house.told("manager"))[0]
    assert words.title.startswith("Pricing asks: end listing (") and "Ada" not in words.model_dump_json()
    house.clock.at += timedelta(hours=3, minutes=59)
    await house.tell()
    assert await house.told("owner") == []
    house.clock.at += timedelta(minutes=2)
    await asyncio.gather(*(house.tell() for _ in range(3)))
    for role in ("owner", "manager"):
        assert [each.kind for each in await house.told(role)] == ["approval-escalated"]
    escalated = await house.shop.rows("SELECT payload FROM event WHERE type = 'ApprovalEscalated'")
    assert [row.payload["approval_id"] for row in escalated] == [str(approval_id)]
    house.clock.at += timedelta(hours=2)
    await house.tell()
    assert [each.kind for each in await house.told("owner")] == ["approval-expiring"]
    async with house.shop.unit() as unit:
        await answer_approval(unit, approval_id, approved=True, by=house.people["manager"])
    await house.tell()
    assert await house.told("owner") == [] == await house.told("manager")


async def test_without_a_manager_the_owner_is_asked_at_once_and_reminded(house: House) -> None:
    async with house.shop.unit() as unit:
        await identity.disable_user(unit, house.people["manager"])
    await house.ask(hours=8)
    await house.tell()
    assert [each.kind for each in await house.told("owner")] == ["approval-waiting"]
    house.clock.at += timedelta(hours=5)
    await house.tell()
    assert [(each.kind, each.severity) for each in await house.told("owner")] == [("approval-escalated", "urgent")]


async def test_the_owner_may_keep_questions_from_going_on(house: House) -> None:
    async with house.shop.unit() as unit:
        await unit.session.execute(text("""UPDATE tenant SET settings = '{"approval_escalates_after": 1.0}'"""))
    await house.ask(hours=8)
    house.clock.at += timedelta(hours=5)
    await house.tell()
    assert [each.kind for each in await house.told("manager")] == ["approval-waiting"]


async def test_a_question_being_answered_is_not_passed_on_beside_it(house: House) -> None:
    approval_id = await house.ask(hours=8)
    house.clock.at += timedelta(hours=5)
    async with house.shop.unit() as unit:
        await answer_approval(unit, approval_id, approved=False, by=house.people["owner"])
        await asyncio.wait_for(house.tell(), 5)  # does not wait for the answer either
    row = (await house.shop.rows("SELECT state, escalated_at FROM approval"))[0]
    assert (row.state, row.escalated_at) == ("refused", None)
    await house.tell()
    assert await house.told("owner") == []


async def test_a_person_is_told_of_what_changed_about_their_sign_in_and_of_keys_that_end(house: House) -> None:
    clerk = house.people["clerk"]
    async with house.shop.unit() as unit:
        for action in (*door.SIGN_IN_CHANGES, "user.enabled"):
            about = ("passkey", new_id()) if action == "passkey.revoked" else ("user", clerk)
            unit.audit(action, *about, user=str(clerk))
        for days, made in ((0.5, 90), (5, 90), (20, 90), (5, 1), (-1, 90)):
            now = utc_now()
            unit.session.add(
                m.ApiKey(
                    tenant_id=unit.tenant_id,
                    user_id=clerk,
                    name=f"ends in {days} of {made}",
                    prefix="fs",
                    key_hash=str(new_id()),
                    permissions=[],
                    per_minute=1,
                    created_at=now - timedelta(days=made),
                    expires_at=now + timedelta(days=days),
                )
            )
    await house.tell()
    assert await house.told("owner") == [] == await house.told("manager"), "it is nobody else's"
    told = await house.told("clerk")
    titles = {each.title for each in told if each.kind == "sign-in-changed"}
    assert len(titles) == len(door.SIGN_IN_CHANGES) and "Your password was changed" in titles
    assert not [each for each in titles if each[:1].lower() + each[1:] in door.SIGN_IN_CHANGES], "in words"
    ends = {each.title.split(" ends on")[0]: each.severity for each in told if each.kind == "key-ending"}
    assert ends == {"Your API key ends in 0.5 of 90": "urgent", "Your API key ends in 5 of 90": "warning"}
    assert await house.tell() == 0


async def test_faults_money_in_doubt_rivals_and_credentials_are_told_by_their_audience(house: House) -> None:
    account, goods = await house.shop.account(name="Etsy"), await house.shop.variant(units=5)
    listing = await house.shop.listing(account, goods, units=5)
    tenant = {"tenant_id": house.shop.tenant_id}
    async with house.shop.unit() as unit:
        order = await orders.ingest_order(unit, account, house.shop.order({goods.sku: 1}))
        now = unit.now
        moments = {"since": now, "opened_at": now, "last_seen_at": now, "evidence": [], "hint": ""}
        fault = m.ChannelFault(**tenant, account_id=account.id, cause="webhooks-missing", **moments)
        money = {"amount_minor": 1, "currency": "USD", "reason": "Ada", "units": {}, "restock": False}
        alarm = {"listing_id": listing, "why": "Bob", "evidence": [], "raised_at": now}
        event_id = unit.emit(OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale"))
        await unit.flush()
        unit.session.add_all(
            [
                fault,
                m.RefundRequest(**tenant, order_id=order.order_id, state="unknown", **money),
                m.LabelPurchase(
                    **tenant,
                    order_id=order.order_id,
                    parcel={},
                    ship_from={},
                    service="",
                    most_minor=1,
                    currency="USD",
                    state="unknown",
                ),
                m.RivalAlarm(**tenant, alarm="hijack", **alarm),
                m.CredentialEnd(**tenant, account_id=account.id, credential="refresh", ends_at=now, warned_days=7),
                m.AgentTask(**tenant, agent="poisoned", event_id=event_id, priority=1, state="failed", error="Ada"),
            ]
        )
    await house.tell()
    kinds = {role: {each.kind for each in await house.told(role)} - {"agent-down"} for role in ROLES}
    seen = {"channel-fault", "refund-unknown", "label-unknown", "rival-hijack", "credential-ending", "work-set-aside"}
    assert kinds["owner"] == seen
    assert kinds["manager"] == seen - {"credential-ending"}
    assert kinds["clerk"] == {"label-unknown"}
    assert kinds["analyst"] == {"channel-fault", "rival-hijack"}
    assert kinds["read-only"] == set()
    everything = [each.model_dump_json() for each in await house.told("owner")]
    assert not [each for each in everything if "Ada" in each or "Bob" in each], "no free text of anybody's"
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE channel_fault SET closed_at = now()"))
        await unit.session.execute(text("UPDATE credential_end SET warned_days = 1"))
    await house.tell()
    after = {each.kind: each for each in await house.told("owner")}
    assert "channel-fault" not in after and after["channel-repaired"].severity == "info"
    assert after["credential-ending"].severity == "urgent"
    assert len(await house.told("owner", settled=True, kind="credential-ending")) == 1


async def test_another_business_work_set_aside_is_not_told_here(house: House) -> None:
    """Workers see the tasks of all businesses: the pass must not."""
    other = await Shop(house.shop.store).found()
    account, goods = await other.account(), await other.variant(units=1)
    listing = await other.listing(account, goods, units=1)
    async with other.unit() as unit:
        event_id = unit.emit(OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale"))
        await unit.flush()
        unit.session.add(
            m.AgentTask(
                tenant_id=other.tenant_id, agent="theirs", event_id=event_id, priority=1, state="failed", error=""
            )
        )
    await house.tell()
    assert [each for each in await house.told("owner") if each.kind == "work-set-aside"] == []


async def test_a_storm_of_matters_is_told_as_a_hundred_and_one(house: House) -> None:
    storm = 2_000
    account, goods = await house.shop.account(), await house.shop.variant(units=1)
    await house.shop.listing(account, goods, units=1)
    async with house.shop.unit() as unit:
        first = await orders.ingest_order(unit, account, house.shop.order({goods.sku: 1}))
        columns = "amount_minor, currency, reason, units, restock, detail, state, created_at, updated_at"
        await unit.session.execute(
            text(
                "CREATE TEMP TABLE o ON COMMIT DROP AS SELECT gen_random_uuid() AS new_id, c.* FROM customer_order c,"
                f" generate_series(1, {storm}) WHERE c.id = :id"
            ),
            {"id": first.order_id},
        )
        await unit.session.execute(text("UPDATE o SET id = new_id, external_id = new_id::text, number = new_id::text"))
        row = "(jsonb_populate_record(NULL::customer_order, to_jsonb(o) - 'new_id')).*"
        await unit.session.execute(text(f"INSERT INTO customer_order SELECT {row} FROM o"))
        await unit.session.execute(
            text(
                f"INSERT INTO refund_request (id, tenant_id, order_id, {columns}) SELECT gen_random_uuid(), tenant_id,"
                " id, 1, 'USD', '', '{}', false, '', 'unknown', now(), now() FROM o"
            )
        )
    began = asyncio.get_running_loop().time()
    assert await house.tell() == 2 * (matters.MOST_OF_A_SOURCE + 1)
    assert await house.tell() == 0
    assert asyncio.get_running_loop().time() - began < 20
    told = await house.told("owner")
    assert len(told) == matters.MOST_OF_A_SOURCE + 1
    assert [each.title for each in told if each.subject_kind == "list"] == [f"{storm:,} refunds are in doubt in all"]
    shown = {each.link for each in told}
    async with house.shop.unit() as unit:  # one that was told and one that was not are settled
        await unit.session.execute(
            text(
                "UPDATE refund_request SET state = 'refused' WHERE id IN (SELECT id FROM refund_request"
                " WHERE tenant_id = :t ORDER BY id LIMIT 1) OR id IN (SELECT id FROM refund_request"
                " WHERE tenant_id = :t ORDER BY id DESC LIMIT 1)"
            ),
            {"t": house.shop.tenant_id},
        )
    assert await house.tell() == 2, "the next oldest takes its place, for the owner and the manager"
    told = await house.told("owner")
    assert [each.title for each in told if each.subject_kind == "list"] == [
        f"{storm - 2:,} refunds are in doubt in all"
    ]
    assert len(shown & {each.link for each in told}) == len(shown) - 1


async def test_one_sees_and_reads_only_what_is_ones_own(house: House) -> None:
    await house.oversell()
    await house.tell()
    owners = (await house.told("owner"))[0]
    for role in ("manager", "clerk", "read-only"):
        with pytest.raises(NotFound):
            async with house.shop.unit() as unit:
                await inbox.read_one(unit, house.people[role], heard_by(role), owners.id)
    async with house.shop.unit() as unit:
        await inbox.read_all(unit, house.people["clerk"], heard_by("clerk"))
    assert (await house.told("owner"))[0].read_at is None
    # somebody whose role is less from now on sees less at once, and is told nothing more
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE app_user SET role = 'read-only' WHERE id = :id"), {"id": house.people["manager"]}
        )
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        page = await inbox.list_for(
            SessionReader(session),
            house.people["manager"],
            heard_by("read-only"),
            SortedRequest(),
            NotificationFilter(),
        )
    assert (page.items, page.unread) == ([], 0)


async def test_pages_follow_one_another_and_unread_is_counted_over_all(house: House) -> None:
    for _ in range(5):
        await house.oversell()
    await house.tell()
    seen, cursor = [], None
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        while True:
            page = await inbox.list_for(
                SessionReader(session),
                house.people["owner"],
                heard_by("owner"),
                SortedRequest(limit=2, cursor=cursor),
                NotificationFilter(kind="oversold"),
            )
            seen += [each.id for each in page.items]
            assert page.unread >= 5
            cursor = page.next_cursor
            if cursor is None:
                break
    assert len(seen) == len(set(seen)) == 5


async def test_what_a_person_was_told_is_in_their_export_is_pruned_and_goes_with_them(
    house: House, database_urls: dict[str, str]
) -> None:
    await house.oversell()
    await house.tell()
    owner = house.people["owner"]
    async with house.shop.unit() as unit:
        await preferences.put(unit, owner, Preferences(time_zone="Asia/Tokyo"), 0)
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        records = (await privacy_export.user(session, owner)).records
    assert [row["kind"] for row in records["notifications"] if row["kind"] == "oversold"] == ["oversold"]
    assert records["notification_preferences"][0]["choices"]["time_zone"] == "Asia/Tokyo"
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE notification SET settled_at = now() - interval '31 days' WHERE user_id = :id"), {"id": owner}
        )
    done = await retention.run(house.shop.store, house.shop.tenant_id)
    assert done.pruned["notification"] >= 1
    assert await house.told("owner", settled=None) == []
    assert len(await house.told("clerk")) == 1
    async with house.shop.unit() as unit:
        await identity.disable_user(unit, house.people["clerk"])
    assert await house.told("clerk", settled=None) == []


async def test_no_buyer_is_in_what_is_told(house: House, database_urls: dict[str, str]) -> None:
    await house.oversell()
    await house.tell()
    assert "notification" not in holding(database_urls["owner"], house.shop)


async def test_preferences_are_kept_by_version(house: House) -> None:
    owner = house.people["owner"]
    async with house.shop.unit() as unit:
        assert (await preferences.get(unit.session, owner)).version == 0
        first = await preferences.put(unit, owner, Preferences(most_per_hour=3), 0)
        second = await preferences.put(unit, owner, Preferences(most_per_hour=4), first.version)
        assert (first.version, second.version) == (1, 2)
        for stale in (0, 1):
            with pytest.raises(VersionMismatch):
                await preferences.put(unit, owner, Preferences(), stale)
        assert (await preferences.get(unit.session, owner)).choices.most_per_hour == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": ""},
        {"quiet_from": "22:00"},
        {"quiet_from": "22:00Z", "quiet_until": "07:00"},
        {"by_kind": {"weather": ["email"]}},
        {"by_severity": {"urgent": ["pigeon"]}},
        {"most_per_hour": 0},
        {"colour": "red"},
    ],
)
def test_what_is_no_preference(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preferences.model_validate(wrong)


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-01-10T20:59:00+00:00", False),  # 21:59 in Berlin
        ("2026-01-10T21:00:00+00:00", True),
        ("2026-01-11T05:59:00+00:00", True),
        ("2026-01-11T06:00:00+00:00", False),
        ("2026-07-10T19:59:00+00:00", False),  # summer time
        ("2026-07-10T20:00:00+00:00", True),
    ],
)
def test_quiet_hours_are_of_the_persons_own_clock(moment: str, quiet: bool) -> None:
    night = Preferences.model_validate({"time_zone": "Europe/Berlin", "quiet_from": "22:00", "quiet_until": "07:00"})
    assert night.is_quiet(datetime.fromisoformat(moment)) is quiet
    assert not Preferences().is_quiet(datetime.fromisoformat(moment))


def test_digests_are_due_once_a_day_whatever_the_clocks_are_set_to() -> None:
    person = Preferences.model_validate({"time_zone": "Europe/Berlin", "digest_at": "02:30"})  # not there on 29 March
    dues = {
        person.last_digest_due(datetime(2026, 3, 27, tzinfo=UTC) + timedelta(minutes=10 * n)) for n in range(6 * 96)
    }
    days = sorted(due.date() for due in dues)
    assert len(days) == len(set(days)) == 5


def test_every_kind_has_words_an_audience_and_a_severity() -> None:
    for kind in KINDS:
        assert kind in AUDIENCE
        assert "{" not in wording.title(kind, {}) + wording.detail(kind, {})


@pytest.mark.parametrize("hostile", ["{agent.__class__}", "%s", "<script>", "a\u2028b", "x" * 5000, "\ud800", "a\x00b"])
def test_words_from_outside_are_only_words(hostile: str) -> None:
    told = wording.title("oversold", {"order": hostile, "account": "A", "units": 1})
    assert len(told) < 200 and not set(told) & set("\u2028\x00\ud800\n\r")
    assert "class 'str'" not in told
