"""Amazon's notifications: which we subscribe to, and what each tells.

https://developer-docs.amazon.com/sp-api/docs/notification-type-values
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, TypeAdapter

from flipsync.connectors.marketplaces.amazon import wire_work
from flipsync.connectors.marketplaces.amazon.api import SellerApi, done
from flipsync.domain.channel import WebhookNotice, WebhookSubscription
from flipsync.domain.errors import InvalidInput, Rejected

#: Types and the version of their payload.
TYPES: dict[str, str] = {
    "ORDER_CHANGE": "1.0",
    "ANY_OFFER_CHANGED": "1.0",
    "PRICING_HEALTH": "1.0",
    "LISTINGS_ITEM_STATUS_CHANGE": "1.0",
    "LISTINGS_ITEM_ISSUES_CHANGE": "2023-12-13",
    "FBA_INVENTORY_AVAILABILITY_CHANGES": "1.0",
    "FEED_PROCESSING_FINISHED": "2020-09-04",
}
#: what is looked at when asked which subscriptions there are
WATCHED = ("ORDER_CHANGE", "LISTINGS_ITEM_STATUS_CHANGE")
_ABOUT: dict[str, tuple[Literal["order", "listing", "other"], tuple[str, ...]]] = {
    "ORDER_CHANGE": ("order", ("orderchangenotification", "amazonorderid")),
    "LISTINGS_ITEM_STATUS_CHANGE": ("listing", ("sku",)),
    "LISTINGS_ITEM_ISSUES_CHANGE": ("listing", ("sku",)),
    "ANY_OFFER_CHANGED": ("other", ("anyofferchangednotification", "offerchangetrigger", "asin")),
    "PRICING_HEALTH": ("other", ("offerchangetrigger", "asin")),
    "FBA_INVENTORY_AVAILABILITY_CHANGES": ("other", ("sku",)),
    "FEED_PROCESSING_FINISHED": ("other", ("feedprocessingfinishednotification", "feedid")),
}
#: Where the marketplace is told, if not beside the SKU.
_PLACES = {
    "ORDER_CHANGE": ("orderchangenotification", "summary", "marketplaceid"),
    "ANY_OFFER_CHANGED": ("anyofferchangednotification", "offerchangetrigger", "marketplaceid"),
    "PRICING_HEALTH": ("offerchangetrigger", "marketplaceid"),
}
_MOMENT = TypeAdapter[AwareDatetime](AwareDatetime)


async def ensure(api: SellerApi) -> list[WebhookSubscription]:
    """Subscribe the account's queue to every type above; what is there already stays, what points elsewhere moves.

    A type that Amazon refuses comes back inactive. Raises Rejected when all are refused.
    """
    arn = api.config.options.get("queue_arn", "").strip()
    if not arn:
        raise Rejected("no queue is set for notifications", hint="give the option 'queue_arn'", vendor_code="queue")
    destination = await _destination(api, arn)
    found = []
    refusals = []
    for topic, version in TYPES.items():
        try:
            subscription = await _subscription(api, topic, version, destination)
        except Rejected as refused:
            # Each type wants a role of its own: one that is missing must not cost the others.
            refusals.append(refused)
            found.append(WebhookSubscription(external_id="", topic=topic, url=arn, active=False))
            continue
        found.append(WebhookSubscription(external_id=subscription.subscription_id, topic=topic, url=arn, active=True))
    if len(refusals) == len(found):
        raise refusals[0]
    return found


async def every(api: SellerApi) -> list[WebhookSubscription]:
    """The subscriptions of the account's queue to what selling lives by (`WATCHED`)."""
    arn = api.config.options.get("queue_arn", "").strip()
    found = []
    for topic in WATCHED:
        params = [("payloadVersion", TYPES[topic])]
        made = await api.known(
            "getSubscription",
            wire_work.SubscriptionAnswer.model_validate,
            path={"notificationType": topic},
            params=params,
        )
        if made is not None:
            found.append(
                WebhookSubscription(external_id=made.payload.subscription_id, topic=topic, url=arn, active=True)
            )
    return found


async def _destination(api: SellerApi, arn: str) -> str:
    known = await api.call("getDestinations", wire_work.Destinations.model_validate, grantless=True)
    for destination in known.payload:
        if destination.resource.sqs is not None and destination.resource.sqs.arn == arn:
            return destination.destination_id
    name = f"flipsync-{hashlib.sha256(arn.encode()).hexdigest()[:12]}"
    body = {"name": name, "resourceSpecification": {"sqs": {"arn": arn}}}
    made = await api.call("createDestination", wire_work.CreatedDestination.model_validate, body=body, grantless=True)
    return made.payload.destination_id


async def _subscription(
    api: SellerApi, topic: str, version: str, destination: str
) -> wire_work.NotificationSubscription:
    path = {"notificationType": topic}
    params = [("payloadVersion", version)]
    known = await api.known("getSubscription", wire_work.SubscriptionAnswer.model_validate, path=path, params=params)
    if known is not None and known.payload.destination_id == destination:
        return known.payload
    if known is not None:
        old = {**path, "subscriptionId": known.payload.subscription_id}
        await api.call("deleteSubscriptionById", done, path=old, grantless=True)
    body = {"payloadVersion": version, "destinationId": destination}
    made = await api.call("createSubscription", wire_work.SubscriptionAnswer.model_validate, path=path, body=body)
    return made.payload


def notice(message: wire_work.QueueMessage, marketplace_id: str) -> WebhookNotice:
    """What a message of the queue tells. What cannot be read is a notice too, or it would come again for ever."""
    try:
        return parse(message.body, marketplace_id)
    except InvalidInput:
        return WebhookNotice(
            kind="other", topic="unreadable", resource_id=message.message_id, dedup_key=f"sqs:{message.message_id}"
        )


def parse(text: str, marketplace_id: str = "") -> WebhookNotice:
    """A notification's JSON. Types are written in camelCase or PascalCase, each as it likes. Raises InvalidInput.

    A seller hears of all marketplaces of a region: what is about another one than `marketplace_id` is not the account's
    to act on.
    """
    try:
        body = _lower(json.loads(text))
        topic = str(body["notificationtype"])
        payload = body["payload"]
        kind, where = _ABOUT.get(topic, ("other", ()))
        resource = _inside(payload, where) if where else ""
        moment = _moment(body.get("eventtime"))
        key = str(_lower(body["notificationmetadata"])["notificationid"])
        told_of = _marketplace(topic, payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput("the message is not one of Amazon's notifications") from error
    if told_of and marketplace_id and told_of != marketplace_id:
        return WebhookNotice(
            kind="other", topic=topic, resource_id=resource, dedup_key=f"{topic}:{key}", modified_at=moment
        )
    return WebhookNotice(
        kind=kind,
        topic=topic,
        resource_id=resource,
        dedup_key=f"{topic}:{key}",
        deleted=topic == "LISTINGS_ITEM_STATUS_CHANGE" and "DELETED" in _statuses(payload),
        modified_at=_changed_at(topic, payload) or moment,
    )


def _changed_at(topic: str, payload: Any) -> datetime | None:
    """When the order changed: later than the event only where Amazon was late to notice."""
    if topic != "ORDER_CHANGE":
        return None
    try:
        told = _inside(payload, ("orderchangenotification", "orderchangetrigger", "timeoforderchange"))
    except (KeyError, TypeError):
        return None
    return _moment(told)


def _moment(told: Any) -> datetime | None:
    """None of what is no time: what happened is true without it."""
    try:
        return _MOMENT.validate_python(told).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _marketplace(topic: str, payload: Any) -> str:
    """Which marketplace it is about; "" where it does not say."""
    try:
        return _inside(payload, _PLACES.get(topic, ("marketplaceid",)))
    except (KeyError, TypeError):
        return ""


def _statuses(payload: Any) -> list[str]:
    told = _lower(payload).get("status", [])
    return [str(word) for word in told] if isinstance(told, list) else []


def _inside(value: Any, path: tuple[str, ...]) -> str:
    for name in path:
        value = _lower(value)[name]
    return str(value)


def _lower(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return {name.lower(): held for name, held in value.items()}
