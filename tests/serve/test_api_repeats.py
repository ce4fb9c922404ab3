"""Every POST may be repeated: by its Idempotency-Key it is done once, or it is listed here with why none is needed."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_routes import DOCUMENT, GUARDED, ROUTES, Route
from api_world import API, Business

_ONE_USE = "what it is called with is good once"
_READS = "it reads or tries; nothing stays"
#: POSTs without a key: why a repetition does no harm
NATURALLY = {
    "/auth/login": "signs in on one more device; both sessions are seen and can be ended",
    "/auth/login/second-factor": _ONE_USE,
    "/auth/login/second-factor/passkey": _ONE_USE,
    "/auth/login/passkey": _ONE_USE,
    "/auth/login/passkey/challenge": _READS,
    "/auth/login/provider": _ONE_USE,
    "/auth/refresh": _ONE_USE,
    "/auth/logout": "who is out stays out",
    "/auth/step-up": "who has proven it proves it again",
    "/auth/invitations/accept": _ONE_USE,
    "/auth/second-factor": "the newest secret is the one that waits to be confirmed",
    "/auth/second-factor/confirm": _ONE_USE,
    "/auth/second-factor/recovery-codes": "the newest codes are the good ones, and are shown once only",
    "/auth/passkeys": _ONE_USE,
    "/auth/passkeys/registration": _READS,
    "/auth/passkeys/challenge": _READS,
    "/auth/providers/{provider}/sign-in": _READS,
    "/auth/providers/{provider}/link": _READS,
    "/auth/identities": _ONE_USE,
    "/users/{user_id}/invitation": "the newest invitation is the good one",
    "/privacy/buyers/export": _READS,
    "/privacy/users/{user_id}/export": _READS,
    "/privacy/me/export": _READS,
    "/pricing/bundles": _READS,
    "/strategy/dry-run": _READS,
    "/workflows/dry-run": _READS,
    "/sync/devices/{device_id}/mutations": "each mutation has an id, and is done once",
    "/marketplace/accounts/{account_id}/probe": _READS,
    "/marketplace/accounts/{account_id}/pause": "a paused account stays paused",
    "/marketplace/accounts/{account_id}/resume": "one that runs goes on",
    "/marketplace/accounts/{account_id}/disconnect": "one that is gone stays gone",
    "/oauth/keys/{vendor}": _ONE_USE,
    "/webhooks/{token}": "the channel's own delivery id",
}
#: what is kept as a hash only, so that no repetition can tell it
SHOWN_ONCE = {"/api-keys": "key"}
POSTS = [route for route in ROUTES if route.method == "POST"]


def _keyed(route: Route) -> bool:
    asked: list[dict[str, Any]] = DOCUMENT["paths"][route.path]["post"].get("parameters", [])
    return any(each["name"] == "Idempotency-Key" and each["required"] for each in asked)


def test_every_post_takes_a_key_or_is_listed_with_a_reason() -> None:
    assert {route.path.removeprefix(API) for route in POSTS if not _keyed(route)} == NATURALLY.keys()
    assert len([route for route in POSTS if _keyed(route)]) >= 50


@pytest.mark.parametrize("route", [route for route in GUARDED if route in POSTS and _keyed(route)], ids=str)
async def test_a_repetition_gets_the_first_answer(route: Route, client: httpx2.AsyncClient, alpha: Business) -> None:
    """What was done is answered word for word, and said to be a repetition; what was refused may be tried again."""
    request = route.request(alpha)
    headers = request.pop("headers") | alpha.headers()
    headers.pop("If-Match", None)
    first = await client.post(route.url(alpha), headers=headers, **request)
    again = await client.post(route.url(alpha), headers=headers, **request)
    assert again.status_code == first.status_code, (first.text, again.text)
    if first.status_code >= 400:
        assert "idempotent-replayed" not in again.headers
        told = [each.json() for each in (first, again)]
        assert told[0]["type"] == told[1]["type"]
        return
    secret = SHOWN_ONCE.get(route.path.removeprefix(API), "")
    assert again.json() == first.json() | ({secret: None} if secret else {})
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers


async def test_most_of_them_are_shown_doing_something(client: httpx2.AsyncClient, beta: Business) -> None:
    """The test above is no proof where all is refused: so many of its requests are carried out."""
    done = 0
    for route in GUARDED:
        if route in POSTS and _keyed(route):
            request = route.request(beta)
            headers = request.pop("headers") | beta.headers()
            headers.pop("If-Match", None)
            done += (await client.post(route.url(beta), headers=headers, **request)).status_code < 300
    assert done >= 25
