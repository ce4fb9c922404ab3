"""Two businesses that know nothing of each other, each with one of everything the API shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import select

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.notices.destination import parse
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund, ListingText
from flipsync.domain.clock import utc_now
from flipsync.domain.events import ListingEdited, OfferChanged, ProductEdited, SettingsChanged
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.domain.sourcing import CatalogueEntry
from flipsync.learning.policy import Origin
from flipsync.security.passwords import Passwords
from flipsync.security.roles import GRANTS, ROLES, OwnRole, Permission, RoleKind, kind_of
from flipsync.security.secrets import SecretBox
from flipsync.security.tokens import AccessTokens, Claims
from flipsync.services import (
    accounts,
    api_keys,
    credential_ends,
    goods_in,
    identity,
    model_registry,
    own_roles,
    purchase_orders,
    sales_facts,
    stock,
    suppliers,
    workflows,
)
from flipsync.services.consent_wish import Wish
from flipsync.services.consents import Consents
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.notices import destinations, matters
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.services.sourcing import scans
from flipsync.services.sync import beginning, devices, pushing
from flipsync.services.sync.mutations import Receive
from flipsync.store import models as m
from flipsync.store.database import Database
from flipsync.store.repositories import payouts as payout_rows
from flipsync.store.repositories import sourcing as sourcing_rows
from flipsync.store.unit_of_work import Store, UnitOfWork

PASSWORD = "correct horse battery staple"
API = "/api/v1"
#: what the role that each business defined itself may
PACKER: tuple[Permission, ...] = (
    "customers:read",
    "events:read",
    "keys:read",
    "keys:write",
    "orders:read",
    "orders:ship",
    "pricing:read",
    "purchasing:write",
    "users:read",
)


_PAID = {"amount": 1_700, "line": 1_600, "fee": 200, "none": 0}


@dataclass
class Business:
    """`marker` is in every text this business wrote, so that a leak of any of it can be seen."""

    marker: str
    tenant_id: UUID
    users: dict[str, UUID] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    tokens: AccessTokens | None = None
    own_role: OwnRole | None = None

    def headers(self, role: RoleKind = "owner", **more: str) -> dict[str, str]:
        assert self.tokens is not None and self.own_role is not None
        token = self.tokens.issue(
            user_id=self.users[role],
            tenant_id=self.tenant_id,
            role=self.own_role if role == "custom" else role,
            session_id=self.users[role],
        )
        return {"Authorization": f"Bearer {token}", **more}

    async def session(self, unit: UnitOfWork, user_id: UUID, session_id: UUID | None = None) -> UUID:
        """A session as if that user had just signed in; it stays good for money through a long run."""
        opened = session_id or new_id()
        unit.session.add(
            m.UserSession(
                id=opened,
                tenant_id=self.tenant_id,
                user_id=user_id,
                device=f"{self.marker} phone",
                proven_at=utc_now() + timedelta(days=1),
                expires_at=utc_now() + timedelta(days=30),
            )
        )
        await unit.session.flush()
        return opened

    def email(self, role: RoleKind = "owner") -> str:
        return f"{role}@{self.marker}.example"


async def found_business(
    store: Store, box: SecretBox, passwords: Passwords, tokens: AccessTokens, marker: str
) -> Business:
    """A business with a user of each role, an account, goods, a sale, a decision and a question."""
    tenant_id, owner_id = await identity.create_tenant_with_owner(
        store, passwords, tenant_name=f"{marker} Ltd", email=f"owner@{marker}.example", password=PASSWORD
    )
    business = Business(marker, tenant_id, {"owner": owner_id}, tokens=tokens)
    encoded = await passwords.hash(PASSWORD)
    async with store.unit(tenant_id) as unit:
        form = own_roles.RoleForm(name=f"{marker} packer", permissions=list(PACKER))
        made = await own_roles.create(unit, GRANTS["owner"], form)
        business.own_role = OwnRole.of(made.id, made.version, made.name, made.permissions)
        for role in (*ROLES[1:], business.own_role):
            kind = kind_of(role)
            user = m.User(
                tenant_id=tenant_id, email=business.email(kind), password_hash=encoded, **own_roles.columns(role)
            )
            unit.session.add(user)
            await unit.session.flush()
            business.users[kind] = user.id
        for user_id in business.users.values():
            await business.session(unit, user_id, user_id)  # of which `headers` speak
        business.ids["account_id"] = await accounts.connect_account(
            unit,
            box,
            vendor="custom",
            name=f"{marker} shop",
            config=AccountConfig(vendor="custom", base_url="http://127.0.0.1:9/", currency="USD"),
            credentials={"token": f"{marker}-credential", "webhook_secret": f"{marker}-webhook-secret"},
        )
        wish = Wish(
            vendor="woocommerce",
            name=f"{marker} web shop",
            place={"base_url": "https://shop.example.com", "currency": "USD"},
        )
        consents = Consents(store, box, Unlimited(), applications={})
        started = await consents.start(unit, wish, user_id=owner_id, public_url="https://api.test")
        business.ids["consent_id"] = started.id
        await credential_ends.record(
            unit, business.ids["account_id"], "custom", {"refresh_expires_at": "2099-01-01T00:00:00+00:00"}
        )
    async with store.unit(tenant_id) as unit:
        await _stock_and_list(unit, business)
    async with store.unit(tenant_id) as unit:
        await _buy(unit, business)
        await _transfer(unit, business)
    async with store.unit(tenant_id) as unit:
        await _sell(unit, business)
        await _pay_out(unit, business)
        await _report(unit, business)
    await sales_facts.run(store, tenant_id)
    async with store.unit(tenant_id) as unit:
        await _decide(unit, business)
        business.ids["user_id"] = business.users["clerk"]
        business.ids["role_id"] = business.own_role.id
        business.ids["session_id"] = await business.session(unit, owner_id)
        business.ids["key_id"] = await _make_key(unit, business)
        business.ids["passkey_id"] = await _passkey(unit, business)
        linked = m.ProviderIdentity(
            tenant_id=tenant_id, user_id=owner_id, provider=marker, issuer="https://id.example", subject=marker
        )
        unit.session.add(linked)
        await unit.session.flush()
        business.ids["identity_id"] = linked.id
    async with store.unit(tenant_id) as unit:
        await matters.tell(unit)
        business.ids["notification_id"] = await _told(unit, owner_id)
        url = SecretStr(f"https://hooks.{marker}.example/secret")
        way = await destinations.add(unit, box, owner_id, url, parse(url.get_secret_value()))
        business.ids["destination_id"] = way.id
    await _sync(store, business)
    return business


async def _passkey(unit: UnitOfWork, business: Business) -> UUID:
    """Revoked, so that signing in asks for nothing more than a password."""
    passkey = m.Passkey(
        tenant_id=business.tenant_id,
        user_id=business.users["owner"],
        name=f"{business.marker} key",
        credential_id=business.marker.encode(),
        public_key=business.marker.encode(),
        revoked_at=unit.now,
    )
    unit.session.add(passkey)
    await unit.session.flush()
    return passkey.id


async def _automate(unit: UnitOfWork, business: Business, event_id: UUID) -> None:
    step = {"do": "ask", "question": f"{business.marker} asks"}
    written = {"name": f"{business.marker}-asks", "trigger": {"event": "ListingVanished"}, "steps": [step]}
    view = await workflows.write(unit, written, by=business.users["owner"])
    business.ids |= {"workflow_id": view.id, "run_id": new_id(), "triggered_by": event_id}


async def run_automation(worker: Database, business: Business) -> None:
    """A run under way, which only a worker may write down."""
    async with worker.session(business.tenant_id) as session:
        session.add(
            m.WorkflowRun(
                id=business.ids["run_id"],
                tenant_id=business.tenant_id,
                workflow_id=business.ids["workflow_id"],
                event_id=business.ids.pop("triggered_by"),
                began_id=new_id(),
                subject_kind="listing",
                subject_id=business.ids["listing_id"],
                why=business.marker,
                started_at=utc_now(),
            )
        )


def told_payout(marker: str) -> tuple[ChannelPayout, list[ChannelPayoutLine]]:
    """A payout of 17.00 whose only line is a sale of an order that nobody knows, of which 1.00 is missing."""
    at, money = utc_now(), {name: Money(amount_minor=minor, currency="USD") for name, minor in _PAID.items()}
    payout = ChannelPayout(
        external_id=f"{marker}-payout",
        state="paid",
        vendor_state=f"{marker} PAID",
        amount=money["amount"],
        fee=money["none"],
        sent_at=at,
        bank=f"{marker} 1234",
    )
    line = ChannelPayoutLine(
        external_id=f"{marker}-line",
        kind="sale",
        vendor_kind="SALE",
        amount=money["line"],
        fee=money["fee"],
        order_external_id=f"{marker}-unknown",
        booked_at=at,
    )
    return payout, [line]


async def _pay_out(unit: UnitOfWork, business: Business) -> None:
    payout, lines = told_payout(business.marker)
    assert await payout_rows.add(unit, business.ids["account_id"], payout, lines)
    found = await unit.session.scalars(select(m.Payout.id))
    business.ids["payout_id"] = found.one()


async def _buy(unit: UnitOfWork, business: Business) -> None:
    marker, variant_id = business.marker, business.ids["variant_id"]
    supplier = await suppliers.create(unit, suppliers.SupplierForm(name=f"{marker} wholesale", note=marker))
    offer = suppliers.OfferForm(pack_cost_minor=1000, supplier_sku=f"{marker}-W")
    await suppliers.put_offer(unit, supplier.id, variant_id, offer)
    wanted = {variant_id: purchase_orders.Wanted(6)}
    order = await purchase_orders.draft(unit, supplier.id, wanted, note=marker)
    await purchase_orders.place(unit, order.id)
    await purchase_orders.ordered(unit, order.id)
    await goods_in.receive(unit, order.id, {variant_id: 2}, key=marker, note=marker)
    line = (await unit.session.scalars(select(m.PurchaseOrderLine.id))).one()
    business.ids |= {"supplier_id": supplier.id, "purchase_order_id": order.id, "purchase_order_line_id": line}


async def _transfer(unit: UnitOfWork, business: Business) -> None:
    """A unit on its way to a warehouse of the channel's."""
    there = m.StockItem(
        tenant_id=business.tenant_id, variant_id=business.ids["variant_id"], pool=f"fba:{business.ids['account_id']}"
    )
    unit.session.add(there)
    await unit.session.flush()
    sent = m.StockTransfer(
        tenant_id=business.tenant_id,
        number=1,
        account_id=business.ids["account_id"],
        from_item_id=business.ids["stock_item_id"],
        to_item_id=there.id,
        state="sent",
        planned=1,
        sent=1,
        sent_at=unit.now,
        due_at=unit.now + timedelta(days=30),
        note=business.marker,
    )
    unit.session.add(sent)
    await unit.session.flush()
    business.ids |= {"transfer_id": sent.id, "to_item_id": there.id}


async def _told(unit: UnitOfWork, user_id: UUID) -> UUID:
    query = select(m.Notification.id).where(m.Notification.user_id == user_id, m.Notification.kind == "refund-unknown")
    return (await unit.session.scalars(query)).one()


async def _sync(store: Store, business: Business) -> None:
    """The owner's phone, which told one thing."""
    owner = Claims(business.users["owner"], business.tenant_id, "owner", business.users["owner"], utc_now())
    await beginning.begin(store, business.tenant_id)
    async with store.unit(business.tenant_id) as unit:
        device = await devices.register(unit, owner, f"{business.marker} phone", unit.now)
    told = Receive(
        kind="stock.receive",
        id=new_id(),
        seq=1,
        at=store.clock.now(),
        variant_id=business.ids["variant_id"],
        quantity=1,
        note=business.marker,
    )
    await pushing.push(store, owner, device.id, [told], sent_at=store.clock.now())
    business.ids |= {"device_id": device.id, "mutation_id": told.id}


async def _make_key(unit: UnitOfWork, business: Business) -> UUID:
    maker = Claims(business.users["owner"], business.tenant_id, "owner", business.users["owner"], utc_now())
    view, _ = await api_keys.make(
        unit,
        maker,
        name=f"{business.marker} printer",
        permissions=["orders:read"],
        expires_at=utc_now() + timedelta(days=30),
        per_minute=600,
    )
    return view.id


async def _stock_and_list(unit: UnitOfWork, business: Business) -> None:
    tenant_id, marker = business.tenant_id, business.marker
    product = m.Product(
        tenant_id=tenant_id,
        handle=f"{marker}-teapot",
        title=f"{marker} teapot",
        description_html=f"<p>{marker}</p>",
        brand=marker,
        category=marker,
        tags=[marker],
        images=[f"https://{marker}.example/teapot.jpg"],
    )
    unit.session.add(product)
    await unit.session.flush()
    variant = m.Variant(
        tenant_id=tenant_id,
        product_id=product.id,
        sku=f"{marker}-SKU",
        currency="USD",
        price_minor=2999,
        cost_minor=1000,
        cost_as_of=unit.now,
        floor_minor=1500,
        ceiling_minor=4000,
    )
    unit.session.add(variant)
    await unit.session.flush()
    stock_item_id = await stock.receive(unit, variant.id, 10, key=f"{marker}:first", mode="escrow", note=marker)
    listing = m.Listing(
        tenant_id=tenant_id,
        account_id=business.ids["account_id"],
        variant_id=variant.id,
        sku=variant.sku,
        external_id=f"{marker}-external",
        status="active",
        title=f"{marker} teapot",
        currency="USD",
        price_minor=2999,
        quantity_shown=5,
        published_at=unit.now - timedelta(days=3),
    )
    unit.session.add(listing)
    await unit.session.flush()
    unit.session.add_all(
        [
            m.Allocation(tenant_id=tenant_id, stock_item_id=stock_item_id, listing_id=listing.id, entitled=5, target=5),
            m.AdListing(
                tenant_id=tenant_id,
                listing_id=listing.id,
                account_id=business.ids["account_id"],
                campaign_id=f"{marker}-campaign",
                rate_bps=450,
                **dict.fromkeys(("rate_since", "first_at", "seen_at"), unit.now),
            ),
            m.AdDay(
                tenant_id=tenant_id,
                listing_id=listing.id,
                day=unit.now.date(),
                offered=True,
                units=3,
                ad_units=2,
                ad_sales_minor=3000,
                ad_fees_minor=90,
                currency="USD",
            ),
            m.RivalMove(
                tenant_id=tenant_id,
                listing_id=listing.id,
                seller=f"{marker} rival",
                price_minor=2899,
                currency="USD",
                in_stock=True,
                at=unit.now,
            ),
            m.RivalAlarm(
                tenant_id=tenant_id,
                listing_id=listing.id,
                alarm="hijack",
                why=f"{marker} alarm",
                evidence=[],
                raised_at=unit.now,
            ),
            m.RivalOfferSeen(
                tenant_id=tenant_id,
                listing_id=listing.id,
                seller=f"{marker} rival",
                price_minor=2899,
                currency="USD",
                in_stock=True,
                seen_at=unit.now,
            ),
        ]
    )
    for old, new in ((None, 3099), (3099, 2999)):
        unit.session.add(
            m.PriceChange(
                tenant_id=tenant_id,
                listing_id=listing.id,
                old_minor=old,
                new_minor=new,
                currency="USD",
                floor_minor=1500,
                effect_id=new_id(),
                reason=marker,
            )
        )
    run = m.ForecastRun(
        tenant_id=tenant_id,
        origin=unit.now - timedelta(days=8),
        horizon=12,
        inside=0.8,
        method=f"{marker} method",
        baseline_wins=True,
        why=f"{marker} forecast",
        rmsse={"IMAPA": 0.7},
        series=1,
        code_version=marker,
        weeks_judged=1,
    )
    unit.session.add(run)
    await unit.session.flush()
    unit.session.add(
        m.Trend(
            tenant_id=tenant_id,
            at=unit.now,
            kind="rising",
            stock_item_id=stock_item_id,
            since=unit.now - timedelta(days=30),
            ratio=2.5,
            q=0.01,
            why=f"{marker} rises",
            evidence={"units_before": 4.0},
        )
    )
    unit.session.add(
        m.Forecast(
            tenant_id=tenant_id,
            run_id=run.id,
            stock_item_id=stock_item_id,
            account_id=business.ids["account_id"],
            weekly=2.0,
            low=0.0,
            high=4.0,
            scale=2.0,
            own_share=0.5,
            weeks_on_shelf=4.0,
            units_sold=9,
            weeks=1,
            sold=3.0,
            expected=2.0,
            covered=1,
            squared=1.0,
            pinball=0.2,
        )
    )
    await unit.session.flush()
    directive = m.DirectiveRow(
        tenant_id=tenant_id,
        kind="hold-prices",
        account_id=business.ids["account_id"],
        category=f"{marker} lamps",
        reason=f"{marker} season",
        starts_at=utc_now(),
        ends_at=utc_now() + timedelta(days=7),
    )
    plan = m.Plan(
        tenant_id=tenant_id,
        starts_at=utc_now(),
        ends_at=utc_now() + timedelta(days=28),
        goals=f"{marker} goals",
        why=f"{marker} why",
        forecast_origin=utc_now(),
    )
    unit.session.add_all([directive, plan])
    await unit.session.flush()
    unit.session.add(
        m.Initiative(
            tenant_id=tenant_id,
            plan_id=plan.id,
            title=f"{marker} target",
            owner="market",
            figure="goods",
            account_id=business.ids["account_id"],
            currency="USD",
            skus=[f"{marker}-SKU"],
            base=1.0,
            expected=2.0,
            target=2.0,
            probability=0.5,
            quantiles=[1.0, 2.0],
        )
    )
    await unit.session.flush()
    business.ids["directive_id"] = directive.id
    told = {"webhook_base_url": f"https://{marker}.example"}
    unit.emit(SettingsChanged(tenant_id=tenant_id, before={"webhook_base_url": None}, after=told, by=None))
    edited = ProductEdited(product_id=product.id, before={"brand": "none"}, after={"brand": marker}, by=None)
    business.ids |= {
        "change_id": unit.emit(edited),
        "product_id": product.id,
        "forecast_run_id": run.id,
        "variant_id": variant.id,
        "stock_item_id": stock_item_id,
        "listing_id": listing.id,
    }
    await _asked_about(unit, business)


async def _asked_about(unit: UnitOfWork, business: Business) -> None:
    """A question about goods of its own, with advice and what a catalogue told."""
    question = scans.read_question("4006381333931", title=f"{business.marker} teapot")
    scan = await scans.ask(unit, [question], name=f"{business.marker} list")
    line = await sourcing_rows.line_of(unit.session, scan.id)
    assert line is not None
    line.variant_id, line.verdict, line.why = business.ids["variant_id"], "buy", f"{business.marker} is cheap"
    entry = CatalogueEntry(key=str(line.id), external_id=f"{business.marker} page", title=business.marker)
    account = AccountRef(business.ids["account_id"], "custom")
    await scans.enter_answer(unit, account, scan.id, 0, [entry], "USD")
    business.ids |= {"list_id": scan.id, "scan_id": scan.id, "line_id": line.id}


def told_order(marker: str, external_id: str, quantity: int = 1) -> ChannelOrder:
    """An order as the custom channel would tell it."""

    def usd(minor: int) -> Money:
        return Money(amount_minor=minor, currency="USD")

    now = utc_now()
    return ChannelOrder(
        external_id=external_id,
        number=f"{marker}-{external_id}",
        status="paid",
        vendor_status="paid",
        holds_stock=True,
        placed_at=now,
        modified_at=now,
        currency="USD",
        lines=(
            ChannelOrderLine(
                external_id=f"{external_id}-1",
                listing_external_id=f"{marker}-external",
                sku=f"{marker}-SKU",
                title=f"{marker} teapot",
                quantity=quantity,
                total=usd(2999 * quantity),
                tax=usd(0),
            ),
        ),
        shipping=usd(500),
        tax=usd(0),
        total=usd(2999 * quantity + 500),
        refunds=(ChannelRefund(external_id="r1", amount=usd(100), created_at=now),),
        ship_to=Address(name=f"{marker} buyer", line1="1 Main St", city="Springfield", country="US"),
        buyer_id=f"{marker}-{external_id}-regular",
    )


async def _report(unit: UnitOfWork, business: Business) -> None:
    """A report the owner has every day, and one that was made."""
    row = m.ReportSchedule(
        tenant_id=business.tenant_id,
        user_id=business.users["owner"],
        kind="sales",
        format="csv",
        rhythm="daily",
        at="07:00",
        next_at=unit.now + timedelta(days=1),
    )
    unit.session.add(row)
    await unit.session.flush()
    made = m.ReportRun(
        tenant_id=business.tenant_id,
        schedule_id=row.id,
        due_at=unit.now,
        first=unit.now.date(),
        last=unit.now.date(),
        state="made",
        file_name=f"{business.marker}.csv",
        detail=business.marker,
        content=business.marker.encode(),
        size=1,
        finished_at=unit.now,
    )
    unit.session.add(made)
    await unit.session.flush()
    business.ids |= {"schedule_id": row.id, "report_run_id": made.id}


async def _sell(unit: UnitOfWork, business: Business) -> None:
    result = await ingest_order(
        unit, AccountRef(business.ids["account_id"], "custom"), told_order(business.marker, "first")
    )
    business.ids["order_id"] = result.order_id
    sold = await ingest_order(
        unit, AccountRef(business.ids["account_id"], "custom"), told_order(business.marker, "doubted")
    )
    told = {"amount_minor": 100, "currency": "USD", "reason": business.marker, "units": {}, "restock": False}
    doubted = m.RefundRequest(tenant_id=business.tenant_id, order_id=sold.order_id, state="unknown", **told)
    unit.session.add(m.RefundRequest(tenant_id=business.tenant_id, order_id=result.order_id, state="refused", **told))
    unit.session.add(doubted)
    await unit.session.flush()
    business.ids["refund_id"] = doubted.id
    marker = business.marker
    label = m.LabelPurchase(
        tenant_id=business.tenant_id,
        order_id=result.order_id,
        parcel={"weight_grams": 1, "length_mm": 1, "width_mm": 1, "height_mm": 1},
        ship_from={"name": marker},
        service="",
        most_minor=1,
        currency="USD",
        state="unknown",
        detail=marker,
    )
    unit.session.add(label)
    await unit.session.flush()
    business.ids["label_id"] = label.id
    unit.session.add(
        m.Shipment(
            tenant_id=business.tenant_id, order_id=result.order_id, carrier="usps", tracking_number=business.marker
        )
    )


async def _decide(unit: UnitOfWork, business: Business) -> None:
    tenant_id, marker = business.tenant_id, business.marker
    event_id = unit.emit(
        OfferChanged(
            listing_id=business.ids["listing_id"], account_id=business.ids["account_id"], vendor="custom", cause="sale"
        )
    )
    await unit.flush()
    for state in ("applied", "awaiting"):
        decision = m.AgentDecision(
            tenant_id=tenant_id,
            agent="market",
            agent_version="1",
            event_id=event_id,
            state=state,
            source="rules",
            rationale=f"{marker} has its reasons",
            confidence=0.9,
            stake_minor=500,
            stake_currency="USD",
            alternatives=[{"name": "hold", "scores": {"profit_minor_per_day": 1.0}, "why": marker, "chosen": False}],
            evidence=[{"kind": "listing", "id": str(business.ids["listing_id"]), "note": marker}],
            correlation_id=event_id,
        )
        unit.session.add(decision)
        await unit.session.flush()
        proposal = m.Proposal(
            tenant_id=tenant_id,
            decision_id=decision.id,
            ordinal=0,
            command="ChangePrice",
            payload={"note": marker},
            subject_kind="listing",
            subject_id=business.ids["listing_id"],
            verdict="proceed",
            reason=marker,
        )
        unit.session.add(proposal)
        await unit.session.flush()
        if state == "applied":
            await _carry_out(unit, business, proposal.id)
            business.ids["decision_id"] = decision.id
    spoiled = m.AgentTask(
        tenant_id=tenant_id,
        agent="test_poisoned",
        event_id=event_id,
        priority=50,
        state="failed",
        attempts=5,
        error=f"{marker} cannot be read",
        finished_at=unit.now,
    )
    held = m.HeldOrder(
        tenant_id=tenant_id,
        account_id=business.ids["account_id"],
        key=f"{marker}-unread",
        external_id=f"{marker}-unread",
        mark=marker,
        reason="lines.0.quantity: Input should be a valid integer",
        told=f'{{"id":"{marker}-unread"}}',
        look_at=unit.now,
        first_seen_at=unit.now,
        last_seen_at=unit.now,
    )
    unit.session.add_all([spoiled, held])
    await unit.session.flush()
    business.ids["task_id"] = spoiled.id
    business.ids["held_order_id"] = held.id
    business.ids["approval_id"] = await ask(unit, decision.id, marker)
    business.ids["edit_id"] = await edit_on_channel(unit, business)
    await _automate(unit, business, decision.event_id)
    await _learn(unit, business)


async def edit_on_channel(unit: UnitOfWork, business: Business) -> UUID:
    """Somebody edited the listing on its channel, and an agent asks whose words stay; the edit's id."""
    listing_id, account_id = business.ids["listing_id"], business.ids["account_id"]
    edit_id = unit.emit(
        ListingEdited(
            listing_id=listing_id,
            account_id=account_id,
            vendor="custom",
            fields=("title",),
            ours=ListingText(title=f"{business.marker} teapot"),
            theirs=ListingText(title=f"{business.marker} tea pot"),
            listings=(listing_id,),
        )
    )
    await unit.flush()
    decision = m.AgentDecision(
        tenant_id=business.tenant_id,
        agent="market",
        agent_version="1",
        event_id=edit_id,
        state="awaiting",
        source="rules",
        rationale=f"{business.marker} was edited",
        confidence=0.9,
        correlation_id=edit_id,
    )
    unit.session.add(decision)
    await unit.session.flush()
    await ask(unit, decision.id, business.marker)
    return edit_id


async def _learn(unit: UnitOfWork, business: Business) -> None:
    tenant_id, marker = business.tenant_id, business.marker
    experiment = m.Experiment(
        tenant_id=tenant_id, problem="shop-price", seed=1, samples=2, code_version="c", data={}, cause=marker
    )
    unit.session.add(experiment)
    await unit.session.flush()
    unit.session.add(
        m.ExperimentTrial(
            tenant_id=tenant_id, experiment_id=experiment.id, number=0, params={}, scores=[1.0], memory={}
        )
    )
    policy = ShopPrice.as_shipped(Origin("shop-price", marker, 1))
    business.ids["experiment_id"] = experiment.id
    business.ids["model_id"] = await model_registry.keep(
        unit,
        "shop-price",
        policy,
        experiment_id=experiment.id,
        code_version="c",
        data={},
        seeds={},
        scores={"difference": [0.1, 0.05, 0.15], "unit": marker, "runs": 10, "learned": True},
    )


async def ask(unit: UnitOfWork, decision_id: UUID, marker: str, hours: int = 48) -> UUID:
    """An open question about a decision."""
    approval = m.Approval(
        tenant_id=unit.tenant_id,
        decision_id=decision_id,
        question=f"{marker}: may I?",
        expires_at=unit.now + timedelta(hours=hours),
    )
    unit.session.add(approval)
    await unit.session.flush()
    return approval.id


async def _carry_out(unit: UnitOfWork, business: Business, proposal_id: UUID) -> None:
    effect = m.Effect(
        tenant_id=business.tenant_id,
        account_id=business.ids["account_id"],
        proposal_id=proposal_id,
        command="ChangePrice",
        payload={},
        subject_kind="listing",
        subject_id=business.ids["listing_id"],
        key=f"{business.marker}:price",
        priority=50,
        state="confirmed",
        correlation_id=new_id(),
    )
    unit.session.add(effect)
    await unit.session.flush()
    unit.session.add(
        m.Receipt(
            tenant_id=business.tenant_id,
            effect_id=effect.id,
            attempt=1,
            outcome="confirmed",
            detail=business.marker,
            started_at=unit.now,
        )
    )


async def webhook_address(database: Database, business: Business) -> str:
    async with database.session(business.tenant_id) as session:
        found = await session.execute(
            select(m.MarketplaceAccount.webhook_token).where(m.MarketplaceAccount.id == business.ids["account_id"])
        )
        return found.scalar_one()


async def report_agents(worker: Database) -> None:
    """What the runtime writes when an agent is up."""
    async with worker.unbound() as session:
        await session.merge(m.AgentStatus(agent="market", replica=0, state="ready", epoch=1, ready_at=utc_now()))
