"""The Notification API: alert address, destinations that answer a challenge, subscriptions, and signed deliveries."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.deliveries import Deliveries, topic_of
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import Shop
from flipsync.sandbox.ebay.tokens import Granted, scope
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.webhooks import HookStatus, Subscription

_DOMAIN = "API_NOTIFICATION"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,80}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NAMESPACE = uuid.UUID("6a1d0a9e-4a52-4f0e-9a44-3b3f1f0f7c11")
_USER_SCOPES = [scope("sell.fulfillment"), scope("sell.fulfillment.readonly")]
#: topic: whether users subscribe to it (else applications), context, description
TOPICS: dict[str, tuple[bool, str, str]] = {
    "MARKETPLACE_ACCOUNT_DELETION": (False, "COMMERCE", "A user asked for the account's data to be deleted"),
    "AUTHORIZATION_REVOCATION": (False, "DEVELOPER", "A user withdrew the application's authorization"),
    "ORDER_CONFIRMATION": (True, "SELL", "A buyer completed the checkout of one of the seller's listings"),
}
Challenge = Callable[[str, str], Awaitable[str]]


async def ask(url: str, code: str) -> str:
    """GET the endpoint with a challenge code, as eBay does before it takes it; the response it gives, or ""."""
    async with httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=10.0) as client:
        try:
            answer = await client.get(url, params={"challenge_code": code})
            told = answer.json() if answer.status_code == 200 else {}
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
            return ""
    return str(told.get("challengeResponse", "")) if isinstance(told, dict) else ""


class Notification:
    """Subscriptions are webhook rows: the name is the topic, the secret the destination's id."""

    def __init__(self, shop: Shop, key: str) -> None:
        self.shop = shop
        self.books = shop.books
        self.deliveries = Deliveries(shop, key)
        self.challenge: Challenge = ask
        webhooks = shop.webhooks
        webhooks.render["ebay"] = self.deliveries.render
        webhooks.topic["ebay"] = topic_of
        webhooks.sign["ebay"] = self.deliveries.sign

    # Alert address and destinations

    def get_config(self, call: Call) -> Answer:
        email = self.books.meta("ebay.alert_email")
        if email is None:
            raise refuse(404, 195026, "Configuration Not Found.", _DOMAIN)
        return Answer(200, encode({"alertEmail": email}))

    def put_config(self, call: Call) -> Answer:
        self.books.set_meta("ebay.alert_email", bodies.parse(call, bodies.Config, _DOMAIN).alert_email)
        return Answer(204, b"")

    def destinations(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self.books.meta("ebay.destinations") or "{}"))

    def _save(self, destinations: dict[str, dict[str, Any]]) -> None:
        self.books.set_meta("ebay.destinations", json.dumps(destinations))

    async def try_endpoint(self, call: Call) -> None:
        """The challenge, before a destination is taken. Raises Refusal when it is not met."""
        body = self._destination(call)
        url, token = body.delivery_config.endpoint, body.delivery_config.verification_token
        code = secrets.token_urlsafe(18)
        expected = hashlib.sha256(f"{code}{token}{url}".encode()).hexdigest()
        if await self.challenge(url, code) != expected:
            raise refuse(409, 195020, "Challenge verification failed for requested endpoint", _DOMAIN)

    def _destination(self, call: Call) -> bodies.DestinationBody:
        body = bodies.parse(call, bodies.DestinationBody, _DOMAIN)
        url = urlsplit(body.delivery_config.endpoint)
        # eBay takes https alone; on this machine there is nobody to give a certificate
        if not url.hostname or (url.scheme != "https" and url.hostname not in _LOOPBACK):
            raise refuse(400, 195017, "Invalid or missing endpoint.", _DOMAIN)
        if not _TOKEN.fullmatch(body.delivery_config.verification_token):
            raise refuse(400, 195019, "Invalid or missing verification token for this endpoint.", _DOMAIN)
        if body.status not in ("ENABLED", "DISABLED"):
            text = "Invalid or missing destination status. Supported values:[ENABLED,DISABLED]"
            raise refuse(400, 195018, text, _DOMAIN)
        return body

    def list_destinations(self, call: Call) -> Answer:
        limit = _limit(call)
        rows = [{"destinationId": id, **body} for id, body in self.destinations().items()]
        body = {"href": _here(call), "total": len(rows), "limit": limit, "destinations": rows[:limit]}
        return Answer(200, encode(body))

    def create_destination(self, call: Call) -> Answer:
        body = self._destination(call)
        if self.books.meta("ebay.alert_email") is None:
            text = "Please provide configurations required for notifications. Refer to /config"
            raise refuse(409, 195003, text, _DOMAIN)
        destinations = self.destinations()
        endpoint = body.delivery_config.endpoint
        if any(each["deliveryConfig"]["endpoint"] == endpoint for each in destinations.values()):
            raise refuse(409, 195021, "Destination exists for this endpoint", _DOMAIN)
        id = str(uuid.uuid5(_NAMESPACE, f"destination{self.books.next_id()}"))
        self._save({**destinations, id: body.sent()})
        return Answer(201, encode({}), {"Location": f"{_here(call)}/{id}"})

    def update_destination(self, call: Call, id: str) -> Answer:
        body = self._destination(call)
        destinations = self.destinations()
        if id not in destinations:
            raise refuse(404, 195022, "Invalid or missing destination id.", _DOMAIN)
        self._save({**destinations, id: body.sent()})
        for hook in self.shop.webhooks.subscriptions.find("channel = 'ebay' AND secret = ?", (id,)):
            self.shop.webhooks.subscriptions.save(replace(hook, url=body.delivery_config.endpoint))
        return Answer(204, b"")

    # Topics and subscriptions

    def list_topics(self, call: Call) -> Answer:
        rows = [
            {
                "topicId": id,
                "description": description,
                "context": context,
                "scope": "USER" if user else "APPLICATION",
                "status": "ENABLED",
                "filterable": False,
                "authorizationScopes": _USER_SCOPES if user else [],
                "supportedPayloads": [
                    {"format": ["JSON"], "schemaVersion": "1.0", "deliveryProtocol": "HTTPS", "deprecated": False}
                ],
            }
            for id, (user, context, description) in TOPICS.items()
        ]
        limit = _limit(call)
        return Answer(200, encode({"href": _here(call), "total": len(rows), "limit": limit, "topics": rows[:limit]}))

    def _hooks(self, who: Granted) -> list[Subscription]:
        found = self.shop.webhooks.subscriptions.find("channel = 'ebay' ORDER BY id", ())
        return [hook for hook in found if TOPICS[hook.name][0] == who.user]

    def list_subscriptions(self, call: Call, who: Granted) -> Answer:
        rows = [
            {
                "subscriptionId": str(hook.id),
                "topicId": hook.name,
                "status": "ENABLED" if hook.status == "active" else "DISABLED",
                "creationDate": rfc3339(hook.created_ms),
                "destinationId": hook.secret,
                "payload": {"format": "JSON", "deliveryProtocol": "HTTPS", "schemaVersion": "1.0"},
            }
            for hook in self._hooks(who)
        ]
        limit = _limit(call)
        body = {"href": _here(call), "total": len(rows), "limit": limit, "subscriptions": rows[:limit]}
        return Answer(200, encode(body))

    def create_subscription(self, call: Call, who: Granted) -> Answer:
        body = bodies.parse(call, bodies.SubscriptionBody, _DOMAIN)
        topic = TOPICS.get(body.topic_id or "")
        if topic is None or body.topic_id is None:
            raise refuse(400, 195027, "Invalid or missing topic id.", _DOMAIN)
        if topic[0] != who.user:
            raise refuse(403, 195011, "Not authorized for this topic.", _DOMAIN)
        endpoint = self._check(body)
        if any(hook.name == body.topic_id for hook in self._hooks(who)):
            raise refuse(409, 195012, "Subscription already exists", _DOMAIN)
        now = self.books.clock.now_ms()
        hook = Subscription(
            id=self.books.next_id(),
            channel="ebay",
            name=body.topic_id,
            topics=(body.topic_id,),
            url=endpoint,
            secret=body.destination_id or "",
            status="active" if body.status == "ENABLED" else "disabled",
            failures=0,
            created_ms=now,
            modified_ms=now,
        )
        self.shop.webhooks.subscriptions.save(hook)
        return Answer(201, encode({}), {"Location": f"{_here(call)}/{hook.id}"})

    def _check(self, body: bodies.SubscriptionUpdate) -> str:
        """The endpoint that is subscribed. Raises Refusal."""
        payload = body.payload or bodies.Payload()
        if body.status not in ("ENABLED", "DISABLED"):
            raise refuse(400, 195006, "Invalid or missing subscription status.", _DOMAIN)
        if payload.schema_version != "1.0":
            raise refuse(400, 195008, "Invalid or missing schema version.", _DOMAIN)
        if payload.format != "JSON":
            raise refuse(400, 195009, "Specified format is not supported for the topic.", _DOMAIN)
        if payload.delivery_protocol != "HTTPS":
            raise refuse(400, 195010, "Invalid or missing protocol", _DOMAIN)
        destination = self.destinations().get(body.destination_id or "")
        if destination is None:
            raise refuse(400, 195007, "Invalid or missing destination id.", _DOMAIN)
        if body.status == "ENABLED" and destination["status"] != "ENABLED":
            text = "The subscription cannot be enabled since the destination is not enabled."
            raise refuse(409, 195015, text, _DOMAIN)
        return str(destination["deliveryConfig"]["endpoint"])

    def _hook(self, who: Granted, id: str) -> Subscription:
        found = next((hook for hook in self._hooks(who) if str(hook.id) == id), None)
        if found is None:
            raise refuse(404, 195013, "The subscription id does not exist.", _DOMAIN)
        return found

    def update_subscription(self, call: Call, who: Granted, id: str) -> Answer:
        body = bodies.parse(call, bodies.SubscriptionUpdate, _DOMAIN)
        hook = self._hook(who, id)
        endpoint = self._check(body)
        status: HookStatus = "active" if body.status == "ENABLED" else "disabled"
        changed = replace(hook, url=endpoint, secret=body.destination_id or "", status=status)
        self.shop.webhooks.subscriptions.save(changed)
        return Answer(204, b"")

    def enable(self, call: Call, who: Granted, id: str) -> Answer:
        hook = self._hook(who, id)
        if self.destinations().get(hook.secret, {}).get("status") != "ENABLED":
            text = "The subscription cannot be enabled since the destination is not enabled."
            raise refuse(409, 195015, text, _DOMAIN)
        self.shop.webhooks.subscriptions.save(replace(hook, status="active", failures=0))
        return Answer(204, b"")

    def disable(self, call: Call, who: Granted, id: str) -> Answer:
        self.shop.webhooks.subscriptions.save(replace(self._hook(who, id), status="disabled"))
        return Answer(204, b"")

    def delete(self, call: Call, who: Granted, id: str) -> Answer:
        self.shop.webhooks.subscriptions.delete(self._hook(who, id).id)
        return Answer(204, b"")


def _limit(call: Call) -> int:
    text = call.first("limit") or "20"
    if not text.isdigit() or not 10 <= int(text) <= 100:
        raise refuse(400, 195004, "Invalid limit. Supported ranges 10 - 100.", _DOMAIN)
    return int(text)


def _here(call: Call) -> str:
    return f"{call.origin}{call.full_path}"
