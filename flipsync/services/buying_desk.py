"""What an agent asks before it buys: what is to be bought of which supplier, worked out for all goods at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.decisions import OrderChoice
from flipsync.domain.money import Money
from flipsync.domain.purchase_commands import OfferPurchaseOrder, PlacePurchaseOrder
from flipsync.services import lead_times, order_choice
from flipsync.services.buying_rule import SHIPPED, Rule
from flipsync.services.grounds import BuyGround, Seller
from flipsync.services.lead_times import LeadTime
from flipsync.services.money_shares import MoneyReview, taker
from flipsync.services.order_choice import Staged, Version
from flipsync.services.pricing.fees import BPS
from flipsync.services.purchase_orders import MOST_LINES
from flipsync.services.tenant_settings import TenantProfile, TenantSettings
from flipsync.store.models import Supplier
from flipsync.store.repositories import forecast_runs, purchase_orders, suppliers
from flipsync.store.repositories import purchasing_reading as rows
from flipsync.store.repositories.purchasing_reading import BuyRow, Lately
from flipsync.store.repositories.sending_reading import SendRow

if TYPE_CHECKING:
    from flipsync.intelligence.sharing import Step
    from flipsync.services.buying import Goods, Plan, Terms

#: a forecast older than that says nothing of the weeks to come, and how long a no of the owner's holds
FRESH, REFUSED = timedelta(days=8), timedelta(days=7)
#: how a refusal of the owner's reads where it is on record
SAID_NO = "the owner said no"
_COMMANDS = tuple(each.type_name() for each in (PlacePurchaseOrder, OfferPurchaseOrder))
#: with fewer units sold lately, what was asked for them says more than what they brought
_ENOUGH_SOLD = 5
#: of suppliers that wait, so many are named; of an order's lines so many are told one by one
_NAMED = _SHOWN = 5


@dataclass(frozen=True)
class BuyLine:
    """Goods to be bought, and why so many. `service` is the chance that `level` covers what is asked for until a later
    order could arrive; `short_without` and `short_with` are units that are then asked for and not there."""

    variant_id: UUID
    stock_item_id: UUID
    sku: str
    units: int
    cost_minor: int
    position: int
    on_order: int
    weekly: float
    level: float
    service: float
    short_without: float
    short_with: float
    margin_minor: float
    urgent: bool


@dataclass(frozen=True)
class SupplierPlan:
    """One supplier's order. `days` is how far ahead it looks; `dearness` is above zero where cash does not reach."""

    supplier_id: UUID
    name: str
    currency: str
    mailed: bool
    lines: tuple[BuyLine, ...]
    more: int
    cost_minor: int
    lead: LeadTime
    days: float
    dearness: float
    #: what was said by the policies of the registry, and by the rule as shipped beside them
    choices: tuple[OrderChoice, ...] = ()

    @property
    def cost(self) -> Money:
        return Money(amount_minor=self.cost_minor, currency=self.currency)

    def words(self) -> str:
        told = "; ".join(self.line(line) for line in self.lines[:_SHOWN])
        rest = len(self.lines) - _SHOWN + self.more
        more = f"; {rest} more" if rest > 0 else ""
        way = "by mail" if self.mailed else "for you to place"
        known = f"seen in {self.lead.orders} orders" if self.lead.orders else "as you stated it"
        tight = "; cash does not reach for everything, so the best of it is bought" if self.dearness > 0 else ""
        arrives = f"there in about {self.lead.mean:.0f} days ({known}), nine in ten within {self.lead.latest:.0f}"
        return f"order from {self.name} for {self.cost}, {way}, {arrives}: {told}{more}{tight}"[:1500]

    def line(self, line: BuyLine) -> str:
        """One of its lines in words."""
        coming = f", {line.on_order} of it on order" if line.on_order else ""
        enough = f"{line.level:.0f} cover {self.days:.0f} days with a chance of {line.service:.0%}"
        there = f"{line.position} there{coming}; {line.weekly:.1f} sell a week"
        return f"{line.units} × {line.sku} ({there}, {enough})"[:300]


@dataclass(frozen=True)
class PurchaseReview:
    """All suppliers looked at: those to buy from now, and why others have to wait. `stopped` says why nothing was."""

    stopped: str
    goods: int
    due: tuple[UUID, ...]
    names: tuple[str, ...]
    cost_minor: int
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Worked:
    """What there is to buy of whom, sorted by currency and name, and why others have to wait."""

    plans: list[SupplierPlan]
    waiting: list[str]

    def of(self, supplier_id: UUID) -> SupplierPlan | None:
        return next((each for each in self.plans if each.supplier_id == supplier_id), None)

    def review(self, ground: BuyGround, review_days: int, now: datetime, *, urgent: bool) -> PurchaseReview:
        due, waiting = [], list(self.waiting)
        for each in self.plans:
            why = _waits(each, ground.lately.get(each.supplier_id), review_days, now, urgent=urgent)
            if why:
                waiting.append(f"{each.name}: {why}")
            else:
                due.append(each)
        return PurchaseReview(
            ground.stopped,
            len(ground.goods),
            tuple(each.supplier_id for each in due),
            tuple(each.name for each in due[:_NAMED]),
            sum(each.cost_minor for each in due),
            tuple(waiting[:_NAMED]),
        )


class PurchasingDesk:
    """Questions about buying, from one read-only transaction; worked out once for all of them."""

    def __init__(
        self,
        session: AsyncSession,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        note: Callable[[BuyGround], None] = lambda _: None,
    ) -> None:
        """`note` is told what each answer is worked out from."""
        self._session = session
        self._now = now
        self._profile = profile
        self._note = note
        self._worked: tuple[BuyGround, Worked] | None = None

    async def review(self, urgent: bool) -> PurchaseReview:
        """Whom to buy from. `urgent`: only where something may run out before an order placed now arrives."""
        ground, worked = await self._work()
        return worked.review(ground, ground.purchasing.review_days, self._now, urgent=urgent)

    async def returns(self) -> list[MoneyReview]:
        """By currency, what cash for goods still to come brings at each supplier; nothing where the owner sets no limit
        or nobody knows what will be wanted."""
        settings = (await self._profile()).settings
        cash = settings.purchasing.cash_minor
        run = await forecast_runs.latest(self._session)
        if not cash or run is None or self._now - run.origin > FRESH:
            return []
        found = await rows.goods(self._session, run.id, self._now)
        theirs = await suppliers.of_ids(self._session, {row.supplier_id for row in found})
        leads = await lead_times.of_suppliers(self._session, self._now, theirs)
        reviews = []
        for currency in sorted({each.currency for each in theirs}):
            names = sorted((each for each in theirs if each.currency == currency), key=lambda each: each.name)
            known = {each.id for each in names}
            part = [row for row in found if row.supplier_id in known]
            steps = await asyncio.to_thread(_returns, part, names, leads, settings)
            takers = [taker(each.id, each.name, 0, steps[at]) for at, each in enumerate(names)]
            reviews.append(MoneyReview(currency, cash, 1.0, takers))
        return reviews

    async def plan(self, supplier_id: UUID) -> SupplierPlan | None:
        """What to buy there now; None for nothing."""
        return (await self._work())[1].of(supplier_id)

    async def _work(self) -> tuple[BuyGround, Worked]:
        if self._worked is None:
            ground, staged = await self._look()
            self._worked = ground, await asyncio.to_thread(worked_out, ground, settings_of(ground), staged, self._now)
        self._note(self._worked[0])
        return self._worked

    async def _look(self) -> tuple[BuyGround, Staged]:
        settings = (await self._profile()).settings
        nothing = BuyGround(settings.purchasing, settings.pricing)
        if not await rows.anything_offered(self._session):
            return replace(nothing, stopped="no supplier offers anything"), Staged()
        run = await forecast_runs.latest(self._session)
        if run is None or self._now - run.origin > FRESH:
            age = "there is no forecast" if run is None else f"the forecast is of {run.origin:%Y-%m-%d}"
            return replace(nothing, stopped=f"{age}: nobody knows what will be wanted"), Staged()
        found = await rows.goods(self._session, run.id, self._now)
        if not found:
            return replace(nothing, stopped="nothing that a supplier offers is for sale"), Staged()
        theirs = await suppliers.of_ids(self._session, {row.supplier_id for row in found})
        mails = await purchase_orders.owners_mail(self._session) is not None
        staged = await order_choice.staged(self._session)
        ground = replace(
            nothing,
            goods=list(found),
            sellers=[
                Seller(each.id, each.name, each.currency, mails and each.email is not None, each.least_order_minor)
                for each in theirs
            ],
            leads=await lead_times.of_suppliers(self._session, self._now, theirs),
            lately=await rows.lately(self._session, _COMMANDS, SAID_NO),
            committed=await purchase_orders.committed(self._session),
            live=staged.live.id,
            canary=None if staged.canary is None else staged.canary.id,
            shadow=None if staged.shadow is None else staged.shadow.id,
            since=staged.since,
        )
        return ground, staged


def settings_of(ground: BuyGround) -> TenantSettings:
    """The owner's choices as a plan looks at them."""
    return TenantSettings(purchasing=ground.purchasing, pricing=ground.pricing)


def worked_out(ground: BuyGround, settings: TenantSettings, staged: Staged, now: datetime) -> Worked:
    """What to buy of whom under these settings."""
    choices, made = settings.purchasing, Worked([], [])
    for currency in sorted({each.currency for each in ground.sellers}):
        theirs = [each for each in ground.sellers if each.currency == currency]
        known = {each.id for each in theirs}
        out, cash = ground.committed.get(currency, {}), choices.cash_minor
        own: dict[UUID, int] = {}
        if cash is not None:
            cash = max(0, cash - sum(out.values()))
            for each in theirs:
                if (share := choices.cash_of(each.id)) is not None:
                    own[each.id] = max(0, share - out.get(each.id, 0))
        part = [row for row in ground.goods if row.supplier_id in known]
        plans, waiting = planned(part, theirs, ground.leads, settings, cash, own, staged=staged, now=now)
        made.plans.extend(plans)
        made.waiting.extend(waiting)
    return made


def _waits(each: SupplierPlan, known: Lately | None, review_days: int, now: datetime, *, urgent: bool) -> str:
    """Why nothing is bought there now; empty when it is."""
    pressing = any(line.urgent for line in each.lines)
    if known is not None and known.refused_at is not None and now - known.refused_at < REFUSED:
        return f"you said no on {known.refused_at:%Y-%m-%d}, and are asked again a week later"
    if pressing:
        return ""
    if urgent:
        return "nothing of theirs runs out before an order would arrive"
    pause = timedelta(days=review_days)
    if known is not None and known.placed_at is not None and now - known.placed_at < pause:
        return f"an order was placed on {known.placed_at:%Y-%m-%d}, the next is {pause.days} days later"
    return ""


def planned(
    found: Sequence[BuyRow],
    theirs: Sequence[Seller],
    leads: dict[UUID, LeadTime],
    settings: TenantSettings,
    cash: int | None,
    own: Mapping[UUID, int],
    *,
    staged: Staged,
    now: datetime,
) -> tuple[list[SupplierPlan], list[str]]:
    """What to buy of suppliers of one currency, and what has to wait for more. Sorted by name.

    `cash` is what is left for all, `own` what is left of the shares of those who have one. Each good is bought by the
    rule that `staged` has for it now, within the owner's step of the rule as shipped.
    """
    import numpy as np  # not in every process

    from flipsync.services import buying

    choices = settings.purchasing
    names = sorted(theirs, key=lambda each: each.name)
    terms = terms_of(settings)
    goods = goods_for(found, [each.id for each in names], leads, settings, terms)
    least = np.array([float(each.least_order_minor) for each in names])
    if not choices.policy_step_bps:
        staged = Staged()
    versions = order_choice.arms(staged, [row.supplier_id for row in found], choices.canary_bps, now)

    def told(rule: Rule) -> tuple[Plan, list[float]]:
        step = choices.policy_step_bps / BPS
        if cash is None or not own:
            most = None if cash is None else float(cash)
            plan = buying.plan(goods, terms, least_order=least, cash=most, rule=rule, step=step)
            return plan, [plan.dearness] * len(names)
        parts = np.array([float(min(cash, own.get(each.id, cash))) for each in names])
        return buying.plan_shares(goods, terms, least_order=least, cash=parts, rule=rule, step=step)

    plan, dearness = told(order_choice.rule_of(versions))
    said = {} if staged.plain else _said(found, versions, plan, staged, lambda rule: told(rule)[0])
    before, after = (buying.short(goods, terms, units) for units in (np.zeros(len(found)), plan.units))
    low = buying.runs_low(goods)
    lines: dict[int, list[BuyLine]] = {}
    for at in map(int, np.flatnonzero(plan.units > 0)):
        lines.setdefault(int(goods.supplier[at]), []).append(
            _line(found[at], goods, plan, at, float(before[at]), float(after[at]), low=bool(low[at]))
        )
    plans = []
    for at, each in enumerate(names):
        worth = sorted(lines.get(at, ()), key=lambda line: -(line.short_without - line.short_with) * line.margin_minor)
        if worth:
            kept = worth[:MOST_LINES]
            cut = {line.stock_item_id for line in worth[MOST_LINES:]}
            plans.append(
                SupplierPlan(
                    each.id,
                    each.name,
                    each.currency,
                    each.mailed,
                    tuple(kept),
                    len(worth) - len(kept),
                    sum(line.cost_minor for line in kept),
                    leads[each.id],
                    leads[each.id].mean + choices.review_days,
                    round(dearness[at], 3),
                    tuple(each for each in said.get(each.id, ()) if each.stock_item_id not in cut),
                )
            )
    why = "what is needed is less than they take, or more than cash is left for"
    waiting = [f"{names[at].name}: {why}" for at in sorted(plan.below)]
    return plans, waiting


def _returns(
    found: Sequence[BuyRow], names: Sequence[Supplier], leads: Mapping[UUID, LeadTime], settings: TenantSettings
) -> list[list[Step]]:
    from flipsync.services.buying_returns import cash_steps  # not in every process

    terms = terms_of(settings)
    return cash_steps(goods_for(found, [each.id for each in names], leads, settings, terms), terms, len(names))


def terms_of(settings: TenantSettings) -> Terms:
    """The owner's choices as a rule looks at them."""
    from flipsync.services import buying

    choices = settings.purchasing
    return buying.Terms(
        review_days=choices.review_days,
        holding=choices.holding_bps / BPS,
        line_cost=choices.line_cost_minor,
        most_cover_days=choices.most_cover_days,
    )


def goods_for(
    found: Sequence[BuyRow],
    order: Sequence[UUID],
    leads: Mapping[UUID, LeadTime],
    settings: TenantSettings,
    terms: Terms,
) -> Goods:
    """The rows as a rule looks at them; `order` are the suppliers by their place."""
    import numpy as np

    from flipsync.services.buying import goods_of

    place = {each: at for at, each in enumerate(order)}
    supplier = np.array([place[row.supplier_id] for row in found], dtype=np.int64)
    lead, spread = (np.array([getattr(leads[each], name) for each in order])[supplier] for name in ("mean", "spread"))
    weekly = np.array([row.weekly for row in found])
    for at, row in enumerate(found):
        if row.paths:  # weeks that differ: those it looks at
            weeks = max(1, -(-int(lead[at] + terms.review_days) // 7))
            told = sum(sum(path[:weeks]) / len(path[:weeks]) for path in row.paths)
            level = sum(sum(path) / len(path) for path in row.paths)
            weekly[at] += told - level
    pricing = settings.pricing
    net = np.array([net_of(row, pricing.marketplace_fee_bps, pricing.marketplace_fee_fixed_minor) for row in found])
    cost = np.array([row.pack_cost_minor / row.pack_units for row in found])
    return goods_of(
        weekly=weekly,
        variance=np.array([row.variance for row in found]),
        weeks_on_shelf=np.array([row.weeks_on_shelf for row in found]),
        position=np.array([float(row.free + row.on_order) for row in found]),
        margin=net - pricing.shipping_cost_minor - cost,
        pack_units=np.array([float(row.pack_units) for row in found]),
        pack_cost=np.array([float(row.pack_cost_minor) for row in found]),
        least_units=np.array([float(row.least_units) for row in found]),
        lead_days=lead,
        lead_spread=spread,
        supplier=supplier,
    )


def _said(
    found: Sequence[BuyRow],
    versions: Sequence[Version],
    plan: Plan,
    staged: Staged,
    told: Callable[[Rule], Plan],
) -> dict[UUID, list[OrderChoice]]:
    """By supplier, what each rule said of the goods that any of them buys; `told` plans by one, with the same cash."""
    shipped = told(SHIPPED)
    shadow = None if staged.shadow is None else (staged.shadow, told(staged.shadow.rule))
    said: dict[UUID, list[OrderChoice]] = {}
    for at, (row, version) in enumerate(zip(found, versions, strict=True)):
        role: Literal["acting", "canary"] = "canary" if version is staged.canary else "acting"
        asked: list[tuple[Version, Plan, Literal["acting", "canary", "shadow"]]] = [(version, plan, role)]
        if shadow is not None:
            asked.append((*shadow, "shadow"))
        if not shipped.units[at] and not any(made.units[at] for _, made, _ in asked):
            continue
        said.setdefault(row.supplier_id, []).extend(
            OrderChoice(
                policy_id=each.id,
                version=each.version,
                stock_item_id=row.stock_item_id,
                role=part,
                units=int(made.units[at]),
                shipped_units=int(shipped.units[at]),
                level=float(made.level[at]),
                up_to=float(made.up_to[at]),
            )
            for each, made, part in asked
        )
    return said


def net_of(row: BuyRow | SendRow, fee_bps: int, fee_fixed: int) -> float:
    """What a unit brings in after fees: as it did lately, else what is asked for it less the fee of settings."""
    if row.net_minor is not None and row.net_units >= _ENOUGH_SOLD:
        return row.net_minor
    return 0.0 if row.asked_minor is None else row.asked_minor * (1 - fee_bps / BPS) - fee_fixed


def _line(row: BuyRow, goods: Goods, plan: Plan, at: int, before: float, after: float, *, low: bool) -> BuyLine:
    units = int(plan.units[at])
    return BuyLine(
        variant_id=row.variant_id,
        stock_item_id=row.stock_item_id,
        sku=row.sku,
        units=units,
        cost_minor=units // row.pack_units * row.pack_cost_minor,
        position=row.free + row.on_order,
        on_order=row.on_order,
        weekly=round(float(goods.weekly[at]), 3),
        level=float(plan.level[at]),
        service=round(float(plan.service[at]), 4),
        short_without=round(before, 3),
        short_with=round(after, 3),
        margin_minor=round(float(goods.margin[at]), 1),
        urgent=low,
    )
