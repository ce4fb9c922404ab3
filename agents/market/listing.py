"""ListingAgent: what a listing lacks, what is done about it by itself, what is asked, and what only a person can do."""

from __future__ import annotations

from uuid import UUID

from flipsync.domain.channel_fault import Cause
from flipsync.domain.commands import Command, ReviseListing
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import ChannelFaultFound, ListingRefused, ProductEdited
from flipsync.domain.listing_care import (
    FitListing,
    ListingLacking,
    ListingsDue,
    NoteListingNeeds,
    OfferListingFix,
    OfferProductFacts,
    PlanListingWork,
    RevisionRefused,
)
from flipsync.domain.workflow_messages import WriteContent
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Budget, Context
from flipsync.services.listing_care_desk import Work
from flipsync.services.listing_fixes import Action

ListingFact = ListingsDue | ListingLacking | ListingRefused | RevisionRefused | ChannelFaultFound | ProductEdited
ListingWork = (
    PlanListingWork | FitListing | OfferListingFix | OfferProductFacts | NoteListingNeeds | ReviseListing | WriteContent
)
#: faults that are about single listings, and may have to do with what these say
_OF_LISTINGS: frozenset[Cause] = frozenset({"listing-suppressed", "variation-split"})
#: the share of what is done by itself and of what is asked that was right, in `flipsync bench agents`; rounded down
_RIGHT, _ASKED = 0.95, 0.75
_SHOWN = 5


class ListingAgent(Agent[ListingFact]):
    """Looks weekly over listings, and at once at one that its channel refuses or hides, and mends what it may.

    Words are the owner's own, fitted to what the channel takes; what is concluded is asked; the rest is told. What
    somebody wrote on the channel stays, and the same is never proposed twice about the same.
    """

    spec = AgentSpec(
        name="listing",
        ecosystem="market",
        reports_to="market",
        authority=Authority(auto_above=0.6),
        budget=Budget(effects_per_hour=500),
        batch=8,
        pace=1.0,
    )

    async def decide(self, event: ListingFact, ctx: Context) -> Decision[ListingWork]:
        care = ctx.services.care
        if isinstance(event, ListingsDue):
            return await self._review(event, ctx)
        if isinstance(event, ChannelFaultFound):
            if event.cause not in _OF_LISTINGS:
                return Decision.hold("the fault is not about what listings say")
            return self._plan(ctx, await care.named(event.account_id, list(event.evidence)), event.cause)
        if isinstance(event, ProductEdited):
            return self._plan(ctx, await care.waiting(event.product_id), "the product was edited")
        work = await care.work(event.listing_id)
        evidence = [Evidence(kind="listing", id=event.listing_id)]
        if work is None:
            return Decision.hold("the listing is not on sale, nor was it refused", evidence=evidence)
        if work.idle:
            return Decision.hold(work.idle, evidence=evidence)
        return self._mend(work, evidence)

    @staticmethod
    async def _review(event: ListingsDue, ctx: Context) -> Decision[ListingWork]:
        if event.tenant_id != ctx.tenant_id:
            return Decision.hold("another business's week")
        found = await ctx.services.care.review()
        looked = f"{found.looked} of {found.listings} listings score {found.score:.2f} on average"
        if not found.now:
            return Decision.hold(f"{looked}; nothing new to do about any of them")
        return Decision.propose(
            PlanListingWork(tenant_id=ctx.tenant_id, listings=found.now),
            why=f"{looked}; {found.lacking} lack something new, {len(found.now)} are seen to now, the most worth first",
            confidence=_RIGHT,
        )

    @staticmethod
    def _plan(ctx: Context, listings: list[UUID], why: str) -> Decision[ListingWork]:
        if not listings:
            return Decision.hold(f"{why}: no listing waits for that")
        command = PlanListingWork(tenant_id=ctx.tenant_id, listings=tuple(listings))
        return Decision.propose(command, why=f"{why}: look at {len(listings)} listings", confidence=_RIGHT)

    @classmethod
    def _mend(cls, work: Work, evidence: list[Evidence]) -> Decision[ListingWork]:
        alone = [each for each in work.actions if each.alone]
        asked = [each for each in work.actions if each.kind in ("ask", "facts")]
        #: one question at a time: the answer may change what else is to be asked
        chosen = alone or asked[:1]
        commands = cls._commands(work, chosen)
        if work.fresh or work.over:
            commands.append(NoteListingNeeds(listing_id=work.listing_id, needs=work.fresh, over=work.over))
        name = f"“{work.title[:60]}” on {work.account}"
        if not commands:
            return Decision.hold(f"{name} scores {work.score:.2f}; nothing new to do about it", evidence=evidence)
        says = [each.says for each in chosen] or [each.says for each in work.fresh] or ["it needs no person any more"]
        return Decision.propose(
            *commands,
            why=f"{name} scores {work.score:.2f}: {'; '.join(says)}"[:900],
            confidence=_ASKED if chosen and not alone else _RIGHT,
            evidence=evidence,
            alternatives=[cls._as_alternative(each, work, each in chosen) for each in work.actions[:_SHOWN]],
        )

    @staticmethod
    def _commands(work: Work, chosen: list[Action]) -> list[Command]:
        commands: list[Command] = []
        for each in chosen:
            about = {"listing_id": work.listing_id, "account_id": work.account_id, "vendor": work.vendor}
            about |= {"check": each.check, "mark": each.mark}
            if each.kind == "facts":
                facts = {"product_id": work.product_id, "brand": each.brand, "category": each.category}
                commands.append(OfferProductFacts.model_validate(about | facts))
                continue
            if each.kind == "content":
                commands.append(WriteContent(product_id=work.product_id, description_html=each.description_html))
                continue
            fix = OfferListingFix if each.kind == "ask" else FitListing
            words = {"titles": each.titles, "specifics": each.specifics, "relist": each.relist}
            commands.append(fix.model_validate(about | words | {"score": work.score, "expected": each.expected}))
        if work.offer is not None:
            commands.append(
                ReviseListing(
                    account_id=work.account_id, listing_id=work.listing_id, offer=work.offer, unless_edited=True
                )
            )
        return commands

    @staticmethod
    def _as_alternative(action: Action, work: Work, chosen: bool) -> Alternative:
        who = "by itself" if action.alone else "a person" if action.kind == "need" else "if you say so"
        scores = {"gain_minor_per_week": float(action.gain_minor), "minutes": float(action.minutes)}
        return Alternative(
            name=f"{action.check}: {who}",
            scores=scores | {"score_after": action.expected},
            why=action.says[:300],
            chosen=chosen,
        )
