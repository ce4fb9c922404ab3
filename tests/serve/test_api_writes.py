"""Changes through the API: done once however often asked, and never over somebody else's change."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from api_world import API, Business, ask
from sqlalchemy import select, text

from flipsync.domain.ids import new_id
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store

CUPS = "sku,title,price,quantity\nCUP-1,Cup,12.50,4\nCUP-2,Saucer,6.00,3\n,,,\n"


def _key() -> dict[str, str]:
    return {"Idempotency-Key": new_id().hex}


async def test_a_repeated_receipt_books_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"variant_id": str(alpha.ids["variant_id"]), "quantity": 7, "note": "crate 4"}
    headers = alpha.headers(**_key())
    first = await client.post(f"{API}/inventory/receipts", headers=headers, json=form)
    second = await client.post(f"{API}/inventory/receipts", headers=headers, json=form)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers and second.headers["idempotent-replayed"] == "true"
    item = (await client.get(f"{API}/inventory/items/{alpha.ids['stock_item_id']}", headers=headers)).json()
    assert item["on_hand"] == first.json()["item"]["on_hand"]


async def test_many_at_once_with_one_key_book_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/inventory/items/{alpha.ids['stock_item_id']}"
    before = (await client.get(url, headers=alpha.headers())).json()["on_hand"]
    form = {"variant_id": str(alpha.ids["variant_id"]), "quantity": 2}
    headers = alpha.headers(**_key())
    answers = await asyncio.gather(
        *(client.post(f"{API}/inventory/receipts", headers=headers, json=form) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sorted("idempotent-replayed" in answer.headers for answer in answers) == [False, True, True, True, True]
    assert (await client.get(url, headers=alpha.headers())).json()["on_hand"] == before + 2


async def test_a_key_serves_one_request_only(client: httpx2.AsyncClient, alpha: Business) -> None:
    headers = alpha.headers(**_key())
    url, variant = f"{API}/inventory/receipts", str(alpha.ids["variant_id"])
    assert (await client.post(url, headers=headers, json={"variant_id": variant, "quantity": 1})).status_code == 201
    answer = await client.post(url, headers=headers, json={"variant_id": variant, "quantity": 2})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:flipsync:error:idempotency-key-reused")


async def test_a_failed_request_may_be_tried_again_with_its_key(client: httpx2.AsyncClient, alpha: Business) -> None:
    headers = alpha.headers(**_key())
    url = f"{API}/inventory/items/{alpha.ids['stock_item_id']}/counts"
    refused = await client.post(url, headers=headers, json={"counted": 0})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:flipsync:error:conflict")
    item = (await client.get(url.removesuffix("/counts"), headers=headers)).json()
    fine = await client.post(url, headers=headers, json={"counted": item["on_hand"] + 3})
    assert (fine.status_code, fine.json()["booked"]) == (200, 3)


async def test_goods_that_arrive_with_their_cost_change_the_unit_cost(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    url, variant = f"{API}/inventory/receipts", str(alpha.ids["variant_id"])

    async def unit_cost() -> int:
        told = (await client.get(f"{API}/products/{alpha.ids['product_id']}", headers=alpha.headers())).json()
        (cost,) = [each["cost"] for each in told["variants"] if each["id"] == variant]
        assert cost["currency"] == "USD"
        return int(cost["amount_minor"])

    before = await unit_cost()
    landed = {"amount_minor": 3 * (before + 600), "currency": "USD"}
    form = {"variant_id": variant, "quantity": 3, "landed_cost": landed}
    answer = await client.post(url, headers=alpha.headers(**_key()), json=form)
    assert (answer.status_code, answer.json()["booked"]) == (201, 3)
    assert before < await unit_cost() < before + 600, "an average of what was there and what came"
    euros = form | {"landed_cost": {"amount_minor": 3_001, "currency": "EUR"}}
    refused = await client.post(url, headers=alpha.headers(**_key()), json=euros)
    assert refused.status_code == 422 and "currency" in refused.json()["detail"] + refused.json().get("hint", "")


async def test_a_missing_key_is_asked_for(client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.post(
        f"{API}/inventory/receipts",
        headers=alpha.headers(),
        json={"variant_id": str(alpha.ids["variant_id"]), "quantity": 1},
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "header.Idempotency-Key"


async def test_a_product_is_edited_by_whoever_read_it_last(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"
    begin = new_id()
    read = await client.get(url, headers=alpha.headers())
    etag = read.headers["etag"]
    assert etag == f'"{read.json()["version"]}"'
    edit = {"title": f"{alpha.marker} big teapot", "description_html": "<p>fine</p><script>alert(1)</script>"}
    changed = await client.patch(url, headers=alpha.headers(**{"If-Match": etag}), json=edit)
    assert changed.status_code == 200, changed.text
    assert changed.json()["title"] == edit["title"]
    assert "script" not in changed.json()["description_html"]
    assert changed.json()["brand"] == alpha.marker, "what is left out stays"
    assert changed.headers["etag"] != etag
    late = await client.patch(url, headers=alpha.headers(**{"If-Match": etag}), json={"title": "lost update"})
    assert (late.status_code, late.json()["type"]) == (412, "urn:flipsync:error:version-mismatch")
    missing = await client.patch(url, headers=alpha.headers(), json={"title": "x"})
    assert (missing.status_code, missing.json()["type"]) == (428, "urn:flipsync:error:precondition-required")
    same = await client.patch(
        url, headers=alpha.headers(**{"If-Match": changed.headers["etag"]}), json={"title": edit["title"]}
    )
    assert same.headers["etag"] == changed.headers["etag"], "nothing changed, nothing to tell the channels"
    async with store.reader(alpha.tenant_id) as session:
        told = await session.execute(
            select(m.EventRecord.type).where(
                m.EventRecord.subject_id == alpha.ids["product_id"], m.EventRecord.id > begin
            )
        )
        assert sorted(told.scalars()) == ["ProductEdited", "ProductImported"], "the one edit that was one"
        listings = await session.execute(
            select(m.Listing.id)
            .join(m.Variant, m.Variant.id == m.Listing.variant_id)
            .where(m.Variant.product_id == alpha.ids["product_id"], m.Listing.status == "active")
        )
        outdated = await session.execute(
            select(m.EventRecord.subject_id).where(m.EventRecord.type == "ListingOutdated", m.EventRecord.id > begin)
        )
        assert sorted(outdated.scalars()) == sorted(listings.scalars()) != [], (
            "once each, for the one edit that was one"
        )


async def test_a_product_is_taken_off_sale_and_put_back(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"

    async def told() -> list[str]:
        async with store.reader(alpha.tenant_id) as session:
            rows = await session.execute(select(m.EventRecord.type).order_by(m.EventRecord.id))
            return [kind for kind in rows.scalars() if kind in ("ListingOutdated", "ProductImported")]

    before = await told()
    for published, news in ((False, ["ListingOutdated", "ProductImported"]), (True, ["ProductImported"])):
        etag = (await client.get(url, headers=alpha.headers())).headers["etag"]
        sent = {"published": published}
        changed = await client.patch(url, headers=alpha.headers(**{"If-Match": etag}), json=sent)
        assert changed.json()["published"] is published
        now = await told()
        assert set(now[len(before) :]) == set(news)
        before = now


async def test_price_bounds_are_kept_sound(client: httpx2.AsyncClient, store: Store, beta: Business) -> None:
    url = f"{API}/pricing/variants/{beta.ids['variant_id']}"

    async def patch(terms: dict[str, object]) -> httpx2.Response:
        etag = (await client.get(url, headers=beta.headers())).headers["etag"]
        return await client.patch(url, headers=beta.headers(**{"If-Match": etag}), json=terms)

    def usd(minor: int) -> dict[str, object]:
        return {"amount_minor": minor, "currency": "USD"}

    assert (await patch({"floor": usd(5000)})).status_code == 422, "above the ceiling"
    assert (await patch({"floor": usd(0)})).status_code == 422, "zero is not a floor"
    assert (await patch({"floor": {"amount_minor": 1700, "currency": "EUR"}})).status_code == 422
    assert (await patch({"floor": {"amount_minor": 17.5, "currency": "USD"}})).status_code == 422
    fine = await patch({"floor": usd(1700), "ceiling": None, "cost": usd(900)})
    assert fine.status_code == 200, fine.text
    assert (fine.json()["floor"], fine.json()["ceiling"], fine.json()["cost"]) == (usd(1700), None, usd(900))
    async with store.reader(beta.tenant_id) as session:
        told = await session.execute(
            text("SELECT type FROM event WHERE type IN ('CostChanged', 'OfferChanged') ORDER BY id DESC LIMIT 2")
        )
        assert set(told.scalars()) == {"CostChanged", "OfferChanged"}
        waiting = await session.execute(text("SELECT agent FROM agent_task WHERE state = 'pending'"))
        assert "pricing" in set(waiting.scalars()), "the pricing agent looks at it"


async def test_an_approval_is_answered_once(client: httpx2.AsyncClient, store: Store, beta: Business) -> None:
    url = f"{API}/approvals/{beta.ids['approval_id']}/answer"
    answer = await client.post(
        url, headers=beta.headers("manager", **_key()), json={"approved": True, "note": "go ahead"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["answered_by"]) == ("approved", str(beta.users["manager"]))
    again = await client.post(url, headers=beta.headers(**_key()), json={"approved": False})
    assert (again.status_code, again.json()["type"]) == (409, "urn:flipsync:error:conflict")
    async with store.reader(beta.tenant_id) as session:
        told = await session.execute(select(m.EventRecord).where(m.EventRecord.type == "ApprovalAnswered"))
        assert told.scalar_one().payload["approved"] is True


async def test_many_are_answered_alike_and_the_rest_is_named(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    """Of three ids one is open, one is nobody's, one is another business's."""
    wanted = [str(alpha.ids["approval_id"]), str(new_id()), str(beta.ids["approval_id"])]
    shown = (await client.get(f"{API}/approvals/{wanted[0]}", headers=alpha.headers())).json()
    assert shown["if_refused"] == "none of it is done, and the decision ends"
    key = _key()
    form = {"ids": wanted, "approved": False, "note": "not now"}
    first = await client.post(f"{API}/approvals/answers", headers=alpha.headers(**key), json=form)
    assert first.status_code == 200, first.text
    assert first.json()["answered"] == [wanted[0]]
    assert {each["id"] for each in first.json()["left"]} == set(wanted[1:])
    repeated = await client.post(f"{API}/approvals/answers", headers=alpha.headers(**key), json=form)
    assert repeated.json() == first.json()
    again = await client.post(f"{API}/approvals/answers", headers=alpha.headers(**_key()), json=form)
    assert again.json()["answered"] == []
    closed = (await client.get(f"{API}/approvals/{wanted[0]}", headers=alpha.headers())).json()
    assert (closed["state"], closed["note"], closed["if_refused"]) == ("refused", "not now", "")


async def test_an_answer_that_comes_too_late_does_nothing(
    client: httpx2.AsyncClient, store: Store, beta: Business
) -> None:
    async with store.unit(beta.tenant_id) as unit:
        late = await ask(unit, beta.ids["decision_id"], beta.marker, hours=-1)
    answer = await client.post(
        f"{API}/approvals/{late}/answer", headers=beta.headers(**_key()), json={"approved": True}
    )
    assert answer.status_code == 409
    shown = await client.get(f"{API}/approvals/{late}", headers=beta.headers())
    assert shown.json()["state"] == "open"


async def test_a_catalogue_file_is_imported_and_importing_it_again_changes_nothing(
    client: httpx2.AsyncClient, beta: Business
) -> None:
    async def send(key: str) -> httpx2.Response:
        return await client.post(
            f"{API}/products/imports",
            headers=beta.headers(**{"Idempotency-Key": key}),
            files={"file": ("../../cups.csv", CUPS.encode())},
        )

    first = await send("cups-1")
    assert first.status_code == 200, first.text
    assert (first.json()["products_created"], first.json()["units_received"]) == (2, 7)
    assert (await send("cups-1")).json() == first.json()
    again = (await send("cups-2")).json()
    assert (again["products_created"], again["products_unchanged"], again["units_received"]) == (0, 2, 0)
    found = await client.get(f"{API}/products", params={"sku": "CUP-2"}, headers=beta.headers())
    assert [item["title"] for item in found.json()["items"]] == ["Saucer"]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"no,known,headers\n1,2,3\n"])
async def test_a_file_that_is_no_catalogue_is_refused(
    content: bytes, client: httpx2.AsyncClient, beta: Business
) -> None:
    answer = await client.post(
        f"{API}/products/imports", headers=beta.headers(**_key()), files={"file": ("x.csv", content)}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:flipsync:error:invalid-input")


async def test_what_was_written_on_a_channel_can_give_way_to_our_words(
    client: httpx2.AsyncClient, store: Store, beta: Business
) -> None:
    url = f"{API}/listings/{beta.ids['listing_id']}"
    async with store.unit(beta.tenant_id) as unit:
        (await unit.session.get_one(m.Listing, beta.ids["listing_id"])).overrides = {"title": "Chipped"}
    read = await client.get(url, headers=beta.headers())
    assert read.json()["overrides"] == {"title": "Chipped"}
    based_on = {"If-Match": read.headers["etag"]}
    assert (await client.delete(f"{url}/overrides", headers=beta.headers(**based_on))).status_code == 204
    read = await client.get(url, headers=beta.headers())
    assert read.json()["overrides"] == {}
    based_on = {"If-Match": read.headers["etag"]}
    again = await client.delete(f"{url}/overrides", headers=beta.headers(**based_on))
    assert (again.status_code, again.json()["hint"]) == (409, "it follows its product already")
