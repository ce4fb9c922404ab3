"""The file of a device: what it did, what the server answered, and the things it was told of. Survives a kill.

SQLite with a write-ahead log, every change on disk before it counts. What was answered stays for 90 days: a server that
was restored from a backup asks for it again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id

_KEPT = timedelta(days=90)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mutation (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    answer TEXT, kept_until TEXT
);
CREATE INDEX IF NOT EXISTS unanswered ON mutation (seq) WHERE answer IS NULL;
CREATE INDEX IF NOT EXISTS told_off ON mutation (seq) WHERE answer ->> 'outcome' IN ('merged', 'conflict', 'rejected');
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, told_in INTEGER NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stock_of ON record (body ->> 'variant_id') WHERE kind = 'stock_item';
"""


@dataclass(frozen=True)
class Done:
    """A mutation as it is pushed."""

    seq: int
    id: str
    at: str
    kind: str
    body: dict[str, Any]

    def told(self) -> dict[str, Any]:
        return {"seq": self.seq, "id": self.id, "at": self.at, "kind": self.kind, **self.body}


class DeviceFile:
    """One device of one user. `clock` is the device's own, right or wrong."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of it or nothing, on disk at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM fact WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    # What the device is called

    @property
    def device_id(self) -> str | None:
        return self.fact("device_id")

    @property
    def registration_key(self) -> str:
        """The same for every attempt to register, so that a lost answer makes no second device."""
        with self._whole():
            key = self.fact("registration_key") or new_id().hex
            self._set("registration_key", key)
        return key

    def registered(self, device_id: str) -> None:
        with self._whole():
            self._set("device_id", device_id)

    # What it did

    def do(self, kind: str, **body: Any) -> Done:
        """Keep what the user did, to be pushed when there is a network."""
        return self.do_all([(kind, body)])[0]

    def do_all(self, deeds: Iterable[tuple[str, dict[str, Any]]]) -> list[Done]:
        """Several in their order, all or none."""
        done = []
        with self._whole():
            for kind, body in deeds:
                seq = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM mutation").fetchone()[0]
                seq = max(seq, int(self.fact("next_seq") or 1))
                each = Done(seq, str(new_id()), self.clock().isoformat(), kind, body)
                values = (each.seq, each.id, each.at, each.kind, json.dumps(body, ensure_ascii=False))
                self._db.execute("INSERT INTO mutation (seq, id, at, kind, body) VALUES (?, ?, ?, ?, ?)", values)
                done.append(each)
        return done

    def unanswered(self, limit: int = 1_000_000) -> list[Done]:
        """What has no final answer yet, oldest first."""
        query = "SELECT seq, id, at, kind, body FROM mutation WHERE answer IS NULL ORDER BY seq LIMIT ?"
        rows = self._db.execute(query, (limit,))
        return [Done(seq, mutation_id, at, kind, json.loads(body)) for seq, mutation_id, at, kind, body in rows]

    def answered(self, answers: Sequence[dict[str, Any]]) -> int:
        """Keep final answers; returns how many of them are news. Old ones are dropped after their time."""
        now = self.clock()
        news = 0
        with self._whole():
            for each in answers:
                told = (json.dumps(each, ensure_ascii=False), (now + _KEPT).isoformat(), each["id"])
                update = "UPDATE mutation SET answer = ?, kept_until = ? WHERE id = ? AND answer IS NULL"
                news += self._db.execute(update, told).rowcount
            last = self._db.execute("SELECT coalesce(max(seq), 0) FROM mutation").fetchone()[0]
            self._set("next_seq", str(max(last + 1, int(self.fact("next_seq") or 1))))
            self._db.execute("DELETE FROM mutation WHERE kept_until < ?", (now.isoformat(),))
        return news

    def ask_again_after(self, seq: int) -> int:
        """The server knows only of what came up to `seq`: the rest is told again. How many were thought answered."""
        with self._whole():
            update = "UPDATE mutation SET answer = NULL, kept_until = NULL WHERE seq > ? AND answer IS NOT NULL"
            return self._db.execute(update, (seq,)).rowcount

    def answer(self, mutation_id: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT answer FROM mutation WHERE id = ?", (mutation_id,)).fetchone()
        return None if row is None or row[0] is None else dict(json.loads(row[0]))

    def answers(self) -> list[dict[str, Any]]:
        """All final answers that are kept, in the order of what was done."""
        rows = self._db.execute("SELECT answer FROM mutation WHERE answer IS NOT NULL ORDER BY seq")
        return [json.loads(answer) for (answer,) in rows]

    # What it was told

    @property
    def cursor(self) -> str | None:
        return self.fact("cursor")

    def begin_anew(self) -> None:
        """Forget the cursor. Things stay until all of them were told again, then those that were not are gone."""
        with self._whole():
            self._set("cursor", None)
            self._set("round", str(self._round + 1))

    @property
    def _round(self) -> int:
        return int(self.fact("round") or 0)

    def take(self, page: dict[str, Any]) -> None:
        """A page of changes, with its cursor: both or neither."""
        with self._whole():
            told_in = self._round
            for each in page["changes"]:
                if each["gone"]:
                    self._db.execute("DELETE FROM record WHERE kind = ? AND id = ?", (each["kind"], each["id"]))
                else:
                    body = json.dumps(each["record"], ensure_ascii=False, sort_keys=True)
                    values = (each["kind"], each["id"], body, told_in)
                    self._db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", values)
            if page["full"] and not page["more"]:
                self._db.execute("DELETE FROM record WHERE told_in < ?", (told_in,))
            self._set("cursor", page["cursor"])

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        """Things of a kind as the server told of them, by id."""
        rows = self._db.execute("SELECT id, body FROM record WHERE kind = ?", (kind,))
        return {each: json.loads(body) for each, body in rows}

    # What a user sees: what was told, and over it what was done since

    def on_shelf(self, variant_id: str) -> int:
        """Units of a variant, with what this device did and nobody answered yet."""
        query = "SELECT body ->> 'on_hand' FROM record WHERE kind = 'stock_item' AND body ->> 'variant_id' = ?"
        row = self._db.execute(query, (variant_id,)).fetchone()
        units = 0 if row is None else int(row[0])
        for done in self.unanswered():
            if done.body.get("variant_id") == variant_id:
                units = int(done.body["counted"]) if done.kind == "stock.count" else units + int(done.body["quantity"])
        return units

    def product(self, product_id: str) -> dict[str, Any] | None:
        """A product, with the words this device wrote and nobody answered yet."""
        row = self._db.execute("SELECT body FROM record WHERE kind = 'product' AND id = ?", (product_id,)).fetchone()
        if row is None:
            return None
        told: dict[str, Any] = json.loads(row[0])
        for done in self.unanswered():
            if done.kind == "product.edit" and done.body["product_id"] == product_id:
                told |= done.body["set"]
        return told

    def notices(self) -> list[dict[str, Any]]:
        """What a user should be shown: answers that are not plain yes, and words of theirs that others replaced."""
        query = (
            "SELECT seq, kind, answer FROM mutation"
            " WHERE answer ->> 'outcome' IN ('merged', 'conflict', 'rejected') ORDER BY seq"
        )
        answers = [{"seq": seq, "kind": kind, **json.loads(answer)} for seq, kind, answer in self._db.execute(query)]
        return answers + sorted(self.records("notice").values(), key=lambda each: str(each["at"]))
