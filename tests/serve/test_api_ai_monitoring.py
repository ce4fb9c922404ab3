"""What learned parts do, over the API: the language model's days beside its caps, and the state of policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
from api_world import API, Business

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models import LanguageCall
from flipsync.store.unit_of_work import Store


def _call(business: Business, state: str, days_ago: int, tokens: int) -> LanguageCall:
    about: dict[str, Any] = {
        "version": "1",
        "prompt_sha256": "0" * 64,
        "question": new_id().hex,
        "model": "m",
        "prompt": "market",
    }
    if state == "answered":
        about["value"] = {"is": "said"}
    return LanguageCall(
        tenant_id=business.tenant_id,
        state=state,
        tokens=tokens,
        cost_micros=tokens * 2,
        at=utc_now() - timedelta(days=days_ago, minutes=1),
        **about,
    )


async def test_what_the_model_cost_is_told_by_day_beside_the_caps(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    async with store.unit(alpha.tenant_id) as unit:
        for state, days_ago, tokens in (("answered", 0, 100), ("answered", 3, 10), ("unknown", 3, 5), ("asked", 40, 7)):
            unit.session.add(_call(alpha, state, days_ago, tokens))

    async def use(business: Business, **query: Any) -> dict[str, Any]:
        answer = await client.get(f"{API}/ai-monitoring/language", params=query, headers=business.headers("analyst"))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    told = await use(alpha)
    assert (told["used"], told["cost_micros"], told["enabled"]) == (100, 200, False)
    assert (told["used_at_most"], told["usd_cents_per_day"]) == (200_000, 100)
    assert [(each["calls"], each["answered"], each["failed"], each["used"]) for each in told["days"]] == [
        (1, 1, 0, 100),
        (2, 1, 1, 15),
    ]
    assert {each["prompt"] for each in told["days"]} == {"market"}
    assert len((await use(alpha, days=60))["days"]) == 3
    assert (await use(beta))["days"] == []
    refused = await client.get(f"{API}/ai-monitoring/language", params={"days": 0}, headers=alpha.headers())
    assert refused.status_code == 422
    assert (await client.get(f"{API}/ai-monitoring/language", headers=alpha.headers("clerk"))).status_code == 403


async def test_policies_tell_who_decides_and_why_a_training_is_due(client: httpx2.AsyncClient, alpha: Business) -> None:
    async def states() -> dict[str, Any]:
        answer = await client.get(f"{API}/ai-monitoring/policies", headers=alpha.headers())
        assert answer.status_code == 200, answer.text
        return {each["name"]: each for each in answer.json()["items"]}

    before = await states()
    assert "shop-price" in before and len(before) == 2
    assert all(each["live"] is None or each["live"] in each["in_words"] for each in before.values())
    settings = await client.get(f"{API}/settings", headers=alpha.headers())
    changed = await client.patch(
        f"{API}/settings",
        headers=alpha.headers(**{"If-Match": settings.headers["ETag"]}),
        json={"change": {"purchasing.retrain_days": 1}},
    )
    assert changed.status_code == 200, changed.text
    (buying,) = [each for name, each in (await states()).items() if name != "shop-price"]
    assert buying["training_due"] == "there was none yet" and buying["trainings"] == 0
