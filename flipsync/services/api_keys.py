"""API keys: making them for some permissions, showing and revoking them, and recognising the one a request brings."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, cast
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.security.api_keys import NewKey, hash_key, new_key
from flipsync.security.paces import Paces, Quota
from flipsync.security.roles import EVERYBODYS, PERSONS_ONLY, OwnRole, Permission, as_role
from flipsync.security.tokens import Claims
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.database import Database, SessionReader
from flipsync.store.reading import Reader
from flipsync.store.repositories import api_keys as rows
from flipsync.store.unit_of_work import UnitOfWork

KeySort = Annotated[str | None, sorted_by(rows.KEY_SORTS)]

LONGEST = timedelta(days=366)
#: how long a replica takes a key for what it was. That it is still good is asked with every read.
_KNOWN_SECONDS = 5.0
_KNOWN_KEYS = 4096
DEFAULT_PER_MINUTE = 600


class ApiKeyView(View):
    """`prefix` is how the key begins; `last_used_at` is right to the minute."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    permissions: list[Permission]
    per_minute: int
    created_at: Moment
    expires_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None


async def make(
    unit: UnitOfWork,
    maker: Claims,
    *,
    name: str,
    permissions: Iterable[Permission],
    expires_at: datetime,
    per_minute: int,
) -> tuple[ApiKeyView, NewKey]:
    """A key that may some of what its maker may. Raises InvalidInput, Forbidden."""
    wanted = sorted(set(permissions))
    if barred := PERSONS_ONLY & set(wanted):
        raise InvalidInput(f"only people may: {', '.join(sorted(barred))}")
    if beyond := [each for each in wanted if not maker.may(each)]:
        raise Forbidden("a key cannot do more than its maker", hint=f"leave out: {', '.join(beyond)}")
    now = utc_now()
    if not now < expires_at <= now + LONGEST:
        raise InvalidInput(f"a key ends within {LONGEST.days} days", hint="make another one before it does")
    key, key_id = new_key(), new_id()
    await rows.insert_key(
        unit.session,
        {
            "id": key_id,
            "tenant_id": unit.tenant_id,
            "user_id": maker.user_id,
            "name": name,
            "prefix": key.prefix,
            "key_hash": key.hash,
            "permissions": wanted,
            "per_minute": per_minute,
            "created_at": now,
            "expires_at": expires_at,
        },
    )
    unit.audit("key.made", "key", key_id, name=name, prefix=key.prefix, permissions=wanted)
    return await get_key(SessionReader(unit.session), key_id), key


async def list_keys(reader: Reader, page: SortedRequest, of_user: UUID | None) -> Page[ApiKeyView]:
    """Newest first; of one user, or of all. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.KEY_SORTS)
    (found,) = await reader.ask(rows.KEYS(place, user_id=of_user))
    return cut(found, page.limit, _view, place.cursor_of)


async def get_key(reader: Reader, key_id: UUID, of_user: UUID | None = None) -> ApiKeyView:
    """Raises NotFound."""
    (found,) = await reader.ask(rows.KEYS(rows.KEY_SORTS.first(1), key_id=key_id, user_id=of_user))
    if not found:
        raise NotFound(f"no API key {key_id}")
    return _view(found[0])


async def revoke(unit: UnitOfWork, key_id: UUID, of_user: UUID | None) -> None:
    """For good, at once. To revoke a revoked key changes nothing. Raises NotFound."""
    row = await rows.lock_key(unit.session, key_id)
    if row is None or (of_user is not None and row.user_id != of_user):
        raise NotFound(f"no API key {key_id}")
    if row.revoked_at is None:
        await rows.revoke_key(unit.session, key_id, utc_now())
        unit.audit("key.revoked", "key", key_id, name=row.name, prefix=row.prefix)


class KeyRing:
    """Keys this process has seen lately, by their hash, so that a request need not ask the database whose it is.

    A read asks anyway, in its own round trip, whether the key and its person's role are as they were known: to revoke
    a key ends it at once, and so does what is taken from its person. What they are given it may a few seconds later.
    """

    def __init__(self, database: Database, paces: Paces) -> None:
        self._database = database
        self._paces = paces
        self._known: OrderedDict[str, tuple[float, Claims]] = OrderedDict()

    def known(self, text: str) -> Claims | None:
        """Whom the key speaks for, if it was looked up within the last seconds."""
        found = self._known.get(hash_key(text))
        return found[1] if found is not None and found[0] > time.monotonic() else None

    async def read(self, text: str) -> Claims:
        """Whom the key speaks for. Raises Unauthenticated."""
        claims = self.known(text)
        return claims if claims is not None else await self._look_up(text)

    async def anew(self, text: str) -> Claims:
        """The same, whatever was known of it: its person's rights may have changed. Raises Unauthenticated."""
        return await self._look_up(text)

    def take(self, claims: Claims) -> Quota:
        """Count a request of the key. Raises TooManyRequests."""
        return self._paces.take(claims.session_id)

    async def _look_up(self, text: str) -> Claims:
        key_hash = hash_key(text)
        async with self._database.unbound() as session:
            holder = await rows.key_holder(session, key_hash)
        if holder is None:
            self._known.pop(key_hash, None)
            raise Unauthenticated("this API key is unknown, revoked or expired", hint="make another one")
        claims = Claims(
            user_id=holder.user_id,
            tenant_id=holder.tenant_id,
            role=as_role(holder.role) if holder.own is None else OwnRole.of(*holder.own),
            session_id=holder.id,
            expires_at=holder.expires_at,
            permissions=EVERYBODYS | cast("frozenset[Permission]", frozenset(holder.permissions)),
        )
        self._known[key_hash] = (time.monotonic() + _KNOWN_SECONDS, claims)
        self._known.move_to_end(key_hash)
        self._paces.allow(holder.id, holder.per_minute)
        while len(self._known) > _KNOWN_KEYS:
            self._known.popitem(last=False)
        return claims


def _view(row: Any) -> ApiKeyView:
    return ApiKeyView.model_validate({name: getattr(row, name) for name in ApiKeyView.model_fields})
