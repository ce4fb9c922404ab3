"""What happens after each answer to a question, in words a person can decide by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from flipsync.services.why_words import Labels, command_words, mentioned
from flipsync.store.reading import Reader
from flipsync.store.repositories import reading_decisions as rows
from flipsync.store.repositories import why as why_rows

IF_REFUSED = "none of it is done, and the decision ends"


async def if_approved(reader: Reader, decision_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """By the decision that is asked about: what its yes lets go ahead, also when it stands for a decision below it."""
    if not decision_ids:
        return {}
    (waiting,) = await reader.ask(rows.WAITING_BELOW(ids=list(decision_ids)))
    subjects = {subject for row in waiting for subject in mentioned(row.payload)}
    label = Labels(await why_rows.labels(reader, subjects))
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in waiting:
        found[row.question].append(command_words(row.command, row.payload, label))
    return found
