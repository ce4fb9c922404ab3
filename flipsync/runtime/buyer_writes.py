"""How a buyer is written to, once: who is told twice that the goods are gone believes neither message.

Where the channel lists what was written, an attempt of unknown outcome looks there first, once the lost call cannot
land any more; where it does not, a person is asked.
"""

from __future__ import annotations

import asyncio

from flipsync.domain.called_off import TellBuyer
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.runtime.channel_writes import Done, Job
from flipsync.store.models import Order


async def tell_buyer(job: Job, command: TellBuyer) -> Done:
    async with job.store.reader(job.effect.tenant_id) as session:
        order = await session.get(Order, command.order_id)
    if order is None:
        raise Rejected("the order is not in our books any more", missing=True)
    if job.effect.uncertain:
        if job.connector.capabilities.buyer_messages != "listed":
            raise OutcomeUnknown(
                "the buyer may have been told, and the channel lists no messages",
                for_person=True,
                hint="look at the order on the channel's own page, and write there if they were not",
            )
        await asyncio.sleep(job.connector.config.landing_seconds)
        if await job.connector.was_told(order.external_id, command.text):
            return Done("the buyer had been told")
    try:
        await job.connector.tell_buyer(order.external_id, command.text)
    except Rejected:
        told = await job.connector.read_order(order.external_id)
        if told is None or told.status not in ("cancelled", "refunded"):
            raise
        return Done(f"the order is {told.vendor_status} there: of that the channel tells its buyer")
    return Done("the buyer was told")
