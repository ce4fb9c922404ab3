"""What connectors know of listings outlives their process: told before bulk writes, kept after whatever reads many."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.knowledge import Recalled
from flipsync.domain.errors import ChannelError
from flipsync.services.accounts import ConnectedAccount
from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import knowledge
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()

#: seconds after which an account that was learnt of may be learnt of again
_AGAIN_SECONDS = 600.0


async def recall(
    store: Store, account: ConnectedAccount, connector: MarketplaceConnector, external_ids: Sequence[str]
) -> None:
    """Tell the connector what an earlier process learnt of these listings, as far as it lacks that."""
    lacking = connector.lacks(external_ids)
    if not lacking:
        return
    async with store.reader(account.tenant_id) as session:
        found = await knowledge.load(session, account.id, lacking)
    connector.recall({one: Recalled(facts, age) for one, (facts, age) in found.items()})


async def keep(store: Store, account: ConnectedAccount, connector: MarketplaceConnector) -> None:
    """Write down what the connector has learnt since. Where the database is away that is lost: it is learnt again."""
    news = connector.learnt()
    if not news:
        return
    try:
        async with store.database.session(account.tenant_id) as session:
            await knowledge.keep(session, account.id, news)
    except BROKEN_OFF as error:
        log.warning("what was learnt of listings is not kept", error=str(error).splitlines()[0])


class AllAtOnce:
    """Learns of all listings of an account where too much is unknown of too many to ask for each (see
    `MarketplaceConnector.learn_all`): once for all who wait for it, and not again for a while, whatever came of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tried_at: dict[UUID, float] = {}

    async def learn(
        self, account: ConnectedAccount, connector: MarketplaceConnector, external_ids: Sequence[str]
    ) -> bool:
        """`external_ids` are some of those whose units are to be written. Returns whether the books know more now than
        when it was called. What goes wrong at the channel is logged: listings are read one way or the other."""
        if connector.learns_all is None or not await self._lacking(account, connector, external_ids):
            return False
        async with self._locks[account.id]:
            if time.monotonic() - self._tried_at.get(account.id, float("-inf")) < _AGAIN_SECONDS:
                return True
            async with self._store.reader(account.tenant_id) as session:
                fewest, lasts = connector.learns_all.fewest, connector.learns_all.lasts
                unknown = await knowledge.unknown_waiting(session, account.id, lasts=lasts, most=fewest)
            if unknown < fewest:
                return False
            self._tried_at[account.id] = time.monotonic()
            learnt = 0
            try:
                async for count in connector.learn_all():
                    learnt += count
                    await keep(self._store, account, connector)
            except ChannelError as error:
                log.warning("listings are not learnt of all at once", account=str(account.id), error=error.message)
            except Exception:
                log.exception("learning of all listings failed in our own code", account=str(account.id))
            log.info("learnt of listings", account=str(account.id), listings=learnt)
            return True

    async def _lacking(
        self, account: ConnectedAccount, connector: MarketplaceConnector, external_ids: Sequence[str]
    ) -> bool:
        await recall(self._store, account, connector, external_ids)
        return bool(connector.lacks(external_ids))
