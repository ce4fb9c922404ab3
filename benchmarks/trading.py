"""A business to sell with: one catalogue on both sandbox channels, pooled stock that does not run out."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import update

from benchmarks.installation import commit_time, fetch, graph, owner_url
from benchmarks.load import http_request
from benchmarks.measuring import saying
from benchmarks.processes import tree
from flipsync.domain.channel import Vendor
from flipsync.embedded.instance import live_state
from flipsync.sandbox.client import SandboxClient
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services import accounts, identity
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.services.tenant_settings import TenantSettings
from flipsync.store.models import Tenant
from flipsync.store.unit_of_work import Store
from flipsync.system import SandboxProcess, System

#: of each SKU: few enough that a price step stays within the pricing agent's authority (step × units on offer)
UNITS = 100
CHANNELS = ("custom", "woo")
EMAIL, PASSWORD = f"owner-{secrets.token_hex(4)}@benchmark.invalid", "a password for benchmarks only"
_SANDBOX_NAME = {"woocommerce": "woo", "custom": "custom"}


def write_catalogue(path: Path, skus: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "title", "price", "cost", "quantity", "weight_grams"])
        writer.writerows([f"B{i:05d}", f"Thing {i}", "39.90", "12.50", UNITS, 300] for i in range(skus))


@dataclass
class Business:
    """A tenant whose goods are on sale on both channels."""

    system: System
    store: Store
    tenant_id: UUID
    skus: list[str]
    url: str
    accepted: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def sandbox(self) -> SandboxProcess:
        assert self.system.sandbox is not None
        return self.system.sandbox

    def orders(self, channels: tuple[str, ...]) -> Callable[[], bytes]:
        """Requests that each place one order for one unit, SKU after SKU, channel after channel."""
        return order_requests(self.sandbox.base_url, self.sandbox.control_token, self.skus, channels)

    def note(self, status: int, body: bytes) -> None:
        """Remember an accepted order and when the channel accepted it. Raises RuntimeError for a refused one."""
        told = json.loads(body)
        if not told.get("accepted"):
            raise RuntimeError(f"the sandbox refused an order: {told}")
        channel = "custom" if str(told["id"]).startswith("o") else "woo"
        self.accepted[(channel, str(told["id"]))] = datetime.fromisoformat(told["placed_at"]).timestamp()

    async def aclose(self) -> None:
        await self.store.aclose()


def order_requests(base_url: str, token: str, skus: list[str], channels: tuple[str, ...]) -> Callable[[], bytes]:
    def each() -> Iterator[bytes]:
        for sku in itertools.cycle(skus):
            for channel in channels:
                body = json.dumps({"channel": channel, "sku": sku}).encode()
                yield http_request("POST", f"{base_url}/_sandbox/order", {"X-Sandbox-Token": token}, body)

    return each().__next__


async def open_business(system: System, *, skus: int, requests_per_second: float = 2000.0) -> Business:
    """Found a tenant, import, connect both channels, and wait until everything is on sale."""
    assert system.sandbox is not None and system.keys is not None
    store = system.store(graph().routing())
    passwords = Passwords()
    tenant_id, _ = await identity.create_tenant_with_owner(
        store, passwords, tenant_name="Benchmark", email=EMAIL, password=PASSWORD, currency="USD"
    )
    passwords.close()
    settings = TenantSettings(webhook_base_url=system.api_url)
    async with store.unit(tenant_id) as unit:
        await unit.session.execute(
            update(Tenant).where(Tenant.id == tenant_id).values(settings=settings.model_dump(mode="json"))
        )
    path = system.home / "benchmark.csv"
    write_catalogue(path, skus)
    async with SandboxClient(system.sandbox.base_url, system.sandbox.control_token) as market:
        await market.open_for_business(open=False, webhook_interval_seconds=0.0, traffic=0.001)
    await import_catalogue(
        store, tenant_id, read_catalogue(path, currency="USD"), file_name=path.name, stock_mode="pooled"
    )
    box = SecretBox(parse_keys(system.keys.secret))
    offered: dict[Vendor, str] = {"woocommerce": "Shop", "custom": "Marketplace"}
    async with store.unit(tenant_id) as unit:
        for vendor, name in offered.items():
            config, credentials = system.sandbox.account(
                vendor,
                currency="USD",
                settle_seconds=0.2,
                requests_per_second=requests_per_second,
                burst=int(requests_per_second),
            )
            await accounts.connect_account(
                unit, box, vendor=vendor, name=name, config=config, credentials=credentials, stock_mode="pooled"
            )
    business = Business(system, store, tenant_id, [f"B{i:05d}" for i in range(skus)], owner_url(system.home))
    with saying(f"{skus} SKUs go on sale on two channels"):
        await until(lambda: _on_sale(business) == 2 * skus and not open_work(business), limit=60 + skus)
        async with _control(business) as market:
            await market.flush_webhooks()  # what the shop has to tell of our own writes is not what is measured
        await until(lambda: not open_work(business), limit=60)
    return business


def _control(business: Business) -> SandboxClient:
    """Patient: a flush ends when every waiting webhook was answered by us."""
    return SandboxClient(business.sandbox.base_url, business.sandbox.control_token, timeout=300.0)


async def until(condition: Callable[[], bool], *, limit: float, pause: float = 0.25) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + limit
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not after {limit:.0f} s")
        await asyncio.sleep(pause)


def _on_sale(business: Business) -> int:
    query = "SELECT count(*) AS n FROM listing WHERE tenant_id = %(t)s AND status = 'active' AND quantity_shown > 0"
    return int(fetch(business.url, query, {"t": business.tenant_id})[0]["n"])


def open_work(business: Business) -> int:
    """Agents' tasks and effects that are not finished."""
    query = """
        SELECT (SELECT count(*) FROM agent_task WHERE tenant_id = %(t)s AND state IN ('pending', 'leased')
                        AND not_before <= now() + interval '5 s')
             + (SELECT count(*) FROM effect WHERE tenant_id = %(t)s AND finished_at IS NULL) AS n
    """
    return int(fetch(business.url, query, {"t": business.tenant_id})[0]["n"])


def agent_names(business: Business) -> dict[int, str]:
    """Process id → which agent it hosts: their titles all look alike."""
    rows = fetch(business.url, "SELECT agent, pid FROM agent_status WHERE pid IS NOT NULL")
    return {int(row["pid"]): f"agent {row['agent']}" for row in rows}


def processes(system: System) -> set[int]:
    """Ours and those of the system, which may run elsewhere."""
    return tree() | tree(live_state(system.home).process.pid)


def orders_taken(business: Business) -> int:
    return int(
        fetch(
            business.url, "SELECT count(*) AS n FROM customer_order WHERE tenant_id = %(t)s", {"t": business.tenant_id}
        )[0]["n"]
    )


async def settle(business: Business, limit: float = 120.0) -> None:
    """Until every accepted order is in the books and nothing is left to do."""
    async with _control(business) as market:
        deadline = time.monotonic() + limit
        while orders_taken(business) < len(business.accepted):
            await market.flush_webhooks()  # the shop tells only when somebody visits
            if time.monotonic() > deadline:
                raise TimeoutError(f"{orders_taken(business)} of {len(business.accepted)} orders taken in")
            await asyncio.sleep(0.2)
    await until(lambda: open_work(business) == 0, limit=limit)


@dataclass(frozen=True)
class Journey:
    """One order's way, as Unix seconds: accepted by its channel, in our books, and shown by the other channel."""

    channel: str
    accepted: float
    booked: float
    enqueued: float
    sent: float
    shown: float


def journeys(business: Business, keys: set[tuple[str, str]] | None = None) -> list[Journey]:
    """The way of each accepted order. Raises RuntimeError when the other channel was never told.

    A push shows a sale when its quantity is at most what the ledger held after that sale: stock only falls here, so the
    k-th sale of an SKU is shown by the first confirmed write of at most (units at the start − k).
    """
    sold = fetch(business.url, _SOLD, {"t": business.tenant_id})
    pushes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for push in fetch(business.url, _PUSHED, {"t": business.tenant_id}):
        pushes.setdefault((_SANDBOX_NAME[push["vendor"]], push["sku"]), []).append(push)
    found = []
    for row in sold:
        channel = _SANDBOX_NAME[row["vendor"]]
        key = (channel, row["external_id"])
        if key not in business.accepted or (keys is not None and key not in keys):
            continue
        other = "woo" if channel == "custom" else "custom"
        showing = [p for p in pushes.get((other, row["sku"]), []) if p["quantity"] <= UNITS - row["rank"]]
        if not showing:
            raise RuntimeError(f"{other} was never told of the sale {row['external_id']} of {row['sku']}")
        first = min(showing, key=lambda push: float(push["done"]))
        found.append(
            Journey(
                channel, business.accepted[key], row["booked"], first["created"], first["started"], float(first["done"])
            )
        )
    return found


_SOLD = f"""
    SELECT a.vendor, o.external_id, l.sku, {commit_time("m")} AS booked,
           row_number() OVER (PARTITION BY m.stock_item_id ORDER BY m.id) AS rank
      FROM stock_movement m
      JOIN order_line l ON l.id = m.order_line_id
      JOIN customer_order o ON o.id = l.order_id
      JOIN marketplace_account a ON a.id = o.account_id
     WHERE m.tenant_id = %(t)s AND m.kind = 'reserve'
"""
_PUSHED = f"""
    SELECT a.vendor, v.sku, (regexp_match(r.detail, '^(\\d+) on offer'))[1]::bigint AS quantity,
           {commit_time("p")} AS created, extract(epoch FROM r.started_at)::float8 AS started,
           {commit_time("r")} AS done
      FROM receipt r
      JOIN effect e ON e.id = r.effect_id
      JOIN listing v ON v.id = e.subject_id
      JOIN marketplace_account a ON a.id = e.account_id
      JOIN proposal p ON p.id = e.proposal_id
     WHERE r.tenant_id = %(t)s AND r.outcome = 'confirmed' AND e.command = 'SetChannelQuantity'
"""
