"""What connectors know of listings outlives their process: told before bulk writes, kept after whatever reads many."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.knowledge import Recalled
from flipsync.services.accounts import ConnectedAccount
from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import knowledge
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()


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
