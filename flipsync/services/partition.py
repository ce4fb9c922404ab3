"""How the units of one stock item are shared out over its listings (escrow). Pure arithmetic.

Escrow: shares add up to at most what is available, so no unit is ever on offer twice. Largest remainders (Hamilton's
method) by expected demand; a listing keeps what it has while it can, because moving units between channels costs
writes and minutes off sale. What pooled listings show is a matter of odds: `oversell`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Claim:
    """One listing's claim. `weight` is expected demand in units (any scale), `current` what it is entitled to now."""

    listing_id: UUID
    weight: float
    current: int


def escrow_shares(available: int, claims: Sequence[Claim]) -> dict[UUID, int]:
    """Shares summing to exactly max(available, 0) when there is a claim.

    Stays with the current shares plus an even use of new units unless a listing is empty while another holds two or
    more, or units have to be taken away.
    """
    if not claims:
        return {}
    available = max(0, available)
    held = sum(claim.current for claim in claims)
    ideal = proportional(available, {claim.listing_id: claim.weight for claim in claims})
    spare = any(claim.current >= 2 for claim in claims)
    starving = spare and any(claim.current == 0 and ideal[claim.listing_id] > 0 for claim in claims)
    if held == available and not starving:
        return {claim.listing_id: claim.current for claim in claims}
    if held < available and not starving:
        missing = {claim.listing_id: max(0.0, ideal[claim.listing_id] - claim.current) for claim in claims}
        if not any(missing.values()):
            missing = {claim.listing_id: claim.weight for claim in claims}
        extra = proportional(available - held, missing)
        return {claim.listing_id: claim.current + extra[claim.listing_id] for claim in claims}
    return ideal


def proportional(units: int, weights: Mapping[UUID, float]) -> dict[UUID, int]:
    """Whole shares proportional to weights (largest remainders, ties by id); equal when all weights are zero."""
    if not weights:
        return {}
    total = sum(weights.values())
    share = {key: (units * weight / total if total > 0 else units / len(weights)) for key, weight in weights.items()}
    floor = {key: int(value) for key, value in share.items()}
    left = units - sum(floor.values())
    for key in sorted(weights, key=lambda key: (floor[key] - share[key], key))[:left]:
        floor[key] += 1
    return floor


def taken_by_sale(quantity: int, *, entitled: int, mode: str, free: int) -> tuple[int, int]:
    """Units a sale takes out of its listing's share, and units there are for the buyer: from there and the free ones.

    The listing's own entitlement is used first, because the channel has already taken them off its shelf. What neither
    it nor the free units cover is short: another channel holds it.
    """
    from_share = min(quantity, entitled)
    return from_share, max(0, min(quantity, free + (from_share if mode == "escrow" else 0)))
