"""eBay's own shapes of the Notification API and of what it sends."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Field

from flipsync.connectors.marketplaces.ebay.wire import Page, Shape


class DeliveryConfig(Shape):
    endpoint: str = ""
    verification_token: str = ""


class Destination(Shape):
    destination_id: str = ""
    status: str = ""
    delivery_config: DeliveryConfig = DeliveryConfig()


class Destinations(Page):
    destinations: tuple[Destination, ...] = ()


class SupportedPayload(Shape):
    schema_version: str = "1.0"
    deprecated: bool = False


class Topic(Shape):
    topic_id: str = ""
    scope: str = "APPLICATION"
    status: str = "ENABLED"
    supported_payloads: tuple[SupportedPayload, ...] = ()


class Topics(Page):
    topics: tuple[Topic, ...] = ()


class Subscription(Shape):
    subscription_id: str = ""
    topic_id: str = ""
    destination_id: str = ""
    status: str = "ENABLED"


class Subscriptions(Page):
    subscriptions: tuple[Subscription, ...] = ()


class PublicKey(Shape):
    key: str
    algorithm: str = "ECDSA"
    digest: str = "SHA1"


class NoticeMeta(Shape):
    topic: str = Field(min_length=1)


class NoticeBody(Shape):
    notification_id: str = Field(min_length=1)
    event_date: AwareDatetime | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Notice(Shape):
    metadata: NoticeMeta
    notification: NoticeBody
