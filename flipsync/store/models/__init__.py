"""All tables, one aggregate a file."""

from flipsync.store.models.base import Base
from flipsync.store.models.catalogue import ImportRun, Product, Variant
from flipsync.store.models.channels import (
    ChannelFault,
    Listing,
    MarketplaceAccount,
    PriceChange,
    RivalOfferSeen,
    SignedMove,
    WebhookDelivery,
    WebhookTrouble,
)
from flipsync.store.models.consents import ConsentRequest, CredentialEnd
from flipsync.store.models.door import ApiKey, AuditEntry, RecoveryCode, SecondFactor, UserSession
from flipsync.store.models.identity import IdempotencyRecord, RefreshToken, Tenant, User
from flipsync.store.models.journal import (
    AgentDecision,
    AgentStatus,
    AgentTask,
    Approval,
    Effect,
    EventRecord,
    Proposal,
    Receipt,
)
from flipsync.store.models.orders import Order, OrderLine, Refund, Shipment
from flipsync.store.models.stock import Allocation, StockItem, StockMovement, StockReceipt

__all__ = [
    "AgentDecision",
    "AgentStatus",
    "AgentTask",
    "Allocation",
    "ApiKey",
    "Approval",
    "AuditEntry",
    "Base",
    "ChannelFault",
    "ConsentRequest",
    "CredentialEnd",
    "Effect",
    "EventRecord",
    "IdempotencyRecord",
    "ImportRun",
    "Listing",
    "MarketplaceAccount",
    "Order",
    "OrderLine",
    "PriceChange",
    "Product",
    "Proposal",
    "Receipt",
    "RecoveryCode",
    "RefreshToken",
    "Refund",
    "RivalOfferSeen",
    "SecondFactor",
    "Shipment",
    "SignedMove",
    "StockItem",
    "StockMovement",
    "StockReceipt",
    "Tenant",
    "User",
    "UserSession",
    "Variant",
    "WebhookDelivery",
    "WebhookTrouble",
]
