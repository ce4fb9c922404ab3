"""EbayAgent: whole listings or none, and notifications that stay on."""

from __future__ import annotations

from shop import Shop

from agents.market.ebay import EbayAgent
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.commands import EnsureWebhooks, PublishListing, PullOrders, PullRivals, VerifyListings
from flipsync.domain.events import ChannelCheckDue, ListingCheckDue, ListingRequested
from flipsync.domain.money import usd


async def test_only_what_ebay_would_show_is_published(shop: Shop) -> None:
    account = await shop.account("ebay")
    for image, published in (("https://img.example/1.jpg", True), (None, False)):
        goods = await shop.variant(units=4, title="Teapot", **({"image": image} if image else {}))
        listing = await shop.listing(account, goods, price=None, status="requested")
        event = ListingRequested(account_id=account.id, vendor="ebay", product_id=goods.product_id)
        decision = await shop.decide(EbayAgent(), event)
        if published:
            (command,) = decision.proposals
            assert isinstance(command, PublishListing) and command.listing_id == listing
        else:
            assert decision.is_hold and "picture" in decision.rationale
            assert [each.id for each in decision.evidence] == [listing]


def test_a_variation_needs_every_choice() -> None:
    group = OfferGroup(
        key="SHIRT", title="Shirt", options=("Size", "Color"), values={"Size": ("S",), "Color": ("Red",)}
    )

    def variation(*choices: str) -> Offer:
        return Offer(
            sku="S", title="Shirt", price=usd("9.00"), quantity=1, images=("https://i.example/1.jpg",), group=group,
            choices=choices,
        )  # fmt: skip

    agent = EbayAgent()
    assert agent.lacks(variation("S", "Red")) == ""
    for choices in ((), ("S",), ("S", " ")):
        assert "Size, Color" in agent.lacks(variation(*choices))


async def test_looks_for_orders_and_rivals_and_keeps_notifications_on(shop: Shop) -> None:
    account = await shop.account("ebay")
    due = ChannelCheckDue(account_id=account.id, vendor="ebay", rivals=True)
    assert {type(each) for each in (await shop.decide(EbayAgent(), due)).proposals} == {PullOrders, PullRivals}
    reachable = await Shop(shop.store).found(webhook_base_url="https://we.example")
    for place, hooks in ((shop, set()), (reachable, {EnsureWebhooks})):
        seller = await place.account("ebay")
        check = ListingCheckDue(account_id=seller.id, vendor="ebay")
        decision = await place.decide(EbayAgent(), check)
        assert {type(each) for each in decision.proposals} == {VerifyListings} | hooks
