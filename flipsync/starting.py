"""What `flipsync up` does beside starting parts: the first owner, and a sandbox whose channels are connected."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sqlalchemy import select, update

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.ports import remembered_port
from flipsync.runtime.assembly import load_roster
from flipsync.runtime.graph import Graph
from flipsync.runtime.mailbox import RedisWaker
from flipsync.sandbox.client import SandboxClient
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, identity
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.services.tenant_settings import TenantSettings, profile
from flipsync.settings import ALL, replica_counts, replicas_of
from flipsync.store.database import Database
from flipsync.store.models import MarketplaceAccount, Product, Tenant
from flipsync.store.unit_of_work import Store
from flipsync.system import Say, System

OWNER_EMAIL, OWNER_PASSWORD = "FLIPSYNC_OWNER_EMAIL", "FLIPSYNC_OWNER_PASSWORD"
_OWNERS = "owner-tenant"
SANDBOX_NAMES: dict[str, str] = {"woocommerce": "Sandbox shop", "custom": "Sandbox marketplace"}


@dataclass(frozen=True)
class Login:
    """A new owner's login; the password is known only now."""

    email: str
    password: str = field(repr=False)


def replicas_wanted(agents: Collection[str]) -> int:
    """How many actors these agents have together by FLIPSYNC_REPLICAS. Raises InvalidInput."""
    try:
        counts = replica_counts(os.environ.get("FLIPSYNC_REPLICAS", ""))
    except ValueError as error:
        raise InvalidInput(f"FLIPSYNC_REPLICAS: {error}", hint="2 for all, or 2,pricing=4") from None
    if strangers := sorted(counts.keys() - {ALL, *agents}):
        raise InvalidInput(f"FLIPSYNC_REPLICAS: no agent {strangers[0]}", hint="flipsync agents list")
    return sum(replicas_of(counts, agent) for agent in agents)


async def ensure_owner(system: System) -> Login | None:
    """On the first start, a business with its owner (from the environment, else made up). None when there is one."""
    marker = system.home / _OWNERS
    if marker.exists():
        return None
    given = os.environ.get(OWNER_PASSWORD)
    email = os.environ.get(OWNER_EMAIL, "owner@flipsync.local")
    password = given or secrets.token_urlsafe(15)
    store, passwords = _store(system), Passwords()
    try:
        tenant_id, _ = await identity.create_tenant_with_owner(
            store, passwords, tenant_name="My business", email=email, password=password
        )
    finally:
        passwords.close()
        await store.aclose()
    marker.write_text(f"{tenant_id}\n", encoding="utf-8")
    return None if given else Login(email, password)


def start_sandbox(system: System) -> None:
    """A market in real time that keeps its books in the data folder."""
    port = remembered_port(system.home / "sandbox_port")
    system.start_sandbox("--mode", "real", "--data", str(system.home / "sandbox.db"), "--port", str(port))


async def connect_sandbox(system: System, say: Say, channels: Sequence[Vendor]) -> None:
    """Connect the owner's business to the sandbox's channels, and give it goods when it has none. Raises NotFound."""
    assert system.sandbox is not None and system.keys is not None
    tenant_id = UUID((system.home / _OWNERS).read_text(encoding="utf-8").strip())
    store, box = _store(system), SecretBox(parse_keys(system.keys.secret))
    try:
        async with store.reader(tenant_id) as session:
            books = await profile(session, tenant_id)
            connected = set(await session.scalars(select(MarketplaceAccount.name)))
            goods = await session.scalar(select(Product.id).limit(1))
        if not goods:
            file = Path(__file__).with_name("catalogues") / "default.csv"
            await import_catalogue(store, tenant_id, read_catalogue(file, currency=books.currency), file_name=file.name)
            say("catalogue", f"{file.name} imported")
        async with store.unit(tenant_id) as unit:
            settings = TenantSettings.model_validate(books.settings.model_dump() | {"webhook_base_url": system.api_url})
            await unit.session.execute(
                update(Tenant).where(Tenant.id == tenant_id).values(settings=settings.model_dump(mode="json"))
            )
            for vendor in channels:
                name = SANDBOX_NAMES.get(vendor, f"Sandbox {vendor}")
                if name in connected:
                    continue
                config, credentials = system.sandbox.account(vendor, currency=books.currency)
                await accounts.connect_account(
                    unit, box, vendor=vendor, name=name, config=config, credentials=credentials
                )
        async with SandboxClient(system.sandbox.base_url, system.sandbox.control_token) as market:
            await market.register("ebay", f"{system.api_url}/api/v1/oauth/callback/ebay")
    finally:
        await store.aclose()


def _store(system: System) -> Store:
    routing = Graph(load_roster(system.environment["FLIPSYNC_ROSTER"])).routing()
    waker = RedisWaker(system.environment["FLIPSYNC_REDIS_URL"])
    database = Database(system.environment["FLIPSYNC_APP_DATABASE_URL"], pool_size=2, name="flipsync-up")
    return Store(database, routing, waker, system.clock)
