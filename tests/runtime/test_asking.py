"""A model is asked within the business's budget, whoever asks; what it costs is on record, and one that fails rests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from shop import Shop

from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.ids import new_id
from flipsync.intelligence.language import (
    Fact,
    LanguageModel,
    Price,
    Prompt,
    Question,
    Reply,
    ScriptedModel,
    Step,
    Usage,
)
from flipsync.intelligence.language.port import Unusable, most
from flipsync.runtime.asking import Asker
from flipsync.services.settings_changes import set_settings
from flipsync.store.repositories import language as rows

PRICE = Price(Decimal("1"), Decimal("2"))


class View(BaseModel):
    word: str


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    (tmp_path / "viewer.prompt.md").write_text("version: 1\n\nSay a word.\n")
    return Prompt.beside(str(tmp_path / "viewer.py"), View)


def question(prompt: Prompt, number: int = 1) -> Question:
    return prompt.ask([Fact(ref="f1", says="a number", value=str(number), kind="decision", id=new_id())])


def step(answer: Any = None) -> Step:
    return Step("viewer", View(word="good") if answer is None else answer, Usage(100, 10))


async def allow(shop: Shop, **more: Any) -> None:
    wanted = {f"language.{name}": each for name, each in {"enabled": True, **more}.items()}
    async with shop.unit() as unit:
        await set_settings(unit, wanted)


async def calls(shop: Shop) -> list[tuple[str, int, int]]:
    found = await shop.rows("SELECT state, tokens, cost_micros FROM language_call ORDER BY id")
    return [(row.state, row.tokens, row.cost_micros) for row in found]


async def test_an_answer_is_kept_with_what_it_cost_and_by_what_was_asked(shop: Shop, prompt: Prompt) -> None:
    await allow(shop)
    asked = question(prompt)
    with ScriptedModel(step()) as model:
        found = await Asker(shop.store, model, PRICE).answers(shop.tenant_id, [asked, asked])
    answer = found[asked.digest()]
    assert answer.value == {"word": "good"} and answer.read(prompt, View) == View(word="good")
    assert await calls(shop) == [("answered", 110, 120)], "an equal question is put once"
    async with shop.store.reader(shop.tenant_id) as session:
        known = await rows.answer(session, asked.digest())
    assert known is not None and (known.id, known.model) == (answer.call_id, "scripted")
    evidence = answer.evidence(prompt)[0]
    assert evidence.id == answer.call_id and prompt.sha256[:16] in evidence.note and "prompt 1" in evidence.note


class Slow(LanguageModel):
    """Answers after a while, and counts how many it answers."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, question: Question) -> Reply:
        self.asked += 1
        await asyncio.sleep(0.05)
        return Reply(View(word="late"), most(question))


@pytest.mark.parametrize("limit", ["tokens_per_day", "usd_cents_per_day"])
async def test_many_processes_at_once_stay_within_the_day_and_use_it(shop: Shop, prompt: Prompt, limit: str) -> None:
    dear = Price(Decimal(100), Decimal(100))
    each = most(question(prompt, 10))
    allowed = 4 * (each.tokens if limit == "tokens_per_day" else -(-dear.micros(each) // 10_000))
    other = {"tokens_per_day": {"usd_cents_per_day": 1_000_000}, "usd_cents_per_day": {"tokens_per_day": 10**9}}[limit]
    await allow(shop, **{limit: allowed}, **other)
    model = Slow()
    askers = [Asker(shop.store, model, dear) for _ in range(5)]

    async def work(asker: Asker, at: int) -> int:
        asked: Sequence[Question] = [question(prompt, 10 * at + number + 10) for number in range(3)]
        return sum(answer.value is not None for answer in (await asker.answers(shop.tenant_id, asked)).values())

    done = sum(await asyncio.gather(*(work(asker, at) for at, asker in enumerate(askers))))
    assert done == model.asked == 4, "never more, and all of it"
    refused = await Asker(shop.store, model, dear).answers(shop.tenant_id, [question(prompt)])
    assert "used up" in next(iter(refused.values())).why
    assert model.asked == 4, "what is used up is not asked for"


async def test_another_business_has_a_day_of_its_own_and_sees_nothing_of_it(shop: Shop, prompt: Prompt) -> None:
    stranger = await Shop(shop.store).found()
    await allow(shop, tokens_per_day=most(question(prompt)).tokens)
    await allow(stranger, tokens_per_day=most(question(prompt)).tokens)
    asked = question(prompt)
    with ScriptedModel(step(), step()) as model:
        asker = Asker(shop.store, model, PRICE)
        for business in (shop, stranger):
            found = await asker.answers(business.tenant_id, [asked])
            assert found[asked.digest()].value is not None
    assert len(await calls(stranger)) == 1
    mine, theirs = [(await business.rows("SELECT id FROM language_call"))[0].id for business in (shop, stranger)]
    assert mine != theirs, "the same question of two businesses has two answers"


@pytest.mark.parametrize(
    ("failure", "state", "counts"),
    [
        (Rejected("no"), "rejected", "nothing"),
        (Retryable("too many"), "retryable", "nothing"),
        (OutcomeUnknown("no answer"), "unknown", "most"),
        (Unusable("rubbish", Usage(100, 10)), "rejected", "used"),
        (Unusable("rubbish, and no word of what it took", None), "rejected", "most"),
        ('{"word": 1}', "rejected", "used"),
    ],
)
async def test_a_failure_costs_what_it_may_have_cost(
    shop: Shop, prompt: Prompt, failure: Any, state: str, counts: str
) -> None:
    await allow(shop)
    asked = question(prompt)
    with ScriptedModel(step(failure)) as model:
        answer = (await Asker(shop.store, model, PRICE).answers(shop.tenant_id, [asked]))[asked.digest()]
    assert answer.value is None and answer.why
    tokens = {"nothing": 0, "used": 110, "most": most(asked).tokens}[counts]
    assert [each[:2] for each in await calls(shop)] == [(state, tokens)]


async def test_a_process_that_ends_in_between_leaves_the_most_it_could_have_cost(shop: Shop, prompt: Prompt) -> None:
    await allow(shop, tokens_per_day=most(question(prompt)).tokens)
    asked = question(prompt)
    begun = asyncio.Event()

    class Endless(Slow):
        async def ask(self, question: Question) -> Reply:
            begun.set()
            await asyncio.sleep(60)
            raise AssertionError("nobody waits so long")

    work = asyncio.create_task(Asker(shop.store, Endless(), PRICE).answers(shop.tenant_id, [asked]))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [each[:2] for each in await calls(shop)] == [("asked", most(asked).tokens)]
    again = await Asker(shop.store, ScriptedModel(), PRICE).answers(shop.tenant_id, [asked])
    assert "used up" in again[asked.digest()].why


async def test_a_day_later_there_is_a_new_day(shop: Shop, prompt: Prompt, as_owner: Any) -> None:
    await allow(shop, tokens_per_day=most(question(prompt)).tokens)
    with ScriptedModel(step(OutcomeUnknown("no answer")), step()) as model:
        asker = Asker(shop.store, model, PRICE)
        await asker.answers(shop.tenant_id, [question(prompt)])
        asked = question(prompt, 2)
        assert "used up" in (await asker.answers(shop.tenant_id, [asked]))[asked.digest()].why
        as_owner("UPDATE language_call SET at = at - interval '24 hours' WHERE tenant_id = :id", id=shop.tenant_id)
        assert (await asker.answers(shop.tenant_id, [asked]))[asked.digest()].value == {"word": "good"}


async def test_a_model_that_fails_again_and_again_is_left_alone_for_a_while(shop: Shop, prompt: Prompt) -> None:
    await allow(shop)
    with ScriptedModel(*(step(Retryable("down")) for _ in range(3))) as model:
        asker = Asker(shop.store, model, PRICE)
        for number in range(3):
            await asker.answers(shop.tenant_id, [question(prompt, number)])
        asked = question(prompt)
        assert "left alone" in (await asker.answers(shop.tenant_id, [asked]))[asked.digest()].why
    assert len(await calls(shop)) == 3, "nothing is leased for what is not asked"


async def test_of_two_answers_to_one_question_the_first_stays(shop: Shop, prompt: Prompt) -> None:
    await allow(shop)
    asked = question(prompt)
    with ScriptedModel(step(), step(View(word="other"))) as model:
        for asker in (Asker(shop.store, model, PRICE), Asker(shop.store, model, PRICE)):
            await asker.answers(shop.tenant_id, [asked])
    assert [each[0] for each in await calls(shop)] == ["answered", "rejected"]
    async with shop.store.reader(shop.tenant_id) as session:
        known = await rows.answer(session, asked.digest())
    assert known is not None and known.value == {"word": "good"}


async def test_an_answer_with_what_no_database_takes_is_kept_without_it(shop: Shop, prompt: Prompt) -> None:
    await allow(shop)
    asked = question(prompt)
    with ScriptedModel(step(View(word="go\0od"))) as model:
        found = await Asker(shop.store, model, PRICE).answers(shop.tenant_id, [asked])
    assert found[asked.digest()].value == {"word": "good"}


async def test_a_refusal_repeats_nothing_of_what_the_model_wrote(shop: Shop, prompt: Prompt) -> None:
    await allow(shop)
    asked = question(prompt)
    with ScriptedModel(step('{"call 0800 123456": "now\\u0000", "word": 3}')) as model:
        answer = (await Asker(shop.store, model, PRICE).answers(shop.tenant_id, [asked]))[asked.digest()]
    assert answer.why == "the answer is not what was asked for (string_type)"
