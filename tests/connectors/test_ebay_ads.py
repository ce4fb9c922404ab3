"""Ads on eBay, asked of the sandbox and judged by eBay's documents: rates, what ads sold, what they cost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ebay_documents import Documents
from test_ebay_documents import OFFER, Judged

from flipsync.domain.advertising import AdShown
from flipsync.domain.channel import RefundOrder
from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd
from flipsync.sandbox.buyers import Buyer


@pytest.fixture
def judged(open_channel: Any, contracts: Path) -> Any:
    channel = open_channel("ebay")
    channel.judge = Judged(channel.tap.inner, Documents(contracts))
    channel.tap.inner = channel.judge
    return channel


def sell_by_ad(channel: Any, sku: str, units: int, rate: float) -> None:
    books = channel.sandbox.books
    with books.transaction():
        channel.sandbox.market.orders.place("ebay", sku, units, Buyer(9_900, 6.0, units), ad_rate=rate)


async def test_a_listing_is_advertised_at_a_rate_and_no_more(judged: Any) -> None:
    ebay = judged.connector
    await ebay.publish(OFFER, "k")
    assert await ebay.ads() == []
    for rate in (450, 620):
        assert await ebay.set_ad_rate("LAMP-1", rate) == rate
    assert await ebay.ads() == [AdShown(external_id="LAMP-1", campaign_id="10000001", rate_bps=620)]
    for _ in range(2):  # stopping what is stopped is no mistake
        assert await ebay.set_ad_rate("LAMP-1", 0) == 0
    assert await ebay.ads() == []
    with pytest.raises(Rejected, match="Minimum"):
        await ebay.set_ad_rate("LAMP-1", 150)
    with pytest.raises(Rejected, match="not valid"):
        await ebay.set_ad_rate("NOBODY", 450)
    assert "\n".join(judged.judge.problems) == ""


async def test_a_seller_without_a_campaign_gets_one(judged: Any) -> None:
    ebay = judged.connector
    await ebay.publish(OFFER, "k")
    with judged.sandbox.books.transaction():
        judged.sandbox.server("/ebay").ads.forget_campaign()
    assert await ebay.marketing.campaigns() == []
    assert await ebay.set_ad_rate("LAMP-1", 500) == 500
    assert [each.name for each in await ebay.marketing.campaigns()] == ["FlipSync"]
    assert "\n".join(judged.judge.problems) == ""


async def test_what_ads_sold_and_cost_is_laid_to_the_listing(judged: Any) -> None:
    ebay = judged.connector
    start = judged.sandbox.books.clock.now() - timedelta(minutes=1)
    await ebay.publish(OFFER.model_copy(update={"quantity": 9}), "k")
    await ebay.set_ad_rate("LAMP-1", 500)
    judged.sell("LAMP-1", 1)
    assert [each async for each in ebay.ad_sales(start, start + timedelta(days=1))] == []
    sell_by_ad(judged, "LAMP-1", 2, 5.0)
    (sale,) = [each async for each in ebay.ad_sales(start, start + timedelta(days=1))]
    assert (sale.listing_external_id, sale.units, sale.sales, sale.fee) == ("LAMP-1", 2, usd("39.80"), usd("1.99"))
    whole = RefundOrder(order_external_id=sale.order_external_id, amount=usd("39.80"), reason="", reference="FS-1")
    await ebay.issue_refund(whole, "k")
    (given_back,) = [each async for each in ebay.ad_sales(start, start + timedelta(days=1))]
    assert (given_back.units, given_back.fee) == (2, usd("0.00"))
    assert "\n".join(judged.judge.problems) == ""
