"""What people write does not go to the database more often than it has to: each trip waits for its turn again."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from sqlalchemy import event

from flipsync.domain.ids import new_id
from flipsync.store import round_trip
from serve.backend import Backend

WRITES = [
    ("/inventory/items/{stock_item_id}/counts", {"counted": 40}, 6),
    ("/inventory/receipts", {"variant_id": "{variant_id}", "quantity": 3}, 6),
    ("/notifications/read-all", {}, 4),
]


@pytest.fixture
def trips(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every trip of the API's writing connections, as the first words that were sent."""
    told: list[str] = []
    exchange, engine = round_trip.exchange, backend.store.database.engine.sync_engine

    async def counted(connection: Any, steps: Any) -> Any:
        told.append("; ".join(" ".join(step.statement.wire.text.decode().split()[:3]) for step in steps))
        return await exchange(connection, steps)

    def alone(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        told.append(" ".join(statement.split()[:3]))

    monkeypatch.setattr(round_trip, "exchange", counted)
    event.listen(engine, "before_cursor_execute", alone)
    yield told
    event.remove(engine, "before_cursor_execute", alone)


@pytest.mark.parametrize(("path", "body", "most"), WRITES, ids=[path for path, *_ in WRITES])
async def test_a_write_takes_few_trips(
    path: str, body: dict[str, Any], most: int, client: httpx2.AsyncClient, alpha: Business, trips: list[str]
) -> None:
    filled = {name: value.format(**alpha.ids) if isinstance(value, str) else value for name, value in body.items()}
    headers = alpha.headers(**{"Idempotency-Key": new_id().hex})
    answer = await client.post(f"{API}{path.format(**alpha.ids)}", headers=headers, json=filled)
    assert answer.is_success, answer.text
    assert 0 < len(trips) <= most, trips
    assert "COMMIT" in trips[-1], "the answer that is kept goes with the commit"


async def test_a_token_is_renewed_in_few_trips(client: httpx2.AsyncClient, alpha: Business, trips: list[str]) -> None:
    form = {"email": alpha.email(), "password": PASSWORD}
    signed = await client.post(f"{API}/auth/login", json=form)
    assert signed.is_success, signed.text
    trips.clear()
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": signed.json()["refresh_token"]})
    assert renewed.is_success, renewed.text
    assert 0 < len(trips) <= 4, trips
