"""Around every request: ids, traces, careful headers, figures; and logs that keep secrets."""

from __future__ import annotations

import re

import httpx2
import pytest
import structlog
from api_world import API, PASSWORD, Business, webhook_address
from sqlalchemy import text

from serve.backend import Backend
from serve.telemetry import hide_secrets


async def test_ids_are_taken_over_when_they_are_sane_and_made_otherwise(client: httpx2.AsyncClient) -> None:
    sane = await client.get(f"{API}/monitoring/health", headers={"X-Request-Id": "phone-1234"})
    assert sane.headers["x-request-id"] == "phone-1234"
    odd = await client.get(f"{API}/monitoring/health", headers={"X-Request-Id": "x\\n{injected}"})
    assert re.fullmatch(r"[0-9a-f]{32}", odd.headers["x-request-id"])


async def test_the_trace_goes_on_into_the_journal(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await client.post(
        f"{API}/inventory/receipts",
        headers=alpha.headers(traceparent=trace, **{"Idempotency-Key": "traced"}),
        json={"variant_id": str(alpha.ids["variant_id"]), "quantity": 1},
    )
    assert answer.status_code == 201
    assert answer.headers["traceparent"] == trace
    async with backend.database.session(alpha.tenant_id) as session:
        found = await session.execute(
            text("SELECT count(*) FROM event WHERE type = 'StockMoved' AND traceparent = :trace"),
            {"trace": trace},
        )
        assert found.scalar_one() == 1


async def test_browsers_are_told_to_be_careful(client: httpx2.AsyncClient) -> None:
    headers = (await client.get(f"{API}/monitoring/health")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    assert "server" not in headers


async def test_logs_name_routes_and_hold_no_secret(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one that another test had write something is bound to what was set up then
    monkeypatch.setattr("serve.middleware._log", structlog.get_logger())
    token = await webhook_address(backend.database, alpha)
    with structlog.testing.capture_logs() as logs:
        await client.post(f"{API}/webhooks/{token}", content=b"{}")
        await client.post(f"{API}/auth/login", json={"email": alpha.email("manager"), "password": PASSWORD})
        await client.get(f"{API}/nowhere/{token}")
    written = str(logs)
    routes = [entry["route"] for entry in logs if entry["event"] == "request"]
    assert routes == [f"{API}/webhooks/{{token}}", f"{API}/auth/login", "unmatched"]
    assert token not in written and PASSWORD not in written


def test_fields_named_like_secrets_are_blanked_at_any_depth() -> None:
    entry = {"event": "x", "password": "p", "config": {"api_key": "k", "list": [{"refresh_token": "t"}]}, "kept": 1}
    assert hide_secrets(None, "info", entry) == {
        "event": "x",
        "password": "[hidden]",
        "config": {"api_key": "[hidden]", "list": [{"refresh_token": "[hidden]"}]},
        "kept": 1,
    }
