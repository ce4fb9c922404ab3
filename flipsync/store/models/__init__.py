"""All tables, one aggregate a file."""

from flipsync.store.models.advertising import AdDay, AdListing
from flipsync.store.models.base import Base
from flipsync.store.models.catalogue import ImportRun, Product, Variant
from flipsync.store.models.channels import (
    ChannelFault,
    ChannelPace,
    Listing,
    ListingKnowledge,
    ListingNeed,
    MarketplaceAccount,
    PriceChange,
    RivalOfferSeen,
    SignedMove,
    WebhookDelivery,
    WebhookTrouble,
)
from flipsync.store.models.consents import ConsentRequest, CredentialEnd
from flipsync.store.models.customers import BuyerKey, BuyerSale, BuyerSum, CohortMonth
from flipsync.store.models.door import (
    ApiKey,
    AuditEntry,
    Passkey,
    ProviderIdentity,
    RecoveryCode,
    SecondFactor,
    SpentNote,
    UserSession,
)
from flipsync.store.models.episodes import Episode
from flipsync.store.models.forecasts import Forecast, ForecastRun, Trend
from flipsync.store.models.grades import AgentStanding, BudgetSlice, DecisionOutcome, DecisionTally, GradedThrough
from flipsync.store.models.held_orders import HeldOrder
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
from flipsync.store.models.language import LanguageCall, ProductReading
from flipsync.store.models.learning import (
    Experiment,
    ExperimentTrial,
    OrderChoice,
    PolicyChoice,
    PolicyStage,
    PolicyVersion,
)
from flipsync.store.models.notices import (
    Notification,
    NotificationDelivery,
    NotificationDestination,
    NotificationPreference,
)
from flipsync.store.models.orders import LabelPurchase, Order, OrderLine, Refund, RefundRequest, Shipment
from flipsync.store.models.privacy import Erasure
from flipsync.store.models.purchasing import (
    PurchaseOrder,
    PurchaseOrderLine,
    PurchaseReceipt,
    Supplier,
    SupplierOffer,
)
from flipsync.store.models.reports import ReportRun, ReportSchedule
from flipsync.store.models.rivals import RivalAlarm, RivalMove
from flipsync.store.models.sales import ChannelDay, SaleDue, SaleFact, SalesCount, SkuDay, SkuMonth
from flipsync.store.models.sourcing import CatalogueAnswer, CatalogueFind, SourcingLine, SourcingScan
from flipsync.store.models.steering import DirectiveRow, Initiative, ListingLease, Plan
from flipsync.store.models.stock import Allocation, StockItem, StockMovement, StockReceipt
from flipsync.store.models.sync import SyncBegun, SyncChange, SyncDevice, SyncHorizon, SyncMutation, SyncNotice
from flipsync.store.models.workflows import Workflow, WorkflowRun, WorkflowStep, WorkflowWatch

__all__ = [
    "AdDay",
    "AdListing",
    "AgentDecision",
    "AgentStanding",
    "AgentStatus",
    "AgentTask",
    "Allocation",
    "ApiKey",
    "Approval",
    "AuditEntry",
    "Base",
    "BudgetSlice",
    "BuyerKey",
    "BuyerSale",
    "BuyerSum",
    "CatalogueAnswer",
    "CatalogueFind",
    "ChannelDay",
    "ChannelFault",
    "ChannelPace",
    "CohortMonth",
    "ConsentRequest",
    "CredentialEnd",
    "DecisionNotes",
    "DecisionOutcome",
    "DecisionTally",
    "DirectiveRow",
    "Effect",
    "Episode",
    "Erasure",
    "EventRecord",
    "Experiment",
    "ExperimentTrial",
    "Forecast",
    "ForecastRun",
    "GradedThrough",
    "HeldOrder",
    "IdempotencyRecord",
    "ImportRun",
    "Initiative",
    "LabelPurchase",
    "LanguageCall",
    "Listing",
    "ListingKnowledge",
    "ListingLease",
    "ListingNeed",
    "MarketplaceAccount",
    "Notification",
    "NotificationDelivery",
    "NotificationDestination",
    "NotificationPreference",
    "Order",
    "OrderChoice",
    "OrderLine",
    "Passkey",
    "Plan",
    "PolicyChoice",
    "PolicyStage",
    "PolicyVersion",
    "PriceChange",
    "Product",
    "ProductReading",
    "Proposal",
    "ProviderIdentity",
    "PurchaseOrder",
    "PurchaseOrderLine",
    "PurchaseReceipt",
    "Receipt",
    "RecoveryCode",
    "RefreshToken",
    "Refund",
    "RefundRequest",
    "ReportRun",
    "ReportSchedule",
    "RivalAlarm",
    "RivalMove",
    "RivalOfferSeen",
    "SaleDue",
    "SaleFact",
    "SalesCount",
    "SecondFactor",
    "Shipment",
    "SignedMove",
    "SkuDay",
    "SkuMonth",
    "SourcingLine",
    "SourcingScan",
    "SpentNote",
    "StockItem",
    "StockMovement",
    "StockReceipt",
    "Supplier",
    "SupplierOffer",
    "SyncBegun",
    "SyncChange",
    "SyncDevice",
    "SyncHorizon",
    "SyncMutation",
    "SyncNotice",
    "Tenant",
    "Trend",
    "User",
    "UserSession",
    "Variant",
    "WebhookDelivery",
    "WebhookTrouble",
    "Workflow",
    "WorkflowRun",
    "WorkflowStep",
    "WorkflowWatch",
]
