"""What people are told by web push: read by a browser of the tests' own, and ended where it has to end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from erased_buyer import MARK
from notice_servers import HookServer
from push_browser import Browser, unb64
from sqlalchemy import text
from test_telling import INSIDE, beat, later, states
from told_people import House, open_house

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.security.roles import Role
from flipsync.security.secrets import SecretBox, SecretUnreadable
from flipsync.services import identity
from flipsync.services.notices import destinations, preferences, subscriptions
from flipsync.services.notices.destinations import DestinationView
from flipsync.services.notices.preferences import Preferences
from flipsync.services.notices.subscriptions import SubscriptionForm
from flipsync.store import models as m

#: one installation has one key pair, and one box that opens it, whichever test is first
BOX = SecretBox(secrets.token_bytes(32))


@pytest.fixture(scope="module")
def database_urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """An installation of their own: what others seal with another key is not to be opened here."""
    return make_database()


@pytest.fixture
async def house(database_urls: dict[str, str]) -> AsyncIterator[House]:
    async with open_house(database_urls["worker"]) as found:
        found.box = BOX
        yield found


def service(hooks: HookServer) -> str:
    return f"http://127.0.0.1:{hooks.port}"


async def sign_in(house: House, role: Role = "owner") -> UUID:
    async with house.shop.unit() as unit:
        opened = m.UserSession(
            id=new_id(),
            tenant_id=unit.tenant_id,
            user_id=house.people[role],
            expires_at=utc_now() + timedelta(days=30),
        )
        unit.session.add(opened)
    return opened.id


async def subscribe(
    house: House, browser: Browser, endpoint: str, role: Role = "owner", session_id: UUID | None = None
) -> DestinationView:
    session_id = session_id or await sign_in(house, role)
    form = SubscriptionForm.model_validate(browser.subscription(endpoint) | {"device": " Ana's  phone "})
    found = await subscriptions.checked(form, INSIDE)
    async with house.shop.unit() as unit:
        return await subscriptions.subscribe(unit, house.box, house.people[role], session_id, form, found)


async def read(house: House, browser: Browser, hooks: HookServer, index: int = -1) -> dict[str, Any]:
    async with house.shop.unit() as unit:
        key = await subscriptions.public_key(unit, house.box)
    return browser.read(hooks.requests[index], service=service(hooks), public_key=key.public_key)


async def listed(house: House, role: Role = "owner") -> list[DestinationView]:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        return (await destinations.list_for(session, house.people[role])).items


async def removals(house: House) -> list[str]:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        found = await session.execute(
            text("SELECT details->>'why' FROM audit_entry WHERE action = 'notifications.destination-removed'")
        )
        return list(found.scalars())


async def test_a_phone_is_tested_and_then_told_in_the_same_words_with_no_buyer_in_them(
    house: House, hooks: HookServer
) -> None:
    browser = Browser()
    view = await subscribe(house, browser, f"{service(hooks)}/push/SECRET", "clerk")
    assert (view.channel, view.service, view.state) == ("push", "webpush", "untried")
    assert view.shown == "Ana's phone by 127.0.0.1"
    await beat(house)
    assert (await read(house, browser, hooks))["title"] == "This is how FlipSync will tell you"
    order_id = await house.oversell()
    await beat(house)
    told = await read(house, browser, hooks)
    (matter,) = [each for each in await house.told("clerk") if each.kind == "oversold"]
    assert (told["title"], told["body"], told["link"]) == (matter.title, matter.text, f"/orders/{order_id}")
    assert hooks.requests[-1][1]["urgency"] == "high"
    assert MARK not in str(told), "no buyer is named"
    assert await states(house, "clerk") == [("test", "sent", 1), ("one", "sent", 1)]
    assert len(hooks.requests) == 2, "nobody else is told"
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        stored = await session.execute(text("SELECT d::text FROM notification_destination d"))
        assert "SECRET" not in "".join(stored.scalars())


async def test_many_matters_are_one_message_and_quiet_hours_are_quiet(house: House, hooks: HookServer) -> None:
    browser = Browser()
    await subscribe(house, browser, f"{service(hooks)}/push/1")
    await beat(house)
    now = utc_now()
    asleep = Preferences(
        quiet_from=(now - timedelta(hours=1)).time(),
        quiet_until=(now + timedelta(hours=1)).time(),
        urgent_passes=False,
    )
    async with house.shop.unit() as unit:
        await preferences.put(unit, house.people["owner"], asleep, 0)
    for _ in range(5):
        await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 1
    async with house.shop.unit() as unit:
        await preferences.put(unit, house.people["owner"], Preferences(), 1)
    await beat(house)
    told = await read(house, browser, hooks)
    assert told["title"].startswith("5 matters: ") and (told["body"], told["link"]) == ("", "/notifications")
    assert (await states(house))[1:] == [("digest", "sent", 1)]
    async with house.shop.unit() as unit:
        await preferences.put(unit, house.people["owner"], Preferences(by_kind={"oversold": ("email",)}), 2)
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 2, "they said that this is not for their phone"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(house: House, hooks: HookServer, status: int) -> None:
    await subscribe(house, Browser(), f"{service(hooks)}/push/1")
    await beat(house)
    hooks.status = status
    await house.oversell()
    await beat(house)
    assert (await states(house))[-1] == ("one", "rejected", 1)
    assert await listed(house) == [] and await removals(house) == ["subscribed no more"]
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        left = (await session.execute(text("SELECT sealed, mark FROM notification_destination"))).one()
    assert tuple(left) == (b"", None), "its keys are gone"
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 2


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, "Retry-After: 7200\r\n", 7200),
        (503, "Retry-After: 31536000\r\n", 86_400),
        (429, "Retry-After: 1\r\n", 30),
        (500, "", 30),
    ],
)
async def test_a_service_that_wants_patience_gets_it(
    house: House, hooks: HookServer, status: int, headers: str, seconds: int
) -> None:
    browser = Browser()
    await subscribe(house, browser, f"{service(hooks)}/push/1")
    await beat(house)
    hooks.status, hooks.headers = status, headers
    await house.oversell()
    began = utc_now()
    await beat(house)
    assert (await states(house))[-1] == ("one", "waiting", 1)
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        due = await session.scalar(text("SELECT max(not_before) FROM notification_delivery"))
    assert seconds <= (due - began).total_seconds() < seconds + 10
    hooks.status, hooks.headers = 201, ""
    await later(house)
    await beat(house)
    assert (await states(house))[-1] == ("one", "sent", 2)
    assert hooks.requests[1][1]["topic"] == hooks.requests[2][1]["topic"], "it replaces itself"


async def test_what_nobody_knows_is_sent_again_and_replaces_itself(house: House, hooks: HookServer) -> None:
    browser = Browser()
    await subscribe(house, browser, f"{service(hooks)}/push/1")
    await beat(house)
    hooks.hang = 9.0
    await house.oversell()
    await beat(house, seconds=2.0)
    assert (await states(house))[-1] == ("one", "waiting", 1)
    hooks.hang = 0.0
    await later(house)
    await beat(house)
    assert (await states(house))[-1] == ("one", "sent", 2)
    first, second = [await read(house, browser, hooks, index) for index in (1, 2)]
    assert first == second and hooks.requests[1][1]["topic"] == hooks.requests[2][1]["topic"]


async def test_a_refused_sender_stops_until_a_test_arrives(house: House, hooks: HookServer) -> None:
    view = await subscribe(house, Browser(), f"{service(hooks)}/push/1")
    await beat(house)
    hooks.status = 403
    await house.oversell()
    await beat(house)
    assert [(each.id, each.state) for each in await listed(house)] == [(view.id, "refused")]


@pytest.mark.parametrize("ended", ["revoked_at = now()", "expires_at = now()"])
async def test_a_phone_that_was_signed_out_hears_nothing_more(house: House, hooks: HookServer, ended: str) -> None:
    await subscribe(house, Browser(), f"{service(hooks)}/push/1")
    await beat(house)
    async with house.shop.unit() as unit:
        await unit.session.execute(text(f"UPDATE user_session SET {ended}"))
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 1 and (await states(house))[-1] == ("one", "pointless", 1)
    assert await listed(house) == [] and await removals(house) == ["signed out"]


async def test_who_is_let_go_is_told_nothing_more(house: House, hooks: HookServer) -> None:
    await subscribe(house, Browser(), f"{service(hooks)}/push/1", "clerk")
    await beat(house)
    async with house.shop.unit() as unit:
        await identity.disable_user(unit, house.people["clerk"])
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 1 and await listed(house, "clerk") == []


async def test_an_app_that_starts_again_brings_the_same_and_gets_no_other_test(house: House, hooks: HookServer) -> None:
    browser, endpoint = Browser(), f"{service(hooks)}/push/1"
    first = await subscribe(house, browser, endpoint)
    await beat(house)
    newer = await sign_in(house)
    again = await subscribe(house, browser, endpoint, session_id=newer)
    assert (again.id, again.state) == (first.id, "working")
    await beat(house)
    assert len(hooks.requests) == 1
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE user_session SET revoked_at = now() WHERE id <> :id"), {"id": newer})
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 2, "it counts for the newer sign-in"
    renewed = Browser()
    other = await subscribe(house, renewed, endpoint, session_id=newer)
    assert (other.id, other.state) == (first.id, "untried")
    await beat(house)
    assert (await read(house, renewed, hooks))["title"] == "This is how FlipSync will tell you"
    assert [each.state for each in await listed(house)] == ["working"]


async def test_a_phone_tells_one_person_at_a_time(house: House, hooks: HookServer) -> None:
    browser, endpoint = Browser(), f"{service(hooks)}/push/1"
    await subscribe(house, browser, endpoint, "manager")
    await beat(house)
    theirs = await subscribe(house, browser, endpoint, "clerk")
    assert await listed(house, "manager") == [] and [each.id for each in await listed(house, "clerk")] == [theirs.id]
    assert await removals(house) == ["another person's now"]
    await beat(house)
    await house.oversell()
    await beat(house)
    assert [state for _, state, _ in await states(house, "clerk")] == ["sent", "sent"]
    assert [state for _, state, _ in await states(house, "manager")] == ["sent"]


async def test_the_key_is_made_once_for_all_and_kept_sealed(house: House, database_urls: dict[str, str]) -> None:
    async def seen(each: House) -> str:
        async with each.shop.unit() as unit:
            return (await subscriptions.public_key(unit, house.box)).public_key

    async with open_house(database_urls["worker"]) as neighbour:
        keys = await asyncio.gather(*(seen(each) for each in (house, neighbour) * 4))
    assert len(set(keys)) == 1
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        private = (await subscriptions.vapid(session, house.box)).text
        (stored,) = (await session.execute(text("SELECT sealed FROM installation_secret"))).scalars()
        assert private.encode() not in stored and unb64(private) not in stored
        with pytest.raises(SecretUnreadable):
            await subscriptions.vapid(session, SecretBox(secrets.token_bytes(32)))
    async with house.shop.unit() as unit:
        allowed = await unit.session.scalar(
            text("SELECT has_table_privilege('installation_secret', 'UPDATE, DELETE, TRUNCATE')")
        )
        assert allowed is False


@pytest.mark.parametrize(
    "endpoint", ["https://10.0.0.1/push", "https://localhost/push", "http://93.184.216.34/push", "https://[::1]/push"]
)
async def test_what_leads_inside_is_no_push_service(endpoint: str) -> None:
    from flipsync.connectors.notices.reach import Reach

    with pytest.raises(InvalidInput):
        await subscriptions.checked(SubscriptionForm.model_validate(Browser().subscription(endpoint)), Reach())
