"""The pass that finds what is worth telling: what the books say is open now, against what people were told.

Nothing is written on the path of an order: the pass looks at what is open, so that it misses nothing that came late and
tells nothing twice, however often it runs or is cut off.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.services import escalation
from flipsync.services.notices import inbox, wording
from flipsync.services.notices.kinds import FIRST_ASKED, Kind, as_kind, heard_by, severity
from flipsync.services.own_roles import role_of
from flipsync.services.why_words import Labels, mentioned, spaced
from flipsync.store.database import SessionReader
from flipsync.store.repositories import matters as found_rows
from flipsync.store.repositories import notices as rows
from flipsync.store.repositories import reading_decisions
from flipsync.store.repositories import why as why_rows
from flipsync.store.repositories.matters import FoundMatter
from flipsync.store.repositories.notices import Person, Told
from flipsync.store.unit_of_work import UnitOfWork

#: of each source so many are told one by one; the rest is told as one
MOST_OF_A_SOURCE = 100
_COUNTED = 10_000
#: of what is new, so much is pushed to a person who is looking
_PUSHED = 5
_OF_MANY: Final[dict[str, Kind]] = {
    "approval": "approval-waiting",
    "fault": "channel-fault",
    "repair": "channel-repaired",
    "oversold": "oversold",
    "refund": "refund-unknown",
    "label": "label-unknown",
    "shipment": "shipment-unconfirmed",
    "rival": "rival-price-war",
    "set-aside": "work-set-aside",
    "held": "order-unread",
    "agent": "agent-down",
    "credential": "credential-ending",
    "passkey": "passkey-copied",
    "sign-in": "sign-in-changed",
    "key": "key-ending",
    "automation": "automation-says",
    "purchase": "purchase-to-place",
    "transfer": "transfer-short",
    "report": "report-ready",
    "need": "listings-need-you",
}


async def tell(unit: UnitOfWork) -> int:
    """Tell everybody concerned what is the matter and was not told; mark what is settled. How many are new.

    Questions that nobody answered are passed on before.
    """
    real = utc_now()
    told = await rows.unsettled(unit.session)
    found = await found_rows.open_matters(unit.session, unit.now, real, MOST_OF_A_SOURCE + 1)
    if not found and not told:
        return 0
    if any(each.source == "approval" for each in found) and await escalation.escalate(unit):
        found = await found_rows.open_matters(unit.session, unit.now, real, MOST_OF_A_SOURCE + 1)
    people = await rows.people(unit.session)
    full = {source for source, count in Counter(each.source for each in found).items() if count > MOST_OF_A_SOURCE}
    matters = [*_at_most(found), *[await _many(unit, source) for source in sorted(full)]]
    wanted = {(person.id, _key(each)): each for each in matters for person in _concerned(people, each)}
    known = {(each.user_id, each.key): each for each in told}
    new = [matter for at, matter in wanted.items() if at not in known]
    words = await wishes(unit.session, [UUID(each.facts["decision_id"]) for each in new if "decision_id" in each.facts])
    fresh = await rows.raise_all(
        unit.session,
        unit.tenant_id,
        [_row(user_id, matter, words) for (user_id, key), matter in wanted.items() if (user_id, key) not in known],
        real,
    )
    gone = await _settled(unit, [each for at, each in known.items() if at not in wanted], full, people)
    await rows.settle(unit.session, [each.id for each in gone], real)
    await _renew(unit, [(known[at], matter) for at, matter in wanted.items() if at in known])
    if fresh or gone:
        await _push(unit, people, {user_id for (user_id, key) in wanted.keys() - known.keys()}, fresh, gone)
    return len(fresh)


async def wishes(session: AsyncSession, decision_ids: Collection[UUID]) -> dict[UUID, str]:
    """By the decision asked about: what it wants to do, in a few words. No reason and no text of anybody's is in it."""
    if not decision_ids:
        return {}
    reader = SessionReader(session)
    (waiting,) = await reader.ask(reading_decisions.WAITING_BELOW(ids=sorted(set(decision_ids))))
    label = Labels(await why_rows.labels(reader, {subject for row in waiting for subject in mentioned(row.payload)}))
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in waiting:
        subjects = sorted(set(mentioned(row.payload)), key=lambda each: _TELLING.get(each[0], len(_TELLING)))
        known = f" ({label(*subjects[0])})" if subjects else ""
        found[row.question].append(f"{spaced(row.command)}{known}")
    return {
        decision: each[0] + (f" and {len(each) - 1} more" if len(each) > 1 else "") for decision, each in found.items()
    }


#: of what a command speaks of, what says most
_TELLING = {"order": 0, "listing": 1, "product": 2, "variant": 3, "stock_item": 4, "account": 5}


def _at_most(found: Sequence[FoundMatter]) -> list[FoundMatter]:
    seen: Counter[str] = Counter()
    kept = []
    for each in found:
        seen[each.source] += 1
        if seen[each.source] <= MOST_OF_A_SOURCE:
            kept.append(each)
    return kept


async def _many(unit: UnitOfWork, source: str) -> FoundMatter:
    count = await found_rows.count_matters(unit.session, source, unit.now, utc_now(), _COUNTED)
    facts = {wording.MANY: count, "source": source, "or_more": count >= _COUNTED}
    return FoundMatter(source, _OF_MANY[source], wording.MANY, "list", None, facts)


#: told to the person they name and to nobody else
_ONE_PERSONS: Final[frozenset[Kind]] = frozenset({"report-ready", "report-failed", "sign-in-changed", "key-ending"})


def _key(matter: FoundMatter) -> str:
    return f"{matter.kind}:{matter.key}"


def _concerned(people: Sequence[Person], matter: FoundMatter) -> Iterable[Person]:
    """Who may hear of it; a question that was just asked goes to who is asked first."""
    kind = as_kind(matter.kind)
    may = [person for person in people if kind in heard_by(role_of(person))]
    if kind == "passkey-copied":
        return [person for person in may if str(person.id) == matter.facts.get("user_id") or person.role == "owner"]
    if kind in _ONE_PERSONS:
        return [person for person in may if str(person.id) == matter.facts.get("user_id")]
    if kind == "approval-waiting":
        return [person for person in may if person.role in FIRST_ASKED] or may
    return may


def _row(user_id: UUID, matter: FoundMatter, words: dict[UUID, str]) -> dict[str, Any]:
    facts = dict(matter.facts)
    if "decision_id" in facts:
        facts["wish"] = wording.clean(words.get(UUID(facts["decision_id"]), "let a decision go ahead"))
    return {
        "user_id": user_id,
        "key": _key(matter),
        "kind": matter.kind,
        "source": matter.source,
        "severity": severity(as_kind(matter.kind), facts),
        "subject_kind": matter.subject_kind,
        "subject_id": matter.subject_id,
        "facts": facts,
    }


async def _settled(
    unit: UnitOfWork, unseen: Sequence[Told], full: Collection[str], people: Sequence[Person]
) -> list[Told]:
    """Of what was told and is not among what was found: all, but what only was not looked at for there is too much."""
    suspects = [each for each in unseen if each.source in full and not each.key.endswith(f":{wording.MANY}")]
    if not suspects:
        return list(unseen)
    still: set[str] = set()
    for source in {each.source for each in suspects}:
        keys = {each.key.partition(":")[2] for each in suspects if each.source == source}
        open_now = await found_rows.still_open(unit.session, source, keys, unit.now, utc_now())
        still.update(f"{kind}:{key}" for kind, key in open_now)
    by_id = {person.id: person for person in people}

    def concerns(each: Told) -> bool:
        person = by_id.get(each.user_id)
        matter = FoundMatter(each.source, each.kind, each.key, "", None, each.facts)
        return person is not None and each.key in still and person in _concerned(people, matter)

    suspected = {each.id for each in suspects}
    return [each for each in unseen if each.id not in suspected or not concerns(each)]


async def _renew(unit: UnitOfWork, pairs: Iterable[tuple[Told, FoundMatter]]) -> None:
    changed: defaultdict[bytes, list[UUID]] = defaultdict(list)
    for told, matter in pairs:
        if any(told.facts.get(name) != value for name, value in matter.facts.items()):
            changed[orjson.dumps(matter.facts)].append(told.id)
    for facts, notification_ids in changed.items():
        await rows.renew_facts(unit.session, notification_ids, orjson.loads(facts))


async def _push(
    unit: UnitOfWork, people: Sequence[Person], touched: set[UUID], fresh: set[UUID], gone: Sequence[Told]
) -> None:
    """One word to each person who is looking: what is new, and how much they have not read. To nobody else."""
    touched = touched | {each.user_id for each in gone}
    reader = SessionReader(unit.session)
    (counts,) = await reader.ask(rows.UNREAD(user_ids=sorted(touched)))
    for person in people:
        if person.id not in touched:
            continue
        kinds = heard_by(role_of(person))
        newest = await inbox.newest_unread(reader, person.id, kinds, _PUSHED)
        views = [each.model_dump(mode="json") for each in newest if each.id in fresh]
        unread = sum(row.unread for row in counts if row.user_id == person.id and row.kind in kinds)
        inbox.push(unit, person.id, unread, views)
