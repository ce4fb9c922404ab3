"""AIMarketAgent: reads what is written about goods of a category that is new to the business.

It stands in for MarketAgent for the first product of a category: where the goods are offered is that agent's decision,
made by the same rules and carried out once. A language model, where the business has one, reads attributes and risks
from the title and the description. What it says it has read has to stand there, letter by letter.
"""

from __future__ import annotations

from typing import Any

from agents.market.market import MarketAgent
from flipsync.domain.commands import EndListing, EndorseDecision, ListOnChannel, OverruleDecision
from flipsync.domain.decisions import Decision
from flipsync.domain.events import Event, ProductImported
from flipsync.domain.goods_reading import NoteReading
from flipsync.intelligence.language import Prompt
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.services.counsel import Matter, by_rules, cited, joined, struck_out
from flipsync.services.readings import Held, Reading, held, text_of

PROMPT = Prompt.beside(__file__, Reading)

Placed = ListOnChannel | EndListing | EndorseDecision | OverruleDecision | NoteReading


class AIMarketAgent(Agent[ProductImported]):
    """Places the first goods of a category as MarketAgent does, and reads their attributes and risks from the text."""

    spec = AgentSpec(
        name="ai_market",
        ecosystem="market",
        reports_to="market",
        wraps="market",
        authority=MarketAgent.spec.authority,
        pace=0.25,
        batch=4,
        version=f"1-{PROMPT.mark}",
        asks_model=True,
    )

    def __init__(self) -> None:
        self._wrapped = MarketAgent()

    @classmethod
    def takes(cls, event: Event) -> bool:
        """The first product of a category that the business has not had; all others stay with the market agent."""
        return isinstance(event, ProductImported) and event.new_category

    async def decide(self, event: ProductImported, ctx: Context) -> Decision[Placed]:
        decision: Decision[Any] = await self._wrapped.decide(event, ctx)
        if why_not := await ctx.services.language.why_not():
            return by_rules(decision, why_not)
        goods = await ctx.services.readings.goods(event.product_id)
        if goods is None:
            return decision
        described = text_of(goods.description_html)
        texts = [("the title", goods.title), ("the description", described)]
        texts += [(name, said) for name, said in (("the brand", goods.brand), ("the category", goods.category)) if said]
        matter = Matter()
        matter.add("channels that were looked at", len(decision.alternatives), "product", event.product_id)
        matter.add("channels that it goes on sale on", len(decision.proposals), "product", event.product_id)
        words = f"{goods.title} {goods.category or ''}"
        about = [("product", event.product_id)]
        matter.know(await ctx.services.brain.brief(self.spec.name, about, words=words, rows=12))
        question = PROMPT.ask(matter.facts, texts)
        answer = await ctx.services.language.ask(question)
        reading = answer.read(PROMPT, Reading)
        if reading is None or answer.call_id is None:
            return by_rules(decision, answer.why or "the answer is of another version")
        found = held(reading, [each.text for each in question.texts], question.facts)
        out = struck_out(found.struck)
        evidence = (*decision.evidence, *answer.evidence(PROMPT))
        if found.empty:
            words = joined(decision.rationale, f"by rules alone: nothing was read that the text says{out}")
            return decision.model_copy(update={"rationale": words, "evidence": evidence})
        note = NoteReading(
            product_id=event.product_id,
            call_id=answer.call_id,
            attributes=found.attributes,
            risks=found.risks,
            positioning=tuple(each.text for each in found.positioning),
        )
        return decision.model_copy(
            update={
                "proposals": (*decision.proposals, note),
                "rationale": joined(decision.rationale, f"the model read: {_told(found)}{out}"),
                "evidence": (*evidence, *cited(question.facts, found.positioning, evidence)),
                "source": "model",
            }
        )


def _told(found: Held) -> str:
    parts = [f"{each.name} {each.value}" for each in found.attributes[:4]]
    if len(found.attributes) > len(parts):
        parts.append(f"{len(found.attributes) - len(parts)} attributes more")
    parts += [f"a risk ({each.kind}): “{each.quote[:80]}”" for each in found.risks]
    return "; ".join([*parts, *(each.text for each in found.positioning)])
