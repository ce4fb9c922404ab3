"""Catalogues are asked about all that waits at once, and nobody waits for one that refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from scripted_channel import Step
from sqlalchemy import text, update
from stall import Stall, drain

from flipsync.domain.errors import Rejected, Retryable
from flipsync.domain.sourcing import CatalogueAnswered, CatalogueEntry, CatalogueQuestion, LookUpGoods
from flipsync.runtime.effects import EffectWorker
from flipsync.services.sourcing import scans
from flipsync.store.models import SourcingLine
from flipsync.store.repositories import sourcing as rows

Hire = Callable[..., EffectWorker]
CODES = ("4006381333931", "036000291452", "73513537")


@pytest.fixture(autouse=True)
def catalogue(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The scripted channel has a catalogue, which knows of everything but one code. Returns what it is asked."""
    asked: list[tuple[str, ...]] = []

    async def look_up(questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        asked.append(tuple(question.gtin or question.title for question in questions))
        stall.channel._begin("look_up", tuple(question.key for question in questions))
        return [
            CatalogueEntry(key=each.key, external_id=f"P{place}", title="Page", codes=(each.gtin,))
            for place, each in enumerate(questions)
            if each.gtin and not each.gtin.endswith("36000291452")
        ]

    monkeypatch.setattr(stall.channel, "look_up", look_up)
    return asked


async def ask(stall: Stall, *texts: str, waits: bool = True) -> UUID:
    """A question that was decided on and waits for the catalogue."""
    async with stall.shop.unit() as unit:
        questions = [scans.read_question(each) for each in texts]
        scan = await scans.ask(unit, questions, is_list=len(texts) > 1)
        (account,) = await unit.session.execute(text("SELECT name FROM marketplace_account"))
        change = update(SourcingLine).where(SourcingLine.scan_id == scan.id)
        await unit.session.execute(change.values(waiting=[account.name] if waits else []))
        return scan.id


async def look_up(stall: Stall) -> None:
    await stall.shop.enqueue(LookUpGoods(account_id=stall.account.id), stall.account)


async def test_many_questions_are_one_call(stall: Stall, hire: Hire, catalogue: list[tuple[str, ...]]) -> None:
    scans_ = [await ask(stall, code) for code in CODES]
    await ask(stall, "1234567890128", waits=False)
    for _ in range(3):
        await look_up(stall)
    await drain(hire(), stall.shop)
    assert [set(each) for each in catalogue] == [{code.zfill(14) for code in CODES}]
    told = await stall.shop.events(CatalogueAnswered)
    assert sorted((each["scan_id"], each["found"]) for each in told) == sorted(
        (str(scan), int(code != CODES[1])) for scan, code in zip(scans_, CODES, strict=True)
    )
    await look_up(stall)
    await drain(hire(), stall.shop)
    assert len(catalogue) == 1, "what was answered is not asked again"


async def test_people_are_served_before_lists_and_parts_stay_whole(
    stall: Stall, hire: Hire, catalogue: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flipsync.runtime.catalogue_reads.PART", 2)
    await ask(stall, "Lamp one", "Lamp two", "Lamp three")
    await ask(stall, CODES[0])
    await look_up(stall)
    await drain(hire(), stall.shop)
    assert catalogue == [("0" + CODES[0], "Lamp one", "Lamp two"), ("Lamp three",)]
    told = await stall.shop.events(CatalogueAnswered)
    assert [each["part"] for each in told] == [0, 0, 1]


async def test_a_refusal_is_an_answer_and_a_busy_channel_is_asked_again(
    stall: Stall, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = await ask(stall, CODES[0])
    stall.channel.script("look_up", Step(Retryable("busy")), Step(Rejected("no consent for the catalogue")))
    await look_up(stall)
    await drain(hire(), stall.shop)
    assert [each["found"] for each in await stall.shop.events(CatalogueAnswered)] == [0]
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        assert await rows.answered(session, scan, 0) == {stall.account.id}
        assert await rows.finds(session, [(await rows.lines(session, scan, 0, 1))[0].id]) == []


async def test_numbers_of_a_shop_and_old_questions_are_asked_of_nobody(
    stall: Stall, hire: Hire, catalogue: list[tuple[str, ...]]
) -> None:
    await ask(stall, "2012345678903")
    old = await ask(stall, CODES[2])
    async with stall.shop.unit() as unit:
        found = await rows.scan(unit.session, old)
        assert found is not None
        found.asked_at = unit.now - timedelta(days=3)
    await look_up(stall)
    await drain(hire(), stall.shop)
    assert catalogue == []
    assert len(await stall.shop.events(CatalogueAnswered)) == 1, "there is nothing to wait for"
