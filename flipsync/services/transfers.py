"""Units sent from our shelf to a channel's own warehouse: planned, sent, called off. What arrives is for the channel to
say (services.warehouses).

Planned units are on the shelf and are given to no channel (`OWED` of the ledger), so that channels let go of them; a
buyer who comes first has them all the same. Sent units are off the shelf and in no pool before the channel has them on
sale: between the two nobody can sell them. The report of a channel counts what it has to sell, and not what is on its
way, so a unit is in one pool or in none, never in two.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flipsync.domain.errors import Conflict, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.purchase_commands import OfferTransfers
from flipsync.services import stock
from flipsync.services.warehouses import pool_of
from flipsync.store.models import StockTransfer
from flipsync.store.repositories import accounts, purchase_orders, suppliers
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories import transfers as rows
from flipsync.store.unit_of_work import UnitOfWork

#: what has not come by then is told. A choice of ours: parcels and the warehouse's counting take days to weeks.
DUE_AFTER = timedelta(days=30)


async def plan(
    unit: UnitOfWork,
    variant_id: UUID,
    units: int,
    account_id: UUID,
    *,
    note: str = "",
    by: UUID | None = None,
    decision_id: UUID | None = None,
) -> StockTransfer:
    """Set units aside for the account's warehouse.

    Raises NotFound, InvalidInput where the account sells none of the goods from a warehouse of its own, and Conflict
    for more than is on the shelf and nobody's.
    """
    if not 0 < units <= stock.MAX_UNITS:
        raise InvalidInput(f"{units} units cannot be sent", hint=f"give 1 to {stock.MAX_UNITS:,}")
    await purchase_orders.hold(unit.session, unit.tenant_id)  # numbers come one by one
    goods = (await suppliers.goods(unit.session, [variant_id])).get(variant_id)
    if goods is None:
        raise NotFound(f"no variant {variant_id}")
    account = await accounts.get_account(unit.session, account_id)
    if account is None:
        raise NotFound(f"no account {account_id}")
    pool = await pool_of(unit, account_id, "channel")
    if not await rows.sold_from(unit.session, account_id, variant_id, pool):
        raise InvalidInput(
            f"{account.name} does not sell {goods[0]} from a warehouse of its own",
            hint="make a listing there that the channel fulfils (Amazon: FBA), and try again when it was read",
        )
    there = await ledger.ensure_item(unit, variant_id, mode="pooled", pool=pool)
    own = await ledger.item_of_variant(unit.session, variant_id)
    spare = 0 if own is None else await stock.spare(unit, own)
    if own is None or units > spare:
        raise Conflict(f"{max(0, spare)} units of {goods[0]} are on the shelf and nobody's", hint="send fewer")
    transfer = await rows.add(
        unit,
        account_id=account_id,
        from_item_id=own,
        to_item_id=there.id,
        planned=units,
        note=note,
        created_by=by,
        decision_id=decision_id,
    )
    await stock.tell_meant(unit, own, "transfer", units)
    unit.audit("transfer.planned", "stock_transfer", transfer.id, number=transfer.number, units=units)
    return transfer


async def carry_out(unit: UnitOfWork, command: OfferTransfers) -> list[StockTransfer]:
    """What an agent offered and the owner wants: a transfer for each article, of as many units as are still nobody's.

    Raises NotFound, and Conflict where all of it is sold, on its way already, or not sold there any more.
    """
    await purchase_orders.hold(unit.session, unit.tenant_id)
    since = await rows.planned_since(unit.session, command.account_id, command.origin)
    made, left_out = [], []
    items = [(await ledger.item_of_variant(unit.session, line.variant_id), line) for line in command.lines]
    for own, line in sorted(items, key=lambda each: str(each[0])):  # locked in this order by everybody
        free = 0 if own is None else await stock.spare(unit, own)
        if line.variant_id in since:
            left_out.append("sent there since")
        elif free <= 0:
            left_out.append("sold since")
        else:
            try:
                units = min(line.units, free)
                decision_id = unit.cause.causation_id
                made.append(await plan(unit, line.variant_id, units, command.account_id, decision_id=decision_id))
            except InvalidInput as error:
                left_out.append(error.message)
    if not made:
        raise Conflict(f"nothing of it is to be sent any more: {', '.join(sorted(set(left_out)))}")
    return made


async def send(
    unit: UnitOfWork, transfer_id: UUID, *, units: int | None = None, expected_version: int | None = None
) -> StockTransfer:
    """They are on their way: all of them, or fewer. Off the shelf at once.

    Raises NotFound, VersionMismatch, InvalidInput for more than was planned, and Conflict where it was sent or called
    off, where the units were sold meanwhile, and where a channel still offers them.
    """
    transfer = await _locked(unit, transfer_id, expected_version)
    if transfer.state != "planned":
        raise Conflict(f"transfer {transfer.number} is {transfer.state} already")
    units = transfer.planned if units is None else units
    if not 0 < units <= transfer.planned:
        raise InvalidInput(
            f"{units} of {transfer.planned} units cannot be sent", hint="plan another transfer for what is more"
        )
    transfer.state, transfer.sent = "sent", units
    transfer.sent_at, transfer.due_at = unit.now, unit.now + DUE_AFTER
    await _changed(unit, transfer)
    await stock.send(
        unit, transfer.from_item_id, units, key=f"transfer:{transfer.id}:sent", note=f"transfer {transfer.number}"
    )
    if units < transfer.planned:
        await stock.tell_meant(unit, transfer.from_item_id, "keep", transfer.planned - units)
    unit.audit("transfer.sent", "stock_transfer", transfer.id, number=transfer.number, units=units)
    return transfer


async def cancel(
    unit: UnitOfWork,
    transfer_id: UUID,
    reason: str = "",
    *,
    came_back: int = 0,
    expected_version: int | None = None,
) -> StockTransfer:
    """Call it off; of one that was sent, what has not come is given up, and `came_back` units are on our shelf again.

    Raises NotFound, VersionMismatch, InvalidInput for more than can have come back, and Conflict where it is over.
    """
    transfer = await _locked(unit, transfer_id, expected_version)
    if transfer.state not in ("planned", "sent"):
        raise Conflict(f"transfer {transfer.number} is {transfer.state} already")
    if not 0 <= came_back <= transfer.sent - transfer.received:
        raise InvalidInput(
            f"{came_back} units cannot have come back",
            hint=f"{transfer.sent} were sent and {transfer.received} arrived there",
        )
    before = transfer.state
    transfer.reason, transfer.came_back = reason, came_back
    if transfer.received:
        transfer.state, transfer.received_at = "received", unit.now
    else:
        transfer.state, transfer.cancelled_at = "cancelled", unit.now
    await _changed(unit, transfer)
    if before == "planned":
        await stock.tell_meant(unit, transfer.from_item_id, "keep", transfer.planned)
    elif came_back:
        key, note = f"transfer:{transfer.id}:back", f"transfer {transfer.number} came back"
        await stock.come_home(unit, transfer.from_item_id, came_back, key=key, note=note)
    missing = transfer.sent - transfer.received - came_back
    unit.audit(
        "transfer.cancelled",
        "stock_transfer",
        transfer.id,
        number=transfer.number,
        came_back=came_back,
        missing=missing,
    )
    return transfer


async def _locked(unit: UnitOfWork, transfer_id: UUID, expected_version: int | None) -> StockTransfer:
    await unit.session.flush()
    transfer = await rows.lock(unit.session, transfer_id)
    if transfer is None:
        raise NotFound(f"no transfer {transfer_id}")
    VersionMismatch.check(f"transfer {transfer.number}", transfer.version, expected_version)
    return transfer


async def _changed(unit: UnitOfWork, transfer: StockTransfer) -> None:
    transfer.version += 1
    await unit.session.flush()
