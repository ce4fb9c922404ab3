"""Many quantities at once: single products in one batch, variations in one for each parent, 100 rows a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flipsync.connectors.base import QuantityChange, QuantityOutcome
from flipsync.connectors.marketplaces.woocommerce import mapping, refusals, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

BATCH = 100
Numbered = tuple[int, QuantityChange, int]


async def set_quantities(api: ShopApi, changes: Sequence[QuantityChange], currency: str) -> list[QuantityOutcome]:
    """One outcome for each change, in their order; a batch answers 200 even where every row of it failed."""
    outcomes: dict[int, QuantityOutcome] = {}
    shelves: dict[int | None, list[Numbered]] = {}
    for place, change in enumerate(changes):
        try:
            product_id, variation_id = mapping.split_id(change.external_id)
        except ValueError as error:
            refused = Rejected(str(error), vendor_code="not_found", missing=True)
            outcomes[place] = QuantityOutcome(change, None, refused)
            continue
        shelf = None if variation_id is None else product_id
        shelves.setdefault(shelf, []).append((place, change, variation_id or product_id))
    for parent_id, rows in shelves.items():
        try:
            path, listing = await _shelf(api, parent_id, currency)
        except ChannelError as error:
            outcomes |= {place: QuantityOutcome(change, None, error) for place, change, _ in rows}
            continue
        for start in range(0, len(rows), BATCH):
            outcomes |= await _batch(api, path, rows[start : start + BATCH], listing)
    dropped = {place for place, each in outcomes.items() if each.state is not None and each.state.quantity is None}
    if dropped and not await counts_stock(api):
        outcomes |= {place: QuantityOutcome(changes[place], None, not_counted()) for place in dropped}
    return [outcomes[place] for place in range(len(changes))]


def not_counted() -> Rejected:
    return Rejected(
        "the shop counts no stock: it dropped the quantity",
        hint="WooCommerce, Settings, Products, Inventory: enable stock management",
        vendor_code="not_counted",
    )


async def counts_stock(api: ShopApi) -> bool:
    """Whether stock management is on: without, every quantity that is written is dropped with a 200. True where nobody
    knows."""
    try:
        setting = await api.read("/settings/products/woocommerce_manage_stock", wire.Setting.model_validate)
    except (Rejected, Retryable):
        return True
    return str(setting.value) != "no"


async def read_listings(api: ShopApi, external_ids: Sequence[str], currency: str) -> dict[str, ListingState]:
    """Those of the listings that the shop knows, 100 a call; variations parent by parent."""
    shelves: dict[int | None, list[int]] = {}
    for external_id in dict.fromkeys(external_ids):
        try:
            product_id, variation_id = mapping.split_id(external_id)
        except ValueError:
            continue
        shelves.setdefault(None if variation_id is None else product_id, []).append(variation_id or product_id)
    found: list[ListingState] = []
    for parent_id, ids in shelves.items():
        try:
            path, listing = await _shelf(api, parent_id, currency)
        except Rejected as refused:
            if refused.missing:
                continue
            raise
        for start in range(0, len(ids), BATCH):
            named = ",".join(map(str, ids[start : start + BATCH]))
            params = [("include", named), ("per_page", str(BATCH)), ("status", "any")]
            found += await api.read_rows(path.removesuffix("/batch"), listing, params)
    return {state.external_id: state for state in found}


async def _shelf(api: ShopApi, parent_id: int | None, currency: str) -> tuple[str, Callable[[Any], ListingState]]:
    """Where a batch goes, and how its rows are read. The parent is read before the write, not after it."""
    if parent_id is None:
        return "/products/batch", lambda data: mapping.product_listing(wire.Product.model_validate(data), currency)
    parent = await api.read(f"/products/{parent_id}", wire.Product.model_validate)
    return (
        f"/products/{parent_id}/variations/batch",
        lambda data: mapping.variation_listing(wire.Variation.model_validate(data), parent, currency),
    )


async def _batch(
    api: ShopApi, path: str, rows: Sequence[Numbered], listing: Callable[[Any], ListingState]
) -> dict[int, QuantityOutcome]:
    body = {"update": [{"id": row_id, **mapping.quantity_body(change.quantity)} for _, change, row_id in rows]}
    try:
        answered = await api.write("POST", path, body, _updated)
    except ChannelError as failed:
        if isinstance(failed, Rejected) and failed.vendor_status == 413 and len(rows) > 1:
            # shops may take fewer rows, and servers smaller bodies
            half = len(rows) // 2
            first = await _batch(api, path, rows[:half], listing)
            return first | await _batch(api, path, rows[half:], listing)
        return {place: QuantityOutcome(change, None, failed) for place, change, _ in rows}
    outcomes = {}
    for number, (place, change, row_id) in enumerate(rows):
        data = answered[number] if number < len(answered) else None
        state, error = _outcome(data, row_id, listing)
        outcomes[place] = QuantityOutcome(change, state, error)
    return outcomes


def _updated(data: Any) -> list[Any]:
    rows = data.get("update") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ValueError("a batch's answer was expected")
    return rows


def _outcome(
    data: Any, row_id: int, listing: Callable[[Any], ListingState]
) -> tuple[ListingState | None, ChannelError | None]:
    """Rows keep their order; one that names another article says nothing of this one."""
    if not isinstance(data, dict) or data.get("id") != row_id:
        return None, OutcomeUnknown("the batch's answer leaves this listing out", hint="read back before trying again")
    if "error" in data:
        return None, refusals.row_error(data["error"])
    try:
        return listing(data), None
    except ValueError:
        return None, OutcomeUnknown("the batch's answer cannot be used", hint="read back before trying again")
