"""Two tenants in one database, and one of them attacks: every table, both roles, every kind of statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop, open_store, refund
from sqlalchemy import Table, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from flipsync.domain.clock import utc_now
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services import orders, sales_facts, stock
from flipsync.store import models as m
from flipsync.store.database import Database

#: tables that belong to no tenant
SHARED = {"agent_status", "installation_secret"}
#: tables of which a worker sees every tenant's rows: it claims from them
QUEUES = {"agent_task", "effect", "tenant"}
#: tables that the API's role only reads
WORKERS_ONLY = {"agent_standing", "budget_slice", "decision_outcome", "decision_tally", "graded_through"}
WORKERS_ONLY |= {"workflow_run", "workflow_step", "recalibration"}
WORKERS_ONLY |= {"episode", "listing_lease"}
OWNED: dict[str, Table] = {
    name: table for name, table in m.Base.metadata.tables.items() if "tenant_id" in table.columns
}


def written(table: str) -> list[str]:
    """Columns that statements may write, but for the keys."""
    told = [column for column in OWNED[table].columns if not column.computed]
    return [column.name for column in told if column.name not in ("id", "tenant_id")]


def tables() -> Any:
    return pytest.mark.parametrize("table", sorted(OWNED))


def roles() -> Any:
    return pytest.mark.parametrize("role", ["app", "worker"])


async def furnish(shop: Shop) -> None:
    """At least one row of the shop in every table."""
    await shop.found()
    async with shop.unit() as unit:
        unit.session.add(m.SyncBegun(tenant_id=shop.tenant_id, filled_at=unit.now))
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    tenant = {"tenant_id": shop.tenant_id}
    marker = str(shop.tenant_id)
    async with shop.unit() as unit:
        sold = shop.order({goods.sku: 1}, refunds=(refund("r", utc_now(), line_0=1),))
        order = await orders.ingest_order(unit, account, sold.model_copy(update={"buyer_id": marker}))
        await stock.receive(unit, goods.variant_id, 1, key=f"{marker}:one", mode="escrow")
        event_id = unit.emit(OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale"))
        await unit.flush()
        unit.audit("key.made", "key", marker)
        now = unit.now
        later = now + timedelta(days=1)
        own_role = m.CustomRole(**tenant, name=marker, permissions=["orders:read"])
        unit.session.add(own_role)
        await unit.session.flush()
        user = m.User(**tenant, email=f"{marker}@example.com", password_hash="x", role="custom", role_id=own_role.id)
        decision = m.AgentDecision(
            **tenant,
            agent="pricing",
            agent_version="1",
            event_id=event_id,
            state="held",
            source="rules",
            rationale=marker,
            confidence=1.0,
            correlation_id=event_id,
        )
        unit.session.add_all([user, decision])
        await unit.session.flush()
        proposal = m.Proposal(
            **tenant,
            decision_id=decision.id,
            ordinal=0,
            command="ChangePrice",
            payload={},
            subject_kind="listing",
            subject_id=listing,
        )
        effect = m.Effect(
            **tenant,
            account_id=account.id,
            command="PullOrders",
            payload={},
            subject_kind="account",
            subject_id=account.id,
            key=marker,
            priority=50,
            correlation_id=event_id,
            state="confirmed",
            finished_at=now,
        )
        experiment = m.Experiment(**tenant, problem=marker, seed=1, samples=2, code_version="c", data={})
        automation = m.Workflow(
            **tenant, name=marker, version=1, origin="owner", state="paused", definition={}, note=marker
        )
        policy = m.PolicyVersion(
            **tenant,
            **dict.fromkeys(("name", "kind", "version", "digest", "artefact", "code_version"), marker),
            **{key: {} for key in ("data", "seeds", "scores")},
        )
        run = m.ForecastRun(
            **tenant,
            **dict.fromkeys(("method", "why", "code_version"), marker),
            origin=now,
            horizon=12,
            inside=0.8,
            baseline_wins=False,
            rmsse={},
            series=1,
        )
        way = m.NotificationDestination(
            **tenant, user_id=user.id, channel="chat", service="hook", shown=marker, sealed=b""
        )
        clock = dict.fromkeys(("before_clock_at", "before_server_at", "clock_at", "server_at"), now)
        line = m.SourcingLine(**tenant, id=new_id(), place=0, text=marker, title="", currency="USD", units=1)
        device = m.SyncDevice(**tenant, id=new_id(), user_id=user.id, name=marker, **clock)
        scan = m.SourcingScan(**tenant, kind="query", name=marker, lines=1, asked_at=now)
        directive = m.DirectiveRow(
            **tenant, kind="hold-prices", account_id=account.id, reason=marker, starts_at=now, ends_at=later
        )
        plan = m.Plan(**tenant, starts_at=now, ends_at=later, goals=marker, why=marker, forecast_origin=now)
        supplier = m.Supplier(**tenant, name=marker, currency="USD", lead_mean_days=9.0, lead_spread_days=2.0)
        unit.session.add_all(
            [proposal, effect, experiment, policy, run, way, scan, automation, directive, plan, supplier]
        )
        await unit.session.flush()
        report = m.ReportSchedule(
            **tenant, user_id=user.id, kind="sales", format="csv", rhythm="daily", at="07:00", next_at=later
        )
        unit.session.add(report)
        await unit.session.flush()
        there = m.StockItem(**tenant, variant_id=goods.variant_id, pool="fba")
        unit.session.add(there)
        await unit.session.flush()
        bought = m.PurchaseOrder(**tenant, supplier_id=supplier.id, number=1, currency="USD")
        unit.session.add(bought)
        await unit.session.flush()
        bought_line = m.PurchaseOrderLine(
            **tenant, order_id=bought.id, variant_id=goods.variant_id, units=2, cost_minor=2, supplier_sku=marker
        )
        unit.session.add(bought_line)
        await unit.session.flush()
        automated = m.WorkflowRun(
            **tenant,
            workflow_id=automation.id,
            event_id=event_id,
            began_id=event_id,
            subject_kind="listing",
            subject_id=listing,
            why=marker,
            started_at=now,
        )
        unit.session.add(automated)
        await unit.session.flush()
        line.scan_id = scan.id
        paid = m.Payout(
            **tenant,
            account_id=account.id,
            amount_minor=1,
            fee_minor=0,
            currency="USD",
            state="paid",
            **dict.fromkeys(("external_id", "vendor_state", "bank"), marker),
            **dict.fromkeys(("sent_at", "read_at", "changed_at"), now),
        )
        unit.session.add(paid)
        await unit.session.flush()
        unit.session.add_all(
            [
                m.Receipt(**tenant, effect_id=effect.id, attempt=1, outcome="confirmed", started_at=now),
                m.Initiative(
                    **tenant,
                    plan_id=plan.id,
                    account_id=account.id,
                    figure="goods",
                    skus=[],
                    quantiles=[],
                    **dict.fromkeys(("title", "owner"), marker),
                    **dict.fromkeys(("base", "expected", "target", "probability"), 0.5),
                ),
                m.ListingLease(
                    **tenant,
                    listing_id=listing,
                    part="words",
                    agent="market",
                    rank=0,
                    score=0.5,
                    decision_id=decision.id,
                    until=later,
                ),
                m.DecisionNotes(**tenant, id=decision.id, packed=b"", size=0),
                m.Approval(**tenant, decision_id=decision.id, question=marker, expires_at=later),
                m.WorkflowStep(
                    **tenant, run_id=automated.id, ordinal=0, kind="tell", state="done", why=marker, began_at=now
                ),
                m.WorkflowWatch(**tenant, event_type="PriceSet", workflow_id=automation.id),
                m.RefreshToken(
                    **tenant, user_id=user.id, family_id=new_id(), token_hash=f"hash {marker}", expires_at=later
                ),
                m.UserSession(**tenant, user_id=user.id, device=marker, expires_at=later),
                m.SecondFactor(**tenant, user_id=user.id, sealed=b""),
                m.Passkey(
                    **tenant, user_id=user.id, name=marker, credential_id=marker.encode(), public_key=marker.encode()
                ),
                m.ProviderIdentity(
                    **tenant, user_id=user.id, provider="x", issuer="https://id.example", subject=marker
                ),
                m.SpentNote(**tenant, mark=marker, expires_at=later),
                m.RecoveryCode(**tenant, user_id=user.id, code_hash=f"code {marker}"),
                m.ApiKey(
                    **tenant,
                    user_id=user.id,
                    name=marker,
                    prefix="fs_",
                    key_hash=f"key {marker}",
                    permissions=[],
                    per_minute=1,
                    expires_at=later,
                ),
                m.IdempotencyRecord(**tenant, key=marker, fingerprint="f"),
                m.ImportRun(**tenant, file_name=marker, format="generic"),
                m.LabelPurchase(
                    **tenant,
                    order_id=order.order_id,
                    parcel={"weight_grams": 1, "length_mm": 1, "width_mm": 1, "height_mm": 1},
                    ship_from={"name": marker},
                    service="",
                    most_minor=1,
                    currency="USD",
                ),
                m.RefundRequest(
                    **tenant,
                    order_id=order.order_id,
                    amount_minor=1,
                    currency="USD",
                    reason=marker,
                    units={},
                    restock=False,
                ),
                m.Shipment(**tenant, order_id=order.order_id, carrier="UPS", tracking_number=marker),
                m.ConsentRequest(
                    **tenant,
                    user_id=user.id,
                    vendor="ebay",
                    account_id=account.id,
                    name=marker,
                    config={},
                    stock_mode="escrow",
                    state_hash=marker,
                    sealed=b"",
                    redirect_uri="",
                    delivery_uri="",
                    expires_at=later,
                ),
                m.Notification(
                    **tenant,
                    user_id=user.id,
                    key=marker,
                    kind="oversold",
                    source="oversold",
                    severity="urgent",
                    subject_kind="order",
                    facts={"order": marker},
                ),
                m.NotificationDelivery(**tenant, user_id=user.id, destination_id=way.id, purpose="one", about=[marker]),
                m.NotificationPreference(**tenant, user_id=user.id, choices={}),
                m.Forecast(
                    **tenant,
                    run_id=run.id,
                    stock_item_id=goods.stock_item_id,
                    account_id=account.id,
                    weekly=1.0,
                    low=0.0,
                    high=3.0,
                    scale=1.0,
                    own_share=0.5,
                    weeks_on_shelf=1.0,
                    units_sold=1,
                ),
                m.Trend(
                    **tenant,
                    at=now,
                    kind="rising",
                    stock_item_id=goods.stock_item_id,
                    since=now,
                    ratio=2.0,
                    q=0.01,
                    why=marker,
                    evidence={},
                ),
                m.ReportRun(
                    **tenant, schedule_id=report.id, due_at=now, first=now.date(), last=now.date(), detail=marker
                ),
                m.UserErasure(**tenant, user_id=user.id, erased_at=now),
                m.Erasure(**tenant, account_id=account.id, order_external_id=marker, reason="asked"),
                m.CredentialEnd(**tenant, account_id=account.id, credential="refresh", ends_at=later),
                m.WebhookDelivery(**tenant, account_id=account.id, dedup_key=marker, topic="order"),
                m.WebhookTrouble(**tenant, account_id=account.id, kind="forged", minute=now, last_at=now, count=1),
                m.ListingNeed(
                    **tenant, listing_id=listing, check="pictures", says=marker, minutes=1, gain_minor=1, at=now
                ),
                m.ListingKnowledge(
                    **tenant, listing_id=listing, external_id=marker, facts={"type": marker}, learnt_at=now
                ),
                m.HeldOrder(
                    **tenant,
                    account_id=account.id,
                    key=marker,
                    external_id=marker,
                    mark=marker,
                    reason="",
                    told="",
                    look_at=now,
                    first_seen_at=now,
                    last_seen_at=now,
                ),
                m.ChannelFault(
                    **tenant,
                    account_id=account.id,
                    cause="webhooks-missing",
                    since=now,
                    opened_at=now,
                    last_seen_at=now,
                    evidence=[marker],
                    hint="",
                ),
                m.ChannelPace(
                    **tenant,
                    account_id=account.id,
                    told_sales=1,
                    told_seconds=[1.0],
                    shown_sales=1,
                    shown_seconds=[1.0],
                    demand_weight=1.0,
                    demand_shares=[1.0],
                    demand_shapes=[0.5],
                    demand_seconds=[9.0],
                ),
                line,
                m.CatalogueAnswer(**tenant, scan_id=scan.id, account_id=account.id, part=0, found=1, at=now),
                m.RivalMove(
                    **tenant, listing_id=listing, seller=marker, price_minor=1, currency="USD", in_stock=True, at=now
                ),
                m.RivalAlarm(
                    **tenant, listing_id=listing, alarm="hijack", why=marker, evidence=[marker], raised_at=now
                ),
                m.RivalOfferSeen(
                    **tenant,
                    listing_id=listing,
                    seller=marker,
                    price_minor=1,
                    currency="USD",
                    in_stock=True,
                    seen_at=now,
                ),
                m.StockReceipt(
                    **tenant,
                    stock_item_id=goods.stock_item_id,
                    key=marker,
                    units=1,
                    landed_minor=1,
                    currency="USD",
                    at=now,
                ),
                m.SupplierOffer(**tenant, supplier_id=supplier.id, variant_id=goods.variant_id, pack_cost_minor=1),
                m.StockTransfer(
                    **tenant,
                    number=1,
                    account_id=account.id,
                    from_item_id=goods.stock_item_id,
                    to_item_id=there.id,
                    planned=1,
                    note=marker,
                ),
                m.PurchaseReceipt(**tenant, line_id=bought_line.id, key=marker, units=1, landed_minor=1, at=now),
                m.AdListing(
                    **tenant,
                    listing_id=listing,
                    account_id=account.id,
                    rate_bps=300,
                    campaign_id=marker,
                    **dict.fromkeys(("rate_since", "first_at", "seen_at"), now),
                ),
                m.AdDay(**tenant, listing_id=listing, day=now.date(), rate_bps=300, offered=True, currency="USD"),
                m.PayoutLine(
                    **tenant,
                    payout_id=paid.id,
                    kind="sale",
                    amount_minor=1,
                    fee_minor=0,
                    currency="USD",
                    booked_at=now,
                    **dict.fromkeys(("external_id", "vendor_kind", "order_external_id"), marker),
                ),
                m.SignedMove(
                    **tenant,
                    listing_id=listing,
                    currency="USD",
                    from_minor=1,
                    to_minor=2,
                    risk_minor=1,
                    certificate_sha256=marker,
                    at=now,
                ),
                m.ExperimentTrial(**tenant, experiment_id=experiment.id, number=0, params={}, scores=[1.0], memory={}),
                m.PolicyStage(
                    **tenant, policy_id=policy.id, was="candidate", becomes="shadow", reason=marker, checks=[]
                ),
                m.PolicyChoice(
                    **tenant,
                    policy_id=policy.id,
                    listing_id=listing,
                    decision_id=decision.id,
                    role="shadow",
                    rung=2,
                    chance=1.0,
                    price_minor=2,
                    current_minor=2,
                    currency="USD",
                ),
                m.OrderChoice(
                    **tenant,
                    policy_id=policy.id,
                    stock_item_id=goods.stock_item_id,
                    decision_id=decision.id,
                    role="shadow",
                    units=3,
                    shipped_units=2,
                    level=3.0,
                    up_to=3.0,
                ),
                m.DecisionOutcome(
                    **tenant,
                    decision_id=decision.id,
                    proposal_id=proposal.id,
                    agent="pricing",
                    kind="price-move",
                    confidence=0.5,
                    drawn=True,
                    decided_at=now,
                    due_at=later,
                    look_at=later,
                ),
                m.Episode(
                    **tenant,
                    **dict.fromkeys(("situation", "tried", "came"), marker),
                    **dict.fromkeys(("decided_at", "known_at"), now),
                    decision_id=decision.id,
                    proposal_id=proposal.id,
                    product_id=goods.product_id,
                    account_id=account.id,
                    agent="pricing",
                    kind="price-move",
                    command="ChangePrice",
                    subject_kind="listing",
                    subject_id=listing,
                    figures={},
                    confidence=0.5,
                    rule="",
                    outcome=1,
                ),
                m.ProductReading(
                    **tenant, product_id=goods.product_id, call_id=new_id(), value={"of": marker}, read_at=now
                ),
                m.LanguageCall(
                    **tenant,
                    prompt="ai_executive",
                    version="1",
                    prompt_sha256="0",
                    question=marker,
                    model="m",
                    state="answered",
                    value={},
                    tokens=1,
                    cost_micros=1,
                    at=now,
                ),
                m.BudgetSlice(**tenant, agent="pricing", granted=2, taken_at=now, expires_at=later),
                m.AgentStanding(
                    **tenant, agent="pricing", kind="price-move", level="full", trusted=1.0, reason=marker, since=now
                ),
                m.RecalibrationRow(
                    **tenant, agent="pricing", kind="price-move", slope=0.8, shift=-0.1, decisions=30, fitted_at=now
                ),
                m.DecisionTally(**tenant, agent="pricing", kind="price-move", made=1),
                m.GradedThrough(**tenant, decision_id=decision.id),
                m.SyncHorizon(**tenant, lineage=marker, xid=1),
                m.SyncNotice(**tenant, user_id=user.id, product_id=goods.product_id, field="title", lost={}, stands={}),
                device,
                m.PriceChange(
                    **tenant, listing_id=listing, new_minor=2, currency="USD", floor_minor=1, effect_id=effect.id
                ),
            ]
        )
        await unit.session.flush()
        unit.session.add(
            m.CatalogueFind(
                **tenant,
                line_id=line.id,
                account_id=account.id,
                external_id=marker,
                title=marker,
                brand="",
                codes=[],
                offers=[],
                currency="USD",
                seen_at=now,
            )
        )
        unit.session.add(
            m.SyncMutation(
                **tenant,
                device_id=device.id,
                id=new_id(),
                seq=1,
                kind="stock.receive",
                fingerprint="f",
                outcome="accepted",
                answer={},
                happened_at=now,
                received_at=now,
            )
        )
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.unit() as unit:
        unit.session.add(m.SaleDue(**tenant, order_id=order.order_id))


@pytest.fixture(scope="module")
async def houses(database_urls: dict[str, str]) -> AsyncIterator[dict[str, tuple[Shop, Shop]]]:
    """(attacker, victim) as each role; both have a row in every table."""
    stores = {role: open_store(database_urls[role], pool_size=1) for role in ("app", "worker")}
    attacker, victim = Shop(stores["worker"]), Shop(stores["worker"])
    for shop in (attacker, victim):
        await furnish(shop)
    yield {role: (Shop(store, attacker.tenant_id), Shop(store, victim.tenant_id)) for role, store in stores.items()}
    for store in stores.values():
        await store.aclose()


async def owners(shop: Shop, table: str) -> set[UUID]:
    return {row.tenant_id for row in await shop.rows(f'SELECT tenant_id FROM "{table}"')}


def test_every_table_is_owned_by_a_tenant_or_named_as_shared() -> None:
    assert set(m.Base.metadata.tables) - set(OWNED) == SHARED | {"tenant"}


@tables()
@roles()
async def test_a_tenant_sees_its_rows_and_nobody_elses(
    houses: dict[str, tuple[Shop, Shop]], role: str, table: str
) -> None:
    attacker, _ = houses[role]
    seen = await owners(attacker, table)
    assert attacker.tenant_id in seen, "the test has a row there"
    if role == "app" or table not in QUEUES:
        assert seen == {attacker.tenant_id}


@tables()
@roles()
async def test_a_tenant_cannot_change_or_delete_what_belongs_to_another(
    houses: dict[str, tuple[Shop, Shop]], role: str, table: str
) -> None:
    attacker, victim = houses[role]
    columns = written(table)
    before = await victim.rows(f'SELECT * FROM "{table}" WHERE tenant_id = :tenant ORDER BY id')
    assert before
    statements = [f'DELETE FROM "{table}" WHERE tenant_id = :victim']
    if role == "app" or table not in QUEUES:  # workers lease and finish other tenants' tasks and effects
        statements += [f'UPDATE "{table}" SET "{column}" = "{column}" WHERE tenant_id = :victim' for column in columns]
    for statement in statements:
        try:
            async with attacker.unit() as unit:
                done = await unit.session.execute(text(statement), {"victim": victim.tenant_id})
                assert done.rowcount == 0, statement  # type: ignore[attr-defined]
        except DBAPIError as error:
            assert "permission denied" in str(error), statement
    assert await victim.rows(f'SELECT * FROM "{table}" WHERE tenant_id = :tenant ORDER BY id') == before


@tables()
@roles()
async def test_a_tenant_cannot_put_rows_into_anothers_books(
    houses: dict[str, tuple[Shop, Shop]], role: str, table: str
) -> None:
    attacker, victim = houses[role]
    columns = ", ".join(f'"{column}"' for column in written(table))
    copy = (
        f'INSERT INTO "{table}" (id, tenant_id, {columns}) '
        f'SELECT :id, :victim, {columns} FROM "{table}" WHERE tenant_id = :mine LIMIT 1'
    )
    # what the API's role may not write at all it cannot write there either
    refused = "permission denied" if role == "app" and table in WORKERS_ONLY else "row-level security"
    with pytest.raises(DBAPIError, match=refused):
        async with attacker.unit() as unit:
            await unit.session.execute(
                text(copy), {"id": new_id(), "victim": victim.tenant_id, "mine": attacker.tenant_id}
            )


@tables()
@roles()
async def test_a_session_of_no_tenant_sees_nothing(houses: dict[str, tuple[Shop, Shop]], role: str, table: str) -> None:
    if role == "worker" and table in QUEUES:
        return  # what a worker claims from
    async with houses[role][0].store.database.unbound() as session:
        assert (await session.execute(text(f'SELECT count(*) FROM "{table}"'))).scalar_one() == 0


@roles()
async def test_a_tenant_cannot_move_into_anothers_house(houses: dict[str, tuple[Shop, Shop]], role: str) -> None:
    attacker, victim = houses[role]
    with pytest.raises(DBAPIError, match="row-level security"):
        async with attacker.unit() as unit:
            await unit.session.execute(
                text("UPDATE product SET tenant_id = :victim WHERE tenant_id = :mine"),
                {"victim": victim.tenant_id, "mine": attacker.tenant_id},
            )
    async with attacker.unit() as unit:
        done = await unit.session.execute(
            text("UPDATE tenant SET name = 'mine now' WHERE id = :victim"), {"victim": victim.tenant_id}
        )
        assert done.rowcount == 0  # type: ignore[attr-defined]


MOVEMENT = text(
    "INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta,"
    " key, note, at) VALUES (:id, :mine, :item, 'receive', 1000, 0, :key, '', now())"
)


@roles()
async def test_a_movement_on_anothers_shelf_is_refused(houses: dict[str, tuple[Shop, Shop]], role: str) -> None:
    attacker, victim = houses[role]
    item = (await victim.rows("SELECT id FROM stock_item"))[0].id
    with pytest.raises(DBAPIError, match="violates foreign key constraint"):
        async with attacker.unit() as unit:
            await unit.session.execute(
                MOVEMENT, {"id": new_id(), "mine": attacker.tenant_id, "item": item, "key": f"attack {new_id()}"}
            )


@pytest.fixture
async def owner(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    database = Database(database_urls["owner"], pool_size=1)
    yield database
    await database.aclose()


async def test_a_movement_on_anothers_shelf_is_refused_by_the_trigger_too(
    houses: dict[str, tuple[Shop, Shop]], owner: Database
) -> None:
    """The trigger that keeps balances runs as the owner of the tables: it checks the tenant itself."""
    attacker, victim = houses["worker"]
    item = (await victim.rows("SELECT id FROM stock_item"))[0].id
    with pytest.raises(DBAPIError, match="is not of tenant"):
        async with owner.unbound() as session:
            await session.execute(
                text("ALTER TABLE stock_movement DROP CONSTRAINT fk_stock_movement_tenant_id_stock_item_id")
            )
            await session.execute(
                MOVEMENT, {"id": new_id(), "mine": attacker.tenant_id, "item": item, "key": f"attack {new_id()}"}
            )


async def test_the_roles_are_ordinary_and_own_nothing(owner: Database) -> None:
    async with owner.unbound() as session:
        rows = (
            await session.execute(
                text(
                    "SELECT rolname,"
                    " rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty,"
                    " (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid) AS owns,"
                    " (SELECT count(*) FROM pg_auth_members g WHERE g.member = r.oid) AS member_of"
                    " FROM pg_roles r WHERE rolname IN ('flipsync_app', 'flipsync_worker')"
                )
            )
        ).all()
    assert sorted((row.rolname, row.mighty, row.owns, row.member_of) for row in rows) == [
        ("flipsync_app", False, 0, 0),
        ("flipsync_worker", False, 0, 0),
    ]


@roles()
@pytest.mark.parametrize(
    "statement",
    [
        "SET row_security = off",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER TABLE variant DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON variant",
        "CREATE TABLE smuggled (id int)",
        "CREATE OR REPLACE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "ALTER TABLE stock_item DISABLE TRIGGER ALL",
        "COPY variant TO PROGRAM 'cat'",
    ],
)
async def test_no_role_can_take_its_own_chains_off(
    houses: dict[str, tuple[Shop, Shop]], role: str, statement: str
) -> None:
    attacker, _ = houses[role]
    with pytest.raises(DBAPIError):
        async with attacker.unit() as unit:
            await unit.session.execute(text(statement))
            await unit.session.execute(text("SELECT count(*) FROM variant"))


async def test_functions_with_the_owners_rights_are_few(owner: Database) -> None:
    async with owner.unbound() as session:
        rows = (
            await session.execute(
                text(
                    "SELECT p.proname AS name, p.prorettype = 'trigger'::regtype AS is_trigger,"
                    " has_function_privilege('flipsync_app', p.oid, 'EXECUTE') AS app,"
                    " has_function_privilege('flipsync_worker', p.oid, 'EXECUTE') AS worker,"
                    " coalesce(array_to_string(p.proconfig, ' ') LIKE '%search_path=%', false) AS pinned"
                    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                    " WHERE p.prosecdef AND n.nspname = current_schema()"
                )
            )
        ).all()
    callable_ = {row.name: (row.app, row.worker) for row in rows if not row.is_trigger}
    assert callable_ == {
        "sign_in_candidate": (True, False),
        "refresh_token_tenant": (True, False),
        "webhook_account": (True, False),
        "consent_request_tenant": (True, False),
        "api_key_holder": (True, False),
        "passkey_tenant": (True, False),
        "provider_identity_tenant": (True, False),
        "buyer_holders": (True, False),
        "erase_buyers": (True, True),
        "erase_user": (True, True),
    }
    assert all(row.pinned for row in rows), "a caller's search_path must not decide what they run"


async def test_what_is_known_before_the_tenant_is_no_more_than_needed(houses: dict[str, tuple[Shop, Shop]]) -> None:
    app, _ = houses["app"]
    _, victim = houses["worker"]
    token = (await victim.rows("SELECT webhook_token FROM marketplace_account"))[0].webhook_token
    async with app.store.database.unbound() as session:
        candidate = (
            await session.execute(
                text("SELECT * FROM sign_in_candidate(:email)"), {"email": f"{victim.tenant_id}@EXAMPLE.com".upper()}
            )
        ).all()
        nobody = (await session.execute(text("SELECT * FROM sign_in_candidate('%')"))).all()
        account = (await session.execute(text("SELECT * FROM webhook_account(:token)"), {"token": token})).all()
        wrong = (await session.execute(text("SELECT * FROM webhook_account('')"))).all()
        tenant = (
            await session.execute(text("SELECT refresh_token_tenant(:hash)"), {"hash": f"hash {victim.tenant_id}"})
        ).scalar_one()
    assert len(candidate) == 1 and set(candidate[0]._fields) == {
        "id",
        "tenant_id",
        "password_hash",
        "role",
        "disabled_at",
    }
    assert len(account) == 1 and set(account[0]._fields) == {"account_id", "tenant_id"}
    assert nobody == wrong == []
    assert tenant == victim.tenant_id


async def test_the_tenant_ends_with_the_transaction(houses: dict[str, tuple[Shop, Shop]]) -> None:
    """A pooled connection is handed on: what it was bound to must not be handed on with it."""
    attacker, _ = houses["app"]
    assert await attacker.rows("SELECT 1 FROM variant")
    async with attacker.store.database.unbound() as session:
        assert (await session.execute(text("SELECT current_tenant()"))).scalar_one() is None


async def test_no_table_was_forgotten(owner: Database) -> None:
    async with owner.unbound() as session:
        bare = (
            await session.execute(
                text(
                    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE c.relkind = 'r' AND n.nspname = current_schema() AND NOT c.relrowsecurity"
                )
            )
        ).scalars()
        assert set(bare) == SHARED | {"alembic_version"}


REFERENCES = sorted(
    (table.name, next(iter(c.name for c in key.columns if c.name != "tenant_id")), key.referred_table.name)
    for table in m.Base.metadata.sorted_tables
    for key in table.foreign_key_constraints
    if key.referred_table.name != "tenant"
)


@pytest.mark.parametrize(("table", "column", "parent"), REFERENCES)
async def test_nobody_at_all_can_point_to_another_tenants_row(
    houses: dict[str, tuple[Shop, Shop]], owner: Database, table: str, column: str, parent: str
) -> None:
    """As the database's owner, whom no policy binds: what a mistake in any privileged place could do."""
    attacker, victim = houses["worker"]
    both = {"mine": attacker.tenant_id, "victim": victim.tenant_id}
    with pytest.raises(IntegrityError, match="violates foreign key constraint"):
        async with owner.unbound() as session:
            theirs = await session.scalar(text(f'SELECT id FROM "{parent}" WHERE tenant_id = :victim LIMIT 1'), both)
            ours = await session.scalar(text(f'SELECT id FROM "{parent}" WHERE tenant_id = :mine LIMIT 1'), both)
            # of keys that hold the column, only the foreign one shall object
            await session.execute(text(f'DELETE FROM "{table}" WHERE tenant_id = :victim'), both)
            point = text(
                f'UPDATE "{table}" SET "{column}" = :to'
                f' WHERE id = (SELECT id FROM "{table}" WHERE tenant_id = :mine LIMIT 1)'
            )
            done = await session.execute(point, both | {"to": ours})
            assert done.rowcount == 1, "the test has a row there"  # type: ignore[attr-defined]
            await session.execute(point, both | {"to": theirs})


async def test_every_foreign_key_in_the_database_holds_the_tenant(owner: Database) -> None:
    """Whatever models and migrations say."""
    query = text(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint k WHERE contype = 'f'"
        " AND confrelid <> 'tenant'::regclass AND NOT EXISTS ("
        "  SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair(here, there)"
        "  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.here AND a.attname = 'tenant_id'"
        "  JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.there AND b.attname = 'tenant_id')"
    )
    async with owner.unbound() as session:
        assert (await session.execute(query)).all() == []
