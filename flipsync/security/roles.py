"""Roles and what each may do: the one place that says so. Those every business has, and those it defines itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args
from uuid import UUID

Role = Literal["owner", "manager", "clerk", "analyst", "read-only"]
#: as books and API name it: `custom` is one of the business's own
RoleKind = Literal["owner", "manager", "clerk", "analyst", "read-only", "custom"]
CUSTOM: Final = "custom"
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
#: what every person may, whatever a role says: look after their own sign-in
FOR_ONESELF: Final[frozenset[Permission]] = frozenset({"self:manage", "self:read"})

#: what no program may: a key that makes keys or users would outlive its own end
PERSONS_ONLY: Final[frozenset[Permission]] = frozenset({"keys:write", "self:manage", "users:write"})
#: what stays the owner's: no role that a business defines may have it
OWNERS_ONLY: Final[frozenset[Permission]] = PERMISSIONS.difference(
    *(granted for role, granted in GRANTS.items() if role != "owner")
)


@dataclass(frozen=True)
class OwnRole:
    """A role that a business defined itself, as it was at `version`; with every change it gets the next."""

    id: UUID
    version: int
    name: str
    permissions: frozenset[Permission]

    @classmethod
    def of(cls, role_id: UUID, version: int, name: str, permissions: Iterable[str]) -> OwnRole:
        """As it was written down, by us or by an older version of us: what is no permission (any more), or is the
        owner's alone, gives nothing."""
        return cls(role_id, version, name, (PERMISSIONS - OWNERS_ONLY).intersection(permissions) | FOR_ONESELF)

    def __str__(self) -> str:
        return self.name


AnyRole = Role | OwnRole


def granted(role: AnyRole) -> frozenset[Permission]:
    return role.permissions if isinstance(role, OwnRole) else GRANTS[role]


def allows(role: AnyRole, permission: Permission) -> bool:
    return permission in granted(role)


def kind_of(role: AnyRole) -> RoleKind:
    return CUSTOM if isinstance(role, OwnRole) else role


def as_role(name: str) -> Role:
    """One that every business has. Raises ValueError for a role that does not exist."""
    for role in ROLES:
        if role == name:
            return role
    raise ValueError(f"{name!r} is not a role: {', '.join(ROLES)}")
