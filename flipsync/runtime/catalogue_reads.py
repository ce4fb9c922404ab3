"""What channels' catalogues are asked about goods that are not ours yet.

Whoever asks is taken along by the look-up of that account that is under way: many questions are few calls, and of the
worker's places one is taken, however many people scan shelves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from uuid import UUID

from flipsync.domain.errors import Rejected
from flipsync.domain.product_codes import ProductCode
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion
from flipsync.runtime.channel_writes import Job
from flipsync.services.sourcing import scans
from flipsync.services.sourcing.desk import PART
from flipsync.store.models import SourcingLine
from flipsync.store.repositories import sourcing as rows

#: a question this old is not asked any more
_FRESH = timedelta(days=1)
_ROUNDS = 20
#: accounts whose look-up is under way in this process, and whether somebody came since it last looked
_under_way: dict[UUID, bool] = {}


async def look_up_goods(job: Job) -> str:
    """Ask about all that waits for this account's catalogue."""
    me = job.account.id
    if me in _under_way:
        _under_way[me] = True
        return "taken along by the look-up under way"
    _under_way[me] = False
    try:
        asked = found = 0
        for _ in range(_ROUNDS):
            _under_way[me] = False
            async with job.store.reader(job.effect.tenant_id) as session:
                lines = await rows.unanswered(session, me, job.store.clock.now() - _FRESH, PART)
            if lines:
                entries, refused = await _ask(job, lines)
                await _enter(job, lines, entries)
                asked, found = asked + len(lines), found + len(entries)
                if refused:
                    return f"the channel refuses: {refused}"[:300]
            elif not _under_way[me]:
                break
        return f"{found} pages of {asked} articles"
    finally:
        del _under_way[me]


async def _ask(job: Job, lines: Sequence[SourcingLine]) -> tuple[list[CatalogueEntry], str]:
    """The answer; a channel that refuses the question has answered too: nobody is to wait for it."""
    asked = [question for line in lines if (question := _question(line)) is not None]
    keys = {question.key for question in asked}
    try:
        return [entry for entry in await job.connector.look_up(asked) if entry.key in keys] if asked else [], ""
    except Rejected as error:
        return [], error.message


async def _enter(job: Job, lines: Sequence[SourcingLine], entries: Sequence[CatalogueEntry]) -> None:
    for (scan_id, part), of_part in groupby(lines, key=lambda line: (line.scan_id, line.place // PART)):
        keys = {str(line.id) for line in of_part}
        async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
            if await rows.scan(unit.session, scan_id) is not None:
                told = [entry for entry in entries if entry.key in keys]
                await scans.enter_answer(unit, job.ref, scan_id, part, told, job.account.config.currency)


def _question(line: SourcingLine) -> CatalogueQuestion | None:
    """None for a number that only means something in the shop that gave it out."""
    code = ProductCode("gtin", gtin=line.gtin) if line.gtin else None
    if code is not None and (code.in_house or code.is_case):
        return None if not line.title else CatalogueQuestion(key=str(line.id), title=line.title)
    return CatalogueQuestion(key=str(line.id), gtin=line.gtin, asin=line.asin, title=line.title)
