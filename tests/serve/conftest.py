"""The API under test: the real application on a real database and a real Redis, with two businesses full of data."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from api_world import Business, found_business, report_agents, run_automation
from fastapi import FastAPI

from flipsync.security.passwords import Passwords
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store
from serve.api import build_app
from serve.backend import Backend
from serve.settings import ServeSettings


def _key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="session")
def settings(database_urls: dict[str, str], redis_url: str) -> ServeSettings:
    return ServeSettings(
        app_database_url=database_urls["app"],
        redis_url=redis_url,
        jwt_key=_key(),
        secret_key=_key(),
        roster="agents:ROSTER",
        websocket_queue=4,
        websocket_heartbeat_seconds=0.5,
        sign_in_failures=10_000,  # the tests share an address, and the sessions of a few people
        session_per_minute=10_000_000,
        address_per_minute=10_000_000,
        deliveries_per_minute=10_000_000,
    )


@pytest.fixture(scope="session")
async def app(settings: ServeSettings, passwords: Passwords) -> AsyncIterator[FastAPI]:
    built = build_app(settings)
    built.state.backend.passwords.close()
    built.state.backend.passwords = passwords
    yield built
    await built.state.backend.aclose()


@pytest.fixture(scope="session")
def backend(app: FastAPI) -> Backend:
    found: Backend = app.state.backend
    return found


@pytest.fixture(scope="session")
def store(backend: Backend) -> Store:
    return backend.store


@dataclass(frozen=True)
class World:
    """`alpha` owns what `beta` must never see, and the other way round."""

    alpha: Business
    beta: Business


# Each module has businesses of its own: what one writes, or forgets, never decides what another finds.
@pytest.fixture(scope="module")
async def world(backend: Backend, database_urls: dict[str, str], passwords: Passwords) -> World:
    run = secrets.token_hex(4)
    worker = Database(database_urls["worker"], pool_size=1)
    await report_agents(worker)
    alpha, beta = [
        await found_business(backend.store, backend.box, passwords, backend.tokens, f"{name}{run}")
        for name in ("alpha", "beta")
    ]
    for business in (alpha, beta):
        await run_automation(worker, business)
    await worker.aclose()
    return World(alpha, beta)


@pytest.fixture(scope="module")
def alpha(world: World) -> Business:
    return world.alpha


@pytest.fixture(scope="module")
def beta(world: World) -> Business:
    return world.beta


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as opened:
        yield opened
