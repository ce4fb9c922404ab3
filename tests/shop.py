"""A small reseller's books for tests: one tenant, accounts, goods, listings, orders as channels tell them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import select, text

from agents import ROSTER
from flipsync.connectors.base import AccountConfig
from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, ChannelRefund, OrderStatus, Vendor
from flipsync.domain.clock import Clock
from flipsync.domain.commands import ChangePrice, Command
from flipsync.domain.events import Event
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.runtime.agent import Agent, Context
from flipsync.runtime.graph import Graph
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, stock
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.proposal import Ask, Deny
from flipsync.services.quotes import WINDOW, proposal_for
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.database import Database
from flipsync.store.models import Allocation, Effect, EventRecord, Listing, Product, StockItem, Tenant, Variant
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.repositories import price_brakes
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.unit_of_work import Routing, Store, UnitOfWork

ROUTING = Graph(ROSTER).routing()


def dollars(minor: int) -> Money:
    return Money(amount_minor=minor, currency="USD")


class KeptDatabase(Database):
    """Stays open for the tests that follow: a new one compiles every statement and opens every connection anew."""

    #: the loop that tests run on, while a module's are run
    loop: ClassVar[asyncio.AbstractEventLoop | None] = None
    #: by address and size
    kept: ClassVar[dict[tuple[str, int], KeptDatabase]] = {}

    async def aclose(self) -> None:
        """Not yet."""

    @classmethod
    async def close_all(cls) -> None:
        kept, cls.kept, cls.loop = list(cls.kept.values()), {}, None
        for each in kept:
            await super(KeptDatabase, each).aclose()


def open_store(url: str, *, routing: Routing = ROUTING, clock: Clock | None = None, pool_size: int = 8) -> Store:
    """A store; on the tests' own loop its connections are closed when the module's tests are done."""
    try:
        shared = KeptDatabase.loop is asyncio.get_running_loop()
    except RuntimeError:
        shared = False
    if not shared:
        return Store(Database(url, pool_size=pool_size, max_overflow=8, name="tests"), routing, clock=clock)
    key = (url, pool_size)
    if key not in KeptDatabase.kept:
        KeptDatabase.kept[key] = KeptDatabase(url, pool_size=pool_size, max_overflow=8, name="tests")
    return Store(KeptDatabase.kept[key], routing, clock=clock)


@dataclass
class Shop:
    """One tenant. `store` is bound to no tenant by itself: `unit` and `reader` are."""

    store: Store
    tenant_id: UUID = field(default_factory=new_id)
    box: SecretBox = field(default_factory=lambda: SecretBox(secrets.token_bytes(32)))
    firewall_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def firewall(self) -> Firewall:
        return Firewall(self.firewall_key, clock=self.store.clock)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[UnitOfWork]:
        async with self.store.unit(self.tenant_id) as unit:
            yield unit

    async def found(self, **settings: Any) -> Shop:
        async with self.unit() as unit:
            unit.session.add(Tenant(id=self.tenant_id, name="Shop", settings=settings))
        return self

    async def account(
        self,
        vendor: Vendor = "custom",
        *,
        name: str = "",
        settle_seconds: float = 0.0,
        stock_mode: str = "escrow",
        surveyed: bool = True,
        queue: str | None = None,
    ) -> AccountRef:
        async with self.unit() as unit:
            account_id = await accounts.connect_account(
                unit,
                self.box,
                vendor=vendor,
                name=name or f"{vendor} {new_id()}",
                config=AccountConfig(
                    vendor=vendor,
                    base_url="http://127.0.0.1:9/",  # type: ignore[arg-type]
                    currency="USD",
                    settle_seconds=settle_seconds,
                    notification_url=queue,  # type: ignore[arg-type]
                ),
                credentials={"token": "t", "consumer_key": "k", "consumer_secret": "s"},
                stock_mode=stock_mode,  # type: ignore[arg-type]
            )
            if surveyed:
                await account_rows.mark_surveyed(unit.session, account_id, unit.now)
        return AccountRef(account_id, vendor)

    async def variant(
        self, *, units: int = 0, price: int | None = 2999, cost: int | None = 1000, mode: str = "escrow", **more: Any
    ) -> Goods:
        """A product of one variant with `units` on the shelf. Prices in cents."""
        async with self.unit() as unit:
            sku = f"SKU-{new_id().hex[-10:]}"
            product_columns = {key: more.pop(key) for key in ("title", "description_html") if key in more}
            product = Product(tenant_id=self.tenant_id, handle=sku, **{"title": f"Goods {sku}", **product_columns})
            unit.session.add(product)
            await unit.session.flush()
            variant = Variant(
                tenant_id=self.tenant_id,
                product_id=product.id,
                sku=sku,
                currency="USD",
                price_minor=price,
                cost_minor=cost,
                cost_as_of=unit.now if cost else None,
                **more,
            )
            unit.session.add(variant)
            await unit.session.flush()
            item_id = await stock.receive(unit, variant.id, units, key=f"first:{variant.id}", mode=mode)
        return Goods(product.id, variant.id, item_id, sku)

    async def listing(
        self, account: AccountRef, goods: Goods, *, units: int = 0, price: int | None = 2999, status: str = "active"
    ) -> UUID:
        """A listing that shows `units` of the goods, all of them entitled to."""
        async with self.unit() as unit:
            listing = Listing(
                tenant_id=self.tenant_id,
                account_id=account.id,
                variant_id=goods.variant_id,
                sku=goods.sku,
                external_id=None if status == "requested" else f"x-{goods.sku}",
                status=status,
                title=goods.sku,
                currency="USD",
                price_minor=price,
                quantity_shown=units if status == "active" else None,
                published_at=unit.now - timedelta(days=3) if status == "active" else None,
            )
            unit.session.add(listing)
            await unit.session.flush()
            unit.session.add(
                Allocation(
                    tenant_id=self.tenant_id,
                    stock_item_id=goods.stock_item_id,
                    listing_id=listing.id,
                    entitled=units,
                    target=units,
                )
            )
        return listing.id

    def order(
        self,
        lines: Mapping[str, int],
        *,
        external_id: str = "",
        status: OrderStatus = "paid",
        holds_stock: bool = True,
        minute: int = 0,
        refunds: tuple[ChannelRefund, ...] = (),
    ) -> ChannelOrder:
        """What a channel tells: SKU → units. `minute` orders the tellings in time."""
        placed = self.store.clock.now() - timedelta(hours=1)
        told_lines = tuple(
            ChannelOrderLine(
                external_id=f"line-{index}",
                listing_external_id=f"x-{sku}",
                sku=sku,
                title=sku,
                quantity=units,
                total=dollars(2999 * units),
                tax=dollars(0),
            )
            for index, (sku, units) in enumerate(lines.items())
        )
        total = sum(line.total.amount_minor for line in told_lines)
        return ChannelOrder(
            external_id=external_id or f"order-{new_id()}",
            number="1001",
            status=status,
            vendor_status=status,
            holds_stock=holds_stock,
            placed_at=placed,
            modified_at=placed + timedelta(minutes=minute),
            currency="USD",
            lines=told_lines,
            shipping=dollars(0),
            tax=dollars(0),
            total=dollars(total),
            refunds=refunds,
        )

    async def item(self, goods: Goods) -> StockItem:
        async with self.store.reader(self.tenant_id) as session:
            return await session.get_one(StockItem, goods.stock_item_id)

    async def share(self, listing_id: UUID) -> Allocation:
        async with self.store.reader(self.tenant_id) as session:
            return (await session.scalars(select(Allocation).where(Allocation.listing_id == listing_id))).one()

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        """Rows by plain SQL. Workers see every tenant's queues: there the statement says `:tenant` itself."""
        if ":tenant" in sql:
            values["tenant"] = self.tenant_id
        async with self.store.reader(self.tenant_id) as session:
            return list(await session.execute(text(sql), values))

    async def events(self, kind: type[Event]) -> list[dict[str, Any]]:
        """Payloads of the facts of one kind, oldest first."""
        async with self.store.reader(self.tenant_id) as session:
            found = await session.scalars(
                select(EventRecord).where(EventRecord.type == kind.__name__).order_by(EventRecord.id)
            )
            return [row.payload for row in found]

    async def enqueue(self, command: Command, account: AccountRef, *, key: str = "") -> UUID:
        """Put a command straight into the outbox, as the gate would have let it through."""
        async with self.unit() as unit:
            return unit.enqueue(command, account_id=account.id, key=key or f"test:{new_id()}")

    async def effect(self, effect_id: UUID) -> Effect:
        async with self.store.reader(self.tenant_id) as session:
            return await session.get_one(Effect, effect_id)

    async def signed_price(self, account: AccountRef, listing_id: UUID, minor: int) -> ChangePrice:
        """A price change that the firewall permitted as proposed or moved into its bounds."""
        async with self.store.reader(self.tenant_id) as session:
            now = self.store.clock.now()
            row = (await pricing_rows.rows(session, since=now - WINDOW, listing_ids=[listing_id]))[0]
            size = await price_brakes.catalogue_size(session, row.currency)
            hour = await price_brakes.hour_of_moves(session, listing_id, row.currency, now, size)
            verdict = self.firewall.check(proposal_for(row, dollars(minor), PricingChoices(), now, hour))
        assert not isinstance(verdict, Ask | Deny), verdict.reasons
        return ChangePrice(
            account_id=account.id,
            listing_id=listing_id,
            price=verdict.certificate.price,
            previous=None if row.current_minor is None else dollars(row.current_minor),
            certificate=verdict.certificate.model_dump(mode="json"),
        )

    async def decide(self, agent: Agent[Any], event: Event) -> Any:
        """One decision of an agent, as its runner would ask for it: in a read-only transaction."""
        async with self.store.reader(self.tenant_id) as session:
            services = Services(session, self.tenant_id, self.store.clock.now())
            return await agent.decide(event, Context(self.tenant_id, services.now, services, new_id(), new_id()))


@dataclass(frozen=True)
class Goods:
    """A product with one variant and its stock item."""

    product_id: UUID
    variant_id: UUID
    stock_item_id: UUID
    sku: str


def refund(external_id: str, at: datetime, **restocked: int) -> ChannelRefund:
    """Money back for one order; `restocked` is line → units, with "_" for "-" in the line's name."""
    units = {line.replace("_", "-"): count for line, count in restocked.items()}
    return ChannelRefund(external_id=external_id, amount=dollars(100), restocked=units, created_at=at)


def secret(text_: str) -> SecretStr:
    return SecretStr(text_)
