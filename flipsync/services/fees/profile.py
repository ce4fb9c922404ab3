"""How an account sells, as far as its fees depend on it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

#: the country whose tables hold where an account does not say: the home of its currency
HOME = {"USD": "US", "GBP": "GB", "EUR": "DE"}
#: how an account sells unless its owner says otherwise: (plan, flags) by vendor
_USUAL: dict[str, tuple[str, tuple[str, ...]]] = {
    "amazon": ("professional", ()),
    "ebay": ("no_store", ("no_store",)),
    "shopify": ("basic", ("shopify_payments",)),
    "woocommerce": ("", ("stripe",)),
}


class FeeProfile(BaseModel):
    """Plan, category and habits of one account. `flags` are the conditions of the tables' column `when`
    (international, promoted, fba, store, stripe, paypal, conversion, vat_on_fees, premium_card, manual_entry,
    other_provider, below_standard, four_months, …)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$", description="of the marketplace; ISO 3166-1")
    plan: str = ""
    category: str = "most"
    size: str = Field(default="", description="size tier, where the channel ships for us")
    flags: frozenset[str] = frozenset()
    commission_bps: int | None = Field(
        default=None, ge=0, lt=10_000, description="of goods and shipping, where the vendor publishes no fees"
    )
    commission_fixed_minor: int = Field(default=0, ge=0)
    commission_returned: bool = Field(default=True, description="whether a refund gives it back")
    ad_rate_bps: int = Field(default=0, ge=0, lt=10_000, description="of campaigns that take a share of the sale")


def default_profile(vendor: str) -> FeeProfile:
    """How most accounts of the vendor sell."""
    plan, flags = _USUAL.get(vendor, ("", ()))
    return FeeProfile(plan=plan, flags=frozenset(flags))
