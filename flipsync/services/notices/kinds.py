"""What people are told of: kinds of matters, how urgent each is, and who may hear of it."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from flipsync.security.roles import AnyRole, Permission, RoleKind, allows

Severity = Literal["info", "warning", "urgent"]
Kind = Literal[
    "approval-waiting",
    "approval-escalated",
    "approval-expiring",
    "channel-fault",
    "channel-repaired",
    "oversold",
    "refund-unknown",
    "label-unknown",
    "shipment-unconfirmed",
    "rival-price-war",
    "rival-hijack",
    "work-set-aside",
    "order-unread",
    "agent-down",
    "credential-ending",
    "passkey-copied",
    "sign-in-changed",
    "key-ending",
    "automation-stopped",
    "automation-says",
    "purchase-to-place",
    "purchase-unknown",
    "purchase-late",
    "transfer-short",
    "report-ready",
    "report-failed",
    "listings-need-you",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: who hears of it: whoever may do, or at least see, what it is about
AUDIENCE: Final[dict[Kind, Permission]] = {
    "approval-waiting": "approvals:answer",
    "approval-escalated": "approvals:answer",
    "approval-expiring": "approvals:answer",
    "channel-fault": "accounts:read",
    "channel-repaired": "accounts:read",
    "oversold": "orders:ship",
    "refund-unknown": "orders:refund",
    "label-unknown": "orders:ship",
    "shipment-unconfirmed": "orders:ship",
    "rival-price-war": "pricing:read",
    "rival-hijack": "pricing:read",
    "work-set-aside": "agents:write",
    "order-unread": "agents:write",
    "agent-down": "agents:write",
    "credential-ending": "accounts:write",
    "passkey-copied": "self:manage",  # the person whose it is, and owners
    "sign-in-changed": "self:manage",  # the person whose it is
    "key-ending": "self:manage",  # who made it
    "automation-stopped": "agents:write",
    "automation-says": "agents:write",
    "purchase-to-place": "purchasing:write",
    "purchase-unknown": "purchasing:write",
    "purchase-late": "purchasing:write",
    "transfer-short": "inventory:write",
    "report-ready": "analytics:read",  # the person who wants it
    "report-failed": "analytics:read",
    "listings-need-you": "catalogue:write",
}
_SEVERITY: Final[dict[Kind, Severity]] = {
    "approval-waiting": "warning",
    "approval-escalated": "urgent",
    "approval-expiring": "urgent",
    "channel-fault": "urgent",
    "channel-repaired": "info",
    "oversold": "urgent",
    "refund-unknown": "urgent",
    "label-unknown": "warning",
    "shipment-unconfirmed": "urgent",
    "rival-price-war": "warning",
    "rival-hijack": "urgent",
    "work-set-aside": "warning",
    "order-unread": "urgent",
    "agent-down": "urgent",
    "passkey-copied": "urgent",
    "sign-in-changed": "warning",
    "automation-stopped": "urgent",
    "automation-says": "info",
    "purchase-to-place": "warning",
    "purchase-unknown": "urgent",
    "purchase-late": "warning",
    "transfer-short": "warning",
    "report-ready": "info",
    "report-failed": "warning",
    "listings-need-you": "info",
}
#: who is asked before the owner; where a business has none of them who may answer, all who may are
FIRST_ASKED: Final[frozenset[RoleKind]] = frozenset({"manager", "custom"})


def as_kind(name: str) -> Kind:
    """Raises ValueError for a kind that does not exist."""
    for kind in KINDS:
        if kind == name:
            return kind
    raise ValueError(f"{name!r} is no kind of notification")


def severity(kind: Kind, facts: dict[str, Any]) -> Severity:
    if kind in ("credential-ending", "key-ending"):
        days = int(facts.get("days") or 0)
        return "urgent" if days <= 1 else "warning" if days <= 7 else "info"
    return _SEVERITY[kind]


def heard_by(role: AnyRole) -> frozenset[Kind]:
    """What this role is told of."""
    return frozenset(kind for kind in KINDS if allows(role, AUDIENCE[kind]))
