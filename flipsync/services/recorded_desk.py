"""What an agent read, kept with its decision, so that the decision can be made again from it: byte for byte.

`RecordingDesk` is the desk an agent is given: it answers from the real one and notes every answer. `RecordedDesk`
answers from the notes alone. Answers are written by the types their questions declare, so whatever a desk may answer
is kept without a word here.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, cast, get_type_hints
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from flipsync.domain.advertising import AdsRead
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import CycleStarted, Event
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.domain.sourcing import CatalogueAnswered, SourcingAsked
from flipsync.services.desk import Services
from flipsync.services.grounds import GROUNDS, Ground
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import replay as rows
from flipsync.store.unit_of_work import UnitOfWork

#: what is kept of one decision, packed; above it the decision says that it cannot be replayed. What comes seldom, as a
#: review of all there is once a day or a list that somebody asks about, may take as much as a day of hourly ones
MOST_BYTES, MOST_OF_REVIEW = 64 * 1024, 24 * 64 * 1024
#: what notes are unpacked to at most: they come from our own books, but a bomb there must not end the process
_MOST_UNPACKED = 64 * 1024 * 1024
_LEVEL = 1
#: every desk that `Services` has, by its name there
_DESKS: dict[str, type] = {
    name: get_type_hints(desk.func)["return"]
    for name, desk in vars(Services).items()
    if isinstance(desk, cached_property)
}

_PLAIN: TypeAdapter[Any] = TypeAdapter(Any)

Question = Callable[..., Awaitable[Any]]


class AskedOtherwise(FlipSyncError):
    """The agent asked something that it did not ask when it decided."""

    code = "asked-otherwise"


@cache
def _answers(question: str) -> TypeAdapter[Any]:
    """How answers to a question are written and read: by what its method says it returns."""
    desk, _, method = question.rpartition(".")
    asked = getattr(_DESKS[desk] if desk else Services, method)
    return TypeAdapter(get_type_hints(asked)["return"])


@cache
def _grounds(question: str) -> TypeAdapter[Any]:
    return TypeAdapter(GROUNDS[question])


@dataclass(frozen=True)
class Notes:
    """What one decision read. `packed` is None when that is too much to be kept; `size` is what it is, packed."""

    packed: bytes | None
    size: int

    def row(self, decision_id: UUID) -> dict[str, Any]:
        """The columns of `decision_notes`, as the journal writes them."""
        packed = None if self.packed is None else b64encode(self.packed).decode()
        return {"id": decision_id, "packed": packed, "size": self.size}


class _Asking:
    """A desk whose questions go to `ask`, by their name."""

    __slots__ = ("_ask", "_desk")

    def __init__(self, desk: str, ask: Callable[[str], Question]) -> None:
        self._desk = desk
        self._ask = ask

    def __getattr__(self, method: str) -> Question:
        return self._ask(f"{self._desk}.{method}")


class _Desk(ABC):
    """The face of `Services` that agents look at, every question passed to `_question`."""

    def __init__(self, tenant_id: UUID, now: datetime) -> None:
        self.tenant_id = tenant_id
        self.now = now
        for desk in _DESKS:
            setattr(self, desk, _Asking(desk, self._question))

    async def profile(self) -> Any:
        return await self._question("profile")()

    @abstractmethod
    def _question(self, name: str) -> Question:
        """What asks the question of this name."""

    def as_services(self) -> Services:
        """For a Context: the same questions, nothing else."""
        return cast(Services, self)


class RecordingDesk(_Desk):
    """Answers from `services`, and keeps what was answered since `begin`."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.tenant_id, services.now)
        self._services = services
        self._most = MOST_BYTES
        self._noted: list[bytes] = []
        #: by the place among them: what the answer was worked out from
        self._grounds: dict[int, bytes] = {}
        #: answers a desk gives more than once (the profile) are written once: by identity, kept so that it stays theirs
        self._written: dict[int, tuple[Any, bytes]] = {}

    def begin(self, fact: Event) -> None:
        """The next decision, on that fact, starts here."""
        self._noted, self._grounds = [], {}
        seldom = isinstance(fact, AdsRead | PurchaseDue | SourcingAsked | CatalogueAnswered)
        seldom = seldom or (isinstance(fact, CycleStarted) and fact.cycle != "hourly")
        self._most = MOST_OF_REVIEW if seldom else MOST_BYTES

    def notes(self) -> Notes:
        """What was read since `begin`."""
        packed = self._pack(self._grounds)
        if len(packed) > self._most and self._grounds:  # the answers alone still make it replayable
            packed = self._pack({})
        return Notes(packed if len(packed) <= self._most else None, len(packed))

    def _pack(self, grounds: dict[int, bytes]) -> bytes:
        head = b'{"now":"%b","reads":[' % self.now.isoformat().encode()
        reads = [
            b"[%b,%b]" % (noted, grounds[place]) if place in grounds else b"[%b]" % noted
            for place, noted in enumerate(self._noted)
        ]
        return zlib.compress(head + b",".join(reads) + b"]}", _LEVEL)

    def _question(self, name: str) -> Question:
        desk, _, method = name.rpartition(".")
        asked = getattr(getattr(self._services, desk) if desk else self._services, method)

        async def answer(*arguments: Any, **named: Any) -> Any:
            self._services.ground = None
            found = await asked(*arguments, **named)
            if self._services.ground is not None and name in GROUNDS:
                self._grounds[len(self._noted)] = _grounds(name).dump_json(self._services.ground)
            # written down at once: what the agent does to it afterwards is not what it read
            self._noted.append(b'"%b",%b,%b' % (name.encode(), _key(arguments, named), self._write(name, found)))
            return found

        return answer

    def _write(self, name: str, found: Any) -> bytes:
        known = self._written.get(id(found))
        if known is not None and known[0] is found:
            return known[1]
        written = _answers(name).dump_json(found)
        if name == "profile":  # frozen, and the same for all decisions of a batch
            self._written[id(found)] = (found, written)
        return written


class RecordedDesk(_Desk):
    """Answers what was noted, to the same questions in the order they were asked."""

    def __init__(self, tenant_id: UUID, packed: bytes) -> None:
        """Raises FlipSyncError for notes that cannot be read."""
        notes = unpacked(packed)
        super().__init__(tenant_id, datetime.fromisoformat(notes["now"]))
        #: answers, each with what it was worked out from where that was kept
        self._answers: defaultdict[tuple[str, bytes], deque[tuple[Any, Any]]] = defaultdict(deque)
        for name, key, found, *ground in notes["reads"]:
            self._answers[name, orjson.dumps(key)].append((found, ground[0] if ground else None))

    @property
    def left(self) -> list[str]:
        """Questions that were asked then and not now."""
        return sorted({name for (name, _), found in self._answers.items() if found})

    def _question(self, name: str) -> Question:
        async def answer(*arguments: Any, **named: Any) -> Any:
            found, _ = self._noted(name, arguments, named)
            return read_answer(name, found)

        return answer

    def _noted(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """The answer, and what it was worked out from (None: not kept), as they were written."""
        found = self._answers[name, orjson.dumps(orjson.loads(_key(arguments, named)))]
        if not found:
            raise AskedOtherwise(f"asks {name}{arguments!r}, which it did not ask then")
        return found.popleft()


def read_answer(question: str, written: Any) -> Any:
    return _answers(question).validate_json(orjson.dumps(written))


def read_ground(question: str, written: Any) -> Ground:
    return cast(Ground, _grounds(question).validate_json(orjson.dumps(written)))


async def forget_old(unit: UnitOfWork) -> None:
    """Drop what decisions read longer ago than the owner keeps it; the decisions stay."""
    kept = (await profile(unit.session, unit.tenant_id)).settings.journal.reads_kept_days
    await rows.forget_before(unit.session, utc_now() - timedelta(days=kept))


def _key(arguments: tuple[Any, ...], named: dict[str, Any]) -> bytes:
    return _PLAIN.dump_json([arguments, named] if named else [arguments])


def unpacked(packed: bytes) -> dict[str, Any]:
    """Raises FlipSyncError for notes that cannot be read."""
    unpack = zlib.decompressobj()
    try:
        plain = unpack.decompress(packed, _MOST_UNPACKED)
        if not unpack.eof:
            raise FlipSyncError("the notes of the decision end too early, or are too long")
        return cast(dict[str, Any], orjson.loads(plain))
    except (zlib.error, ValueError) as error:
        raise FlipSyncError(f"the notes of the decision cannot be read: {error}") from error
