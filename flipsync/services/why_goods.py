"""Goods, listings and accounts explained: how they are now, what moved their price, and what was decided lately."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import money
from flipsync.services.why_chain import Journal, Teller, read
from flipsync.services.why_explanation import Chain, Explanation, Line, Named, Step, clock
from flipsync.services.why_order import movement_step
from flipsync.services.why_words import units
from flipsync.store.database import SessionReader
from flipsync.store.models import AgentDecision, Allocation, Product, StockItem, Variant
from flipsync.store.reading import Rows
from flipsync.store.repositories import reading_selling
from flipsync.store.repositories import why as rows
from flipsync.store.repositories.why import ListingRow, PriceRow, Subject

_PRICES = 10
_MOVEMENTS = 10
_RIVALS = 3
_VARIANTS = 20
_LISTINGS = 50


async def explain_listing(session: AsyncSession, listing_id: UUID, decisions: int) -> Explanation:
    """One listing that exists: its state, price history, stock, and its newest decisions."""
    row = (await rows.listings(session, ids=[listing_id]))[0]
    listing, account, allocation, shelf = row
    prices = await rows.price_history(session, [listing_id], _PRICES)
    (rivals,) = await SessionReader(session).ask(reading_selling.RIVALS(listing_id=listing_id))
    journal, chains = await lately(session, [("listing", listing_id)], decisions)
    label = f"{listing.sku}@{account.name}"
    now = [Line(name="on the channel", text=_state(row))]
    if listing.status_reason:
        now.append(Line(name="reason", text=listing.status_reason))
    now.append(Line(name="stock", text=_entitlement(allocation, shelf)))
    if rivals:
        now.append(Line(name="rivals", text=_rivals(rivals)))
    if account.status != "connected":
        now.append(Line(name="account", text=f"{account.name} is {account.status}: {account.status_reason}"))
    told = [f"{listing.title}: {_state(row)}.", f"{_entitlement(allocation, shelf)}."]
    if prices:
        told.append(f"Its price: {_price_words(prices[0], listing.sku)}.")
    told.append(_last_word(journal, chains))
    return Explanation(
        subject=Named(kind="listing", id=listing_id, label=label),
        title=f"Listing {label} ({account.vendor}, {listing.external_id or 'not on the channel yet'})",
        summary=" ".join(told),
        now=now,
        prices=[_price_words(price, listing.sku) for price in prices],
        chains=chains,
        notes=[f"The newest {len(chains)} decisions are shown."] if len(chains) == decisions else [],
    )


async def explain_goods(session: AsyncSession, kind: str, row_id: UUID, decisions: int) -> Explanation:
    """A product, a variant or a stock item that exists, with all its listings."""
    product_id = row_id if kind == "product" else None
    variant_ids: list[UUID] = [row_id] if kind == "variant" else []
    if kind == "stock_item":
        owner = await rows.variant_of_item(session, row_id)
        variant_ids = [owner] if owner is not None else []
    found = await rows.variants(session, ids=variant_ids, product_id=product_id, limit=_VARIANTS)
    if not found:
        raise NotFound("the product has no variants", hint="import it again, with at least one row")
    product = found[0][1]
    listed = await rows.listings(session, variant_ids=[variant.id for variant, _, _ in found], limit=_LISTINGS)
    listing_ids = [listing.id for listing, _, _, _ in listed]
    shelves = [shelf.id for _, _, shelf in found if shelf is not None]
    prices = await rows.price_history(session, listing_ids, _PRICES)
    subjects: list[Subject] = [("product", product.id)] if kind == "product" else []
    subjects += [("variant", variant.id) for variant, _, _ in found]
    subjects += [("stock_item", shelf) for shelf in shelves]
    subjects += [("listing", listing_id) for listing_id in listing_ids]
    journal, chains = await lately(session, subjects, decisions)
    names = {listing.id: f"{listing.sku}@{account.name}" for listing, account, _, _ in listed}
    skus = {shelf.id: variant.sku for variant, _, shelf in found if shelf is not None}
    now = [Line(name=variant.sku, text=_variant(variant, shelf)) for variant, _, shelf in found]
    now += [Line(name=names[row[0].id], text=f"{_state(row)}; {_entitlement(row[2], None)}") for row in listed]
    moved = await rows.latest_movements(session, shelves, _MOVEMENTS)
    if moved:
        steps: list[Step] = [movement_step(each, skus[each.stock_item_id]) for each in reversed(moved)]
        chains.append(Chain(title=f"The newest {len(steps)} movements of the stock ledger", steps=steps))
    label = product.title if kind == "product" else found[0][0].sku
    return Explanation(
        subject=Named(kind=kind, id=row_id, label=label),
        title=f"{kind.replace('_', ' ').capitalize()} {label}",
        summary=_goods_summary(product, [(variant, shelf) for variant, _, shelf in found], listed)
        + " "
        + _last_word(journal, chains[: len(journal.decisions)]),
        now=now,
        prices=[
            f"{names[price[0].listing_id]}: {_price_words(price, names[price[0].listing_id].partition('@')[0])}"
            for price in prices
        ],
        chains=chains,
        notes=[f"Only the first {_VARIANTS} variants are shown."] if len(found) == _VARIANTS else [],
    )


async def explain_account(session: AsyncSession, account_id: UUID, decisions: int) -> Explanation:
    """An account that exists, with the newest decisions about it."""
    account = await rows.account(session, account_id)
    journal, chains = await lately(session, [("account", account_id)], decisions)
    seen = "never" if account.last_ok_at is None else clock(account.last_ok_at)
    state = account.status + (f": {account.status_reason}" if account.status_reason else "")
    return Explanation(
        subject=Named(kind="account", id=account_id, label=account.name),
        title=f"Account {account.name} ({account.vendor})",
        summary=f"{account.name} is {state}. {_last_word(journal, chains)}",
        now=[
            Line(name="state", text=state),
            Line(name="orders last fetched", text=seen),
            Line(name="stock is", text=account.stock_mode),
        ],
        chains=chains,
    )


async def lately(session: AsyncSession, subjects: Collection[Subject], limit: int) -> tuple[Journal, list[Chain]]:
    """The newest decisions that touched the subjects, each as a chain from its fact; newest first."""
    ids = await rows.decisions_touching(session, subjects, limit)
    journal = await read(session, decision_ids=ids, focus=subjects)
    chains = []
    for decision_id in ids:
        decision = journal.decisions[decision_id].row
        teller = Teller(journal, only=decision_id)
        teller.origin(journal.events[decision.event_id])
        teller.decision(decision_id, 1)
        title = f"{clock(decision.decided_at)} – {decision.agent}: {decision.rationale}"
        chains.append(Chain(title=title, steps=teller.steps))
    return journal, chains


def _last_word(journal: Journal, chains: Sequence[Chain]) -> str:
    if not chains:
        return "No agent has decided anything about it yet."
    applied = [each.row for each in journal.decisions.values() if each.row.state != "held"]
    newest = max(applied or [each.row for each in journal.decisions.values()], key=lambda row: row.id)
    blocked = [each for each in journal.proposals_to_tell(newest.id) if each.verdict == "deny"]
    told = f"Last, {newest.agent} {'held' if newest.state == 'held' else 'acted'} at {clock(newest.decided_at)}: "
    told += newest.rationale.rstrip(".") + "."
    if blocked:
        told += f" That was blocked ({blocked[0].rule}): {blocked[0].reason.rstrip('.')}."
    return told


def _state(row: ListingRow) -> str:
    listing, account, _, _ = row
    if listing.price_minor is None:
        return f"{listing.status} on {account.name}, no price confirmed yet"
    price = money(listing.price_minor, listing.currency)
    shown = "an unknown number of units" if listing.quantity_shown is None else units(listing.quantity_shown)
    return f"{listing.status} on {account.name} at {price} with {shown} shown"


def _entitlement(allocation: Allocation | None, shelf: StockItem | None) -> str:
    if shelf is not None and (allocation is None or shelf.pool != "own"):
        return f"the channel sells it from its own warehouse; {_shelf(shelf)}"
    if allocation is None:
        return "it has no stock in the ledger"
    told = f"the ledger lets it sell {units(allocation.entitled)}"
    if allocation.pending:
        told += f" ({allocation.pending} of them not confirmed by the channel yet)"
    if allocation.target != allocation.entitled:
        told += f", on the way to {allocation.target}"
    if shelf is not None:
        told += f"; {_shelf(shelf)}"
    return told


def _shelf(shelf: StockItem) -> str:
    free = shelf.on_hand - shelf.reserved - shelf.allocated
    pool = "" if shelf.pool == "own" else f"{shelf.pool} pool: "
    return (
        f"{pool}{shelf.on_hand} on hand, {shelf.reserved} reserved for buyers, {shelf.allocated} promised to channels, "
        f"{free} free ({shelf.mode})"
    )


def _variant(variant: Variant, shelf: StockItem | None) -> str:
    known = {
        "list price": variant.price_minor,
        "cost": variant.cost_minor,
        "floor": variant.floor_minor,
        "ceiling": variant.ceiling_minor,
    }
    told = [f"{name} {money(minor, variant.currency)}" for name, minor in known.items() if minor is not None]
    told += [f"no {name}" for name in ("list price", "cost") if known[name] is None]
    return ", ".join(told) + "; " + (_shelf(shelf) if shelf is not None else "never stocked")


def _goods_summary(
    product: Product, variants: Sequence[tuple[Variant, StockItem | None]], listed: Sequence[ListingRow]
) -> str:
    shelves = [shelf for _, shelf in variants if shelf is not None]
    on_hand, reserved = sum(each.on_hand for each in shelves), sum(each.reserved for each in shelves)
    active = [row for row in listed if row[0].status == "active"]
    where = ", ".join(sorted({row[1].name for row in active})) or "nowhere"
    return (
        f"{product.title}: {units(on_hand)} on hand, {reserved} reserved for buyers; {len(active)} of {len(listed)} "
        f"listings active (on {where})."
    )


def _rivals(rivals: Rows) -> str:
    shown = [
        f"{each.seller} at {money(each.price_minor, each.currency)}" + ("" if each.in_stock else ", sold out")
        for each in rivals[:_RIVALS]
    ]
    return "; ".join(shown) + (f"; {len(rivals) - _RIVALS} more" if len(rivals) > _RIVALS else "")


def _price_words(row: PriceRow, sku: str) -> str:
    change, decision = row
    new, floor = money(change.new_minor, change.currency), money(change.floor_minor, change.currency)
    by = f" by {decision.agent}" if decision is not None else ""
    reason = change.reason if decision is None else _reason(decision, sku)
    why = f": {reason.rstrip('.')}" if reason else ""
    if change.old_minor is None:
        moved = f"first shown at {new}"
    elif change.old_minor == change.new_minor:
        moved = f"written again as {new}"
    else:
        old = money(change.old_minor, change.currency)
        verb = "raised" if change.new_minor > change.old_minor else "lowered"
        share = 100 * (change.new_minor - change.old_minor) / change.old_minor
        moved = f"{verb} from {old} to {new} ({share:+.1f} %)"
    below = " – BELOW ITS FLOOR" if change.new_minor < change.floor_minor else ""
    return f"{moved} at {clock(change.at)}{by}, floor {floor}{below}{why}"


def _reason(decision: AgentDecision, sku: str) -> str:
    """Why this price: a decision about many prices gives each one's reason among its alternatives."""
    for each in decision.alternatives:
        if str(each.get("name")).startswith(f"{sku}: ") and each.get("chosen") and each.get("why"):
            return str(each["why"])
    return decision.rationale
