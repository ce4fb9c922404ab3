"""Reports that are made by themselves: when they are due, made once, sent with their file, retried, ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_servers import HookServer, MailServer
from pydantic import SecretStr
from sqlalchemy import text
from told_people import House

from flipsync.connectors.notices.destination import parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Attached, Message, Sender, call, mail
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Retryable
from flipsync.services import report_making, report_schedules, reports
from flipsync.services.notices import destinations
from flipsync.services.notices.destinations import DestinationForm
from flipsync.services.reading_page import PageRequest
from flipsync.services.report_schedules import MOST, ReportRunView, ScheduleForm, ScheduleView, next_due

INSIDE = Reach(["127.0.0.0/8"])
PAGE = PageRequest(limit=200)


async def told_at(house: House, url: str) -> None:
    """The owner is told there, and a test has arrived."""
    form = DestinationForm(url=SecretStr(url))
    found = await destinations.checked(form, INSIDE)
    async with house.shop.unit() as unit:
        await destinations.add(unit, house.box, house.people["owner"], form.url, found)
    await beat(house)


async def beat(house: House, times: int = 1) -> None:
    """Passes, and what each began comes to its end."""
    notifier = house.notifier(Sender(INSIDE, seconds=2.0))
    for _ in range(times):
        await notifier.look(house.shop.tenant_id)
        await notifier.settle()


async def schedule(house: House, *, due: bool = True, **wish: Any) -> ScheduleView:
    async with house.shop.unit() as unit:
        form = ScheduleForm.model_validate({"kind": "sales", "format": "csv", "rhythm": "daily"} | wish)
        view = await report_schedules.schedule(unit, house.people["owner"], form)
        if due:
            await unit.session.execute(
                text("UPDATE report_schedule SET next_at = now() - interval '1 minute' WHERE id = :id"), {"id": view.id}
            )
    return view


async def runs(house: House, user_id: UUID | None = None) -> list[ReportRunView]:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        return (await report_schedules.list_runs(session, user_id, PAGE)).items


async def test_a_report_is_made_once_and_goes_out_by_mail_with_its_file(house: House, mails: MailServer) -> None:
    await told_at(house, f"mailto://127.0.0.1:{mails.port}?from=shop@example.com&to=ada@example.com")
    await schedule(house)
    await beat(house, times=4)
    (run,) = await runs(house)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert (run.state, run.first, run.last) == ("made", run.last, run.last) and abs((run.last - yesterday).days) <= 1
    (told,) = mails.mails[1:]
    assert told["Subject"] == f"[FlipSync] Sales report, {run.last}"
    (attached,) = told.iter_attachments()
    assert attached.get_filename() == f"flipsync-sales-{run.last}-to-{run.last}.csv"
    assert attached.get_payload(decode=True).startswith(b"\xef\xbb\xbfDay,Channel")
    assert f"https://app.example/reports/runs/{run.id}" in told.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        kept = await report_schedules.file(session, house.people["owner"], run.id)
        assert kept.content == attached.get_payload(decode=True) and kept.media_type.startswith("text/csv")
        with pytest.raises(NotFound):
            await report_schedules.file(session, house.people["manager"], run.id)
    assert await house.told("manager") == []  # nobody else is told


async def test_elsewhere_it_is_a_word_that_it_is_there(house: House, hooks: HookServer) -> None:
    await told_at(house, f"http://127.0.0.1:{hooks.port}/hook/SECRET")
    await schedule(house, format="pdf", kind="customers")
    await beat(house, times=3)
    said = [str(each) for each in hooks.bodies()]
    assert sum("Customers report" in each for each in said) == 1 and "%PDF" not in str(said)


async def test_two_at_once_make_it_once_and_one_that_was_cut_off_is_made_again(house: House) -> None:
    await schedule(house)
    await asyncio.gather(*(beat(house, times=2) for _ in range(3)))
    assert [run.state for run in await runs(house)] == ["made"]
    async with house.shop.unit() as unit:  # the process died while it was made
        await unit.session.execute(
            text(
                "UPDATE report_run SET state = 'making', finished_at = NULL, content = NULL,"
                " lease_until = now() - interval '1 second'"
            )
        )
    await beat(house)
    assert [run.state for run in await runs(house)] == ["made"]
    counted = await house.shop.rows("SELECT attempts FROM report_run WHERE tenant_id = :tenant")
    assert [row.attempts for row in counted] == [2]


async def test_one_that_cannot_be_made_is_tried_again_or_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [Retryable("not now"), InvalidInput("too many rows")]
    build = reports.build

    async def failing(*args: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await build(*args)

    monkeypatch.setattr(report_making.reports, "build", failing)
    await schedule(house)
    await beat(house)
    assert [(run.state, run.detail) for run in await runs(house)] == [("waiting", "not now")]
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE report_run SET not_before = now()"))
    await beat(house, times=2)
    assert [(run.state, run.detail, run.file) for run in await runs(house)] == [("failed", "too many rows", None)]
    assert [each.kind for each in await house.told("owner")] == ["report-failed"]


async def test_one_that_has_ended_or_whose_person_left_is_made_no_more(house: House) -> None:
    ended, left = await schedule(house), await schedule(house, kind="profit")
    async with house.shop.unit() as unit:
        again = [await report_schedules.end(unit, None, ended.id) for _ in range(2)]
        assert all(each.next_at is None for each in again)
        with pytest.raises(NotFound):
            await report_schedules.end(unit, house.people["manager"], left.id)
        await unit.session.execute(
            text("UPDATE app_user SET role = 'clerk' WHERE id = :id"), {"id": house.people["owner"]}
        )
    await beat(house)
    assert await runs(house) == []
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        listed = (await report_schedules.list_schedules(session, house.people["owner"], PAGE)).items
    assert [each.why_ended for each in listed] == ["the person may not see these figures any more", "ended by a person"]


async def test_nobody_has_more_than_enough(house: House) -> None:
    for _ in range(MOST):
        await schedule(house, due=False)
    with pytest.raises(Conflict):
        await schedule(house)
    with pytest.raises(InvalidInput):
        await schedule(house, rhythm="daily", weekday="monday")


def test_files_go_along_with_mail_only() -> None:
    file = Attached("a.csv", "text/csv; charset=utf-8", b"x")
    message = Message("1", "t", "t", "<p>t</p>", "t", files=(file,))
    sent = mail(parse("mailto://127.0.0.1?from=a@example.com&to=b@example.com"), message)
    assert [each.get_filename() for each in sent.iter_attachments()] == ["a.csv"]
    _, sendgrid = call(parse("sendgrid://SG.key:shop@example.com/ada@example.com"), message)
    assert sendgrid["json"]["attachments"] == [{"content": "eA==", "type": "text/csv", "filename": "a.csv"}]
    _, mailgun = call(parse("mailgun://shop@mg.example.com/API-KEY/ada@example.com"), message)
    assert mailgun["files"] == [("attachment", ("a.csv", b"x", "text/csv; charset=utf-8"))]
    assert "files" not in str(call(parse("http://127.0.0.1:9/hook/SECRET"), message))


@pytest.mark.parametrize(
    ("weekday", "day", "after", "due"),
    [
        (None, None, datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # left out
        (None, None, datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice
        (None, None, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)),
        (0, None, datetime(2026, 7, 6, 0, 29, tzinfo=UTC), datetime(2026, 7, 6, 0, 30, tzinfo=UTC)),
        (0, None, datetime(2026, 7, 6, 0, 30, tzinfo=UTC), datetime(2026, 7, 13, 0, 30, tzinfo=UTC)),
        (None, 28, datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, 1, 30, tzinfo=UTC)),
    ],
)
def test_when_it_is_due_in_berlin(weekday: int | None, day: int | None, after: datetime, due: datetime) -> None:
    assert next_due(time(2, 30), weekday, day, "Europe/Berlin", after) == due


@given(
    after=st.integers(1_700_000_000, 2_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    weekday=st.none() | st.integers(0, 6),
    zone=st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"]),
    hour=st.integers(0, 23),
)
def test_it_is_always_due_again_and_never_twice(after: datetime, weekday: int | None, zone: str, hour: int) -> None:
    due = next_due(time(hour, 30), weekday, None, zone, after)
    assert timedelta() < due - after <= timedelta(days=1 if weekday is None else 7, hours=1)
    assert next_due(time(hour, 30), weekday, None, zone, due) - due >= timedelta(hours=22)


def test_what_it_is_about() -> None:
    class Row:
        rhythm = "daily"

    row: Any = Row()
    due = date(2026, 3, 1)
    assert report_schedules.span(row, due) == (date(2026, 2, 28), date(2026, 2, 28))
    row.rhythm = "weekly"
    assert report_schedules.span(row, due) == (date(2026, 2, 22), date(2026, 2, 28))
    row.rhythm = "monthly"
    assert report_schedules.span(row, date(2026, 3, 28)) == (date(2026, 2, 1), date(2026, 2, 28))
