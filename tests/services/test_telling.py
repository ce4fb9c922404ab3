"""What goes out: to whom, when, in which words, what came of it, and that nothing of it is lost, doubled or leaked."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from notice_servers import HookServer, MailServer
from pydantic import SecretStr
from sqlalchemy import text
from told_people import House

from flipsync.connectors.notices.destination import parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Sender
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.ids import new_id
from flipsync.security.roles import Role
from flipsync.services import identity, privacy_export
from flipsync.services.notices import delivering, destinations, preferences
from flipsync.services.notices.destinations import DestinationForm
from flipsync.services.notices.kinds import Kind, Severity
from flipsync.services.notices.planning import Due, Plan, Way, plan
from flipsync.services.notices.preferences import Preferences
from flipsync.services.reading_page import PageRequest

INSIDE = Reach(["127.0.0.0/8"])


def mail_url(server: MailServer) -> str:
    return f"mailto://127.0.0.1:{server.port}?from=shop@example.com&to=ada@example.com"


def hook_url(server: HookServer) -> str:
    return f"http://127.0.0.1:{server.port}/hook/SECRET"


async def add(house: House, role: Role, url: str) -> UUID:
    form = DestinationForm(url=SecretStr(url))
    found = await destinations.checked(form, INSIDE)
    async with house.shop.unit() as unit:
        view = await destinations.add(unit, house.box, house.people[role], form.url, found)
    assert view.state == "untried"
    return view.id


async def beat(house: House, *, seconds: float = 2.0, bases: dict[str, str] | None = None) -> None:
    """A pass, and what it sent arrives."""
    notifier = house.notifier(Sender(INSIDE, seconds=seconds, bases=bases))
    await notifier.look(house.shop.tenant_id)
    await notifier.settle()


async def later(house: House) -> None:
    """What was put off is due."""
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE notification_delivery SET not_before = now(), lease_until = lease_until - interval '1 hour'")
        )


async def states(house: House, role: Role = "owner") -> list[tuple[str, str, int]]:
    """(purpose, state, attempts), oldest first."""
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        page = await destinations.list_deliveries(session, house.people[role], PageRequest(limit=200))
    return [(each.purpose, each.state, each.attempts) for each in reversed(page.items)]


async def test_a_destination_is_tested_and_then_told_in_words_that_are_only_words(
    house: House, mails: MailServer
) -> None:
    destination_id = await add(house, "clerk", mail_url(mails))
    await beat(house)
    assert [each["Subject"] for each in mails.mails] == ["[FlipSync] This is how FlipSync will tell you"]
    order_id = await house.oversell(number='<img src=x onerror="a()">\r\nBcc: all@x.example')
    await beat(house)
    (told,) = mails.mails[1:]
    assert told["Subject"].startswith('[FlipSync] Order <img src=x onerror="a()"> Bcc: all@x.example of Ada')
    assert "Bcc" not in told and told["X-Envelope-To"] == "ada@example.com"
    html = told.get_body(("html",)).get_content()  # type: ignore[union-attr]
    plain = told.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "<img" not in html and "<b>" not in html and "&lt;img src=x onerror=&quot;a()&quot;&gt;" in html
    assert f'href="https://app.example/orders/{order_id}"' in html and f"https://app.example/orders/{order_id}" in plain
    assert await states(house, "clerk") == [("test", "sent", 1), ("one", "sent", 1)]
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        listed = (await destinations.list_for(session, house.people["clerk"])).items
    assert [(each.id, each.state, each.shown) for each in listed] == [
        (destination_id, "working", "a…@example.com by 127.0.0.1")
    ]
    assert await states(house, "owner") == [], "nobody else is told"


async def test_what_is_settled_before_it_goes_is_not_told(house: House, hooks: HookServer) -> None:
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    hooks.status = 503
    await house.oversell()
    await beat(house)
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE order_line SET short = 0"))
    hooks.status = 200
    await later(house)
    await beat(house)
    assert (await states(house))[1:] == [("one", "pointless", 2)]


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        ({"status": 503}, "waiting"),
        ({"status": 500}, "waiting"),
        ({"hang": 5.0}, "waiting"),
        ({"status": 404}, "rejected"),
        ({"status": 302, "headers": "Location: http://169.254.169.254/\r\n"}, "rejected"),
    ],
)
async def test_outcomes_of_a_harmless_message(
    house: House, hooks: HookServer, trouble: dict[str, Any], state: str
) -> None:
    destination_id = await add(house, "owner", hook_url(hooks))
    await beat(house)
    for name, value in trouble.items():
        setattr(hooks, name, value)
    await house.oversell()
    await beat(house, seconds=0.4)
    assert (await states(house))[-1] == ("one", state, 1)
    await beat(house, seconds=0.4)
    assert len(hooks.requests) == 2, "not before its time"
    hooks.status, hooks.hang = 200, 0
    await later(house)
    await beat(house)
    if state == "waiting":
        assert (await states(house))[-1] == ("one", "sent", 2)
        assert [each["id"] for each in hooks.bodies()[1:]] == [hooks.bodies()[1]["id"]] * 2, "known for the same"
        return
    # refused: nothing goes there until a test arrives
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 2
    async with house.shop.unit() as unit:
        await destinations.test(unit, house.people["owner"], destination_id)
    await beat(house)
    await house.oversell()
    await beat(house)
    assert (await states(house))[-2:] == [("test", "sent", 1), ("one", "sent", 1)]


async def test_an_sms_that_may_have_arrived_is_not_sent_again(house: House, hooks: HookServer) -> None:
    bases = {"twilio": f"http://127.0.0.1:{hooks.port}"}
    form = DestinationForm(url=SecretStr("twilio://AC1:token@+15550001111/+15552223333"))
    async with house.shop.unit() as unit:
        await destinations.add(unit, house.box, house.people["owner"], form.url, parse(form.url.get_secret_value()))
    await beat(house, bases=bases)
    hooks.hang = 5.0
    await house.oversell()
    await beat(house, seconds=0.4, bases=bases)
    assert (await states(house))[-1] == ("one", "unknown", 1)
    await later(house)
    await beat(house, bases=bases)
    assert len(hooks.requests) == 2
    assert b"Body=FlipSync" in hooks.requests[0][2]


async def test_it_gives_up_after_so_many_tries_and_the_destination_stays(house: House, hooks: HookServer) -> None:
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    hooks.status = 503
    await house.oversell()
    for _ in range(delivering.MOST_ATTEMPTS + 2):
        await beat(house)
        await later(house)
    assert (await states(house))[-1] == ("one", "rejected", delivering.MOST_ATTEMPTS)
    hooks.status = 200
    await house.oversell()
    await beat(house)
    assert (await states(house))[-1] == ("one", "sent", 1)


async def test_a_test_that_does_not_arrive_leaves_the_destination_out(house: House, hooks: HookServer) -> None:
    hooks.status = 404
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    await house.oversell()
    await beat(house)
    assert await states(house) == [("test", "rejected", 1)]


async def test_one_that_was_cut_off_is_sent_again_and_the_late_word_of_the_first_counts_no_more(
    house: House, hooks: HookServer
) -> None:
    """kill -9 in the middle: the lease ends."""
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    await house.oversell()
    notifier = house.notifier(Sender(INSIDE))
    await notifier.look(house.shop.tenant_id)
    for task in list(notifier._under_way):
        task.cancel()
    await asyncio.gather(*notifier._under_way, return_exceptions=True)
    assert (await states(house))[-1] == ("one", "sending", 1)
    await beat(house)
    assert (await states(house))[-1] == ("one", "sending", 1), "its time is not over"
    await later(house)
    await beat(house)
    assert (await states(house))[-1] == ("one", "sent", 2)


async def test_two_notifiers_at_once_send_each_message_once(house: House, hooks: HookServer) -> None:
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    for _ in range(3):
        await house.oversell()
    notifiers = [house.notifier(Sender(INSIDE)) for _ in range(3)]
    await asyncio.gather(*(each.look(house.shop.tenant_id) for each in notifiers))
    await asyncio.gather(*(each.settle() for each in notifiers))
    assert (await states(house))[1:] == [("one", "sent", 1)] * 3
    assert len(hooks.requests) == 4


async def test_a_storm_becomes_one_message(house: House, hooks: HookServer) -> None:
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    for number in range(9):
        await house.oversell(number=f"N{number}")
    await beat(house)
    assert (await states(house))[1:] == [("digest", "sent", 1)]
    assert hooks.bodies()[1]["title"].startswith("9 matters: Order N8 of")
    assert all(f"Order N{number} of" in hooks.bodies()[1]["text"] for number in range(9))


async def test_a_destination_that_hangs_holds_up_no_pass_and_no_other(
    house: House, hooks: HookServer, mails: MailServer
) -> None:
    await add(house, "owner", hook_url(hooks))
    await add(house, "manager", mail_url(mails))
    await beat(house)
    hooks.hang = 30
    await house.oversell()
    notifier = house.notifier(Sender(INSIDE, seconds=20))
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await notifier.look(house.shop.tenant_id)
    assert asyncio.get_running_loop().time() - began < 5
    async with asyncio.timeout(5):
        while len(mails.mails) < 2:
            await asyncio.sleep(0.02)
    for task in list(notifier._under_way):
        task.cancel()


async def test_a_destination_is_a_secret(
    house: House, hooks: HookServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    await add(house, "owner", hook_url(hooks))
    hooks.status = 404
    await beat(house)
    rows = await house.shop.rows("SELECT d::text AS whole FROM notification_destination d WHERE tenant_id = :tenant")
    audit = await house.shop.rows("SELECT a::text AS whole FROM audit_entry a WHERE tenant_id = :tenant")
    assert rows and audit and not [row for row in (*rows, *audit) if "SECRET" in row.whole]
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        export = await privacy_export.user(session, house.people["owner"])
    assert export.records["notification_destinations"] and "SECRET" not in export.model_dump_json()
    assert "sealed" not in export.records["notification_destinations"][0]
    said = caplog.text + "".join(capfd.readouterr())
    assert "SECRET" not in said


async def test_ones_destinations_are_nobody_elses(house: House, hooks: HookServer) -> None:
    destination_id = await add(house, "owner", hook_url(hooks))
    for role in ("clerk", "manager"):
        async with house.shop.store.reader(house.shop.tenant_id) as session:
            assert (await destinations.list_for(session, house.people[role])).items == []
        for act in (destinations.test, destinations.remove):
            with pytest.raises(NotFound):
                async with house.shop.unit() as unit:
                    await act(unit, house.people[role], destination_id)
    async with house.shop.unit() as unit:
        await destinations.remove(unit, house.people["owner"], destination_id)
    await beat(house)
    assert hooks.requests == [], "the test that waited goes nowhere"
    sealed = await house.shop.rows("SELECT sealed FROM notification_destination WHERE tenant_id = :tenant")
    assert [bytes(row.sealed) for row in sealed] == [b""]
    with pytest.raises(Conflict, match="tests"):  # adding and removing again and again gets nobody more tests
        for _ in range(destinations.MOST_TESTS + 1):
            again = await add(house, "owner", hook_url(hooks))
            async with house.shop.unit() as unit:
                await destinations.remove(unit, house.people["owner"], again)


async def test_nobody_has_more_than_so_many_or_tests_more_often(house: House, hooks: HookServer) -> None:
    first = await add(house, "owner", hook_url(hooks))
    for _ in range(destinations.MOST - 1):
        await add(house, "owner", hook_url(hooks))
    with pytest.raises(Conflict, match="no"):
        await add(house, "owner", hook_url(hooks))
    with pytest.raises(Conflict, match="tests"):
        async with house.shop.unit() as unit:
            await destinations.test(unit, house.people["owner"], first)


async def test_who_is_gone_is_told_nothing_and_their_destinations_are_forgotten(
    house: House, hooks: HookServer
) -> None:
    await add(house, "clerk", hook_url(hooks))
    await beat(house)
    async with house.shop.unit() as unit:
        await identity.disable_user(unit, house.people["clerk"])
    await house.oversell()
    await beat(house)
    assert len(hooks.requests) == 1
    for table in ("notification_destination", "notification_delivery", "notification"):
        rows = await house.shop.rows(f"SELECT user_id FROM {table} WHERE tenant_id = :tenant")
        assert house.people["clerk"] not in {row.user_id for row in rows}


async def test_whose_role_is_less_by_the_time_it_goes_is_not_told(house: House, hooks: HookServer) -> None:
    await add(house, "clerk", hook_url(hooks))
    await beat(house)
    hooks.status = 503
    await house.oversell()
    await beat(house)
    async with house.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE app_user SET role = 'read-only' WHERE id = :id"), {"id": house.people["clerk"]}
        )
    hooks.status = 200
    await later(house)
    await beat(house)
    assert (await states(house, "clerk"))[-1] == ("one", "pointless", 2)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://localhost/", "https://169.254.169.254/latest"])
async def test_nothing_inside_is_taken_for_a_destination(url: str) -> None:
    with pytest.raises(InvalidInput):
        await destinations.checked(DestinationForm(url=SecretStr(url)), Reach())


# -- when and how much ------------------------------------------------------------------------------------------------

NIGHT = datetime(2026, 1, 10, 23, 0, tzinfo=UTC)
MAIL, SMS, CHAT = Way(new_id(), "email"), Way(new_id(), "sms"), Way(new_id(), "chat")
QUIET: dict[str, Any] = {"quiet_from": "22:00", "quiet_until": "07:00"}


def due(kind: Kind = "oversold", severity: Severity = "urgent", at: datetime = NIGHT) -> Due:
    return Due(new_id(), kind, severity, at)


def planned(choices: dict[str, Any], each: list[Due], *, sent: int = 0, now: datetime = NIGHT) -> Plan:
    return plan(Preferences.model_validate(choices), [MAIL, SMS, CHAT], each, sent, now)


def test_over_what_is_chosen_by_severity_and_before_it_by_kind() -> None:
    urgent, warning, info = due(), due("label-unknown", "warning"), due("channel-repaired", "info")
    made = planned({}, [urgent, warning, info])
    assert [(each.destination_id, each.about) for each in made.messages] == [
        (MAIL.id, (urgent.id,)),
        (MAIL.id, (warning.id,)),
        (SMS.id, (urgent.id,)),
        (CHAT.id, (urgent.id,)),
        (CHAT.id, (warning.id,)),
    ]
    assert set(made.done) == {urgent.id, warning.id, info.id}
    made = planned({"by_kind": {"oversold": [], "channel-repaired": ["sms"]}}, [urgent, info])
    assert [(each.destination_id, each.about) for each in made.messages] == [(SMS.id, (info.id,))]


def test_quiet_hours_wait_and_what_is_urgent_passes_if_the_person_says_so() -> None:
    urgent, warning = due(), due("label-unknown", "warning")
    passing = planned(QUIET, [urgent, warning])
    assert {each.about for each in passing.messages} == {(urgent.id,)} and passing.done == (urgent.id,)
    assert planned(QUIET | {"urgent_passes": False}, [urgent, warning]) == Plan((), ())
    morning = NIGHT + timedelta(hours=8, minutes=1)
    assert len(planned(QUIET, [warning], now=morning).messages) == 2


def test_a_daily_digest_waits_for_its_time_and_holds_nothing_urgent_back() -> None:
    choices = {"digest": "daily", "digest_at": "08:00"}
    warnings = [due("label-unknown", "warning") for _ in range(2)]
    urgent = due()
    assert [each.about for each in planned(choices, [*warnings, urgent]).messages] == [(urgent.id,)] * 3
    before, at_eight = NIGHT + timedelta(hours=8, minutes=59), NIGHT + timedelta(hours=9)
    assert planned(choices, warnings, now=before).messages == ()
    assert [each.about for each in planned(choices, warnings, now=at_eight).messages if each.destination_id == MAIL.id]


def test_what_is_more_than_an_hour_takes_comes_as_one() -> None:
    many = [due() for _ in range(50)]
    made = planned({}, many)
    assert [(each.purpose, len(each.about)) for each in made.messages] == [("digest", 50)] * 3
    assert planned({}, many, sent=12) == Plan((), ()), "the rest waits until the hour is over"
    made = planned({}, many[:2], sent=11)
    assert [(each.purpose, len(each.about)) for each in made.messages] == [("digest", 2)] * 3


async def test_the_hours_measure_is_kept_over_passes(house: House, hooks: HookServer) -> None:
    owner = house.people["owner"]
    async with house.shop.unit() as unit:
        await preferences.put(unit, owner, Preferences(most_per_hour=2), 0)
    await add(house, "owner", hook_url(hooks))
    await beat(house)
    for number in range(5):
        await house.oversell(number=f"N{number}")
        await beat(house)
    assert len(hooks.requests) == 1 + 2
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE notification_delivery SET created_at = created_at - interval '1 hour'"))
    await beat(house)
    assert (await states(house))[-1] == ("digest", "sent", 1)
    assert hooks.bodies()[-1]["title"].startswith("3 matters")
