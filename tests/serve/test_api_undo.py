"""Decisions taken back through the API: with the right it takes, once, as the role that may not do everything."""

from __future__ import annotations

from uuid import UUID

import httpx2
from api_world import API, Business

from flipsync.domain.commands import ChangePrice
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store


async def repriced(store: Store, business: Business) -> UUID:
    """A decision whose new price the channel shows."""
    async with store.unit(business.tenant_id) as unit:
        listing = await unit.session.get_one(m.Listing, business.ids["listing_id"])
        listing.status = "active"
        listing.price_minor = listing.price_minor or 1250
        price = Money(amount_minor=listing.price_minor, currency=listing.currency)
        before = Money(amount_minor=listing.price_minor + 50, currency=listing.currency)
        sent = ChangePrice(account_id=listing.account_id, listing_id=listing.id, price=price, previous=before)
        back = sent.model_copy(update={"price": before, "previous": price})
        told = {
            "tenant_id": business.tenant_id,
            "command": "ChangePrice",
            "payload": sent.model_dump(mode="json"),
            "subject_kind": "listing",
            "subject_id": listing.id,
        }
        event = await unit.session.get_one(m.AgentDecision, business.ids["decision_id"])
        decision = m.AgentDecision(
            tenant_id=business.tenant_id,
            agent="pricing",
            agent_version="1",
            event_id=event.event_id,
            state="applied",
            source="rules",
            rationale="cheaper",
            confidence=1.0,
            correlation_id=event.event_id,
        )
        unit.session.add(decision)
        await unit.session.flush()
        proposal = m.Proposal(**told, decision_id=decision.id, ordinal=0, verdict="proceed")
        unit.session.add(proposal)
        await unit.session.flush()
        effect = m.Effect(
            **told,
            account_id=listing.account_id,
            proposal_id=proposal.id,
            key=str(proposal.id),
            priority=50,
            state="confirmed",
            correlation_id=event.event_id,
            undo={"command": "ChangePrice", "payload": back.model_dump(mode="json")},
            finished_at=unit.now,
        )
        unit.session.add(effect)
    return decision.id


async def test_a_price_is_taken_back_once_by_those_who_may(
    client: httpx2.AsyncClient, store: Store, alpha: Business, beta: Business
) -> None:
    decision_id = await repriced(store, alpha)
    url = f"{API}/decisions/{decision_id}/undo"

    async def undo(headers: dict[str, str], **form: bool) -> httpx2.Response:
        return await client.post(url, headers=headers | {"Idempotency-Key": new_id().hex}, json=form)

    refused = await undo(alpha.headers("analyst"))
    assert refused.status_code == 403 and "pricing:write" in refused.json()["hint"]
    assert (await undo(alpha.headers("clerk"))).status_code == 403
    assert (await undo(beta.headers())).status_code == 404
    looked = (await undo(alpha.headers("manager"), dry_run=True)).json()
    assert looked["dry_run"] and [part["outcome"] for part in looked["parts"]] == ["undoable"]
    done = await undo(alpha.headers("manager"))
    assert done.status_code == 200, done.text
    assert [part["outcome"] for part in done.json()["parts"]] == ["asked"]
    again = (await undo(alpha.headers("owner"))).json()
    assert [part["outcome"] for part in again["parts"]] == ["asked"]
    async with store.reader(alpha.tenant_id) as session:
        kept = await session.get_one(m.AgentDecision, decision_id)
    assert kept.state == "applied", "what was decided stays on record"
