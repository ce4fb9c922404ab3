"""Web push over the API: a browser subscribes, is listed, and is removed."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_world import API, Business
from push_browser import Browser, unb64

from flipsync.domain.ids import new_id
from flipsync.security.roles import RoleKind

URL = f"{API}/notifications/subscriptions"
OUTSIDE = "https://93.184.216.34/push/SECRET"


def once(business: Business, role: RoleKind = "owner") -> dict[str, str]:
    return business.headers(role, **{"Idempotency-Key": new_id().hex})


async def test_everybody_gets_the_same_key_whatever_their_business(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    answers = [
        await client.get(f"{API}/notifications/push-key", headers=headers)
        for headers in (alpha.headers(), alpha.headers("read-only"), alpha.headers("custom"), beta.headers())
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    (key,) = {answer.json()["public_key"] for answer in answers}
    assert len(unb64(key)) == 65 and unb64(key)[0] == 4, "an uncompressed point of P-256"


async def test_a_browser_subscribes_is_listed_and_removed(client: httpx2.AsyncClient, beta: Business) -> None:
    headers = once(beta, "custom")
    given = Browser().subscription(OUTSIDE) | {"device": "phone"}
    added, again = [await client.post(URL, json=given, headers=headers) for _ in range(2)]
    assert added.status_code == 201, added.text
    assert (again.json(), again.headers["idempotent-replayed"]) == (added.json(), "true")
    assert (added.json()["channel"], added.json()["shown"]) == ("push", "phone by 93.184.216.34")
    restarted = await client.post(URL, json=given, headers=once(beta, "custom"))
    assert restarted.json()["id"] == added.json()["id"]
    listed = await client.get(f"{API}/notifications/destinations", headers=beta.headers("custom"))
    assert [each["id"] for each in listed.json()["items"]] == [added.json()["id"]]
    one = f"{API}/notifications/destinations/{added.json()['id']}"
    assert (await client.delete(one, headers=beta.headers())).status_code == 404, "another person's"
    assert (await client.delete(one, headers=beta.headers("custom"))).status_code == 204
    assert (await client.get(f"{API}/notifications/destinations", headers=beta.headers("custom"))).json()["items"] == []
    secrets = [given["keys"]["auth"], given["keys"]["p256dh"], "SECRET"]
    for answer in (added, again, restarted, listed):
        assert not [each for each in secrets if each in answer.text]


@pytest.mark.parametrize(
    "broken",
    [
        {"endpoint": "https://127.0.0.1/SECRET"},
        {"endpoint": "https://2130706433/SECRET"},
        {"endpoint": "https://169.254.169.254/SECRET"},
        {"endpoint": "https://[::ffff:127.0.0.1]/SECRET"},
        {"endpoint": "http://93.184.216.34/SECRET"},
        {"endpoint": "ftp://93.184.216.34/SECRET"},
        {"endpoint": "x" * 70_000},
        {"keys": {"p256dh": "SECRET", "auth": "SECRET"}},
        {"keys": {"p256dh": "SECRET" * 10_000, "auth": "SECRET"}},
        {"keys": {}},
        {"keys": None},
        {"device": "a\nb\u202e"},
        {"device": "x" * 61},
        {"more": 1},
    ],
    ids=lambda each: str(each)[:40],
)
async def test_what_is_no_subscription_is_refused(
    client: httpx2.AsyncClient, beta: Business, broken: dict[str, Any]
) -> None:
    answer = await client.post(URL, json=Browser().subscription(OUTSIDE) | broken, headers=once(beta))
    assert answer.status_code == 422, answer.text
    assert "SECRET" not in answer.text and len(answer.text) < 3_000
