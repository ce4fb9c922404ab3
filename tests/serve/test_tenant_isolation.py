"""One business attacks another: over every route the application has, and with SQL as the API's own role."""

from __future__ import annotations

from collections.abc import Collection

import httpx2
import pytest
from api_routes import GUARDED, Route
from api_world import PACKER, Business
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flipsync.security.roles import FOR_ONESELF, GRANTS, Permission, RoleKind
from flipsync.store.database import Database
from flipsync.store.models import Base
from serve.backend import Backend

BY_ID = [route for route in GUARDED if set(route.parameters) - {"name"}]
LISTS = [route for route in GUARDED if route.method == "GET" and route not in BY_ID]
TENANT_TABLES = sorted(table.name for table in Base.metadata.tables.values() if "tenant_id" in table.columns)


#: what each role may; "custom" is the one that each business of the tests has defined itself
MAY: dict[RoleKind, Collection[Permission]] = {**GRANTS, "custom": frozenset(PACKER) | FOR_ONESELF}


@pytest.mark.parametrize("route", BY_ID, ids=str)
async def test_ids_of_another_business_do_not_exist_whatever_ones_role(
    route: Route, client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    for role, may in MAY.items():
        status = 404 if set(route.permissions) <= set(may) else 403
        request = route.request(alpha)
        headers = request.pop("headers") | beta.headers(role)
        answer = await client.request(route.method, route.url(alpha), headers=headers, **request)
        assert answer.status_code == status, (role, answer.text)
        assert answer.json()["type"] == f"urn:flipsync:error:{'not-found' if status == 404 else 'forbidden'}"
        assert alpha.marker not in answer.text, role


@pytest.mark.parametrize("route", [r for r in BY_ID if r.method == "GET"], ids=str)
async def test_the_same_ids_do_exist_for_their_owner(route: Route, client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.get(route.url(alpha), headers=alpha.headers())
    assert answer.status_code == 200, answer.text
    assert alpha.marker in answer.text or str(next(iter(alpha.ids.values()))) in answer.text


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_lists_hold_nothing_of_another_business(
    route: Route, client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    answer = await client.get(route.url(beta), headers=beta.headers())
    assert answer.status_code == 200, answer.text
    for role, may in MAY.items():
        theirs = await client.get(route.url(beta), headers=beta.headers(role)) if role != "owner" else answer
        assert theirs.status_code == (200 if set(route.permissions) <= set(may) else 403), (role, theirs.text)
        assert alpha.marker not in theirs.text, role
        assert not [name for name, value in alpha.ids.items() if str(value) in theirs.text], role
    # the installation's agents are everybody's; one's second factor, one's goals, limits and sums are no lists
    no_list = ("/api/v1/auth/second-factor", "/api/v1/strategy/goals", "/api/v1/privacy/retention")
    no_list += ("/api/v1/settings", "/api/v1/ai-monitoring", "/api/v1/enhanced-monitoring")
    no_list += ("/api/v1/notifications/preferences", "/api/v1/asin-finder/reliability", "/api/v1/events/stream")
    no_list += ("/api/v1/advertising/limits", "/api/v1/notifications/push-key")
    no_list += ("/api/v1/dashboard", "/api/v1/analytics/sales", "/api/v1/analytics/profit")
    no_list += ("/api/v1/analytics/customers/orders",)  # nothing but ids and figures
    shared = route.path.startswith(("/api/v1/agents", *no_list))
    assert shared or beta.marker in answer.text or str(beta.ids["listing_id"]) in answer.text


@pytest.mark.parametrize(
    ("path", "parameter", "kind"),
    [
        ("listings", "account_id", "account_id"),
        ("listings", "product_id", "product_id"),
        ("listings", "variant_id", "variant_id"),
        ("orders", "account_id", "account_id"),
        ("inventory/items", "variant_id", "variant_id"),
        ("decisions", "subject_id", "listing_id"),
    ],
)
async def test_filters_do_not_reach_into_another_business(
    path: str, parameter: str, kind: str, client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    query = {parameter: str(alpha.ids[kind])}
    own = await client.get(f"/api/v1/{path}", params=query, headers=alpha.headers())
    assert own.json()["items"]
    foreign = await client.get(f"/api/v1/{path}", params=query, headers=beta.headers())
    assert foreign.json() == {"items": [], "next_cursor": None}


async def test_goods_cannot_be_booked_onto_another_business_variant(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    answer = await client.post(
        "/api/v1/inventory/receipts",
        headers=beta.headers(**{"Idempotency-Key": "steal-1"}),
        json={"variant_id": str(alpha.ids["variant_id"]), "quantity": 5},
    )
    assert answer.status_code == 404


async def test_an_idempotency_key_of_another_business_replays_nothing(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    for business in (alpha, beta):
        answer = await client.post(
            "/api/v1/inventory/receipts",
            headers=business.headers(**{"Idempotency-Key": "same-key-in-both"}),
            json={"variant_id": str(business.ids["variant_id"]), "quantity": 1},
        )
        assert answer.status_code == 201
        assert "idempotent-replayed" not in answer.headers
        assert answer.json()["item"]["variant_id"] == str(business.ids["variant_id"])


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_sql_without_a_tenant_sees_no_rows(table: str, backend: Backend, alpha: Business) -> None:
    async with backend.database.unbound() as session:
        assert (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0
        assert (await session.execute(text("SELECT count(*) FROM tenant"))).scalar_one() == 0


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_sql_as_one_business_sees_only_its_rows(
    table: str, backend: Backend, alpha: Business, beta: Business
) -> None:
    async with backend.database.session(beta.tenant_id) as session:
        foreign = await session.execute(
            text(f"SELECT count(*) FROM {table} WHERE tenant_id <> :own"), {"own": beta.tenant_id}
        )
        assert foreign.scalar_one() == 0


async def test_sql_cannot_write_rows_of_another_business(backend: Backend, alpha: Business, beta: Business) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        async with backend.database.session(beta.tenant_id) as session:
            await session.execute(
                text(
                    "INSERT INTO product (id, tenant_id, handle, title, description_html, tags, images, option_names,"
                    " version, created_at, updated_at) VALUES (gen_random_uuid(), :tenant, 'x', 'x', '', '[]', '[]',"
                    " '[]', 1, now(), now())"
                ),
                {"tenant": alpha.tenant_id},
            )
    with pytest.raises(DBAPIError, match="row-level security"):
        async with backend.database.session(beta.tenant_id) as session:
            await session.execute(
                text("UPDATE product SET tenant_id = :tenant WHERE tenant_id = :own"),
                {"tenant": alpha.tenant_id, "own": beta.tenant_id},
            )
    async with backend.database.session(beta.tenant_id) as session:
        changed = await session.execute(
            text("UPDATE product SET title = 'stolen' WHERE id = :id"), {"id": alpha.ids["product_id"]}
        )
        assert changed.rowcount == 0  # type: ignore[attr-defined]
    with pytest.raises(DBAPIError, match="permission denied"):
        async with backend.database.session(beta.tenant_id) as session:
            await session.execute(text("DELETE FROM product WHERE id = :id"), {"id": alpha.ids["product_id"]})


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE postgres",
        "SET row_security = off; SELECT * FROM product",
        "ALTER TABLE product DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY everybody ON product USING (true)",
        "SELECT pg_read_file('/etc/passwd')",
        "UPDATE stock_item SET on_hand = 1000",
        "DELETE FROM event",
        "UPDATE receipt SET outcome = 'confirmed'",
    ],
)
async def test_sql_cannot_lift_the_guards(statement: str, backend: Backend, beta: Business) -> None:
    with pytest.raises(DBAPIError):
        async with backend.database.session(beta.tenant_id) as session:
            for part in statement.split("; "):
                await session.execute(text(part))


async def test_row_security_trusts_the_setting_and_nothing_else(
    backend: Backend, alpha: Business, beta: Business
) -> None:
    """Known and accepted: who can run any SQL as the API's role can name any tenant. So no caller's text reaches SQL,
    and the setting ends with the transaction: the next user of the connection starts without a tenant."""
    count = text("SELECT count(*) FROM product")
    choose = text("SELECT set_config('app.tenant_id', :tenant, true)")
    async with backend.database.session(beta.tenant_id) as session:
        own = (await session.execute(count)).scalar_one()
        await session.execute(choose, {"tenant": str(alpha.tenant_id)})
        assert (await session.execute(text("SELECT title FROM product LIMIT 1"))).scalar_one().startswith(alpha.marker)
    assert own >= 1
    one = Database(backend.settings.app_database_url.get_secret_value(), pool_size=1, max_overflow=0)
    async with one.session(beta.tenant_id) as session:
        assert (await session.execute(count)).scalar_one() == own
    async with one.unbound() as session:
        assert (await session.execute(count)).scalar_one() == 0
    await one.aclose()
