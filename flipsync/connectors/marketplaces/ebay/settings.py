"""What of the seller's own eBay settings every listing needs: business policies and the place goods are sent from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import INVENTORY, EbayApi
from flipsync.domain.errors import Rejected

PolicyKind = Literal["payment", "fulfillment", "return"]
KINDS: tuple[PolicyKind, ...] = ("payment", "fulfillment", "return")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer names beside the goods and the price."""

    payment_policy_id: str
    fulfillment_policy_id: str
    return_policy_id: str
    location_key: str
    condition: str
    category_id: str = ""


class SellerSettings:
    """Read once: from the account's options, else from eBay where there is exactly one of each."""

    def __init__(self, api: EbayApi, config: AccountConfig) -> None:
        self._api = api
        self._options = config.options
        self._known: Terms | None = None

    async def terms(self, category_id: str) -> Terms:
        """Raises Rejected, naming the option to set, where there is none or a choice to make."""
        if self._known is None:
            policies = {kind: await self.policy(kind) for kind in KINDS}
            self._known = Terms(
                payment_policy_id=policies["payment"],
                fulfillment_policy_id=policies["fulfillment"],
                return_policy_id=policies["return"],
                location_key=await self.location(),
                condition=self._options.get("condition", "NEW"),
            )
        return replace(self._known, category_id=category_id)

    async def policy(self, kind: PolicyKind) -> str:
        """The id of the seller's policy of that kind."""
        given = self._options.get(f"{kind}_policy_id")
        if given:
            return given
        found = await self._api.read(
            f"/sell/account/v1/{kind}_policy",
            wire.Policies.model_validate,
            limits.ACCOUNT,
            [("marketplace_id", self._api.site.id)],
        )
        rows = [(policy.id, policy.name) for policy in found.all if policy.id]
        return _the_one(rows, f"{kind} policy", f"{kind}_policy_id", self._api.site.id)

    async def location(self) -> str:
        """The key of the place goods are sent from."""
        given = self._options.get("merchant_location_key")
        if given:
            return given
        found = await self._api.read(
            f"{INVENTORY}/location", wire.Locations.model_validate, limits.INVENTORY, [("limit", "100")]
        )
        rows = [
            (place.merchant_location_key, place.name)
            for place in found.locations
            if place.merchant_location_status == "ENABLED" and place.merchant_location_key
        ]
        return _the_one(rows, "inventory location", "merchant_location_key", self._api.site.id)


def _the_one(rows: Sequence[tuple[str, str]], what: str, option: str, marketplace_id: str) -> str:
    if len(rows) == 1:
        return rows[0][0]
    if not rows:
        raise Rejected(
            f"the eBay account has no {what} for {marketplace_id}",
            hint=f"make one in eBay's seller settings, or give its id as the option {option}",
            vendor_code=option,
        )
    named = ", ".join(f"{id} ({name})" for id, name in rows[:8])
    raise Rejected(
        f"the eBay account has {len(rows)} of {what} for {marketplace_id}: {named}",
        hint=f"say which one listings use: the option {option}",
        vendor_code=option,
    )
