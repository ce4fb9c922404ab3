"""Which rule says how much of a good to buy now, and what each one said.

A canary buys of a share of the suppliers, for the goods of one are bought together. An order is felt weeks later, so a
supplier stays with what was drawn for it for a `BLOCK`, counted from the moment the version became the canary; what is
sold in the block's first `WASHOUT` still comes of what was ordered before. Drawn from the policy, the supplier and the
block: the same question gets the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services import policy_staging
from flipsync.services.buying_rule import KNOBS, SHIPPED, Rule
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.policy_staging import acting, as_kept, share_of
from flipsync.services.pricing.fees import BPS

if TYPE_CHECKING:
    import numpy as np

BLOCK, WASHOUT = timedelta(days=42), timedelta(days=21)

Version = policy_staging.Version[Rule]
AS_SHIPPED = Version(None, "as shipped", SHIPPED)


@dataclass(frozen=True)
class Staged(policy_staging.Staged[Rule]):
    """What the registry holds of buying rules; `since` is when the canary became one."""

    live: Version = AS_SHIPPED
    since: datetime | None = None


@lru_cache(maxsize=64)
def read_version(policy_id: UUID, digest: str, artefact: str) -> Version | None:
    """A version from its artefact; None when that is not what was kept, or no buying rule: then it does not act."""
    policy = as_kept(digest, artefact)
    return Version(policy_id, policy.version, policy.rule) if isinstance(policy, ShopOrder) else None


async def staged(session: AsyncSession) -> Staged:
    """What the registry says now."""
    read, rows = await acting(session, ShopOrder.kind, read_version)
    since = rows["canary"].staged_at if "canary" in read else None
    return Staged(read.get("live") or AS_SHIPPED, read.get("canary"), read.get("shadow"), since)


def block_of(since: datetime, now: datetime) -> int:
    """How many whole blocks lie between."""
    return (now - since) // BLOCK


def is_canary(version: str, supplier_id: UUID, block: int, share: float) -> bool:
    """Whether the canary buys there in that block."""
    return share_of("canary", version, supplier_id, block) < share


def arms(staged: Staged, suppliers: Sequence[UUID], canary_bps: int, now: datetime) -> list[Version]:
    """Who buys of each of the suppliers now."""
    canary, since = staged.canary, staged.since
    if canary is None or since is None:
        return [staged.live] * len(suppliers)
    block, share = block_of(since, now), canary_bps / BPS
    return [canary if is_canary(canary.version, each, block, share) else staged.live for each in suppliers]


def rule_of(versions: Sequence[Version]) -> Rule:
    """The rule of all goods at once, each by its own version."""
    first = versions[0].rule
    if all(each.rule is first for each in versions):
        return first
    import numpy as np  # not in every process

    def knob(name: str) -> np.typing.NDArray[np.float64]:
        return np.array([float(getattr(each.rule, name)) for each in versions])

    return Rule(**{name: knob(name) for name in KNOBS})
