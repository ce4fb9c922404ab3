"""The sandbox put together: one ASGI application with both channels and a control plane."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from flipsync.domain.clock import utc_now
from flipsync.sandbox import audit, named_faults
from flipsync.sandbox.acts import Act, NamedFaults
from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import Buyer, stream
from flipsync.sandbox.channels import OPENERS
from flipsync.sandbox.clock import MarketClock, Mode, milliseconds, rfc3339
from flipsync.sandbox.consent import Redirects
from flipsync.sandbox.custom import CustomChannel
from flipsync.sandbox.exchange import ChannelServer
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.market import CallOff, Market
from flipsync.sandbox.orderbook import OrderBook, Refused
from flipsync.sandbox.records import Channel, order_external_id
from flipsync.sandbox.webhooks import Webhooks
from flipsync.sandbox.woocommerce import WooCommerceShop
from flipsync.sandbox.woocommerce.auth import ApiKey
from flipsync.sandbox.woocommerce.shop import Shop

CONTROL_HEADER = "X-Sandbox-Token"


@dataclass(frozen=True)
class SandboxConfig:
    """How a sandbox is set up. `start_ms` is the first market time of a new sandbox (default: now)."""

    seed: int = 7
    data: str = ":memory:"
    mode: Mode = "virtual"
    speed: float = 1.0
    currency: str = "USD"
    timezone: str = "America/New_York"
    start_ms: int | None = None


class Sandbox:
    """A market, its channels and their books. `base_url` is where it is reached; set it before it serves."""

    def __init__(self, config: SandboxConfig, base_url: str = "http://127.0.0.1") -> None:
        self.config = config
        clock = MarketClock(config.mode, 0, config.speed)
        self.books = Books(config.data, clock)
        seed = int(self.once("seed", lambda: str(config.seed)))
        start = self.books.meta("market_ms")
        first = config.start_ms if config.start_ms is not None else milliseconds(utc_now()) // 1000 * 1000
        clock.move_to(int(start) if start is not None else first)
        if config.mode == "real" and config.speed == 1.0 and config.start_ms is None:
            clock.move_to(milliseconds(utc_now()))
        self.seed = seed
        self.clock = clock
        self.faults = Faults(self.books, seed)
        self.webhooks = Webhooks(self.books, self.faults)
        zone = ZoneInfo(config.timezone)
        orders = OrderBook(self.books, config.currency)
        self.market = Market(self.books, orders, seed, zone)
        self.market.on_visit = self.webhooks.visit
        self.books.on_change = self.webhooks.enqueue
        self.books.on_commit = self.webhooks.committed
        self.market.remember_time()
        self.control_token = self.once("control_token", lambda: secrets.token_urlsafe(24))
        self.shop_key = self._key("woo.key", "read_write")
        self.shop_reader = self._key("woo.reader", "read")
        self.custom_token = self.once("custom.token", lambda: secrets.token_urlsafe(24))
        self.custom_reader = self.once("custom.reader", lambda: secrets.token_urlsafe(24))
        shop = Shop(self.books, orders, self.faults, self.webhooks, config.currency, zone)
        self.woo = WooCommerceShop(shop, [self.shop_key, self.shop_reader])
        tokens = {self.custom_token: True, self.custom_reader: False}
        self.custom = CustomChannel(self.market, self.faults, self.webhooks, tokens)
        self._redirects: dict[str, Redirects] = {}
        self.served = [opener(self) for opener in OPENERS]
        self.base_url = base_url
        self.named = NamedFaults(self)
        self.faults.on_time = self.market.on_time = self.named.due

    def server_of(self, channel: Channel) -> ChannelServer:
        """The server of a channel."""
        own: dict[Channel, ChannelServer] = {"woo": self.woo, "custom": self.custom}
        return own[channel] if channel in own else cast(ChannelServer, self.server(f"/{channel}"))

    def inject(self, channel: Channel, name: str, seed: int = 0) -> Act:
        """Begin one fault of the catalogue (named_faults.FAULTS). Raises KeyError, ValueError."""
        rng = stream(self.seed, "named", channel, name, seed)
        return self.named.begin(channel, name, named_faults.make(name, channel), rng)

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A value made at the first start and kept with the data."""
        stored = self.books.meta(name)
        if stored is None:
            stored = make()
            self.books.set_meta(name, stored)
        return stored

    def redirects(self, vendor: str) -> Redirects:
        """Where that vendor's applications may have people sent."""
        return self._redirects.setdefault(vendor, Redirects(self.books, vendor))

    def _key(self, name: str, permissions: Any) -> ApiKey:
        text = self.once(name, lambda: f"ck_{secrets.token_hex(20)} cs_{secrets.token_hex(20)}")
        consumer_key, _, consumer_secret = text.partition(" ")
        return ApiKey(consumer_key, consumer_secret, permissions)

    def server(self, prefix: str) -> Any:
        """The server mounted at `prefix`. Raises StopIteration when there is none."""
        return next(each.app for each in self.served if each.prefix == prefix)

    @property
    def base_url(self) -> str:
        return self._base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._base_url = url.rstrip("/")
        self.webhooks.shop_url = f"{self._base_url}/woo"

    def credentials(self) -> dict[str, Any]:
        """Addresses and keys of both channels."""
        woo, custom = f"{self.base_url}/woo", f"{self.base_url}/custom"
        return {
            "woocommerce": {
                "base_url": woo,
                "consumer_key": self.shop_key.consumer_key,
                "consumer_secret": self.shop_key.consumer_secret,
            },
            "woocommerce_read_only": {
                "base_url": woo,
                "consumer_key": self.shop_reader.consumer_key,
                "consumer_secret": self.shop_reader.consumer_secret,
            },
            "custom": {"base_url": custom, "token": self.custom_token},
            "custom_read_only": {"base_url": custom, "token": self.custom_reader},
            **{name: keys for each in self.served for name, keys in each.credentials(self.base_url).items()},
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Webhooks are delivered and, in real mode, time runs while this is open."""
        await self.webhooks.start()
        follower = asyncio.create_task(self.market.run_with_clock()) if self.config.mode == "real" else None
        try:
            yield
        finally:
            if follower is not None:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)
            await self.webhooks.stop()
            self.market.remember_time()


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AdvanceInput(_Input):
    seconds: float = Field(gt=0, le=400 * 86_400)


class FaultsInput(_Input):
    channel: Channel
    rates: dict[str, Any] = Field(default_factory=dict)
    replace: bool = False
    begin: list[str] = Field(default_factory=list, description="named faults, see named_faults.FAULTS")
    end: list[str] = Field(default_factory=list)


class OrderInput(_Input):
    channel: Channel
    sku: str
    quantity: int = Field(default=1, ge=1, le=100_000)
    buyer: str = "Avery Lane"


class CallOffInput(_Input):
    channel: Channel
    external_id: str
    how: CallOff


class BusinessInput(_Input):
    settings: dict[str, Any] = Field(default_factory=dict)
    reference_prices: dict[str, int] = Field(default_factory=dict, description="SKU to minor units")
    webhook_interval_seconds: float | None = Field(default=None, ge=0)


class RedirectInput(_Input):
    vendor: str
    url: str = Field(min_length=8, max_length=500)


class Control:
    """The control plane: for whoever runs the sandbox, not for the seller."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Callable[[Request], Awaitable[JSONResponse]]]] = [
            ("GET", "/status", self.status),
            ("POST", "/advance", self.advance),
            ("POST", "/faults", self.faults),
            ("POST", "/order", self.order),
            ("POST", "/order/call-off", self.call_off),
            ("POST", "/webhooks/flush", self.flush),
            ("GET", "/books", self.books),
            ("GET", "/credentials", self.credentials),
            ("POST", "/redirects", self.redirects),
            ("POST", "/open-for-business", self.business),
        ]
        return [Route(path, self._guarded(handler), methods=[method]) for method, path, handler in table]

    def _guarded(
        self, handler: Callable[[Request], Awaitable[JSONResponse]]
    ) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def guarded(request: Request) -> JSONResponse:
            given = request.headers.get(CONTROL_HEADER, "")
            if not hmac.compare_digest(given.encode(), self.sandbox.control_token.encode()):
                return JSONResponse({"error": f"{CONTROL_HEADER} is missing or wrong"}, 401)
            try:
                return await handler(request)
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                return JSONResponse({"error": "invalid input", "problems": problems}, 422)

        return guarded

    async def status(self, request: Request) -> JSONResponse:
        sandbox = self.sandbox
        return JSONResponse(
            {
                "market_time": rfc3339(sandbox.clock.now_ms()),
                "mode": sandbox.config.mode,
                "speed": sandbox.config.speed,
                "seed": sandbox.seed,
                "timezone": sandbox.config.timezone,
                "currency": sandbox.config.currency,
                "market": sandbox.market.status(),
                "orders_total": sandbox.books.db.execute("SELECT count(*) FROM orders").fetchone()[0],
                "faults": {
                    channel: {"settings": settings.model_dump(), "struck": dict(sandbox.faults.counts[channel])}
                    for channel, settings in sandbox.faults.settings.items()
                },
                "named_faults": sandbox.named.status(),
                "webhooks_waiting": sandbox.webhooks.waiting(),
                "webhook_interval_seconds": sandbox.webhooks.shop_interval,
            }
        )

    async def advance(self, request: Request) -> JSONResponse:
        body = AdvanceInput.model_validate_json(await request.body())
        happened = await self.sandbox.market.advance(body.seconds)
        return JSONResponse({"market_time": rfc3339(self.sandbox.clock.now_ms()), "happened": happened})

    async def faults(self, request: Request) -> JSONResponse:
        body = FaultsInput.model_validate_json(await request.body())
        settings = self.sandbox.faults.configure(body.channel, body.rates, replace=body.replace)
        try:
            for name in body.begin:
                self.sandbox.inject(body.channel, name)
        except (KeyError, ValueError) as error:
            hint = {"known": sorted(named_faults.FAULTS)}
            return JSONResponse({"error": f"no such fault here: {error.args[0]}", **hint}, 422)
        for name in body.end:
            self.sandbox.named.end(body.channel, name)
        return JSONResponse(settings.model_dump())

    async def order(self, request: Request) -> JSONResponse:
        body = OrderInput.model_validate_json(await request.body())
        buyer = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=body.quantity, name=body.buyer)
        placed = self.sandbox.market.place(body.channel, body.sku, body.quantity, buyer)
        if isinstance(placed, Refused):
            return JSONResponse({"accepted": False, "reason": placed.reason})
        external = order_external_id(placed.channel, placed.id)
        return JSONResponse(
            {
                "accepted": True,
                "id": external,
                "total_minor": placed.total_minor,
                "currency": placed.currency,
                "placed_at": rfc3339(placed.placed_ms),
            }
        )

    async def call_off(self, request: Request) -> JSONResponse:
        body = CallOffInput.model_validate_json(await request.body())
        return JSONResponse({"done": self.sandbox.market.call_off(body.channel, body.external_id, body.how)})

    async def flush(self, request: Request) -> JSONResponse:
        return JSONResponse({"left": await self.sandbox.webhooks.flush()})

    async def books(self, request: Request) -> JSONResponse:
        with_orders = request.query_params.get("orders", "true").lower() != "false"
        return JSONResponse(audit.report(self.sandbox.books, orders=with_orders))

    async def credentials(self, request: Request) -> JSONResponse:
        return JSONResponse(self.sandbox.credentials())

    async def redirects(self, request: Request) -> JSONResponse:
        """What a developer enters in a vendor's portal: where its consent page may send people."""
        body = RedirectInput.model_validate_json(await request.body())
        self.sandbox.redirects(body.vendor).register(body.url)
        return JSONResponse({"vendor": body.vendor, "registered": body.url})

    async def business(self, request: Request) -> JSONResponse:
        body = BusinessInput.model_validate_json(await request.body())
        settings = self.sandbox.market.configure(body.settings)
        for sku, price_minor in body.reference_prices.items():
            self.sandbox.market.set_reference_price(sku, price_minor)
        if body.webhook_interval_seconds is not None:
            self.sandbox.webhooks.set_shop_interval(body.webhook_interval_seconds)
        return JSONResponse(settings.model_dump())


def build_app(sandbox: Sandbox) -> Starlette:
    """The ASGI application: /woo, /custom and /_sandbox."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with sandbox.running():
            yield

    return Starlette(
        routes=[
            Mount("/woo", app=sandbox.woo),
            Mount("/custom", app=sandbox.custom),
            *(Mount(each.prefix, app=each.app) for each in sandbox.served),
            Mount("/_sandbox", routes=Control(sandbox).routes()),
        ],
        lifespan=lifespan,
    )
