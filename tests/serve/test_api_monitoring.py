"""Alive, ready, figures: true about the parts, and silent about every business."""

from __future__ import annotations

import httpx2
import pytest
from api_world import API, Business
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text

import flipsync
from flipsync.store.database import driver_url
from serve.api import build_app
from serve.settings import ServeSettings


async def test_health(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"{API}/monitoring/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive", "version": flipsync.__version__})


async def test_ready_when_every_part_is(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"{API}/monitoring/ready")
    assert answer.status_code == 200, answer.text
    assert {part["name"]: part["ready"] for part in answer.json()["parts"]} == {"database": True, "redis": True}


@pytest.mark.parametrize(
    ("field", "url", "part"),
    [
        ("app_database_url", "postgresql://nobody:hush@127.0.0.1:1/none", "database"),
        ("redis_url", "redis://:hush@127.0.0.1:1/0", "redis"),
    ],
)
async def test_not_ready_names_the_part_and_no_address(
    field: str, url: str, part: str, settings: ServeSettings
) -> None:
    values = {name: getattr(settings, name) for name in ServeSettings.model_fields} | {field: url}
    app = build_app(ServeSettings(**values))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        answer = await client.get(f"{API}/monitoring/ready")
        alive = await client.get(f"{API}/monitoring/health")
    await app.state.backend.aclose()
    assert answer.status_code == 503
    assert [p["name"] for p in answer.json()["parts"] if not p["ready"]] == [part]
    assert "hush" not in answer.text and "127.0.0.1" not in answer.text
    assert alive.status_code == 200, "being alive is not being ready"


async def test_not_ready_while_migrations_are_behind(client: httpx2.AsyncClient, database_urls: dict[str, str]) -> None:
    engine = create_engine(driver_url(database_urls["owner"]))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE import_run RENAME COLUMN problems TO troubles"))
    try:
        answer = await client.get(f"{API}/monitoring/ready")
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE import_run RENAME COLUMN troubles TO problems"))
        engine.dispose()
    assert answer.status_code == 503
    assert "migrations are behind" in answer.text


async def test_metrics_count_by_route_and_name_no_business(client: httpx2.AsyncClient, alpha: Business) -> None:
    async def counted() -> float:
        answer = await client.get(f"{API}/monitoring/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert alpha.marker not in answer.text and str(alpha.tenant_id) not in answer.text
        wanted = {"method": "GET", "route": f"{API}/orders/{{order_id}}", "status": "200"}
        return sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == "flipsync_http_requests_total" and sample.labels == wanted
        )

    before = await counted()
    await client.get(f"{API}/orders/{alpha.ids['order_id']}", headers=alpha.headers())
    assert await counted() == before + 1
