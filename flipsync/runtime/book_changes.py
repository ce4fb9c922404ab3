"""How our own books change by commands of scope "internal": each by its service, in the transaction of the decision."""

from __future__ import annotations

import importlib
from typing import cast

from flipsync.domain import commands as c
from flipsync.domain import listing_care as care
from flipsync.domain import purchase_commands as b
from flipsync.domain import steering_commands as steer
from flipsync.domain import workflow_messages as w
from flipsync.domain.called_off import PutBackUnits, WriteByHand
from flipsync.domain.channel import Vendor
from flipsync.domain.directives import bearing
from flipsync.domain.errors import Conflict, FlipSyncError
from flipsync.domain.events import ListingRequested
from flipsync.domain.goods_reading import NoteReading
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_events import PurchaseDue, TransfersDue
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.runtime.agent import Context
from flipsync.services import (
    accounts,
    adopting,
    called_off,
    channel_pace,
    competitor_desk,
    demand_desk,
    directives,
    hand_edits,
    listing_care,
    model_registry,
    new_stock,
    orders,
    oversold,
    purchase_orders,
    readings,
    refunds,
    resource_desk,
    stock,
    strategy_desk,
    transfers,
    trend_desk,
    workflows,
)
from flipsync.services.offers import title_of
from flipsync.services.orders import AccountRef
from flipsync.services.sourcing import scans
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import stock as ledger
from flipsync.store.unit_of_work import UnitOfWork


async def carry_out(unit: UnitOfWork, ctx: Context, command: c.Command) -> None:
    """Raises Conflict and NotFound where it cannot be done."""
    match command:
        case c.ListOnChannel():
            await _list_on_channel(unit, ctx, command)
        case steer.IssueDirective():
            await directives.issue(unit, command)
            ctx.services.forget_profile()
        case steer.ShareBudgets():
            await resource_desk.share(unit, command)
            ctx.services.forget_profile()
        case steer.AdoptPlan():
            await strategy_desk.adopt(unit, command)
        case steer.SetTarget():
            await strategy_desk.set_target(unit, command)
        case steer.ClosePlan():
            await strategy_desk.close(unit, command)
        case steer.RevokeDirective():
            await directives.revoke(unit, command)
            ctx.services.forget_profile()
        case c.AdoptListing():
            await adopting.adopt(unit, command.listing_id, AccountRef(command.account_id, command.vendor))
        case c.KeepEdit():
            await hand_edits.keep_theirs(unit, command)
        case c.SettleRefund():
            await refunds.settle_doubted(unit, command.order_id, given=True)
        case c.AllocateStock():
            await stock.set_targets(unit, command.stock_item_id, command.shares)
        case c.MeasureChannels():
            await channel_pace.measure(unit)
        case c.ReserveStock():
            await orders.reserve_missing(unit, command.order_id)
        case c.CancelByHand():
            look = c.PullOrders(account_id=command.account_id)
            key = f"cancelled-by-hand:{command.order_id}:{new_id()}"
            unit.enqueue(look, account_id=command.account_id, key=key, supersede=True)
        case c.HandOverUnits():
            await oversold.hand_over_units(unit, command)
        case WriteByHand():
            unit.audit("buyer.told-by-hand", "order", command.order_id)  # nothing of ours can see it: the owner's word
        case PutBackUnits():
            await called_off.put_back(unit, command)
        case c.MarkOrderReady():
            await orders.mark_ready(unit, command.order_id)
        case c.PauseAccount():
            await accounts.pause_account(unit, command.account_id, command.reason)
            ctx.services.accounts.forget()
        case c.RaiseRivalAlarm():
            await competitor_desk.raise_alarm(unit, command)
        case c.MakeForecasts():
            await demand_desk.carry_out(unit, command)
        case b.PlanPurchases():
            for supplier_id in command.suppliers:
                unit.emit(PurchaseDue(supplier_id=supplier_id, urgent=command.urgent))
            for account_id in command.warehouses:
                unit.emit(TransfersDue(account_id=account_id, urgent=command.urgent))
        case b.PlacePurchaseOrder():
            await purchase_orders.carry_out(unit, command)
        case b.OfferTransfers():
            await transfers.carry_out(unit, command)
        case care.PlanListingWork():
            await listing_care.plan_work(unit, command)
        case care.FitListing():
            await listing_care.fit(unit, command)
        case care.OfferProductFacts():
            await listing_care.state_facts(unit, command)
        case care.NoteListingNeeds():
            await listing_care.note(unit, command)
        case c.NoteTrend():
            await trend_desk.note(unit, command)
        case RecordSourcingVerdict():
            await scans.settle(unit, command)
        case NoteReading():
            await readings.note(unit, command)
        case c.TrainPolicy():
            requests = importlib.import_module("flipsync.training.requests")  # simulators: not in every process
            await requests.request(unit, command.name, seed=command.seed, samples=command.samples, cause=command.cause)
        case c.PromotePolicy():
            await model_registry.promote(unit, str(command.policy_id), to=command.to, reason=command.reason)
        case c.RollBackPolicy():
            await model_registry.roll_back(unit, command.name, command.reason)
        case w.ContinueWorkflow():
            await workflows.go_on(unit, command.run_id)
        case w.ConfirmIdentity():
            await new_stock.confirm_identity(unit, command)
        case w.WriteContent():
            await new_stock.write_content(unit, command)
        case w.SetListPrice():
            await new_stock.set_list_price(unit, command)
        case c.ResumeAccount():
            await accounts.resume_account(unit, command.account_id)
            ctx.services.accounts.forget()
        case _:
            raise FlipSyncError(f"nobody knows how to carry out {command.type_name()}")


async def _list_on_channel(unit: UnitOfWork, ctx: Context, command: c.ListOnChannel) -> None:
    account = await ctx.services.accounts.get(command.account_id)
    if account is None or account.status == "disconnected":
        raise Conflict("the account is not connected")
    bound = bearing((await ctx.services.profile()).directives, ctx.now, "list-nothing", command.account_id)
    if bound is not None:
        raise Conflict(f"a directive says to list nothing new there: {bound.reason}")
    created = 0
    rows = await listing_rows.variants_to_list(unit.session, command.product_id, command.account_id)
    for variant, product in rows:
        listing_id = await listing_rows.create_listing(
            unit,
            account_id=account.id,
            variant=variant,
            title=title_of(variant, product),
            currency=account.currency,
        )
        if listing_id is None:
            continue
        item = await ledger.ensure_item(unit, variant.id, mode=account.stock_mode)
        await ledger.ensure_allocation(unit, listing_id, item.id)
        created += 1
    if created:
        unit.emit(
            ListingRequested(account_id=account.id, vendor=cast(Vendor, account.vendor), product_id=command.product_id)
        )
