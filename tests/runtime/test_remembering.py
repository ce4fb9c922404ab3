"""The index of meanings beside real books and a real Redis: it finds other words, keeps up, and can be lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from past import Past, store_of_the_past
from shop import Shop
from sqlalchemy import text

from flipsync.domain.errors import Unavailable
from flipsync.domain.ids import new_id
from flipsync.runtime.remembering import MemoryDesk, RedisIndex, open_meanings
from flipsync.services import memory
from flipsync.services.graders import Grade
from flipsync.services.meanings import Meanings
from flipsync.settings import MemorySettings

#: no word of it stands in the episode of the price cut
OTHER_WORDS = "made it cheaper"


@pytest.fixture
async def past(database_urls: dict[str, str]) -> AsyncIterator[Past]:
    store = store_of_the_past(database_urls["worker"])
    yield await Past(await Shop(store).found()).build()
    await store.aclose()


@pytest.fixture
async def meanings(past: Past, tmp_path: Path) -> AsyncIterator[Meanings]:
    opened = open_meanings(MemorySettings.model_construct(memory_folder=str(tmp_path)), past.shop.store.database)
    yield opened
    await opened.aclose()


@pytest.fixture
async def index(meanings: Meanings, redis_url: str) -> AsyncIterator[RedisIndex]:
    """The actor's work, without the actor."""
    work = asyncio.create_task(MemoryDesk(redis_url, meanings).run())
    yield RedisIndex(redis_url)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def recall(shop: Shop, words: str, index: Any, k: int = 1) -> memory.Recalled:
    async with shop.store.reader(shop.tenant_id) as session:
        return await memory.recall(session, shop.tenant_id, words=words, k=k, index=index)


async def learned(past: Past) -> Any:
    """A price cut and a rise that came out otherwise; the cut's decision."""
    cut, rise = await past.price(2500, 2999), await past.price(3300, 2999)
    await past.learn(**{cut.hex: Grade(0, "it earns less"), rise.hex: Grade(1, "it earns more")})
    return cut


async def test_other_words_for_the_same_thing_find_it(past: Past, index: RedisIndex) -> None:
    cut = await learned(past)
    found = await recall(past.shop, OTHER_WORDS, index)
    assert (found.by, found.why_not) == ("meaning", "")
    assert [each.decision_id for each in found.items] == [cut] and found.items[0].found_by == "meaning"
    assert (await recall(past.shop, OTHER_WORDS, None)).items == [], "no word of it stands there"
    assert len(await past.shop.rows("SELECT id FROM episode WHERE indexed_at IS NOT NULL")) == 2


async def test_another_business_finds_nothing_of_it(past: Past, index: RedisIndex) -> None:
    await learned(past)
    assert len((await recall(past.shop, OTHER_WORDS, index, k=5)).items) == 2
    stranger = await Shop(past.shop.store).found()
    assert (await recall(stranger, OTHER_WORDS, index, k=5)).items == []
    assert await index.nearest(new_id(), OTHER_WORDS, 5) == []
    ours = await index.nearest(past.shop.tenant_id, OTHER_WORDS, 5)

    class Lying:
        async def nearest(self, *_: Any) -> Any:
            return ours

    new = await past.price(2600, 2999)
    await past.learn(**{new.hex: Grade(0, "it earns less")})
    assert (await recall(past.shop, OTHER_WORDS, Lying())).why_not == "not in the index yet: 1 of the newest"
    told = await recall(stranger, OTHER_WORDS, Lying(), k=5)
    assert told.items == [], "whatever an index answers, what is read are one's own rows"


async def test_without_an_index_words_are_looked_for_and_it_says_so(past: Past, redis_url: str) -> None:
    cut = await learned(past)
    found = await recall(past.shop, "a price cut", RedisIndex(redis_url, patience=0.3))
    assert (found.by, found.why_not) == ("words", "the index of meanings is not up")
    assert [each.decision_id for each in found.items] == [cut]
    away = await recall(past.shop, "a price cut", RedisIndex("redis://127.0.0.1:9", patience=0.3))
    assert away.by == "words" and away.why_not.startswith("the memory cannot be asked")


async def test_questions_at_once_get_their_own_answers_and_nonsense_holds_up_nobody(
    past: Past, index: RedisIndex
) -> None:
    await learned(past)
    questions = ["price increase", OTHER_WORDS, "x" * 100_000, "'; DROP TABLE episode"]
    found = await asyncio.gather(
        *(index.nearest(past.shop.tenant_id, words, 10_000_000) for words in questions * 3),
        index.nearest(past.shop.tenant_id, "", 5),
        index.nearest(past.shop.tenant_id, OTHER_WORDS, -1),
        return_exceptions=True,
    )
    assert all(not isinstance(each, BaseException) and len(each) == 2 for each in found[:-2])
    assert found[-2] == [] and isinstance(found[-1], Unavailable)
    assert found[0] == found[4] == found[8] and found[0] != found[1]


async def test_it_follows_the_books_and_can_be_lost(
    make_database: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    settings = MemorySettings.model_construct(memory_folder=str(tmp_path))
    store = store_of_the_past(make_database()["worker"])  # it is made anew from all that its books remember
    past = await Past(await Shop(store).found()).build()
    cut, ours = await learned(past), past.shop.tenant_id
    first = open_meanings(settings, past.shop.store.database)
    await first.tidy()  # other tests' folders are gone
    assert await first.keep_up() >= 2 and await first.keep_up() == 0
    async with past.shop.unit() as unit:
        await unit.session.execute(text("DELETE FROM episode WHERE decision_id <> :cut"), {"cut": cut})
    stranger = new_id()
    first._open().put(stranger, [(new_id(), [1.0] * 256)])
    done = await first.tidy()
    assert done.gone >= 1 and done.lost == 0
    assert len(await first.nearest(ours, OTHER_WORDS, 5)) == 1 and first._open().count(stranger) == 0
    await first.aclose()
    shutil.rmtree(tmp_path)
    again = open_meanings(settings, past.shop.store.database)
    assert await again.nearest(ours, OTHER_WORDS, 5) == []
    assert (await again.tidy()).lost >= 1
    assert len(await again.nearest(ours, OTHER_WORDS, 5)) == 1, "made again from the books"
    assert await again.rebuild() >= 1 and len(await again.nearest(ours, OTHER_WORDS, 5)) == 1
    await again.aclose()


async def test_who_is_not_asked_for_a_while_ends(past: Past, meanings: Meanings, redis_url: str) -> None:
    desk = asyncio.create_task(MemoryDesk(redis_url, meanings, idle=1.0).run())
    await learned(past)
    index = RedisIndex(redis_url)
    assert len(await index.nearest(past.shop.tenant_id, OTHER_WORDS, 5)) == 2
    await asyncio.wait_for(desk, 5.0)
