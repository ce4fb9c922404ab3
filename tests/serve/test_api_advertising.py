"""Ads over HTTP: for those who may see margins, of nobody else's listings, limits by proof and as they were read."""

from __future__ import annotations

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id


async def test_ads_and_their_days_are_shown_to_whom_margins_are(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    listing = str(alpha.ids["listing_id"])
    page = (await client.get(f"{API}/advertising", headers=alpha.headers())).json()
    (ad,) = page["items"]
    assert (ad["listing_id"], ad["rate_bps"], ad["last_30_days"]["ad_units"]) == (listing, 450, 2)
    assert ad["last_30_days"]["ad_fees"] == {"amount_minor": 90, "currency": "USD"}
    one = (await client.get(f"{API}/advertising/{listing}", headers=alpha.headers())).json()
    assert one["ad"] == ad and [day["ad_units"] for day in one["days"]] == [2]
    assert one["days"][0]["impressions"] is None
    assert one["reasons"] == ["its channel has no ads that are paid by the sale, or is not connected"]
    none = await client.get(f"{API}/advertising", params={"advertised": False}, headers=alpha.headers())
    assert none.json()["items"] == []
    assert (await client.get(f"{API}/advertising/{listing}", headers=beta.headers())).status_code == 404
    assert (await client.get(f"{API}/advertising/{new_id()}", headers=alpha.headers())).status_code == 404
    assert (await client.get(f"{API}/advertising", headers=alpha.headers("clerk"))).status_code == 403


async def test_limits_are_set_as_they_were_read(client: httpx2.AsyncClient, alpha: Business) -> None:
    url, headers = f"{API}/advertising/limits", alpha.headers()
    read = await client.get(url, headers=headers)
    none = {"monthly_budget_minor": None, "total_budget_minor": None, "budget_shares_bps": {}}
    assert read.json()["limits"] == {"mode": "off", "max_rate_bps": 1000, **none}
    assert [each["fees"]["amount_minor"] for each in read.json()["spent"]] == [90]
    form = {"mode": "auto", "max_rate_bps": 600, "monthly_budget_minor": 5000, "total_budget_minor": 9000}
    for wrong in ({**form, "mode": "on"}, {**form, "max_rate_bps": 100}, {**form, "more": 1}):
        refused = await client.put(url, json=wrong, headers=headers | {"If-Match": read.headers["ETag"]})
        assert refused.status_code == 422
    done = await client.put(url, json=form, headers=headers | {"If-Match": read.headers["ETag"]})
    assert done.status_code == 200 and done.json()["limits"] == form | {"budget_shares_bps": {}}
    late = await client.put(url, json={"mode": "off"}, headers=headers | {"If-Match": read.headers["ETag"]})
    assert late.status_code == 412
    back = await client.put(url, json={"mode": "off"}, headers=headers | {"If-Match": done.headers["ETag"]})
    assert back.json()["limits"] == read.json()["limits"]
