"""The same request twice is done once and answered alike: key and answer are kept in the change's own transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.domain.ids import new_id
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

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
    _check_key(key)
    request_id = new_id()
    async with store.unit(tenant_id, cause) as unit:
        values = {"id": request_id, "tenant_id": tenant_id, "key": key, "fingerprint": request}
        if await rows.claim_request(unit.session, values):
            body = await work(unit)
            unit.closing.append(rows.answered(request_id, status, body))
            return Answer(status=status, body=body, replayed=False)
        earlier = await _earlier(unit.session, key, request)
    if earlier is None:
        raise Conflict("the same request is being worked on", hint="repeat it in a moment")
    return earlier


async def run_long(
    store: Store,
    tenant_id: UUID,
    *,
    key: str,
    request: str,
    work: Callable[[], Awaitable[dict[str, Any]]],
    cause: Cause | None = None,
) -> Answer:
    """As `run_once`, for work in transactions of its own that may be done twice without harm when it is cut off."""
    _check_key(key)
    async with store.reader(tenant_id) as session:
        earlier = await _earlier(session, key, request)
    if earlier is not None:
        return earlier
    body = await work()

    async def already_done(_: UnitOfWork) -> dict[str, Any]:
        return body

    return await run_once(store, tenant_id, key=key, request=request, work=already_done, cause=cause)


async def _earlier(session: AsyncSession, key: str, request: str) -> Answer | None:
    found = await rows.get_answered_request(session, key)
    if found is None or found.status is None or found.body is None:
        return None
    if found.fingerprint != request:
        raise KeyReused("this Idempotency-Key was used for another request", hint="make a new key for each request")
    return Answer(status=found.status, body=found.body, replayed=True)


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidInput(f"Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters")
