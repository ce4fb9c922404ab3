"""What one process of the API holds: the store as role flipsync_app, Redis, keys, connectors, the agents' graph."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, cast
from uuid import UUID

from redis.asyncio import Redis
from starlette.types import Scope

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.providers import Providers
from flipsync.domain.errors import Conflict, InvalidInput, Unavailable
from flipsync.runtime.graph import AgentClass, Graph
from flipsync.runtime.mailbox import Limits, RedisWaker
from flipsync.security.api_keys import MARK
from flipsync.security.attempts import SignInLimit
from flipsync.security.paces import Paces
from flipsync.security.passwords import Passwords
from flipsync.security.places import place_of
from flipsync.security.secrets import SecretBox
from flipsync.security.tokens import AccessTokens, Claims
from flipsync.services.account_vault import AccountVault
from flipsync.services.accounts import ConnectedAccount
from flipsync.services.api_keys import DEFAULT_PER_MINUTE, KeyRing
from flipsync.services.consents import Consents
from flipsync.services.webhooks import WebhookAddresses
from flipsync.store.database import Database
from flipsync.store.pipeline import Presence, TenantReader
from flipsync.store.unit_of_work import Store
from serve.errors import QUOTA
from serve.live import LiveEvents
from serve.settings import ServeSettings
from serve.telemetry import ApiMetrics

Nobody = Literal["address", "webhook"]
#: businesses whose past is worked through at the same time: each takes all of a core that others leave it
_TRIALS: Final = 2


class Backend:
    """Made once per process, closed with `aclose`. Opens no connection before the first request needs one."""

    def __init__(self, settings: ServeSettings, *, metrics: ApiMetrics) -> None:
        redis_url = settings.redis_url.get_secret_value()
        self.settings = settings
        self.metrics = metrics
        self.graph = load_graph(settings.roster) if settings.roster else None
        self.database = Database(
            settings.app_database_url.get_secret_value(), pool_size=settings.database_pool, name="flipsync-api"
        )
        self.waker = RedisWaker(redis_url)
        self.limits = Limits(redis_url)
        routing = self.graph.routing() if self.graph else {}
        self.store = Store(self.database, routing, self.waker, settings.business_clock())
        self.redis: Redis = Redis.from_url(redis_url, socket_connect_timeout=2.0)
        self.live = LiveEvents(self.redis, queue_size=settings.websocket_queue, most=settings.websocket_most)
        self.box = SecretBox(settings.secret_keys())
        self.reach = Reach(settings.notify_inside)
        self.tokens = AccessTokens(settings.jwt_key_bytes())
        replicas = settings.api_replicas
        self.keys = KeyRing(self.database, Paces("key", DEFAULT_PER_MINUTE, replicas=replicas))
        self.session_paces = Paces("session", settings.session_per_minute, replicas=replicas)
        self.nobody_paces = {
            "address": Paces("address", settings.address_per_minute, replicas=replicas),
            "webhook": Paces("address", settings.deliveries_per_minute, replicas=replicas),
        }
        #: live connections that are opened
        self.live_paces = {
            "user": Paces("user", settings.websocket_user_per_minute, replicas=replicas),
            "business": Paces("business", settings.websocket_business_per_minute, replicas=replicas),
        }
        self.passwords = Passwords(most=settings.sign_in_turns)
        self.sign_in_limit = SignInLimit(self.redis, failures=settings.sign_in_failures)
        #: wrong codes are counted in the books and slow down there; this bounds what is written about them
        self.second_factor_limit = SignInLimit(self.redis, limit=30, free=60, failures=settings.sign_in_failures)
        self.providers = Providers(settings.sign_in_providers, self.reach)
        self.relying_party = settings.relying_party()
        self.consents = Consents(
            self.store,
            self.box,
            self.limits,
            applications=settings.applications,
            return_origins=settings.return_origins,
        )
        self.webhook_addresses = WebhookAddresses(self.store, self.box, self.connector)
        self._trying: set[UUID] = set()

    @contextmanager
    def trial(self, tenant_id: UUID) -> Iterator[None]:
        """One of a business at a time, and few of all: who waits for orders is not to wait for this. Raises Conflict,
        Unavailable."""
        if tenant_id in self._trying:
            raise Conflict("settings are being tried on the past already", hint="wait for that answer")
        if len(self._trying) >= _TRIALS:
            raise Unavailable("others try settings on their past", hint="try again in half a minute")
        self._trying.add(tenant_id)
        try:
            yield
        finally:
            self._trying.remove(tenant_id)

    async def claims(self, text: str) -> Claims:
        """Whom an access token or an API key speaks for. Raises Unauthenticated."""
        return await self.keys.read(text) if text.startswith(MARK) else self.tokens.read(text)

    def known_claims(self, text: str) -> Claims | None:
        """The same without asking anybody; None for an API key that has to be looked up. Raises Unauthenticated."""
        return self.keys.known(text) if text.startswith(MARK) else self.tokens.read(text)

    async def claims_anew(self, text: str) -> Claims | None:
        """What an API key may now; None for an access token, which says what it said. Raises Unauthenticated."""
        return await self.keys.anew(text) if text.startswith(MARK) else None

    def take(self, scope: Scope, user: Claims) -> None:
        """Count a request of a session or an API key; what is left is told with the answer. Raises TooManyRequests."""
        quota = self.keys.take(user) if user.is_key else self.session_paces.take(user.session_id)
        scope["state"][QUOTA] = quota

    def take_nobody(self, scope: Scope, kind: Nobody, address: str) -> None:
        """The same of a request that does not say who asks, by its address. Raises TooManyRequests."""
        scope["state"][QUOTA] = self.nobody_paces[kind].take(place_of(address))

    def take_live(self, user: Claims) -> None:
        """Count a live connection that was opened. Raises TooManyRequests."""
        self.live_paces["user"].take(user.user_id)
        self.live_paces["business"].take(user.tenant_id)

    def reader(self, user: Claims) -> TenantReader:
        """Questions as this user's tenant, answered only while the session or key is on and the user as they were."""
        kind: Literal["session", "key"] = "session" if user.permissions is None else "key"
        return self.database.questions(user.tenant_id, Presence(kind, user.who))

    async def require_present(self, user: Claims) -> None:
        """Raises Unauthenticated when session or key have ended, or the user was disabled or got another role."""
        await self.reader(user).ask()

    def connector(self, account: ConnectedAccount) -> MarketplaceConnector:
        """A connector for the account, under the rate limits all workers share. The caller closes it."""
        vault = AccountVault(self.store, self.box, account.tenant_id, account.id)
        return connect(account.config, account.credentials, self.limits, str(account.id), vault)

    async def aclose(self) -> None:
        await self.live.aclose()
        await self.store.aclose()
        await self.waker.aclose()
        await self.limits.aclose()
        await self.redis.aclose()
        self.passwords.close()


def load_graph(roster: str) -> Graph:
    """The graph of the agents named by "module:attribute". Raises InvalidInput when they do not fit together."""
    return Graph(tuple(cast("tuple[AgentClass, ...]", load_attribute(roster))))


def load_attribute(reference: str) -> Any:
    """What "module:attribute" names. Raises InvalidInput when there is no such thing."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"{reference!r} cannot be imported: {error}", hint="write it as module:attribute") from error
