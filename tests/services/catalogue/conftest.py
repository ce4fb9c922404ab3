"""One fresh tenant a test, in the session's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from flipsync.domain.ids import new_id
from flipsync.store.database import Database
from flipsync.store.models import Tenant
from flipsync.store.unit_of_work import Store, Subscription


@dataclass(frozen=True)
class Shop:
    """A tenant and the store, connected as the role that cannot bypass row security."""

    store: Store
    tenant_id: UUID


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = Store(Database(database_urls["app"]), routing={"StockMoved": [Subscription("inventory")]})
    tenant_id = new_id()
    async with store.unit(tenant_id) as unit:
        unit.session.add(Tenant(id=tenant_id, name="Test"))
    yield Shop(store, tenant_id)
    await store.aclose()
