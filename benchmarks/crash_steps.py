"""Every step of a process that another can see, numbered as it happens; at a chosen one the process is killed.

A step is the edge of a database statement that writes, of a commit, or of a request to the outside: before it, after
it, and for requests also while they are under way (sent, not answered). All are found where they pass, so none has to
be named in the code and none can be forgotten.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from sqlalchemy import Connection, Engine, event

from flipsync.store import round_trip
from flipsync.store.database import Database
from flipsync.store.reading import Asked, Rows

_WRITE = re.compile(r"(?<!FOR )(?<!KEY )\b(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", re.IGNORECASE)
_NAMES = re.compile(r"[0-9a-f-]{8,}|\d+|[A-Z]+-[\w-]+")


@dataclass(frozen=True)
class Step:
    """A step by its name and how often it was passed before. (Counted by themselves, not among all steps: how often a
    worker looks whether there is something to do depends on how long it waits.)"""

    name: str
    earlier: int


def steps_of(passed: Sequence[str]) -> list[Step]:
    counted: Counter[str] = Counter()
    found = []
    for name in passed:
        found.append(Step(name, counted[name]))
        counted[name] += 1
    return found


class Steps:
    """Counts steps; at `kill_at` the process ends by SIGKILL, after `tell` heard the step's name.

    `linger` is how many seconds a request is under way before a kill in the middle of it.
    """

    def __init__(self, kill_at: Step | None, tell: Callable[[str], None], linger: float = 0.002) -> None:
        self._kill_at, self._tell, self._linger = kill_at, tell, linger
        self.passed: list[str] = []
        self._earlier = 0 if kill_at is None else kill_at.earlier

    def _is_last(self, name: str) -> bool:
        self.passed.append(name)
        if self._kill_at is None or name != self._kill_at.name:
            return False
        self._earlier -= 1
        return self._earlier < 0

    def _end(self, name: str) -> None:
        self._tell(name)
        os.kill(os.getpid(), signal.SIGKILL)

    def reach(self, name: str) -> None:
        if self._is_last(name):
            self._end(name)

    # -- where steps pass ---------------------------------------------------------------------------------------------

    def watch_database(self, database: Database) -> None:
        engine = database.engine.sync_engine

        @event.listens_for(engine, "before_cursor_execute")
        def before(_c: Any, _k: Any, statement: str, *_: Any) -> None:
            if written := _WRITE.search(statement):
                self.reach(f"before {written[2]} is written")

        @event.listens_for(engine, "after_cursor_execute")
        def after(_c: Any, _k: Any, statement: str, *_: Any) -> None:
            if written := _WRITE.search(statement):
                self.reach(f"after {written[2]} is written")

        @event.listens_for(engine, "commit")
        def commit(_c: Any) -> None:
            self.reach("before a commit")

        @event.listens_for(engine, "checkin")
        def checkin(_c: Any, _r: Any) -> None:
            self.reach("after a transaction")

        self._watch_round_trips(engine)

    def _watch_round_trips(self, engine: Engine) -> None:
        """What goes to the database together: its edges are those of the first and the last that is written."""
        exchange = round_trip.exchange

        async def watched(connection: Connection, steps: Sequence[Asked]) -> list[Rows]:
            if connection.engine is not engine:
                return await exchange(connection, steps)
            texts = [step.statement.wire.text.decode() for step in steps]
            written = [found[2] for text in texts if (found := _WRITE.search(text))]
            for table in written[:1]:
                self.reach(f"before {table} is written")
            if "COMMIT" in texts or (written and "BEGIN" not in texts):
                self.reach("before a commit")
            answers = await exchange(connection, steps)
            for table in written[-1:]:
                self.reach(f"after {table} is written")
            return answers

        round_trip.exchange = watched

    def watch_requests(self) -> None:
        """Every request this process sends from here on."""
        send = httpx2.AsyncHTTPTransport.handle_async_request

        async def watched(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
            name = f"{request.method} {_NAMES.sub('{}', request.url.path)}"
            self.reach(f"before {name}")
            if self._is_last(f"during {name}"):
                under_way = asyncio.ensure_future(send(transport, request))
                await asyncio.wait([under_way], timeout=self._linger)
                self._end(f"during {name}")
            response = await send(transport, request)
            self.reach(f"after {name}")
            return response

        httpx2.AsyncHTTPTransport.handle_async_request = watched  # type: ignore[method-assign, assignment]
