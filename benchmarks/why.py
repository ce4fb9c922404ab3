"""How soon `flipsync why` answers when the journal is long.

    python -m benchmarks.why [--quick] [--json] [--events 1000000] [--goods 12] [--seed 1]

A business trades: goods are offered, sold, repriced, shipped, refunded, restocked, renamed and ended by all agents and
an effect worker, against the sandbox. Its journal, as it then is, is repeated over a year until it holds so many
events: nine of ten times as the history of other goods, and once as earlier history of the same, so that they have a
long one. Asked as the app role: goods, listings, orders, decisions, effects, facts, and names that nothing has, the
answer's text included. Beside it: the same questions before the journal was repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.crash_business import Business
from benchmarks.crash_lives import Runtime
from benchmarks.installation import ROSTER, fetch, owner_url, temporary_home
from benchmarks.measuring import Report, quantiles, saying
from flipsync.domain.errors import NotFound
from flipsync.embedded.ports import choose_port
from flipsync.runtime.assembly import load_roster
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services.why import explain
from flipsync.store.database import Database
from flipsync.system import System

AIM_SECONDS = 1.0
_YEAR_MS = 365 * 86_400_000
#: every so many repeats are history of the very same goods
_SAME = 10
#: the journal's tables, and in each the ids that move with a repeat, and the text that has to stay unique
_JOURNAL: dict[str, tuple[tuple[str, ...], str | None]] = {
    "event": (("id", "causation_id", "correlation_id"), "dedup_key"),
    "agent_task": (("id", "event_id"), None),
    "agent_decision": (("id", "event_id", "correlation_id"), None),
    "proposal": (("id", "decision_id"), None),
    "effect": (("id", "proposal_id", "correlation_id"), "key"),
    "receipt": (("id", "effect_id"), None),
    "approval": (("id", "decision_id"), None),
}
_TIMES = ("occurred_at", "recorded_at", "decided_at", "created_at", "started_at", "finished_at", "asked_at")
#: an id of the same kind, made so much earlier (UUIDv7 begins with its milliseconds)
_EARLIER = """
    CREATE FUNCTION pg_temp.earlier(id uuid, ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT (lpad(to_hex(('x' || substr(h, 1, 12))::bit(48)::bigint - ms), 12, '0') || substr(h, 13))::uuid
          FROM (SELECT replace(id::text, '-', '') AS h) AS hex
    $$
"""
_ASKED = {
    "goods": "SELECT sku AS asked FROM variant WHERE tenant_id = %(t)s ORDER BY id",
    "listing": "SELECT l.sku || '@' || a.name AS asked FROM listing l JOIN marketplace_account a ON a.id = l.account_id"
    " WHERE l.tenant_id = %(t)s ORDER BY l.id",
    "order": "SELECT id::text AS asked FROM customer_order WHERE tenant_id = %(t)s ORDER BY id",
    "decision": "SELECT id::text AS asked FROM agent_decision WHERE tenant_id = %(t)s ORDER BY id DESC LIMIT 100",
    "effect": "SELECT id::text AS asked FROM effect WHERE tenant_id = %(t)s ORDER BY id DESC LIMIT 100",
    "fact": "SELECT id::text AS asked FROM event WHERE tenant_id = %(t)s ORDER BY id DESC LIMIT 100",
    "no such thing": "SELECT 'none-' || n AS asked FROM generate_series(1, 20) AS n",
}


def trade(system: System, goods: int, seed: int) -> UUID:
    """A business with a journal of its own making; its id."""
    assert system.keys is not None
    runtime = Runtime(
        system.environment["FLIPSYNC_WORKER_DATABASE_URL"],
        tuple(load_roster(ROSTER)),
        SecretBox(parse_keys(system.keys.secret)),
        secrets.token_bytes(32),
    )
    business = Business(runtime, system.environment["FLIPSYNC_APP_DATABASE_URL"], Random(seed), {})
    try:
        for _ in range(goods):
            for _ in business.article():
                runtime.work_here()
    finally:
        business.close()
    return business.tenant_id


def repeat(url: str, tenant_id: UUID, events: int) -> int:
    """Repeat the tenant's journal until it holds so many events; how many it holds then."""
    held = int(fetch(url, "SELECT count(*) AS n FROM event WHERE tenant_id = %(t)s", {"t": tenant_id})[0]["n"])
    copies = max(1, math.ceil(events / held) - 1)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(_EARLIER.encode())
        for table, (ids, unique) in _JOURNAL.items():
            query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
            columns = [row[0] for row in connection.execute(query, (table,))]
            values = ", ".join(_value(column, ids, unique) for column in columns)
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} AS t,"
                " (SELECT n, n * (%(year)s::bigint / %(copies)s) AS ms FROM generate_series(1, %(copies)s) AS n) AS c"
                " WHERE t.tenant_id = %(t)s".encode(),
                {"t": tenant_id, "copies": copies, "year": _YEAR_MS},
            )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return held * (copies + 1)


def _value(column: str, ids: Sequence[str], unique: str | None) -> str:
    if column in ids:
        return f"pg_temp.earlier({column}, ms)"
    if column == unique:
        return f"{column} || ':' || n"
    if column == "subject_id":
        others = f"n %% {_SAME} <> 0 AND subject_kind NOT IN ('account', 'tenant')"
        return f"CASE WHEN {others} THEN pg_temp.earlier(subject_id, ms) ELSE subject_id END"
    return f"{column} - ms * interval '1 millisecond'" if column in _TIMES else column


async def ask(app_url: str, tenant_id: UUID, asked: dict[str, list[str]]) -> dict[str, list[float]]:
    """Seconds of each question, its answer's text included."""
    database, taken = Database(app_url, pool_size=1), dict[str, list[float]]()
    for kind, names in asked.items():
        for name in names:
            began = time.perf_counter()
            async with database.reader(tenant_id) as session:
                try:
                    (await explain(session, name)).to_text(width=120)
                except NotFound:
                    assert kind == "no such thing", name
            taken.setdefault(kind, []).append(time.perf_counter() - began)
    await database.aclose()
    return taken


def measure(home: Path, events: int, goods: int, seed: int) -> dict[str, Any]:
    with System(home, port=choose_port()) as system:
        system.start_books()
        app_url, url = system.environment["FLIPSYNC_APP_DATABASE_URL"], owner_url(home)
        with saying(f"{goods} goods are traded"):
            tenant_id = trade(system, goods, seed)
        asked = {
            kind: [str(row["asked"]) for row in fetch(url, query, {"t": tenant_id})] for kind, query in _ASKED.items()
        }
        before = asyncio.run(ask(app_url, tenant_id, asked))
        with saying("the journal is repeated"):
            held = repeat(url, tenant_id, events)
        after = asyncio.run(ask(app_url, tenant_id, asked))
    seconds = {
        kind: {"ours": quantiles(after[kind]), "short_journal": quantiles(before[kind])}
        for kind, names in asked.items()
    }
    return {"events": held, "seconds": seconds, "slowest": max(max(each) for each in after.values())}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--goods", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one article, 2,000 events: only show that it works")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    events, goods = (2_000, 1) if options.quick else (options.events, options.goods)
    report = Report("why")
    with temporary_home() as home:
        found = measure(home, events, goods, options.seed)
    report.result = {"seed": options.seed, "goods": goods, "aim_seconds": AIM_SECONDS} | found
    report.row("events in the journal", f"{found['events']:,}")
    for kind, each in found["seconds"].items():
        ours, short = each["ours"], each["short_journal"]
        told = f"p50 {1000 * ours['p50']:.0f} ms, p95 {1000 * ours['p95']:.0f} ms, at most {1000 * ours['max']:.0f} ms"
        report.row(f"why: {kind}", told, f"of a short journal p50 {1000 * short['p50']:.0f} ms, {ours['n']} asked")
    report.row("slowest answer", f"{found['slowest']:.2f} s", f"aim below {AIM_SECONDS:.0f} s")
    report.finish(as_json=options.json)
    return 0 if found["slowest"] < AIM_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
