"""/asin-finder: goods asked about one by one and by list, and the advice read again."""

from __future__ import annotations

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id

URL = f"{API}/asin-finder"


async def post(
    client: httpx2.AsyncClient, who: Business, path: str, body: dict[str, object], key: str = ""
) -> httpx2.Response:
    headers = who.headers() | {"Idempotency-Key": key or new_id().hex}
    return await client.post(f"{URL}{path}", json=body, headers=headers)


async def test_a_question_is_kept_once_and_read_again(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    body = {"q": "0-306-40615-2", "cost": {"amount_minor": 450, "currency": "USD"}, "units": 3}
    first = await post(client, alpha, "", body, "one")
    again = await post(client, alpha, "", body, "one")
    assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
    asked = first.json()
    assert (asked["gtin"], asked["asin"], asked["verdict"]) == ("09780306406157", "0306406152", None)
    url = f"{URL}/{asked['id']}"
    assert (await client.get(url, params={"wait": 0.1}, headers=alpha.headers())).json()["asked"] == "0-306-40615-2"
    assert (await client.get(url, headers=beta.headers())).status_code == 404
    assert (await client.get(url, params={"wait": 60}, headers=alpha.headers())).status_code == 422
    newest = (await client.get(URL, params={"q": "40615", "limit": 5}, headers=alpha.headers())).json()["items"]
    assert newest[0]["id"] == asked["id"]
    assert (await client.get(URL, params={"q": "40615%"}, headers=alpha.headers())).json()["items"] == []
    assert (await client.get(URL, headers=alpha.headers("clerk"))).status_code == 403


async def test_what_cannot_be_asked(client: httpx2.AsyncClient, alpha: Business) -> None:
    free = {"amount_minor": 0, "currency": "USD"}
    for body in (
        {"q": "4006381333932"},
        {"q": " "},
        {"q": "x", "cost": free},
        {"q": "x", "units": 0},
        {"q": "x" * 301},
    ):
        answer = await post(client, alpha, "", body)
        assert answer.status_code == 422, (body, answer.text)


async def test_a_list_says_how_far_it_is(client: httpx2.AsyncClient, alpha: Business, beta: Business) -> None:
    csv = "barcode,title,cost\n4006381333931,Marker,1.20\n4006381333932,wrong,1.20\n,Lamp,4.00\n"
    sent = await post(client, beta, "/lists", {"name": "Northside", "csv": csv})
    assert sent.status_code == 201
    told = sent.json()
    assert [each["row"] for each in told["problems"]] == [3]
    assert (told["kind"], told["lines"], told["decided"]) == ("list", 2, 0)
    url = f"{URL}/lists/{told['id']}"
    assert (await client.get(url, headers=beta.headers())).json()["name"] == "Northside"
    assert (await client.get(url, headers=alpha.headers())).status_code == 404
    lines = await client.get(URL, params={"list_id": told["id"]}, headers=beta.headers())
    assert {each["asked"] for each in lines.json()["items"]} == {"4006381333931", "Lamp"}
    assert (await post(client, beta, "/lists", {"name": "none", "csv": "title\nx\n"})).status_code == 422


async def test_reliability_of_nothing_is_told_as_nothing(client: httpx2.AsyncClient, alpha: Business) -> None:
    told = (await client.get(f"{URL}/reliability", headers=alpha.headers())).json()
    assert (told["told"], told["outcomes"], told["inside"]) == (0.8, 0, 0)
