"""A PostgreSQL server for the tests that write, with the schema installed and one fresh tenant a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from flipsync.domain.ids import new_id
from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.store.bootstrap import APP_ROLE, create_database, install, role_url
from flipsync.store.database import Database
from flipsync.store.models import Tenant
from flipsync.store.unit_of_work import Store


@dataclass(frozen=True)
class Shop:
    """A tenant and the store, connected as the role that cannot bypass row security."""

    store: Store
    tenant_id: UUID


@pytest.fixture(scope="session")
def app_url() -> Iterator[object]:
    folder = Path(tempfile.mkdtemp(prefix="fst-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    server = EmbeddedPostgres(folder / "postgres")
    address = server.start()
    try:
        owner = create_database(address.url(), "catalogue_import")
        install(owner, app_password="app", worker_password="worker")
        yield role_url(owner, APP_ROLE, "app")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def shop(app_url: object) -> AsyncIterator[Shop]:
    database = Database(app_url)  # type: ignore[arg-type]
    store = Store(database, routing={})
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        unit.session.add(Tenant(id=tenant_id, name="Test"))
    yield Shop(store, tenant_id)
    await store.aclose()
