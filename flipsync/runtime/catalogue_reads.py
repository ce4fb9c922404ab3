"""What channels' catalogues are asked about goods that are not ours yet."""

from __future__ import annotations

from flipsync.domain.errors import Rejected
from flipsync.domain.product_codes import ProductCode
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion, LookUpGoods
from flipsync.runtime.channel_writes import Job
from flipsync.services.sourcing import scans
from flipsync.services.sourcing.desk import PART
from flipsync.store.models import SourcingLine
from flipsync.store.repositories import sourcing as rows


async def look_up_goods(job: Job) -> str:
    """A channel that refuses the question has answered too: nobody is to wait for it."""
    command = LookUpGoods.model_validate(job.effect.payload)
    async with job.store.reader(job.effect.tenant_id) as session:
        lines = await rows.lines(session, command.scan_id, command.part * PART, PART)
    if not lines:
        return "nobody asks about that any more"
    asked = [question for line in lines if (question := _question(line)) is not None]
    keys = {question.key for question in asked}
    refused = ""
    found: list[CatalogueEntry] = []
    try:
        found = [entry for entry in await job.connector.look_up(asked) if entry.key in keys] if asked else []
    except Rejected as error:
        refused = error.message
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        if await rows.scan(unit.session, command.scan_id) is None:
            return "nobody asks about that any more"
        currency = job.account.config.currency
        await scans.enter_answer(unit, job.ref, command.scan_id, command.part, found, currency)
    return f"the channel refuses: {refused}"[:300] if refused else f"{len(found)} pages of {len(asked)} articles"


def _question(line: SourcingLine) -> CatalogueQuestion | None:
    """None for a number that only means something in the shop that gave it out."""
    code = ProductCode("gtin", gtin=line.gtin) if line.gtin else None
    if code is not None and (code.in_house or code.is_case):
        return None if not line.title else CatalogueQuestion(key=str(line.id), title=line.title)
    return CatalogueQuestion(key=str(line.id), gtin=line.gtin, asin=line.asin, title=line.title)
