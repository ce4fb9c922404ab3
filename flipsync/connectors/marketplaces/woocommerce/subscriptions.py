"""Keeping a WooCommerce shop's webhooks there, single, active and signed with our secret."""

from __future__ import annotations

from flipsync.connectors.marketplaces.woocommerce import webhooks, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.domain.channel import WebhookSubscription


async def ensure_subscriptions(api: ShopApi, callback_url: str, secret: str) -> list[WebhookSubscription]:
    """One active subscription per topic, and none of ours for any other; writes only where something differs."""
    hooks = [hook for hook in await _hooks(api) if hook.delivery_url == callback_url]
    hooks.sort(key=lambda hook: hook.id)  # of doubles, the oldest stays
    found = []
    for topic in webhooks.TOPICS:
        ours = [hook for hook in hooks if hook.topic == topic]
        found.append(await _ensure(api, topic, callback_url, secret, ours))
    for hook in hooks:
        if hook.topic not in webhooks.TOPICS and hook.name.startswith(webhooks.OURS):
            await _delete(api, hook)
    return found


async def _ensure(
    api: ShopApi, topic: str, callback_url: str, secret: str, existing: list[wire.Webhook]
) -> WebhookSubscription:
    name = webhooks.subscription_name(topic, secret)
    for extra in existing[1:]:
        await _delete(api, extra)
    decode = wire.Webhook.model_validate
    body = {"name": name, "secret": secret, "status": "active"}
    if not existing:
        # Left out, the secret would be a random one that no answer ever shows.
        hook = await api.write("POST", "/webhooks", {**body, "topic": topic, "delivery_url": callback_url}, decode)
    elif existing[0].status != "active" or existing[0].name != name:
        hook = await api.write("PUT", f"/webhooks/{existing[0].id}", body, decode)
    else:
        hook = existing[0]
    return _told(hook)


async def _delete(api: ShopApi, hook: wire.Webhook) -> None:
    # Without force the answer is 501.
    await api.write("DELETE", f"/webhooks/{hook.id}", None, lambda _: None, [("force", "true")])


async def every_subscription(api: ShopApi) -> list[WebhookSubscription]:
    """What the shop has, switched off or not."""
    return [_told(hook) for hook in await _hooks(api)]


async def _hooks(api: ShopApi) -> list[wire.Webhook]:
    return await api.rows("/webhooks", wire.Webhook.model_validate, [("status", "all")])


def _told(hook: wire.Webhook) -> WebhookSubscription:
    return WebhookSubscription(
        external_id=str(hook.id), topic=hook.topic, url=hook.delivery_url, active=hook.status == "active"
    )
