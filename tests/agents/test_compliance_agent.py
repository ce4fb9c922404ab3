"""ComplianceAgent: closes a door that no longer opens, and reads every text before it goes out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from shop import Shop, dollars

from agents.governance.compliance import ComplianceAgent
from flipsync.domain.channel import Offer, SellerRating
from flipsync.domain.commands import ChangePrice, PauseAccount, PublishListing, ReviseListing
from flipsync.domain.events import (
    AccountHealthChanged,
    ChannelFaultFound,
    CredentialsExpiring,
    CredentialsRenewed,
    EffectFailed,
)
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.services import accounts
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef


def failed(account: AccountRef, *, auth: bool) -> EffectFailed:
    return EffectFailed(
        effect_id=new_id(),
        command="ChangePrice",
        outcome="rejected",
        auth=auth,
        account_id=account.id,
        vendor="custom",
        subject_kind="listing",
        subject_id=new_id(),
        detail="401",
    )


async def test_an_account_that_refuses_our_credentials_is_paused_once(shop: Shop) -> None:
    account = await shop.account()
    decision = await shop.decide(ComplianceAgent(), failed(account, auth=True))
    assert [type(command) for command in decision.proposals] == [PauseAccount]
    assert "401" in decision.proposals[0].reason
    async with shop.unit() as unit:
        await accounts.pause_account(unit, account.id, "refused")
    assert (await shop.decide(ComplianceAgent(), failed(account, auth=True))).is_hold


async def test_other_failures_are_noted(shop: Shop) -> None:
    account = await shop.account()
    assert (await shop.decide(ComplianceAgent(), failed(account, auth=False))).is_hold
    health = AccountHealthChanged(account_id=account.id, vendor="custom", healthy=False, cause="slow answers")
    assert "slow answers" in (await shop.decide(ComplianceAgent(), health)).rationale


@pytest.mark.parametrize(("days", "said"), [(7, "ends on 2027-05-31"), (0, "has ended")])
async def test_an_access_that_ends_is_for_the_owner_to_renew(shop: Shop, days: int, said: str) -> None:
    account = await shop.account()
    ends_at = datetime(2027, 5, 31, tzinfo=UTC)
    soon = CredentialsExpiring(account_id=account.id, vendor="custom", credential="consent", ends_at=ends_at, days=days)
    decision = await shop.decide(ComplianceAgent(), soon)
    assert decision.is_hold and said in decision.rationale and "owner" in decision.rationale
    renewed = CredentialsRenewed(account_id=account.id, vendor="custom", credential="consent")
    assert "renewed" in (await shop.decide(ComplianceAgent(), renewed)).rationale


def offer(title: str = "A teapot", description: str = "") -> Offer:
    return Offer(sku="T", title=title, description_html=description, price=dollars(100), quantity=0)


@pytest.mark.parametrize("command", [PublishListing, ReviseListing])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (offer(), None),
        (offer("Ivory-coloured teapot"), "deny"),
        (offer("Teapot", "<p>real <b>ammunition</b></p>"), "deny"),
        (offer("Healing teapot", "It cures colds"), "ask"),
        (offer("FDA-approved kettle"), "ask"),
        (offer("Teapot https://elsewhere.example"), "deny"),
        (offer("Teapot", "More at https://maker.example"), None),
    ],
)
async def test_reads_what_goes_out(
    shop: Shop, command: type[PublishListing] | type[ReviseListing], text: Offer, answer: str | None
) -> None:
    async with shop.store.reader(shop.tenant_id) as session:
        services = Services(session, shop.tenant_id, shop.store.clock.now())
        context = Context(shop.tenant_id, services.now, services, new_id(), new_id())
        opinion = await ComplianceAgent().review(command(account_id=new_id(), listing_id=new_id(), offer=text), context)
    assert (opinion.answer if opinion else None) == answer
    assert opinion is None or opinion.reason


async def test_a_low_rating_is_told_once_and_new_listings_wait_for_the_owner(shop: Shop) -> None:
    account = await shop.account()

    async def rated(level: Literal["top", "good", "below"], **more: Any) -> bool:
        async with shop.unit() as unit:
            return await accounts.note_rating(unit, account.id, SellerRating(level=level, **more))

    async def opinion(kind: type[PublishListing] | type[ReviseListing]) -> str | None:
        async with shop.store.reader(shop.tenant_id) as session:
            services = Services(session, shop.tenant_id, shop.store.clock.now())
            context = Context(shop.tenant_id, services.now, services, new_id(), new_id())
            found = await ComplianceAgent().review(
                kind(account_id=account.id, listing_id=new_id(), offer=offer()), context
            )
        assert found is None or (found.rule == "seller-rating" and "LATE" in found.reason)
        return found.answer if found else None

    assert await rated("good") and not await rated("good")
    assert await rated("good", soon="below") and await opinion(PublishListing) is None
    assert await rated("below", because=("LATE_SHIPMENT_RATE",))
    assert await opinion(PublishListing) == "ask" and await opinion(ReviseListing) is None
    told = await shop.events(AccountHealthChanged)
    assert [(each["healthy"], "next: below" in each["cause"]) for each in told] == [(False, True), (False, False)]
    noted = await shop.decide(ComplianceAgent(), AccountHealthChanged.model_validate(told[-1]))
    assert noted.is_hold and "LATE_SHIPMENT_RATE" in noted.rationale and "owner's word" in noted.rationale
    assert await rated("good") and await opinion(PublishListing) is None
    assert [each["healthy"] for each in await shop.events(AccountHealthChanged)] == [False, False, True]


async def test_has_no_opinion_on_prices(shop: Shop) -> None:
    change = ChangePrice(account_id=new_id(), listing_id=new_id(), price=dollars(1), previous=None)
    async with shop.store.reader(shop.tenant_id) as session:
        services = Services(session, shop.tenant_id, shop.store.clock.now())
        context = Context(shop.tenant_id, services.now, services, new_id(), new_id())
        assert await ComplianceAgent().review(change, context) is None


async def test_an_account_whose_access_is_gone_is_paused_before_the_next_write(shop: Shop) -> None:
    account = await shop.account()

    def fault(cause: str) -> ChannelFaultFound:
        return ChannelFaultFound(account_id=account.id, vendor="custom", fault_id=new_id(), cause=cause)

    (pause,) = (await shop.decide(ComplianceAgent(), fault("access-revoked"))).proposals
    assert isinstance(pause, PauseAccount) and "withdrawn" in pause.reason
    assert (await shop.decide(ComplianceAgent(), fault("webhooks-late"))).is_hold
