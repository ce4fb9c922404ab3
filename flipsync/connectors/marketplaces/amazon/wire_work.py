"""Feeds, reports, messages, notifications and the queue on the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flipsync.connectors.marketplaces.amazon.wire import Pascal, Wire

# Feeds


class CreatedDocument(Wire):
    feed_document_id: str
    url: str


class CreatedFeed(Wire):
    feed_id: str


class Feed(Wire):
    feed_id: str
    processing_status: str
    result_feed_document_id: str | None = None


class FeedDocument(Wire):
    feed_document_id: str
    url: str
    compression_algorithm: str | None = None


class FeedIssue(Wire):
    message_id: int | None = None
    sku: str = ""
    code: str = ""
    severity: str
    message: str
    attribute_name: str = ""


class FeedSummary(Wire):
    messages_processed: int
    messages_accepted: int


class FeedReport(Wire):
    issues: tuple[FeedIssue, ...] = ()
    summary: FeedSummary


# Notifications


class SqsResource(Wire):
    arn: str


class DestinationResource(Wire):
    sqs: SqsResource | None = None


class Destination(Wire):
    name: str
    destination_id: str
    resource: DestinationResource


class Destinations(Wire):
    payload: list[Destination]


class CreatedDestination(Wire):
    payload: Destination


class NotificationSubscription(Wire):
    subscription_id: str
    payload_version: str
    destination_id: str


class SubscriptionAnswer(Wire):
    payload: NotificationSubscription


class QueueMessage(Pascal):
    message_id: str
    receipt_handle: str
    body: str


class ReceivedMessages(Pascal):
    messages: tuple[QueueMessage, ...] = ()


class QueueError(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str = Field(alias="__type")
    message: str = ""


class CreatedReport(Wire):
    report_id: str


class Report(Wire):
    report_id: str
    processing_status: str
    report_document_id: str | None = None


class ReportDocument(Wire):
    report_document_id: str
    url: str
    compression_algorithm: str | None = None


class ActionLink(Wire):
    """An address, and often the kind of message that goes there, with which it ends all the same."""

    href: str = ""
    name: str = ""

    @property
    def kind(self) -> str:
        return self.name or self.href.partition("?")[0].rpartition("/")[2]


class ActionLinks(Wire):
    actions: tuple[ActionLink, ...] = ()


class MessagingActions(Wire):
    links: ActionLinks = Field(alias="_links")


class FulfillmentPackage(Wire):
    carrier_code: str
    tracking_number: str = ""


class FulfillmentShipment(Wire):
    fulfillment_shipment_package: tuple[FulfillmentPackage, ...] = ()


class FulfillmentOrder(Wire):
    seller_fulfillment_order_id: str
    fulfillment_order_status: str


class FulfillmentOrderResult(Wire):
    fulfillment_order: FulfillmentOrder
    fulfillment_shipments: tuple[FulfillmentShipment, ...] = ()


class FulfillmentOrderAnswer(Wire):
    payload: FulfillmentOrderResult
