"""All tables, one aggregate a file."""

from flipsync.store.models.base import Base
from flipsync.store.models.catalogue import ImportRun, Product, Variant
from flipsync.store.models.channels import (
    ChannelFault,
    ChannelPace,
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
    DecisionNotes,
    Effect,
    EventRecord,
    Proposal,
    Receipt,
)
from flipsync.store.models.learning import Experiment, ExperimentTrial, PolicyChoice, PolicyStage, PolicyVersion
from flipsync.store.models.orders import LabelPurchase, Order, OrderLine, Refund, RefundRequest, Shipment
from flipsync.store.models.privacy import Erasure
from flipsync.store.models.rivals import RivalAlarm, RivalMove
from flipsync.store.models.stock import Allocation, StockItem, StockMovement, StockReceipt
from flipsync.store.models.sync import SyncChange, SyncDevice, SyncHorizon, SyncMutation, SyncNotice

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
    "ChannelPace",
    "ConsentRequest",
    "CredentialEnd",
    "DecisionNotes",
    "Effect",
    "Erasure",
    "EventRecord",
    "Experiment",
    "ExperimentTrial",
    "IdempotencyRecord",
    "ImportRun",
    "LabelPurchase",
    "Listing",
    "MarketplaceAccount",
    "Order",
    "OrderLine",
    "PolicyChoice",
    "PolicyStage",
    "PolicyVersion",
    "PriceChange",
    "Product",
    "Proposal",
    "Receipt",
    "RecoveryCode",
    "RefreshToken",
    "Refund",
    "RefundRequest",
    "RivalAlarm",
    "RivalMove",
    "RivalOfferSeen",
    "SecondFactor",
    "Shipment",
    "SignedMove",
    "StockItem",
    "StockMovement",
    "StockReceipt",
    "SyncChange",
    "SyncDevice",
    "SyncHorizon",
    "SyncMutation",
    "SyncNotice",
    "Tenant",
    "User",
    "UserSession",
    "Variant",
    "WebhookDelivery",
    "WebhookTrouble",
]
