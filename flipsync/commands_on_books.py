"""What the command line does with the books, of a running system or of one that is only opened for the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.security.passwords import Passwords
from flipsync.security.roles import ROLES, as_role
from flipsync.services import identity
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.services.tenant_settings import profile
from flipsync.services.why import Explanation, explain
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Routing, Store
from flipsync.system import open_books, open_worker_books

T = TypeVar("T")


def import_file(
    home: Path,
    routing: Routing,
    file: Path,
    *,
    dry_run: bool,
    shelf_count: bool,
    cost_ratio: Decimal | None,
    currency: str | None,
    tenant: str | None,
    progress: Callable[[int], None],
) -> ImportOutcome:
    """Import a catalogue file into a business."""

    async def work(store: Store, tenant_id: UUID) -> ImportOutcome:
        async with store.reader(tenant_id) as session:
            books = await profile(session, tenant_id)
        catalogue = read_catalogue(file, currency=currency or books.currency, default_cost_ratio=cost_ratio)
        more: dict[str, Any] = {"quantities": "count"} if shelf_count else {}
        return await import_catalogue(
            store,
            tenant_id,
            catalogue,
            file_name=file.name,
            dry_run=dry_run,
            progress=lambda so_far: progress(so_far.report.rows),
            **more,
        )

    return _in_books(home, routing, tenant, work)


def why(home: Path, subject: str, tenant: str | None) -> Explanation:
    """Explain a subject of a business."""

    async def work(store: Store, tenant_id: UUID) -> Explanation:
        async with store.reader(tenant_id) as session:
            return await explain(session, subject)

    return _in_books(home, {}, tenant, work)


def add_user(home: Path, email: str, password: str, role: str, tenant: str | None) -> UUID:
    """Let somebody sign in to a business."""

    if role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role", hint=f"one of: {', '.join(ROLES)}")

    async def work(store: Store, tenant_id: UUID) -> UUID:
        passwords = Passwords()
        try:
            async with store.unit(tenant_id) as unit:
                return await identity.add_user(unit, passwords, email=email, password=password, role=as_role(role))
        finally:
            passwords.close()

    return _in_books(home, {}, tenant, work)


def _in_books(home: Path, routing: Routing, tenant: str | None, work: Callable[[Store, UUID], Awaitable[T]]) -> T:
    with open_books(home, routing) as store, open_worker_books(home) as lister:

        async def whole() -> T:
            try:
                return await work(store, await _tenant(lister, tenant))
            finally:
                await store.aclose()
                await lister.aclose()

        return asyncio.run(whole())


async def _tenant(lister: Any, wanted: str | None) -> UUID:
    async with lister.unbound() as session:
        known = await tenants.all_ids(session)
    if wanted is None:
        if not known:
            raise NotFound("there is no business yet", hint="`flipsync up` or `flipsync demo` makes one")
        return known[-1]
    try:
        tenant_id = UUID(wanted)
    except ValueError:
        raise InvalidInput(f"{wanted!r} is not the id of a business", hint="give its UUID") from None
    if tenant_id not in known:
        raise NotFound(f"there is no business {wanted}")
    return tenant_id
