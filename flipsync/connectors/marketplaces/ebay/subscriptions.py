"""Keeping eBay's notifications coming: an alert address, one destination that answers, and a subscription per topic."""

from __future__ import annotations

from typing import Any, TypeVar

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay import wire_notices as wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, nothing, segment
from flipsync.connectors.marketplaces.ebay.notifications import verification_token
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.request import Params
from flipsync.domain.channel import WebhookSubscription
from flipsync.domain.errors import OutcomeUnknown, Rejected

PageT = TypeVar("PageT", wire.Topics, wire.Destinations, wire.Subscriptions)
_ROOT = "/commerce/notification/v1"
#: What is subscribed to where eBay offers it; each application must have the account deletions.
TOPICS = (
    "ORDER_CONFIRMATION",
    "ORDER_CANCELLATION_ACTIVITY",
    "ORDER_RETURN_ACTIVITY",
    "MARKETPLACE_ACCOUNT_DELETION",
    "AUTHORIZATION_REVOCATION",
)
_NAME = "FlipSync"
#: "Please provide configurations required for notifications"
_NO_CONFIG = "195003"


class Notifications:
    """The application's destinations, and the account's own and the application's subscriptions."""

    def __init__(self, api: EbayApi, config: AccountConfig) -> None:
        self._api = api
        self._alert_email = config.options.get("alert_email", "")

    async def public_key(self, key_id: str) -> wire.PublicKey | None:
        path = f"{_ROOT}/public_key/{segment(key_id)}"
        return await self._api.read_known(path, wire.PublicKey.model_validate, limits.NOTIFICATION, application=True)

    async def ensure(self, callback_url: str, secret: str) -> list[WebhookSubscription]:
        """One enabled subscription per topic that eBay has; writes only where something differs.

        eBay tries the address before it takes it: it must answer the challenge by then. Raises Rejected for a topic
        that eBay refuses once all others are subscribed to.
        """
        destination = await self._destination(callback_url, verification_token(secret))
        pages = await self._pages("topic", wire.Topics, application=True)
        topics = {topic.topic_id: topic for page in pages for topic in page.topics if topic.status == "ENABLED"}
        subscriptions: list[WebhookSubscription] = []
        refused: Rejected | None = None
        for application in (True, False):
            wanted = [name for name in TOPICS if name in topics and _of_application(topics[name]) == application]
            if not wanted:
                continue
            have = await self._subscribed(application)
            for name in wanted:
                try:
                    if await self._subscribe(topics[name], destination, have.get(name), application):
                        have = await self._subscribed(application)
                except Rejected as error:
                    refused = refused or error
                    continue
                made = have.get(name)
                if made is None:
                    raise OutcomeUnknown(f"eBay does not show the subscription to {name} that was just made")
                subscriptions.append(
                    WebhookSubscription(
                        external_id=made.subscription_id,
                        topic=name,
                        url=callback_url,
                        active=made.status == "ENABLED",
                    )
                )
        if refused is not None:
            raise refused
        return subscriptions

    async def every(self) -> list[WebhookSubscription]:
        """The account's own subscriptions and the application's, each with the address it goes to."""
        pages = await self._pages("destination", wire.Destinations, application=True)
        places = {each.destination_id: each for page in pages for each in page.destinations}
        found = []
        for application in (True, False):
            for topic, made in (await self._subscribed(application)).items():
                place = places.get(made.destination_id)
                found.append(
                    WebhookSubscription(
                        external_id=made.subscription_id,
                        topic=topic,
                        url="" if place is None else place.delivery_config.endpoint,
                        active=made.status == "ENABLED" and place is not None and place.status == "ENABLED",
                    )
                )
        return found

    async def _destination(self, url: str, token: str) -> str:
        """The id of the destination at `url`, made or mended where needed."""
        existing = await self._find_destination(url)
        body = {
            "name": _NAME,
            "status": "ENABLED",
            "deliveryConfig": {"endpoint": url, "verificationToken": token},
        }
        if existing is None:
            try:
                await self._write("POST", "destination", body, application=True)
            except Rejected as refused:
                if refused.vendor_code != _NO_CONFIG:
                    raise
                await self._configure()
                await self._write("POST", "destination", body, application=True)
            existing = await self._find_destination(url)
            if existing is None:
                raise OutcomeUnknown("eBay does not show the destination that was just made")
        elif existing.status != "ENABLED" or existing.delivery_config.verification_token != token:
            await self._write("PUT", f"destination/{segment(existing.destination_id)}", body, application=True)
        return existing.destination_id

    async def _find_destination(self, url: str) -> wire.Destination | None:
        pages = await self._pages("destination", wire.Destinations, application=True)
        destinations = (each for page in pages for each in page.destinations)
        here = (each for each in destinations if each.destination_id and each.delivery_config.endpoint == url)
        return next(here, None)

    async def _configure(self) -> None:
        if not self._alert_email:
            raise Rejected(
                "eBay wants an address to write to when notifications fail",
                hint="give one as the option alert_email",
                vendor_code=_NO_CONFIG,
            )
        await self._write("PUT", "config", {"alertEmail": self._alert_email}, application=True)

    async def _subscribed(self, application: bool) -> dict[str, wire.Subscription]:
        pages = await self._pages("subscription", wire.Subscriptions, application=application)
        found = [each for page in pages for each in page.subscriptions if each.subscription_id]
        # of doubles, the enabled one counts
        return {each.topic_id: each for each in sorted(found, key=lambda each: each.status == "ENABLED")}

    async def _subscribe(
        self, topic: wire.Topic, destination: str, have: wire.Subscription | None, application: bool
    ) -> bool:
        """Whether something was written."""
        current = [each.schema_version for each in topic.supported_payloads if not each.deprecated]
        body: dict[str, Any] = {
            "status": "ENABLED",
            "destinationId": destination,
            "payload": {
                "format": "JSON",
                "deliveryProtocol": "HTTPS",
                "schemaVersion": max(current, default="1.0"),
            },
        }
        if have is None:
            await self._write("POST", "subscription", {**body, "topicId": topic.topic_id}, application=application)
        elif have.destination_id != destination:
            await self._write("PUT", f"subscription/{segment(have.subscription_id)}", body, application=application)
        elif have.status != "ENABLED":
            await self._write(
                "POST", f"subscription/{segment(have.subscription_id)}/enable", None, application=application
            )
        else:
            return False
        return True

    async def _write(self, method: str, path: str, body: Any, *, application: bool) -> None:
        await self._api.call(
            method, f"{_ROOT}/{path}", nothing, limits.NOTIFICATION, body=body, application=application
        )

    async def _pages(self, what: str, shape: type[PageT], *, application: bool) -> list[PageT]:
        async def fetch(params: Params) -> PageT:
            return await self._api.read(
                f"{_ROOT}/{what}", shape.model_validate, limits.NOTIFICATION, params, application=application
            )

        return [page async for page in walk(fetch, [("limit", "100")])]


def _of_application(topic: wire.Topic) -> bool:
    return topic.scope == "APPLICATION"
