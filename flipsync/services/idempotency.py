"""The same request twice is done once and answered alike: key and answer are kept in the change's own transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.domain.ids import new_id
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

KEPT_FOR = timedelta(days=7)
MAX_KEY_LENGTH = 200


class KeyReused(Conflict):
    """An Idempotency-Key came again with another request."""

    code = "idempotency-key-reused"
    status = 422


@dataclass(frozen=True)
class Answer:
    """`replayed` is true when the work was done by an earlier request."""

    status: int
    body: dict[str, Any]
    replayed: bool


def fingerprint(*parts: str | bytes) -> str:
    """SHA-256 over the parts, each with its length, so that no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


async def run_once(
    store: Store,
    tenant_id: UUID,
    *,
    key: str,
    request: str,
    work: Callable[[UnitOfWork], Awaitable[dict[str, Any]]],
    status: int = 200,
    cause: Cause | None = None,
) -> Answer:
    """Do `work` in one transaction with the record of its answer; a repetition gets that answer.

    `request` is the fingerprint of what was asked. Of two at once the second waits for the first. When `work` raises,
    nothing is kept and the key may be tried again. Raises KeyReused, InvalidInput, and whatever `work` raises.
    """
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidInput(f"Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters")
    request_id = new_id()
    async with store.unit(tenant_id, cause) as unit:
        values = {"id": request_id, "tenant_id": tenant_id, "key": key, "fingerprint": request}
        if await rows.claim_request(unit.session, values):
            body = await work(unit)
            await rows.record_answer(unit.session, request_id, status, body)
            return Answer(status=status, body=body, replayed=False)
        earlier = await rows.get_answered_request(unit.session, key)
    if earlier is None or earlier.status is None or earlier.body is None:
        raise Conflict("the same request is being worked on", hint="repeat it in a moment")
    if earlier.fingerprint != request:
        raise KeyReused("this Idempotency-Key was used for another request", hint="make a new key for each request")
    return Answer(status=earlier.status, body=earlier.body, replayed=True)


async def forget_old_answers(unit: UnitOfWork) -> int:
    """Drop answers older than KEPT_FOR; how many."""
    return await rows.delete_answers_before(unit.session, utc_now() - KEPT_FOR)
