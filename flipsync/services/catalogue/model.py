"""What an import reads out of a file: product and variant drafts, the limits it works within, and cell-level refusals.

Drafts are slotted dataclasses, not pydantic models: they are made once per row and only by this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from flipsync.domain.money import Money

FormatName = Literal["shopify", "woocommerce", "generic"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one import; a file beyond them is refused, a row beyond them is rejected."""

    max_bytes: int = 100_000_000
    max_line_chars: int = 1_000_000
    max_columns: int = 1_000
    max_variants_per_product: int = 10_000
    max_quantity: int = 1_000_000
    max_amount_minor: int = 10**12
    max_weight_grams: int = 2_000_000
    max_sku_chars: int = 100
    max_title_chars: int = 500
    max_description_chars: int = 100_000
    max_text_chars: int = 255
    max_tags: int = 250
    max_images: int = 250
    max_problems: int = 10_000


@dataclass(slots=True)
class VariantDraft:
    """One sellable unit. `quantity` None means the file does not say; it never means zero."""

    sku: str
    sku_derived: bool
    options: dict[str, str]
    price: Money
    line: int
    compare_at: Money | None = None
    cost: Money | None = None
    cost_assumed: bool = False
    floor: Money | None = None
    ceiling: Money | None = None
    vat_percent: Decimal | None = None
    quantity: int | None = None
    barcode: str | None = None
    weight_grams: int | None = None
    condition: str | None = None
    image: str | None = None


@dataclass(slots=True)
class ProductDraft:
    """One product with at least one variant. `key` is stable across exports of a shop; `line` is its first row.

    `published` None means the file does not say whether the product is for sale.
    """

    key: str
    title: str
    description_html: str
    brand: str
    category: str
    tags: tuple[str, ...]
    images: tuple[str, ...]
    option_names: tuple[str, ...]
    published: bool | None
    line: int
    variants: list[VariantDraft] = field(default_factory=list)


class CellRefusedError(ValueError):
    """A cell that cannot be used, with the reason in words a seller understands."""
