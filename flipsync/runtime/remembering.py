"""The memory actor: the one process that has the index of meanings open, there only while somebody asks it.

Questions and answers go by Redis messages, which nothing keeps: an agent's process loads neither vectors nor model, and
the API and the command line need no Ray. Who asks and hears that nobody listens has the supervisor start the actor; it
ends when it was not asked for a while.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Collection
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import orjson
import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from flipsync.domain.errors import FlipSyncError, Unavailable
from flipsync.intelligence.memory.port import Near
from flipsync.runtime.actors import Host, start_actor
from flipsync.runtime.mailbox import Mailbox
from flipsync.services.meanings import Meanings
from flipsync.settings import MemorySettings, from_environment
from flipsync.store.database import AWAY, BROKEN_OFF, Database

log = structlog.get_logger()
MEMORY = "memory"
_ASKED, _ANSWERED, _WANTED = "flipsync:memory:asked", "flipsync:memory:answered:", "flipsync:memory:wanted"
#: how long an answer is waited for, a start of the actor included
PATIENCE, REBUILD_PATIENCE = 4.0, 1_800.0
#: seconds without a question after which the actor ends, and between two looks whether the books have more
IDLE, _LOOK = 600.0, 20.0
#: seconds between two comparisons of the index with the books
_TIDY = 86_400.0
_LONGEST_WORDS, _MOST = 2_000, 500


def open_meanings(settings: MemorySettings, database: Database) -> Meanings:
    """By the installation's settings: on a Qdrant server, else in a folder of this machine. Opens nothing yet."""
    embedding: Any = importlib.import_module("flipsync.intelligence.memory.embedding")
    embedder = embedding.StaticEmbedder()

    def opened() -> Any:
        shape = embedder.name, embedder.size
        if settings.qdrant_url:
            server: Any = importlib.import_module("flipsync.intelligence.memory.server")
            return server.connect(settings.qdrant_url, settings.qdrant_api_key.get_secret_value(), *shape)
        if not settings.memory_folder:
            raise Unavailable("no place is set for the index of meanings", hint="FLIPSYNC_MEMORY_FOLDER, or QDRANT_URL")
        edge: Any = importlib.import_module("flipsync.intelligence.memory.edge")
        return edge.EdgeVectors(Path(settings.memory_folder), *shape)

    return Meanings(database, opened, embedder)


class RedisIndex:
    """The index as others see it: it asks the actor. Holds no connection between two questions."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self._url = url
        self._patience = patience

    async def nearest(self, tenant_id: UUID, words: str, k: int, among: Collection[UUID] | None = None) -> list[Near]:
        question = {
            "do": "nearest",
            "tenant": str(tenant_id),
            "words": words[:_LONGEST_WORDS],
            "k": min(k, _MOST),
            "among": None if among is None else [str(each) for each in among],
        }
        found = await self._ask(question, self._patience)
        return [Near(UUID(each), float(similarity)) for each, similarity in found]

    async def rebuild(self) -> int:
        """Have all vectors of everybody made again; how many."""
        return int(await self._ask({"do": "rebuild"}, REBUILD_PATIENCE))

    async def _ask(self, question: dict[str, Any], patience: float) -> Any:
        """Raises Unavailable."""
        until = monotonic() + patience
        client = redis.Redis.from_url(self._url, socket_timeout=patience + 1, socket_connect_timeout=1.0)
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as answers:
                reply = _ANSWERED + uuid4().hex
                await answers.subscribe(reply)
                await _until_heard(client, orjson.dumps(question | {"reply": reply}), until)
                while (left := until - monotonic()) > 0:
                    message = await answers.get_message(timeout=left)
                    if message is not None:
                        return _answer(message["data"])
        except (RedisError, OSError) as error:
            raise Unavailable(f"the memory cannot be asked: {type(error).__name__}") from None
        finally:
            await client.aclose()
        raise Unavailable("the index of meanings does not answer in time")


async def _until_heard(client: Any, question: bytes, until: float) -> None:
    """Raises Unavailable where nobody listens by then."""
    while not await client.publish(_ASKED, question):
        await client.set(_WANTED, b"1", ex=30)
        await client.publish(f"flipsync:wake:{MEMORY}", b"1")
        if monotonic() + 0.1 > until:
            raise Unavailable("the index of meanings is not up")
        await asyncio.sleep(0.1)


def _answer(data: bytes) -> Any:
    told = orjson.loads(data)
    if "why" in told:
        raise Unavailable(told["why"])
    return told["found"]


class MemoryDesk:
    """Answers questions from the index, and keeps it up with the books, until nobody has asked for a while."""

    def __init__(self, url: str, meanings: Meanings, idle: float = IDLE) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=1.0, health_check_interval=30)
        self._meanings = meanings
        self._idle = idle
        self._asked = monotonic()
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        keeping = asyncio.create_task(self._keep_up())
        try:
            async with self._redis.pubsub(ignore_subscribe_messages=True) as questions:
                await questions.subscribe(_ASKED)
                while (left := self._asked + self._idle - monotonic()) > 0 or self._answering:
                    message = await questions.get_message(timeout=max(0.1, min(left, _LOOK)))
                    if message is not None:
                        task = asyncio.create_task(self._hear(message["data"]))
                        self._answering.add(task)
                        task.add_done_callback(self._answering.discard)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, *self._answering, return_exceptions=True)
            await self._meanings.aclose()
            await self._redis.aclose()

    async def _hear(self, data: bytes) -> None:
        self._asked = monotonic()
        question = orjson.loads(data)
        try:
            told: dict[str, Any] = {"found": await self._found(question)}
        except FlipSyncError as error:
            told = {"why": error.message}
        except Exception as error:
            log.warning("a question to the memory failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            told = {"why": "the index of meanings failed on the question"}
        await self._redis.publish(question["reply"], orjson.dumps(told))

    async def _found(self, question: dict[str, Any]) -> Any:
        if question["do"] == "rebuild":
            return await self._meanings.rebuild()
        among = None if question["among"] is None else [UUID(each) for each in question["among"]]
        near = await self._meanings.nearest(UUID(question["tenant"]), question["words"], question["k"], among)
        return [(str(each.id), each.similarity) for each in near]

    async def _keep_up(self) -> None:
        tidied = float("-inf")
        while True:
            try:
                if monotonic() - tidied > _TIDY:
                    await self._meanings.tidy()
                    tidied = monotonic()
                await self._meanings.keep_up()
            except (Unavailable, *BROKEN_OFF) as error:
                log.warning("the memory waits", error=str(error).splitlines()[0])
            await asyncio.sleep(_LOOK)


class MemoryActor(Host):
    """Hosts the desk."""

    async def _main(self) -> None:
        settings = from_environment()
        database = Database(settings.worker_database_url.get_secret_value(), pool_size=1, name=MEMORY)
        try:
            await MemoryDesk(settings.redis_url.get_secret_value(), open_meanings(MemorySettings(), database)).run()
        finally:
            await database.aclose()


class MemoryKeeper:
    """In the supervisor: starts the actor for whoever waits for an answer, and ends it when it is done."""

    def __init__(self, url: str) -> None:
        self._mailbox = Mailbox(url, [MEMORY])
        self._redis = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=1.0)

    async def run(self) -> None:
        ray = importlib.import_module("ray")
        await self._end(ray)  # one of an earlier supervisor's, which nobody would end
        while True:
            await self._mailbox.wait()
            try:
                wanted = await self._redis.getdel(_WANTED)
            except (RedisError, OSError):
                continue
            if wanted:
                await self._host(ray)

    async def _host(self, ray: Any) -> None:
        try:
            await start_actor(MemoryActor, MEMORY).run.remote()
        except (ray.exceptions.RayError, *AWAY) as error:
            log.warning("the memory stopped", error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
            await asyncio.sleep(1.0)
        await self._end(ray)

    async def _end(self, ray: Any) -> None:
        try:
            ray.kill(ray.get_actor(MEMORY), no_restart=True)
        except (ValueError, ray.exceptions.RayError):  # nobody is there
            return
