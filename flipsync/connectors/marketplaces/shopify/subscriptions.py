"""Keeping a shop's webhook subscriptions there: Shopify deletes one whose deliveries keep failing, and tells nobody."""

from __future__ import annotations

from flipsync.connectors.marketplaces.shopify import documents, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.connectors.marketplaces.shopify.webhooks import FORMER, TOPICS
from flipsync.domain.channel import WebhookSubscription
from flipsync.domain.errors import Rejected


async def ensure_subscriptions(api: AdminApi, callback_url: str) -> list[WebhookSubscription]:
    """One subscription of whole JSON bodies per topic; writes only where something differs."""
    ours = await _ours(api, callback_url)
    found = []
    for topic in TOPICS:
        row = ours.get(topic)
        if row is None:
            row = await _subscribe(api, topic, callback_url)
        elif row.format != "JSON" or row.filter or row.include_fields:
            body = {"uri": callback_url, "format": "JSON", "filter": "", "includeFields": []}
            variables = {"id": row.id, "subscription": body}
            row = _shown(await api.write(documents.RESUBSCRIBE, wire.SubscriptionPayload, variables), row)
        found.append(_told(row))
    for topic in FORMER:
        if (row := ours.get(topic)) is not None:
            await api.write(documents.UNSUBSCRIBE, wire.Payload, {"id": row.id})
    return found


async def every_subscription(api: AdminApi) -> list[WebhookSubscription]:
    """What the app has in this shop. Shopify knows none that is switched off: it deletes them."""
    return [_told(row) for row in await _rows(api)]


def _told(row: wire.Subscription) -> WebhookSubscription:
    return WebhookSubscription(external_id=row.id, topic=TOPICS.get(row.topic, row.topic), url=row.uri, active=True)


async def _rows(api: AdminApi) -> list[wire.Subscription]:
    decode = wire.Connection[wire.Subscription].model_validate
    return [row async for rows in api.pages(documents.SUBSCRIPTIONS, decode, {}) for row in rows]


async def _ours(api: AdminApi, callback_url: str) -> dict[str, wire.Subscription]:
    return {row.topic: row for row in await _rows(api) if row.uri == callback_url}


async def _subscribe(api: AdminApi, topic: str, callback_url: str) -> wire.Subscription:
    body = {"uri": callback_url, "format": "JSON"}
    try:
        payload = await api.write(documents.SUBSCRIBE, wire.SubscriptionPayload, {"topic": topic, "subscription": body})
    except Rejected as refused:
        # Somebody else has just made it: Shopify takes an address once for a topic.
        row = (await _ours(api, callback_url)).get(topic) if "taken" in refused.message else None
        if row is None:
            raise
        return row
    return _shown(payload, wire.Subscription(id="", topic=topic, uri=callback_url))


def _shown(payload: wire.SubscriptionPayload, asked: wire.Subscription) -> wire.Subscription:
    return payload.webhook_subscription or asked
