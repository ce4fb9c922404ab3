"""Many quantities in one call, for shops whose class can read and write many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flipsync.connectors.base import QuantityChange, QuantityOutcome
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable, Unreadable

if TYPE_CHECKING:
    from flipsync.connectors.marketplaces.store import StoreConnector


async def set_many(store: StoreConnector, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
    """One outcome for each change, in their order. A batch that is refused is tried row by row: such shops refuse the
    whole of it for one."""
    size = store.capabilities.bulk_quantity
    outcomes: list[QuantityOutcome] = []
    for start in range(0, len(changes), size):
        part = changes[start : start + size]
        twice = len({change.external_id for change in part}) < len(part)
        outcomes += await (_one_by_one(store, part) if twice else _batch(store, part))
    return outcomes


async def _one_by_one(store: StoreConnector, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
    outcomes = []
    for change in changes:
        try:
            state = await store.set_quantity(change.external_id, change.quantity, change.key)
        except ChannelError as error:
            outcomes.append(QuantityOutcome(change, None, error))
        else:
            outcomes.append(QuantityOutcome(change, state, None))
    return outcomes


async def _batch(store: StoreConnector, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
    ids = [change.external_id for change in changes]
    try:
        rows = await _rows(store, ids)
        try:
            told = [(store.translated(store.listing, row), row) for row in rows]
        except Unreadable:  # one row that cannot be read must not hold up the others
            return await _one_by_one(store, changes)
        before = {state.external_id: row for state, row in told}
        known = [(before[change.external_id], change.quantity) for change in changes if change.external_id in before]
        if known:
            await store.writing(store.write_quantities(known))
    except Rejected:
        return await _one_by_one(store, changes)
    except (Retryable, OutcomeUnknown) as error:
        return [QuantityOutcome(change, None, error) for change in changes]
    lost = OutcomeUnknown("the listing does not show after the write", hint="look at the shop")
    after = []
    try:
        for row in await _rows(store, list(before)):
            try:
                after.append(store.translated(store.listing, row, written=True))
            except OutcomeUnknown as error:
                lost = error
    except ChannelError as error:
        hint = "read back before trying again"
        lost = OutcomeUnknown(f"written, but not read back: {error.message}", hint=hint)
    replaced = {state.external_id: state.quantity for state, _ in told}
    states = {
        state.external_id: state.model_copy(update={"shown_before": replaced.get(state.external_id)}) for state in after
    }
    missing = Rejected("there is no such listing", vendor_code="not_found", missing=True)
    return [
        QuantityOutcome(change, state, None)
        if (state := states.get(change.external_id)) is not None
        else QuantityOutcome(change, None, lost if change.external_id in before else missing)
        for change in changes
    ]


async def _rows(store: StoreConnector, ids: Sequence[str]) -> Sequence[dict[str, object]]:
    return await store.reading(store.rows_of_ids(ids)) if ids else []
