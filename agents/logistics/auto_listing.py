"""AutoListingAgent: takes new stock from a line in the catalogue to listings on the channels where it earns."""

from __future__ import annotations

from flipsync.domain.commands import ListOnChannel
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.money import Money, usd
from flipsync.domain.workflow_messages import ConfirmIdentity, SetListPrice, StockToList, WriteContent
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context
from flipsync.services.new_stock import NewStock
from flipsync.services.placement import places

ListingWork = ConfirmIdentity | WriteContent | SetListPrice | ListOnChannel


class AutoListingAgent(Agent[StockToList]):
    """Lists new stock: asks when it may not be what it says, fills in words, finds a price, chooses channels.

    One part at a time, as the automation `auto-listing` comes to it, which then sees that the channels show it.
    """

    spec = AgentSpec(
        name="auto_listing",
        ecosystem="logistics",
        version="2",
        reports_to="executive",
        authority=Authority(auto_above=0.6, max_stake=usd("500.00")),
        pace=0.25,
    )

    async def decide(self, event: StockToList, ctx: Context) -> Decision[ListingWork]:
        accounts = [account for account in await ctx.services.accounts.connected() if account.surveyed]
        vendors = sorted({(account.vendor, account.currency) for account in accounts})
        found = await ctx.services.new_stock.look(event.product_id, vendors)
        if found is None:
            return Decision.hold("the product is gone")
        evidence = [Evidence(kind="product", id=event.product_id)]
        match event.part:
            case "identify":
                return self._identify(found, evidence)
            case "content":
                return self._content(found, evidence)
            case "price":
                return self._price(found, evidence)
        return await self._publish(event, ctx, evidence)

    @staticmethod
    def _identify(found: NewStock, evidence: list[Evidence]) -> Decision[ListingWork]:
        if not found.doubts:
            return Decision.hold("nothing speaks against its being what it says", confidence=0.9, evidence=evidence)
        why = "; ".join(found.doubts)[:600]
        if found.confirmed:
            return Decision.hold(f"a person has said that it is what it says, although {why}", evidence=evidence)
        ask = ConfirmIdentity(product_id=found.product.id, doubts=tuple(each[:200] for each in found.doubts))
        why = f"is {found.product.title[:80]!r} ({found.variants[0].sku if found.variants else ''}) right? {why}"
        return Decision.propose(ask, why=why, confidence=0.5, evidence=evidence)

    @staticmethod
    def _content(found: NewStock, evidence: list[Evidence]) -> Decision[ListingWork]:
        words = found.words
        if words.title is None and words.description_html is None:
            return Decision.hold("it has its words, or nothing is known to say", evidence=evidence)
        write = WriteContent(product_id=found.product.id, title=words.title, description_html=words.description_html)
        missing = " and ".join(
            name for name, value in (("title", words.title), ("description", words.description_html)) if value
        )
        why = f"{missing} were missing: made of what is known and of nothing else"
        return Decision.propose(write, why=why, confidence=0.9, evidence=evidence)

    @staticmethod
    def _price(found: NewStock, evidence: list[Evidence]) -> Decision[ListingWork]:
        if not found.prices:
            open_ = f"; for {', '.join(found.unpriced[:5])} no cost is known to go by" if found.unpriced else ""
            return Decision.hold(f"no price to find{open_}", evidence=evidence)
        currency = found.prices[0].price.currency
        stake = sum(each.price.amount_minor * max(1, each.units) for each in found.prices)
        return Decision.propose(
            *(
                SetListPrice(
                    product_id=found.product.id, variant_id=each.variant_id, price=each.price, why=each.why[:300]
                )
                for each in found.prices
            ),
            why=f"list price {found.prices[0].price}: {found.prices[0].why}"
            + (f" (and {len(found.prices) - 1} more)" if len(found.prices) > 1 else ""),
            confidence=min(each.confidence for each in found.prices),
            evidence=[*evidence, *(Evidence(kind="variant", id=each.variant_id) for each in found.prices[:20])],
            stake=Money(amount_minor=stake, currency=currency),
        )

    @staticmethod
    async def _publish(event: StockToList, ctx: Context, evidence: list[Evidence]) -> Decision[ListingWork]:
        accounts = [account for account in await ctx.services.accounts.connected() if account.surveyed]
        if not accounts:
            return Decision.hold("no channel is connected and looked at", evidence=evidence)
        found = await places(ctx.services, event.product_id, accounts)
        alternatives = tuple(place.alternative for place in found)
        chosen = [place for place in found if place.chosen]
        if not chosen:
            return Decision.hold(f"on no channel: {alternatives[0].why}", evidence=evidence, alternatives=alternatives)
        return Decision.propose(
            *(ListOnChannel(product_id=event.product_id, account_id=place.account_id) for place in chosen),
            why=f"{len(chosen)} of {len(found)} channels where a sale at list price earns after fees and shipping",
            confidence=0.9,
            evidence=evidence,
            alternatives=alternatives,
        )
