"""A shop of its own for each example."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from shop import Shop, open_store


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"])
    yield await Shop(store).found()
    await store.aclose()
