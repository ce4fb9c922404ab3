"""Roles and what each may do: the one place that says so."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["owner", "manager", "clerk", "analyst", "read-only"]
Permission = Literal[
    "accounts:read",
    "accounts:write",
    "agents:read",
    "agents:write",
    "analytics:read",
    "approvals:answer",
    "approvals:read",
    "audit:read",
    "catalogue:read",
    "catalogue:write",
    "customers:read",
    "decisions:read",
    "events:read",
    "inventory:read",
    "inventory:write",
    "keys:read",
    "keys:write",
    "listings:read",
    "models:read",
    "models:write",
    "orders:read",
    "orders:refund",
    "orders:ship",
    "pricing:read",
    "pricing:write",
    "privacy:erase",
    "privacy:read",
    "purchasing:read",
    "purchasing:write",
    "self:manage",
    "self:read",
    "users:read",
    "strategy:read",
    "strategy:write",
    "sync:use",
    "users:write",
]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))

_LOOK: Final[frozenset[Permission]] = frozenset(
    {"catalogue:read", "listings:read", "inventory:read", "orders:read", "self:manage", "self:read", "sync:use"}
)
_ANALYSE: Final[frozenset[Permission]] = _LOOK | {
    "accounts:read",
    "agents:read",
    "analytics:read",
    "approvals:read",
    "decisions:read",
    "events:read",
    "models:read",
    "pricing:read",
    "purchasing:read",
    "strategy:read",
}

GRANTS: Final[dict[Role, frozenset[Permission]]] = {
    "owner": PERMISSIONS,
    "manager": PERMISSIONS - {"accounts:write", "audit:read", "privacy:erase", "strategy:write", "users:write"},
    # packs, ships and counts: needs the buyer's address, not the books
    "clerk": _LOOK | {"catalogue:write", "inventory:write", "orders:ship", "customers:read", "events:read"},
    "analyst": _ANALYSE,
    "read-only": _LOOK,
}

#: what nobody who is let in needs to be granted: to see who they are and what they may
EVERYBODYS: Final[frozenset[Permission]] = frozenset({"self:read"})

#: what no program may: a key that makes keys or users would outlive its own end
PERSONS_ONLY: Final[frozenset[Permission]] = frozenset({"keys:write", "self:manage", "users:write"})


def allows(role: Role, permission: Permission) -> bool:
    return permission in GRANTS[role]


def as_role(name: str) -> Role:
    """Raises ValueError for a role that does not exist."""
    for role in ROLES:
        if role == name:
            return role
    raise ValueError(f"{name!r} is not a role: {', '.join(ROLES)}")
