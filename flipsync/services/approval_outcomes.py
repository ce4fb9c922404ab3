"""What happens after each answer to a question, in words a person can decide by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.why_words import Labels, command_words, mentioned
from flipsync.store.repositories import reading_decisions as rows
from flipsync.store.repositories import why as why_rows

IF_REFUSED = "none of it is done, and the decision ends"


async def if_approved(session: AsyncSession, decision_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """By the decision that is asked about: what its yes lets go ahead, also when it stands for a decision below it."""
    if not decision_ids:
        return {}
    waiting = await rows.waiting_below(session, decision_ids)
    subjects = {subject for _, _, payload in waiting for subject in mentioned(payload)}
    label = Labels(await why_rows.labels(session, subjects))
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for question, command, payload in waiting:
        found[question].append(command_words(command, payload, label))
    return found
