"""Whether memory finds the right attempt when it is asked in other words, how soon, and what that costs.

    python -m benchmarks.memory [--quick] [--json] [--goods 500] [--many 100000] [--seed 1]

A business remembers attempts on drawn goods, twenty kinds of situation each, in the very words the product writes
(services.episodes). Each is asked for by a sentence written by hand that says the same otherwise, with the goods' name
otherwise too; one episode is the right one. Asked twice: with the goods known (the sentence says the situation), and
with words alone. Beside it, on the same rows: the newest attempts on the goods (SQL), the words' trigrams (pg_trgm),
and English stems (what the product does without its index). The sentences and names are ours, so the shares say how
the methods compare, not how often a seller's own words are understood.

Then so many episodes as `--many`: the index made anew, questions to it, the memory of the process that has it open.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson
import psycopg

from benchmarks.installation import fetch, owner_url, temporary_home
from benchmarks.intervals import wilson
from benchmarks.measuring import Report, quantiles, saying
from flipsync.domain.commands import ChangePrice, EndListing, ListOnChannel, RaiseRivalAlarm, SetChannelQuantity
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.embedded.ports import choose_port
from flipsync.runtime.remembering import open_meanings
from flipsync.services.episodes import as_columns
from flipsync.services.graders import Grade
from flipsync.services.meanings import Meanings
from flipsync.services.memory import recall
from flipsync.services.why_words import Labels
from flipsync.settings import MemorySettings
from flipsync.store.database import Database
from flipsync.store.repositories import episodes as rows
from flipsync.store.repositories.episodes import Place
from flipsync.store.repositories.grades import DueRow
from flipsync.system import System

K = 5
#: goods as they are listed, and as somebody else calls them
_NOUNS = {
    "Rain Jacket": "waterproof coat",
    "Desk Lamp": "reading light",
    "Running Sneakers": "jogging shoes",
    "Canvas Backpack": "cloth rucksack",
    "Coffee Mug": "hot drinks cup",
    "Leather Wallet": "hide billfold",
    "Wool Blanket": "woollen throw",
    "Kitchen Knife": "chef's blade",
    "Bicycle Helmet": "cycling headgear",
    "Wireless Headphones": "cordless earphones",
    "Cast Iron Skillet": "heavy frying pan",
    "Film Camera": "analogue photo camera",
    "Board Game": "tabletop game",
    "Denim Jeans": "blue trousers",
    "Wrist Watch": "timepiece",
    "Garden Hose": "watering pipe",
    "Baby Stroller": "infant pram",
    "Office Chair": "desk seat",
    "Tea Kettle": "water boiler",
    "Winter Gloves": "cold weather mittens",
}
_BRANDS = "Alpha Birch Corvus Delmar Ember Fjord Garnet Harrow Iris Juno Kestrel Larch Meridian Nimbus Otter".split()
_COLOURS = {"Navy": "dark blue", "Crimson": "deep red", "Olive": "green-brown", "Ivory": "off-white", "Black": "dark"}


@dataclass(frozen=True)
class Situation:
    """One kind of attempt: how it came about, what was done (a price's step in per cent, or a name), what came of it,
    and the sentence it is asked for with."""

    fact: str
    done: str | int
    outcome: int
    came: str
    asked: str


def _price(fact: str, step: int, outcome: int, asked: str) -> Situation:
    sold = "9 in 168 h, 4 in 168 h before" if outcome else "2 in 168 h, 9 in 168 h before"
    return Situation(fact, step, outcome, f"it earns {'more' if outcome else 'less'}: {sold}", asked)


SITUATIONS = (
    _price("OfferChanged", -12, 0, "we made it a lot cheaper after a competitor moved, and profit went down"),
    _price("OfferChanged", -12, 1, "a deep markdown in answer to the market that paid off"),
    _price("OfferChanged", -2, 0, "trimmed it slightly as the competition shifted, and made less money"),
    _price("OfferChanged", -2, 1, "a tiny discount after the market moved that was worth it"),
    _price("OfferChanged", 11, 0, "charged far more once the market moved, and profits fell"),
    _price("OfferChanged", 11, 1, "raised what we ask sharply when the market moved, and it was profitable"),
    _price("RepricingDue", 2, 0, "at the routine review it got a touch dearer, and that cost us"),
    _price("RepricingDue", 2, 1, "nudged upward in the regular check, with better profit"),
    _price("RepricingDue", -5, 0, "a moderate reduction in the routine review that hurt"),
    _price("RepricingDue", -5, 1, "a medium discount in the regular check that brought more profit"),
    Situation("StockMoved", "push", 1, "the channel showed it, and nothing was sold twice", "inventory updated safely"),
    Situation("StockMoved", "push", 0, "something was sold that was not there", "oversold after an inventory update"),
    Situation("CostChanged", "push", 0, "the channel refused it", "an availability update that the site turned down"),
    Situation("ProductImported", "list", 1, "its sales earned money", "putting it up for sale there was profitable"),
    Situation("ProductImported", "list", 0, "its sales lost money", "putting it up for sale there made a loss"),
    Situation("OfferChanged", "war", 1, "the rival went on down", "warned of competitors undercutting, rightly"),
    Situation("OfferChanged", "war", 0, "nobody went further down", "a false alarm about undercutting"),
    Situation(
        "OfferChanged", "hijack", 1, "the offer stayed far below ours", "somebody sold a fake of it, as we warned"
    ),
    Situation("OfferChanged", "hijack", 0, "the offer came near ours", "suspected a counterfeiter without cause"),
    Situation("ListingUnwanted", "end", 1, "the channel took it", "withdrawn from sale without trouble"),
)


@dataclass(frozen=True)
class Goods:
    product_id: UUID
    listing_id: UUID
    title: str
    category: str
    called: str


def draw_goods(count: int, rng: Random) -> list[Goods]:
    """No two have the same title."""
    drawn: dict[str, Goods] = {}
    while len(drawn) < count:
        noun, brand, colour = rng.choice(list(_NOUNS)), rng.choice(_BRANDS), rng.choice(list(_COLOURS))
        size = rng.randrange(1, 100)
        title = f"{brand} {noun}, {colour}, No. {size}"
        called = f"{_COLOURS[colour]} {_NOUNS[noun]} number {size} by {brand}"
        drawn[title] = Goods(new_id(), new_id(), title, noun.split()[-1], called)
    return list(drawn.values())


def columns(goods: Goods, each: Situation, account_id: UUID, at: datetime) -> dict[str, Any]:
    """The episode as the product would have written it."""
    names = {"account_id": account_id, "listing_id": goods.listing_id}
    command: Any
    match each.done:
        case int(step):
            before = usd("40.00")
            command = ChangePrice(**names, price=usd(f"{40 * (1 + step / 100):.2f}"), previous=before)
        case "push":
            command = SetChannelQuantity(**names, quantity=7)
        case "list":
            command = ListOnChannel(product_id=goods.product_id, account_id=account_id)
        case "end":
            command = EndListing(**names, reason="asked")
        case alarm:
            named: Any = {"war": "price-war", "hijack": "hijack"}[str(alarm)]
            command = RaiseRivalAlarm(listing_id=goods.listing_id, alarm=named, why="", evidence=())
    kind, subject_id = command.subject()
    row = DueRow(
        id=new_id(),
        decision_id=new_id(),
        agent="pricing",
        kind="price-move" if isinstance(each.done, int) else each.done,
        confidence=0.8,
        decided_at=at,
        due_at=at,
        command=command.type_name(),
        payload=command.model_dump(mode="json"),
        subject_id=subject_id,
        verdict="proceed",
        rule="",
        decision_state="applied",
        event_payload={},
        answer=None,
        approval_id=None,
        effect_id=None,
        effect_state=None,
        proposal_id=new_id(),
        subject_kind=kind,
        fact=each.fact,
    )
    place = Place(goods.product_id, goods.title, goods.category, account_id, "ebay")
    labels = Labels(
        {
            ("listing", goods.listing_id): f"{goods.title[:12]}@shop",
            ("account", account_id): "shop",
            ("product", goods.product_id): goods.title,
        }
    )
    return as_columns(row, Grade(each.outcome, each.came), place, labels)


def remember(url: str, tenant_id: UUID, goods: Sequence[Goods], rng: Random) -> dict[tuple[UUID, int], UUID]:
    """Write an episode of each situation for each of the goods; its id by goods and situation."""
    account_id, ids = new_id(), {}
    now = datetime.now(UTC)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        with connection.cursor().copy(
            "COPY product (id, tenant_id, handle, title, description_html, tags, images, option_names, published,"
            " version, edits, created_at, updated_at) FROM STDIN"
        ) as copy:
            for each in goods:
                empty = ("", "[]", "[]", "[]", True, 1, "{}", now, now)
                copy.write_row((each.product_id, tenant_id, str(each.product_id), each.title, *empty))
        names: list[str] = []
        written = []
        for each in goods:
            for at, situation in enumerate(SITUATIONS):
                then = now - timedelta(minutes=rng.randrange(500_000))
                told = columns(each, situation, account_id, then)
                ids[each.product_id, at] = new_id()
                told |= {"id": ids[each.product_id, at], "tenant_id": tenant_id, "written_at": now}
                told["figures"] = orjson.dumps(told["figures"]).decode()
                names = names or list(told)
                written.append([told[name] for name in names])
        with connection.cursor().copy(f"COPY episode ({', '.join(names)}) FROM STDIN") as copy:
            for row in written:
                copy.write_row(row)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        connection.execute("VACUUM ANALYZE episode")
    return ids


def tenant(url: str) -> UUID:
    tenant_id = new_id()
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
            " VALUES (%s, 'memory', 'USD', '{}', now(), now())",
            (tenant_id,),
        )
    return tenant_id


Found = Callable[[Any, Goods, str], Awaitable[list[UUID]]]
_TRIGRAMS = (
    "SELECT id FROM episode WHERE tenant_id = %s {of} ORDER BY"
    " similarity(situation || '. ' || tried || '. ' || came, %s) DESC LIMIT 5"
)


async def compare(
    database: Database, url: str, tenant_id: UUID, meanings: Meanings, asked: list[tuple[Goods, int]], ids: Any
) -> dict[str, Any]:
    """Of each method: the share of questions whose episode is among the first five, and seconds a question."""
    result: dict[str, Any] = {}

    async def measured(name: str, known: bool, find: Callable[[Goods, str], Awaitable[list[UUID]]]) -> None:
        hits, seconds = 0, []
        for goods, at in asked:
            words = SITUATIONS[at].asked if known else f"{goods.called}: {SITUATIONS[at].asked}"
            began = time.perf_counter()
            found = await find(goods, words)
            seconds.append(time.perf_counter() - began)
            hits += ids[goods.product_id, at] in found
        result.setdefault("goods known" if known else "words alone", {})[name] = {
            "recall_at_5": wilson(hits, len(asked)),
            "seconds": quantiles(seconds),
        }

    def ours(index: Any, known: bool) -> Callable[[Goods, str], Awaitable[list[UUID]]]:
        async def find(goods: Goods, words: str) -> list[UUID]:
            about = [("product", goods.product_id)] if known else []
            async with database.reader(tenant_id) as session:
                found = await recall(session, tenant_id, about, words, K, index=index)
            return [each.id for each in found.items]

        return find

    async def newest(goods: Goods, _: str) -> list[UUID]:
        async with database.reader(tenant_id) as session:
            return [row.id for row, _ in await rows.about(session, [], [goods.product_id], limit=K)]

    connection = psycopg.connect(url, autocommit=True)

    def trigrams(known: bool) -> Callable[[Goods, str], Awaitable[list[UUID]]]:
        async def find(goods: Goods, words: str) -> list[UUID]:
            of, more = ("AND product_id = %s", (goods.product_id,)) if known else ("", ())
            query = _TRIGRAMS.format(of=of).encode()
            return [row[0] for row in connection.execute(query, (tenant_id, *more, words))]

        return find

    await meanings.keep_up()
    for known in (True, False):
        await measured("recall by meaning", known, ours(meanings, known))
        await measured("recall by words (stems)", known, ours(None, known))
        await measured("trigrams", known, trigrams(known))
        if known:
            await measured("newest of the goods (SQL)", known, newest)
    connection.close()
    return result


def _held() -> dict[str, int]:
    """Kilobytes of this process: resident, and its share of what is shared."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return {name: int(told[name].split()[0]) for name in ("Rss", "Pss")}


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


async def alone(worker_url: str, tenant_id: UUID, folder: str, asked: list[str]) -> dict[str, Any]:
    """What the actor does, in this process: rebuild, then questions; memory at each step."""
    before = _held()
    database = Database(worker_url, pool_size=1)
    meanings = open_meanings(MemorySettings(memory_folder=folder), database)
    await meanings.nearest(tenant_id, "begin", 1)
    opened = _held()
    began = time.perf_counter()
    count = await meanings.rebuild()
    rebuilt, seconds = time.perf_counter() - began, []
    for words in asked:
        began = time.perf_counter()
        assert len(await meanings.nearest(tenant_id, words, 20)) == 20
        seconds.append(time.perf_counter() - began)
    after = _held()
    await meanings.aclose()
    began = time.perf_counter()
    again = open_meanings(MemorySettings(memory_folder=folder), database)
    await again.nearest(tenant_id, "begin", 1)
    reopened = time.perf_counter() - began
    await again.aclose()
    await database.aclose()
    size = _on_disk(Path(folder))
    return {
        "episodes": count,
        "rebuild_seconds": rebuilt,
        "reopen_seconds": reopened,
        "question_seconds": quantiles(seconds),
        "disk_bytes": size,
        "kilobytes": {"without": before, "open_and_empty": opened, "after": after},
    }


def measure(home: Path, goods: int, many: int, questions: int, seed: int) -> dict[str, Any]:
    rng = Random(seed)
    with System(home, port=choose_port()) as system:
        system.start_books()
        url = owner_url(home)
        worker_url = system.environment["FLIPSYNC_WORKER_DATABASE_URL"]
        small = tenant(url)
        drawn = draw_goods(goods, rng)
        with saying(f"{goods * len(SITUATIONS):,} episodes are remembered"):
            ids = remember(url, small, drawn, rng)
        asked = [(rng.choice(drawn), rng.randrange(len(SITUATIONS))) for _ in range(questions)]

        async def compared() -> dict[str, Any]:
            database = Database(worker_url, pool_size=1)
            settings = MemorySettings(memory_folder=str(home / "memory"))
            meanings = open_meanings(settings, database)
            try:
                return await compare(database, url, small, meanings, asked, ids)
            finally:
                await meanings.aclose()
                await database.aclose()

        with saying(f"{questions} questions, each method"):
            found = asyncio.run(compared())
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM tenant WHERE id = %s", (small,))
        large = tenant(url)
        with saying(f"{many:,} episodes, the index made of them"):
            remember(url, large, draw_goods(many // len(SITUATIONS), rng), rng)
            told = _in_a_process_of_its_own(worker_url, large, home, [each.asked for each in SITUATIONS] * 5)
        held = fetch(url, "SELECT pg_total_relation_size('episode') AS bytes")[0]["bytes"]
    return {"episodes": goods * len(SITUATIONS), "questions": questions, "methods": found, "many": told, "table": held}


def _in_a_process_of_its_own(worker_url: str, tenant_id: UUID, home: Path, asked: list[str]) -> dict[str, Any]:
    import subprocess

    work = orjson.dumps([worker_url, str(tenant_id), str(home / "many"), asked]).decode()
    program = "import sys; from benchmarks.memory import work_alone; work_alone(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", program], input=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def work_alone(work: str) -> None:
    worker_url, tenant_id, folder, asked = orjson.loads(work)
    print(orjson.dumps(asyncio.run(alone(worker_url, UUID(tenant_id), folder, asked))).decode())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--goods", type=int, default=500)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="30 goods, 2,000 episodes: only show that it works")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    size = (30, 2_000, 40) if options.quick else (options.goods, options.many, options.questions)
    report = Report("memory")
    with temporary_home() as home:
        found = measure(home, size[0], size[1], size[2], options.seed)
    report.result = {"seed": options.seed} | found
    for how, methods in found["methods"].items():
        for name, each in methods.items():
            share, seconds = each["recall_at_5"], each["seconds"]
            told = f"{share['share']:.3f} ({share['low']:.3f} to {share['high']:.3f})"
            report.row(f"{how}: {name}, recall@5", told, f"p50 {1000 * seconds['p50']:.1f} ms")
    many = found["many"]
    report.row(f"index of {many['episodes']:,} made anew", f"{many['rebuild_seconds']:.1f} s")
    report.row("opened again", f"{many['reopen_seconds']:.2f} s", f"{many['disk_bytes'] / 1e6:.0f} MB on disk")
    asked = many["question_seconds"]
    report.row("a question to it", f"p50 {1000 * asked['p50']:.1f} ms", f"p99 {1000 * asked['p99']:.1f} ms")
    for name, each in many["kilobytes"].items():
        report.row(
            f"memory, {name.replace('_', ' ')}", f"{each['Rss'] / 1024:.0f} MB", f"PSS {each['Pss'] / 1024:.0f} MB"
        )
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
