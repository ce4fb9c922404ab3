"""SourcingAgent on real rows: what a thing is, whether to buy it, for how much, and what it has to be told first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asked_goods import CODE, ask, experienced, sells
from shop import Shop, dollars

from agents.market.sourcing import SourcingAgent
from flipsync.domain.money import Money
from flipsync.domain.sourcing import (
    CatalogueAnswered,
    CatalogueEntry,
    LookUpGoods,
    RecordSourcingVerdict,
    SourcingAsked,
)
from flipsync.services.sourcing import scans
from flipsync.store.repositories import sourcing as rows


async def decided(shop: Shop, scan: UUID) -> tuple[Any, RecordSourcingVerdict]:
    decision = await shop.decide(SourcingAgent(), SourcingAsked(scan_id=scan, part=0))
    advice = decision.proposals[0]
    assert isinstance(advice, RecordSourcingVerdict)
    return decision, advice


async def test_goods_of_ours_are_known_by_barcode_and_worth_buying_up_to_a_price(shop: Shop) -> None:
    account = await experienced(shop)
    (goods,) = await sells(shop, account, CODE)
    decision, cheap = await decided(shop, await ask(shop, CODE, cost=dollars(1000)))
    assert (cheap.verdict, cheap.variant_id, cheap.identified_by) == ("buy", goods, "barcode")
    assert cheap.low_minor is not None and cheap.high_minor is not None and cheap.likely_minor is not None
    assert cheap.low_minor < cheap.likely_minor < cheap.high_minor
    # 30.00 less eBay's fees and a parcel of 4.50: the most is below what is left
    assert cheap.most_minor is not None and 1500 < cheap.most_minor < 2250
    assert cheap.days_to_sell is not None and cheap.days_to_sell < 10
    assert [each.name for each in decision.alternatives if each.chosen] == [f"sell on {cheap.scores[0].channel}"]
    _, dear = await decided(shop, await ask(shop, CODE, cost=dollars(2900)))
    assert dear.verdict == "pass" and str(Money(amount_minor=cheap.most_minor, currency="USD")) in dear.why
    _, many = await decided(shop, await ask(shop, CODE, cost=dollars(1000), units=5000))
    assert many.verdict == "pass" and "too slowly" in many.why


async def test_the_price_named_is_just_the_one_at_which_the_wish_comes_true(shop: Shop) -> None:
    account = await experienced(shop)
    await sells(shop, account, CODE)
    _, open_ = await decided(shop, await ask(shop, CODE))
    assert open_.verdict == "buy" and open_.most_minor is not None
    _, at = await decided(shop, await ask(shop, CODE, cost=dollars(open_.most_minor)))
    _, above = await decided(shop, await ask(shop, CODE, cost=dollars(open_.most_minor + 1)))
    assert (at.verdict, above.verdict) == ("buy", "pass")
    assert at.chance is not None and at.chance >= 0.65


async def test_a_title_alone_is_asked_about_and_a_code_of_others_rules_it_out(shop: Shop) -> None:
    account = await experienced(shop)
    await sells(shop, account, CODE, title="Stabilo Boss highlighter yellow")
    _, by_title = await decided(shop, await ask(shop, "yellow highlighter Stabilo Boss", cost=dollars(500)))
    assert by_title.verdict == "ask" and by_title.identified_by == "title" and by_title.identity < 0.95
    _, other = await decided(shop, await ask(shop, "036000291452", title="Stabilo Boss highlighter yellow"))
    assert (other.verdict, other.variant_id) == ("ask", None)
    _, wrong = await decided(shop, await ask(shop, CODE, title="Garden hose 20 m green", cost=dollars(500)))
    assert wrong.verdict == "ask" and "reads" in wrong.why


async def test_books_that_teach_nothing_make_it_ask(shop: Shop) -> None:
    account = await shop.account("ebay")
    goods = await shop.variant(units=3, barcode=CODE, price=3000)
    await shop.listing(account, goods, units=3)
    _, advice = await decided(shop, await ask(shop, CODE, cost=dollars(500)))
    assert advice.verdict == "ask" and "missing" in advice.why
    assert advice.low_minor is not None and advice.high_minor is not None
    assert advice.high_minor - advice.low_minor > 1500, "wide bars"


async def test_a_channels_catalogue_is_asked_once_and_its_answer_decided_on(shop: Shop) -> None:
    ebay = await experienced(shop)
    scan = await ask(shop, CODE, cost=dollars(700))
    decision, first = await decided(shop, scan)
    (look_up,) = [each for each in decision.proposals if isinstance(each, LookUpGoods)]
    assert look_up.account_id == ebay.id and first.verdict == "ask" and len(first.waiting) == 1
    async with shop.unit() as unit:
        await scans.settle(unit, first)
    again, _ = await decided(shop, scan)
    assert not [each for each in again.proposals if isinstance(each, LookUpGoods)], "asked already"
    async with shop.unit() as unit:
        line = await rows.line_of(unit.session, scan)
        assert line is not None
        offers = (dollars(0), dollars(2500))  # one names no price
        entry = CatalogueEntry(
            key=str(line.id), external_id="X1", title="Highlighter", codes=(f"0{CODE}",), offers=offers
        )
        await scans.enter_answer(unit, ebay, scan, 0, [entry], "USD")
    (told,) = await shop.events(CatalogueAnswered)
    after = await shop.decide(SourcingAgent(), CatalogueAnswered.model_validate(told))
    (advice,) = after.proposals
    assert isinstance(advice, RecordSourcingVerdict) and advice.waiting == ()
    assert advice.identified_by == "catalogue" and advice.product == "Highlighter" and advice.scores[0].rivals == 1


async def test_an_unwanted_code_is_asked_of_nobody_and_a_case_is_no_article(shop: Shop) -> None:
    await experienced(shop)
    _, case = await decided(shop, await ask(shop, "10614141000415", cost=dollars(1000)))
    assert case.verdict == "ask"


async def test_another_business_sees_nothing_of_it(shop: Shop) -> None:
    await experienced(shop)
    scan = await ask(shop, CODE)
    stranger = await Shop(shop.store).found()
    decision = await stranger.decide(SourcingAgent(), SourcingAsked(scan_id=scan, part=0))
    assert decision.is_hold
