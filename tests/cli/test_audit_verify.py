"""`flipsync audit verify` names the line that somebody changed behind the application's back."""

from __future__ import annotations

import json

from command import Flipsync
from sqlalchemy import create_engine, text

from flipsync.store.database import driver_url


def test_a_line_changed_by_the_owner_of_the_database_is_named(flipsync: Flipsync, books: dict[str, str]) -> None:
    assert flipsync("user", "add", "ada@audited.example", "--role", "clerk").returncode == 0
    before = flipsync("audit", "verify", "--json")
    assert before.returncode == 0, before.stderr
    assert json.loads(before.stdout)["intact"]
    engine = create_engine(driver_url(books["DATABASE_URL"]))
    with engine.begin() as connection:
        changed = connection.execute(
            text(
                'UPDATE audit_entry SET details = details || \'{"role": "owner"}\''
                " WHERE action = 'user.added' AND details->>'email' = 'ada@audited.example' RETURNING id, seq"
            )
        ).one()
    engine.dispose()
    after = flipsync("audit", "verify", "--json")
    assert after.returncode == 1
    told = json.loads(after.stdout)
    assert not told["intact"]
    faults = [fault for business in told["businesses"] for fault in business["faults"]]
    assert faults == [{"seq": changed.seq, "entry_id": str(changed.id), "what": "it was changed after it was written"}]
