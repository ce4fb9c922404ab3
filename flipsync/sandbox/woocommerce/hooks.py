"""Webhook subscriptions of the shop: /webhooks."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import cast

from flipsync.sandbox.exchange import Answer, Call, Refusal
from flipsync.sandbox.webhooks import HookStatus, Subscription
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.shop import Row, Shop, run_batch

_HOOKS = {
    "order.created": ["woocommerce_new_order"],
    "order.updated": ["woocommerce_update_order", "woocommerce_order_refunded"],
    "order.deleted": ["wp_trash_post", "woocommerce_trash_order"],
    "order.restored": ["untrashed_post"],
    "product.created": ["woocommerce_process_product_meta", "woocommerce_new_product"],
    "product.updated": ["woocommerce_process_product_meta", "woocommerce_update_product"],
    "product.deleted": ["wp_trash_post"],
    "product.restored": ["untrashed_post"],
}
_OTHER_TOPICS = re.compile(r"(?:coupon|customer)\.(?:created|updated|deleted|restored)|action\.\w+")
_STATUSES = ("active", "paused", "disabled")


class Hooks:
    """The webhook collection; a new one is greeted before its POST is answered."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books
        self.rows = shop.webhooks.subscriptions
        self._to_greet: list[Subscription] = []

    def collection(self, call: Call) -> Answer:
        page = wire.page_of(call)
        status = call.first("status") or "all"
        hooks = self.rows.find("channel = 'woo' ORDER BY id DESC", ())
        hooks = [hook for hook in hooks if status in ("all", hook.status)]
        shown = hooks[page.offset : page.offset + page.size]
        return wire.list_answer(call, [self._view(hook) for hook in shown], len(hooks), page)

    def get(self, call: Call, hook_id: int) -> Answer:
        return wire.json_answer(self._view(self._find(hook_id, 404)))

    def post(self, call: Call, body: Row) -> Answer:
        return self._greeting(wire.json_answer(self.create(body), 201))

    def put(self, call: Call, body: Row, hook_id: int) -> Answer:
        return self._greeting(wire.json_answer(self.update(hook_id, body)))

    def delete(self, call: Call, body: Row, hook_id: int) -> Answer:
        force = (call.first("force") or str(body.get("force", ""))).lower() in ("true", "1")
        hook = self._find(hook_id, 404)
        if not force:
            raise wire.refusal(501, "woocommerce_rest_trash_not_supported", "Webhooks do not support trashing.")
        self.rows.delete(hook.id)
        return wire.json_answer(self._view(hook))

    def batch(self, call: Call, body: Row) -> Answer:
        return self._greeting(run_batch(self.shop, body, self.create, self.update, self._remove))

    def _remove(self, hook_id: int) -> Row:
        hook = self._find(hook_id, 404)
        self.rows.delete(hook.id)
        return self._view(hook)

    def _greeting(self, answer: Answer) -> Answer:
        """Send the ping while the caller still waits for its answer."""
        greeted, self._to_greet = self._to_greet, []

        async def greet() -> None:
            for hook in greeted:
                await self.shop.webhooks.ping(hook)

        answer.before_sending = greet if greeted else None
        return answer

    def _find(self, hook_id: int, missing_status: int) -> Subscription:
        hook = self.rows.get(hook_id)
        if hook is None or hook.channel != "woo":
            raise _unknown(missing_status)
        return hook

    def create(self, body: Row) -> Row:
        now = self.books.clock.now_ms()
        topic = _topic(body)
        url = str(body.get("delivery_url", ""))
        if not re.match(r"https?://", url):
            message = "Webhook delivery URL must be a valid URL starting with http:// or https://."
            raise wire.refusal(400, "woocommerce_rest_shop_webhook_invalid_delivery_url", message)
        hook = Subscription(
            id=self.books.next_id(),
            channel="woo",
            name=str(body.get("name") or f"Webhook created on {wire.gmt_date(now)}"),
            topics=(topic,),
            url=url,
            secret=str(body.get("secret") or secrets.token_urlsafe(37)),
            status="active",
            failures=0,
            created_ms=now,
            modified_ms=now,
        )
        hook = self._with_status(hook, body)
        self.rows.save(hook)
        if hook.status == "active":
            self._to_greet.append(hook)
        return self._view(hook)

    def update(self, hook_id: int, body: Row) -> Row:
        hook = self._find(hook_id, 400)
        before = hook.url
        if "topic" in body:
            hook = replace(hook, topics=(_topic(body),))
        if "delivery_url" in body:
            hook = replace(hook, url=wire.typed(body, "delivery_url", "string"))
        if body.get("secret"):
            hook = replace(hook, secret=wire.typed(body, "secret", "string"))
        if "name" in body:
            hook = replace(hook, name=wire.typed(body, "name", "string"))
        hook = replace(self._with_status(hook, body), modified_ms=self.books.clock.now_ms())
        self.rows.save(hook)
        if hook.url != before and hook.status == "active":
            self._to_greet.append(hook)
        return self._view(hook)

    @staticmethod
    def _with_status(hook: Subscription, body: Row) -> Subscription:
        if "status" not in body:
            return hook
        status = wire.typed(body, "status", "string")
        if status not in _STATUSES:
            raise wire.invalid_parameter("status", f"status is not one of {', '.join(_STATUSES)}.")
        failures = 0 if status == "active" else hook.failures
        return replace(hook, status=cast(HookStatus, status), failures=failures)

    def _view(self, hook: Subscription) -> Row:
        resource, _, event = hook.topics[0].partition(".")
        return {
            "id": hook.id,
            "name": hook.name,
            "status": hook.status,
            "topic": hook.topics[0],
            "resource": resource,
            "event": event,
            "hooks": _HOOKS.get(hook.topics[0], []),
            "delivery_url": hook.url,
            **wire.dates("date_created", hook.created_ms, self.shop.zone),
            **wire.dates("date_modified", hook.modified_ms, self.shop.zone),
            "_links": self.shop.links("webhooks", hook.id),
        }


def _topic(body: Row) -> str:
    topic = str(body.get("topic", "")).lower()
    if topic not in _HOOKS and not _OTHER_TOPICS.fullmatch(topic):
        message = "Webhook topic is required and must be valid."
        raise wire.refusal(400, "woocommerce_rest_shop_webhook_invalid_topic", message)
    return topic


def _unknown(status: int) -> Refusal:
    return wire.refusal(status, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
