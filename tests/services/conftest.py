"""A shop of its own for each example; people who are told of things, and the servers it goes to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from notice_servers import HookServer, MailServer, hook_server, mail_server
from shop import Shop, open_store
from told_people import House, open_house


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"])
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def house(database_urls: dict[str, str]) -> AsyncIterator[House]:
    async with open_house(database_urls["worker"]) as found:
        yield found


@pytest.fixture
async def mails() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def hooks() -> AsyncIterator[HookServer]:
    async with hook_server() as server:
        yield server
