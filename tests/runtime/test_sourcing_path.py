"""A question about goods from asking to advice: decided, a catalogue asked, decided again, explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripted_channel import Channels, ScriptedChannel
from shop import Shop, dollars
from stall import drain
from test_decision_path import House

from flipsync.domain.money import Money
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion
from flipsync.runtime.effects import EffectWorker
from flipsync.services.sourcing import reading, scans
from flipsync.services.why import explain

CODE = "4006381333931"


class Catalogue(ScriptedChannel):
    """Knows every code, and two who sell it."""

    async def look_up(self, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        self._begin("look_up", len(questions))
        return [
            CatalogueEntry(
                key=each.key,
                external_id="P1",
                title="Highlighter, yellow",
                codes=(each.gtin or "",),
                offers=(Money(amount_minor=2400, currency="USD"), Money(amount_minor=2900, currency="USD")),
            )
            for each in questions
        ]


async def test_a_question_goes_all_the_way(shop: Shop, channels: Channels, hire: Callable[..., EffectWorker]) -> None:
    house = await House(shop).build()
    account = await shop.account("ebay")
    channels.by_account[str(account.id)] = catalogue = Catalogue()
    async with shop.unit() as unit:
        scan = await scans.ask(unit, [scans.read_question(CODE, cost=dollars(900))])
        line = (await reading.first_advice(unit.session, scan)).id

    async def advice() -> reading.AdviceView:
        async with shop.store.reader(shop.tenant_id) as session:
            return await reading.get_advice(session, line)

    assert (await advice()).verdict is None
    assert await house.run("sourcing") == 1
    first = await advice()
    assert (first.verdict, len(first.waiting), first.most) == ("ask", 1, None)
    assert ("LookUpGoods", "pending") in await house.outbox()
    await drain(hire(), shop)
    assert [call.method for call in catalogue.calls] == ["look_up"]
    assert await house.run("sourcing") == 1
    told = await advice()
    assert (told.waiting, told.product, told.channels[0].rivals) == ([], "Highlighter, yellow", 2)
    assert told.most is not None and told.low is not None and told.high is not None and told.decision_id is not None
    assert told.verdict == "ask" and "too little of your own was sold" in told.why
    async with shop.store.reader(shop.tenant_id) as session:
        why = (await explain(session, str(told.decision_id))).to_text(width=400)
    assert "told of 1 pages" in why and "advise: ask" in why
    assert [row.agent for row in await shop.rows("SELECT agent FROM agent_decision")] == ["sourcing", "sourcing"]
    async with shop.store.reader(shop.tenant_id) as session:
        assert (await reading.get_list(session, told.list_id)).ask == 1
