"""Makes decisions of the journal again from what they read, and says where anything differs. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from flipsync.domain.decisions import Decision
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import Event
from flipsync.domain.ids import first_id_at
from flipsync.runtime.agent import Context
from flipsync.runtime.graph import AgentClass
from flipsync.services.recorded_desk import RecordedDesk
from flipsync.services.standing import counted_again
from flipsync.store.repositories import replay as rows
from flipsync.store.repositories.replay import KeptDecision
from flipsync.store.unit_of_work import Store

_PAGE = 500
#: decisions from one word on how far it is to the next
_TOLD_EVERY = 50


@dataclass(frozen=True)
class Difference:
    """One part of a decision that came out otherwise. `part` is what differs, or "replay" when it could not be made."""

    decision_id: UUID
    agent: str
    part: str
    then: Any
    now: Any


@dataclass
class Replay:
    """What became of the decisions looked at. Each is in exactly one of the counts."""

    decisions: int = 0
    identical: int = 0
    different: int = 0
    #: decided by another version of the agent (its differences are no mistake), and how many came out alike
    other_version: int = 0
    other_version_identical: int = 0
    #: too much was read to be kept
    too_large: int = 0
    #: decided before notes were kept, or longer ago than they are
    not_kept: int = 0
    #: the agent is not in the roster any more
    gone: int = 0
    bytes_read: int = 0
    differences: list[Difference] = field(default_factory=list)
    by_version: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing came out otherwise; and where there were decisions, some could be made again."""
        return self.different == 0 and (self.identical > 0 or self.decisions == 0)

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = TypeAdapter(Any).dump_python(asdict(self), mode="json")
        return {"ok": self.ok, **told}


async def replay(
    store: Store,
    tenant_id: UUID,
    agents: Mapping[str, AgentClass],
    *,
    since: datetime,
    agent: str | None = None,
    limit: int | None = None,
    progress: Callable[[Replay], None] = lambda _: None,
) -> Replay:
    """Replay what was decided since then (wall clock), oldest first, `limit` decisions at most.

    `progress` is told how far it is, every few decisions.
    """
    found = Replay()
    after = first_id_at(since)
    while limit is None or found.decisions < limit:
        most = _PAGE if limit is None else min(_PAGE, limit - found.decisions)
        async with store.reader(tenant_id) as session:
            page = await rows.kept(session, after, agent, most)
        if not page:
            break
        for row in page:
            await _look(found, tenant_id, agents.get(row.agent), row)
            if found.decisions % _TOLD_EVERY == 0:
                progress(found)
        after = page[-1].id
    return found


async def _look(found: Replay, tenant_id: UUID, agent: AgentClass | None, row: KeptDecision) -> None:
    found.decisions += 1
    found.bytes_read += row.size or 0
    if agent is None:
        found.gone += 1
    elif row.packed is None:
        found.too_large += row.size is not None
        found.not_kept += row.size is None
    else:
        differences = await again(tenant_id, agent, row)
        if row.agent_version != agent.spec.version:
            found.other_version += 1
            found.other_version_identical += not differences
            found.by_version += differences
        else:
            found.identical += not differences
            found.different += bool(differences)
            found.differences += differences


async def again(tenant_id: UUID, agent: AgentClass, row: KeptDecision) -> list[Difference]:
    """Make one decision again; every part in which it differs from the journal."""
    assert row.packed is not None

    def differs(part: str, then: Any, now: Any) -> Difference:
        return Difference(row.id, row.agent, part, then, now)

    try:
        desk = RecordedDesk(tenant_id, row.packed)
        event = Event.from_journal(row.event_type, row.event_payload)
        ctx = Context(tenant_id, desk.now, desk.as_services(), row.event_id, row.correlation_id)
        decision = await agent().decide(event, ctx)
    except FlipSyncError as error:
        return [differs("replay", None, error.message)]
    except Exception as error:  # whatever an agent trips over on what it once could read is a finding
        return [differs("replay", None, f"{type(error).__name__}: {error}")]
    then, now = as_kept(row), as_decided(decision)
    differences = [
        differs(part, then[part], now[part]) for part in then if canonical(then[part]) != canonical(now[part])
    ]
    if row.recalibration is not None:
        try:
            counted: Any = counted_again(row.agent, decision.confidence, row.recalibration)
        except FlipSyncError as error:
            counted = error.message
        if counted != row.trusted:
            differences.append(differs("counted", row.trusted, counted))
    return differences + [differs("reads", name, None) for name in desk.left]


def as_kept(row: KeptDecision) -> dict[str, Any]:
    return {
        "commands": row.proposals,
        "rationale": row.rationale,
        "confidence": row.confidence,
        "evidence": row.evidence,
        "alternatives": row.alternatives,
        "stake": None if row.stake_minor is None else [row.stake_minor, row.stake_currency],
        "source": row.source,
    }


def as_decided(decision: Decision[Any]) -> dict[str, Any]:
    stake = decision.stake
    return {
        "commands": [[each.type_name(), each.model_dump(mode="json")] for each in decision.proposals],
        "rationale": decision.rationale,
        "confidence": decision.confidence,
        "evidence": [each.model_dump(mode="json") for each in decision.evidence],
        "alternatives": [each.model_dump(mode="json") for each in decision.alternatives],
        "stake": None if stake is None else [stake.amount_minor, stake.currency],
        "source": decision.source,
    }


def canonical(value: Any) -> bytes:
    """The bytes two decisions are compared by: keys sorted, whole numbers as such (JSONB keeps numbers, not types)."""
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value
