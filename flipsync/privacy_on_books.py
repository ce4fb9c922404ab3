"""What `flipsync privacy` does with the books: hand over, forget, keep no longer than is wanted, and tombstones."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from flipsync.commands_on_books import in_books
from flipsync.domain.errors import NotFound
from flipsync.security.roles import GRANTS
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import erasure, privacy_export, retention, user_erasure
from flipsync.services.erasure import Buyer, Erased
from flipsync.services.privacy_export import BuyerExport, UserExport
from flipsync.services.retention import Done, RetentionView
from flipsync.store.repositories import identity
from flipsync.store.unit_of_work import Store
from flipsync.system import keys_of, open_worker_books


def export_buyer(home: Path, whom: Buyer, tenant: str | None) -> BuyerExport:
    """Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> BuyerExport:
        async with store.unit(tenant_id) as unit:
            box = SecretBox(parse_keys(keys_of(home).secret))
            export = await privacy_export.buyer(unit.session, box, tenant_id, whom)
            for order_id in export.orders:
                unit.audit("buyer.exported", "order", order_id)
            return export

    return in_books(home, {}, tenant, work)


def export_user(home: Path, email: str, tenant: str | None) -> UserExport:
    """Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> UserExport:
        async with store.unit(tenant_id) as unit:
            found = await identity.sign_in_candidate(unit.session, email)
            if found is None or found.tenant_id != tenant_id:
                raise NotFound(f"no user {email}")
            unit.audit("user.exported", "user", found.id)
            return await privacy_export.user(unit.session, found.id)

    return in_books(home, {}, tenant, work)


def erase(home: Path, whom: Buyer, tenant: str | None) -> Erased:
    """Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> Erased:
        async with store.unit(tenant_id) as unit:
            return await erasure.forget(unit, await erasure.find(unit.session, whom), reason="asked")

    return in_books(home, {}, tenant, work)


def erase_user(home: Path, email: str, tenant: str | None) -> dict[str, int]:
    """Rows changed by table. Raises NotFound, and Conflict for the last owner."""

    async def work(store: Store, tenant_id: UUID) -> dict[str, int]:
        async with store.unit(tenant_id) as unit:
            found = await identity.sign_in_candidate(unit.session, email)
            if found is None or found.tenant_id != tenant_id:
                raise NotFound(f"no user {email}")
            return await user_erasure.erase(unit, GRANTS["owner"], found.id, email=email)

    return in_books(home, {}, tenant, work)


def look_at_retention(home: Path, tenant: str | None) -> RetentionView:
    async def work(store: Store, tenant_id: UUID) -> RetentionView:
        async with store.reader(tenant_id) as session:
            return await retention.look(session, tenant_id, store.clock.now())

    return in_books(home, {}, tenant, work)


def run_retention(home: Path, tenant: str | None) -> Done:
    """One bounded run, as the running system does each hour."""

    async def work(_: Store, tenant_id: UUID) -> Done:
        with open_worker_books(home) as database:
            store = Store(database, {})
            try:
                return await retention.run(store, tenant_id)
            finally:
                await store.aclose()

    return in_books(home, {}, tenant, work)


def read_tombstones(home: Path, tenant: str | None) -> list[dict[str, Any]]:
    """For a file to keep with backups."""

    async def work(store: Store, tenant_id: UUID) -> list[dict[str, Any]]:
        async with store.reader(tenant_id) as session:
            orders = [{"tenant_id": tenant_id} | each for each in await erasure.tombstones(session)]
            people = [{"tenant_id": tenant_id} | each for each in await user_erasure.tombstones(session)]
            return orders + people

    return in_books(home, {}, tenant, work)
