"""What the registry holds of a name: which version acts, which acts on a share, which looks on. Whatever it decides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.learning.policy import Policy
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import policies as rows

log = structlog.get_logger()
R = TypeVar("R")


@dataclass(frozen=True)
class Version(Generic[R]):
    """A policy in the registry that acts or looks on. `id` is None for the rule as shipped."""

    id: UUID | None
    version: str
    rule: R


@dataclass(frozen=True)
class Staged(Generic[R]):
    """What the registry holds for a name, as read in one transaction."""

    live: Version[R]
    canary: Version[R] | None = None
    shadow: Version[R] | None = None

    @property
    def plain(self) -> bool:
        """Whether the rule as shipped decides alone."""
        return self.live.id is None and self.canary is None and self.shadow is None


def as_kept(digest: str, artefact: str) -> Policy | None:
    """The policy of an artefact; None when that is not what was kept, or this version cannot read it."""
    if hashlib.sha256(artefact.encode()).hexdigest() != digest:
        return None
    try:
        return Policy.from_json(artefact)
    except (KeyError, TypeError, ValueError):
        return None


async def acting(
    session: AsyncSession, name: str, read: Callable[[UUID, str, str], Version[R] | None]
) -> tuple[dict[str, Version[R]], dict[str, PolicyVersion]]:
    """By stage, the versions that `read` makes of (id, digest, artefact), and their rows. What it cannot read does not
    act."""
    found = await rows.active(session, name)
    versions = {}
    for stage, row in found.items():
        version = read(row.id, row.digest, row.artefact)
        if version is None:
            log.warning("a policy is not what was kept: it does not act", version=row.version, stage=stage)
        else:
            versions[stage] = version
    return versions, found


def share_of(*words: object) -> float:
    """A number from [0, 1) that is always the same for these words."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
