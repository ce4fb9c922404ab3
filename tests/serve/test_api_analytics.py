"""Analytics, dashboard and revenue over HTTP: who may, in pages, refused nonsense, and sums of nobody else."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_world import API, Business, told_order

from flipsync.services import sales_facts
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.unit_of_work import Store

PATHS = ["sales", "profit", "channels", "sell-through", "ageing", "rows", "cohorts", "customers", "customers/orders"]
#: these have no span, or no pages
NO_SPAN, NO_PAGES = ("ageing", "customers", "customers/orders"), ("channels", "customers")


async def get(client: httpx2.AsyncClient, business: Business, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"{API}/{path}", params=query, headers=business.headers("analyst"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_sums_are_of_ones_own_business(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    before = {path: await get(client, beta, path) for path in ("dashboard", "revenue", "analytics/profit")}
    mine = (await get(client, alpha, "analytics/profit", by="all"))["items"][0]
    async with store.unit(alpha.tenant_id) as unit:
        account = AccountRef(alpha.ids["account_id"], "custom")
        await ingest_order(unit, account, told_order(alpha.marker, "for sums", quantity=2))
    await sales_facts.run(store, alpha.tenant_id)
    (now,) = (await get(client, alpha, "analytics/profit", by="all"))["items"]
    assert now["revenue"]["amount_minor"] - mine["revenue"]["amount_minor"] == 2 * 2999 + 500
    after = {path: await get(client, beta, path) for path in before}
    for told in (*before.values(), *after.values()):
        told.pop("counted_at")
    assert after == before


async def test_rows_lead_from_the_dashboard_to_the_order(client: httpx2.AsyncClient, alpha: Business) -> None:
    told = await get(client, alpha, "dashboard")
    kpi = next(each for each in told["kpis"] if each["name"] == "revenue" and each["window"] == "28d")
    answer = await client.get(kpi["rows"], headers=alpha.headers())
    rows = answer.json()["items"]
    assert (
        sum(row["goods"]["amount_minor"] + row["shipping"]["amount_minor"] for row in rows)
        == (kpi["now"]["amount"]["amount_minor"])
    )
    profit = await client.get(f"{API}/orders/{rows[-1]['order_id']}/profit", headers=alpha.headers())
    assert profit.json()["profit"] == rows[-1]["profit"]


@pytest.mark.parametrize("path", PATHS)
async def test_foreign_cursors_and_nonsense_are_refused(path: str, client: httpx2.AsyncClient, alpha: Business) -> None:
    wrong: list[dict[str, str]] = [
        {"from": "2026-02-30"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "0001-01-01"},
        {"nobody": "knows"},
    ]
    if path not in NO_PAGES:
        wrong += [{"cursor": "eA"}, {"cursor": "WyJ4IiwieSIsInoiXQ"}, {"cursor": "WyJcdTAwMDAiXQ"}, {"limit": "0"}]
    for query in wrong if path not in NO_SPAN else wrong[3:]:
        answer = await client.get(f"{API}/analytics/{path}", params=query, headers=alpha.headers())
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (query, path)


@pytest.mark.parametrize(("form", "begins"), [("csv", b"\xef\xbb\xbfDay,"), ("xlsx", b"PK"), ("pdf", b"%PDF-")])
async def test_reports_come_as_files(form: str, begins: bytes, client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.get(f"{API}/reports/file", params={"format": form}, headers=alpha.headers("analyst"))
    assert answer.status_code == 200 and answer.content.startswith(begins)
    assert answer.headers["content-disposition"].endswith(f'.{form}"')
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_who_sees_no_books_sees_no_sums(client: httpx2.AsyncClient, alpha: Business) -> None:
    for path in ("dashboard", "revenue", "reports", "reports/file", *(f"analytics/{each}" for each in PATHS)):
        for role in ("clerk", "read-only"):
            answer = await client.get(f"{API}/{path}", headers=alpha.headers(role))  # type: ignore[arg-type]
            assert answer.status_code == 403


@pytest.mark.parametrize("way", ["short", "long"])
@pytest.mark.parametrize("path", ["dashboard", "revenue", *(f"analytics/{each}" for each in PATHS)])
async def test_who_has_the_answer_is_told_no_more(
    path: str, way: str, client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    url = f"{API}/{path}" + ("?" if way == "long" else "")  # a query the short way does not take
    first = await client.get(url, headers=alpha.headers())
    tag = first.headers["etag"]
    assert tag.startswith('W/"') and first.status_code == 200
    for told in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        again = await client.get(url, headers=alpha.headers(**{"If-None-Match": told}))
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), told
    assert (await client.get(url, headers=alpha.headers(**{"If-None-Match": '"0"'}))).status_code == 200
    clerk = await client.get(url, headers=alpha.headers("clerk", **{"If-None-Match": tag}))
    assert clerk.status_code == 403
    async with store.unit(alpha.tenant_id) as unit:
        account = AccountRef(alpha.ids["account_id"], "custom")
        await ingest_order(unit, account, told_order(alpha.marker, f"news {path} {way}"))
    await sales_facts.run(store, alpha.tenant_id)
    now = await client.get(url, headers=alpha.headers(**{"If-None-Match": tag}))
    if path != "analytics/ageing":  # nothing was shipped
        assert (now.status_code, now.headers["etag"] != tag) == (200, True)


async def test_a_tag_is_of_ones_own_business(client: httpx2.AsyncClient, alpha: Business, beta: Business) -> None:
    tags = [
        (await client.get(f"{API}/analytics/profit", headers=each.headers())).headers["etag"] for each in (alpha, beta)
    ]
    assert tags[0] != tags[1]


async def test_customers_lead_to_their_orders_without_a_name(client: httpx2.AsyncClient, alpha: Business) -> None:
    told = await get(client, alpha, "analytics/customers", group="channel")
    whole = await get(client, alpha, "analytics/customers")
    known = sum(row["customers"] for row in told["items"])
    assert sum(row["customers"] for row in whole["items"]) == known >= 2
    (cohort,) = (await get(client, alpha, "analytics/cohorts", group="channel"))["items"]
    assert (cohort["customers"], cohort["repeat_rate"]) == (known, 0.0)
    for rows in (told["items"][0]["rows"], cohort["months"][0]["rows"]):
        answer = await client.get(rows, headers=alpha.headers("analyst"))
        items = answer.json()["items"]
        assert items and "regular" not in answer.text
        assert (await client.get(f"{API}/orders/{items[0]['order_id']}", headers=alpha.headers())).status_code == 200


async def test_a_scheduled_report_is_its_persons_and_its_owners(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"kind": "profit", "rhythm": "monthly", "day": 3, "at": "06:30", "format": "xlsx"}
    key = {"Idempotency-Key": "schedule-once"}
    made = [
        await client.post(f"{API}/reports/schedules", headers=alpha.headers("analyst", **key), json=form) for _ in "ab"
    ]
    assert [each.status_code for each in made] == [201, 201] and made[0].json() == made[1].json()
    view = made[0].json()
    assert (view["at"], view["day"], view["title"]) == ("06:30", 3, "Profit after fees by SKU")
    listed = {
        role: [each["id"] for each in (await get_as(client, alpha, role, "reports/schedules"))["items"]]
        for role in ("owner", "manager", "analyst")
    }
    assert listed["analyst"] == [view["id"]] and view["id"] in listed["owner"] and listed["manager"] == []
    run = f"{API}/reports/runs/{alpha.ids['report_run_id']}/file"
    assert (await client.get(run, headers=alpha.headers("owner"))).content == alpha.marker.encode()
    assert (await client.get(run, headers=alpha.headers("analyst"))).status_code == 404
    end = f"{API}/reports/schedules/{view['id']}/end"
    others = await client.post(end, headers=alpha.headers("manager", **{"Idempotency-Key": "end-1"}))
    ended = await client.post(end, headers=alpha.headers("owner", **{"Idempotency-Key": "end-2"}))
    assert (others.status_code, ended.status_code, ended.json()["next_at"]) == (404, 200, None)
    for wrong in ({"rhythm": "hourly"}, {"at": "25:00"}, {"at": "07:00+02:00"}, {"day": 31}, {"weekday": "monday"}):
        answer = await client.post(
            f"{API}/reports/schedules",
            headers=alpha.headers("owner", **{"Idempotency-Key": f"wrong-{wrong}"}),
            json=form | wrong,
        )
        assert answer.status_code == 422, wrong


async def get_as(client: httpx2.AsyncClient, business: Business, role: Any, path: str) -> dict[str, Any]:
    answer = await client.get(f"{API}/{path}", headers=business.headers(role))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
