"""What a yes lets go ahead, told in words, also when the question stands for a decision below."""

from __future__ import annotations

from uuid import UUID

from shop import Shop, dollars

from flipsync.domain.commands import ChangePrice, Command, EndorseDecision
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services.approval_outcomes import if_approved
from flipsync.store.database import SessionReader
from flipsync.store.models import AgentDecision, Proposal


async def decided(shop: Shop, *commands: tuple[Command, str | None]) -> UUID:
    """A decision with these proposals and what the gate said to each."""
    async with shop.unit() as unit:
        event_id = unit.emit(OfferChanged(listing_id=new_id(), account_id=new_id(), vendor="custom", cause="sale"))
        await unit.flush()
        row = AgentDecision(
            tenant_id=shop.tenant_id,
            agent="pricing",
            agent_version="1",
            event_id=event_id,
            state="awaiting",
            source="policy",
            rationale="sell it cheaper",
            confidence=0.5,
            correlation_id=event_id,
        )
        unit.session.add(row)
        await unit.session.flush()
        for ordinal, (command, verdict) in enumerate(commands):
            kind, subject_id = command.subject()
            unit.session.add(
                Proposal(
                    tenant_id=shop.tenant_id,
                    decision_id=row.id,
                    ordinal=ordinal,
                    command=command.type_name(),
                    payload=command.model_dump(mode="json"),
                    subject_kind=kind,
                    subject_id=subject_id,
                    verdict=verdict,
                    reason="",
                )
            )
    return row.id


async def test_a_yes_is_told_in_words_through_the_decisions_it_endorses(shop: Shop) -> None:
    account, goods = await shop.account(name="Corner"), await shop.variant(units=1)
    listing_id = await shop.listing(account, goods)
    price = ChangePrice(account_id=account.id, listing_id=listing_id, price=dollars(1999), previous=None)
    done = ChangePrice(account_id=account.id, listing_id=listing_id, price=dollars(1500), previous=None)
    below = await decided(shop, (price, "ask"), (done, "proceed"))
    above = await decided(shop, (EndorseDecision(decision_id=below), None))
    async with shop.store.reader(shop.tenant_id) as session:
        told = await if_approved(SessionReader(session), [below, above])
        assert await if_approved(SessionReader(session), []) == {}
    assert told[above] == told[below]
    (words,) = told[below]
    assert "19.99" in words and f"{goods.sku}@Corner" in words


async def test_nothing_of_another_business_is_told(shop: Shop) -> None:
    below = await decided(shop, (EndorseDecision(decision_id=new_id()), "ask"))
    stranger = await Shop(shop.store).found()
    async with shop.store.reader(stranger.tenant_id) as session:
        assert await if_approved(SessionReader(session), [below]) == {}
