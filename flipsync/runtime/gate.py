"""The gate: every proposal that would leave the house is judged here, and the answer is kept with its reason.

Prices go through the price firewall, which alone can sign them; one transaction of a tenant at a time, so that its
global brakes count right whoever judges. What a brake holds waits for a person. Everything else is judged by the
account's state and by the governance agents' `review`. Reads pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from flipsync.domain.advertising import SetAdRate
from flipsync.domain.commands import (
    AccountCommand,
    BuyLabel,
    ChangePrice,
    Command,
    IssueRefund,
    LabelCommand,
    ListingCommand,
    PublishListing,
)
from flipsync.domain.decisions import Verdict
from flipsync.domain.directives import bearing
from flipsync.domain.money import MAX_MINOR, Money
from flipsync.domain.steering_events import DecisionOutranked
from flipsync.runtime import contests
from flipsync.runtime.agent import Agent, Context
from flipsync.services import arbitration
from flipsync.services.advertising.judging import judge_ad_rate
from flipsync.services.arbitration import Claim, Held, Part, Rank
from flipsync.services.labels import judge_label
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.proposal import Ask, Clamp, Deny
from flipsync.services.quotes import WINDOW, lowest_price, proposal_for
from flipsync.services.refunds import judge_refund
from flipsync.store.repositories import decisions as decision_rows
from flipsync.store.repositories import listing_leases
from flipsync.store.repositories import price_brakes as brakes
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.unit_of_work import UnitOfWork

_COUNT_SECONDS = 60.0


class Gate:
    """Judges proposals. `reviewers` are agents whose `review` has a say (governance)."""

    def __init__(self, firewall: Firewall, reviewers: Sequence[Agent[Any]] = ()) -> None:
        self._firewall = firewall
        self._reviewers = reviewers
        self._sizes: dict[tuple[UUID, str], tuple[float, brakes.CatalogueSize]] = {}

    async def judge(
        self,
        unit: UnitOfWork,
        ctx: Context,
        agent: str,
        command: Command,
        *,
        approved: bool = False,
        claim: Claim | None = None,
        stake: int = 0,
        most_of: Callable[[str], int] = lambda _: MAX_MINOR,
    ) -> Verdict:
        """The answer to one proposal of `agent`. `unit` is the transaction the decision is written in.

        `approved`: a person has said yes, so nobody is asked again; what is denied or bounded stays so. `claim`: by
        what the agent wants the part of the listing; without one whoever was there first keeps it. `stake`: minor units
        that could be lost by it; `most_of`: what an agent may stake alone.
        """
        if command.scope == "read":
            return Verdict.proceed("read", "reading changes nothing")
        if isinstance(command, AccountCommand):
            account = await ctx.services.accounts.get(command.account_id)
            if account is None or account.status == "disconnected":
                return Verdict.deny("account", "the account is not connected")
        for reviewer in self._reviewers:
            opinion = await reviewer.review(command, ctx)
            if opinion is None or opinion.answer == "proceed" or (opinion.answer == "ask" and approved):
                continue
            return opinion
        if isinstance(command, ChangePrice):
            await brakes.hold(unit.session, unit.tenant_id)  # before any row of ours is locked
            await unit.flush()  # of one batch, a second price for the listing is a rival too
            held = await self._held(unit, command, "price")
            if held is not None and held.sent is not None and (held.sent or (claim is None and held.agent != agent)):
                return Verdict.deny("one-price-at-a-time", f"{held.agent} is changing this price already")
            if claim is not None:
                claim = await self._directed(unit, ctx, command, claim)
                contested = await contests.contest(unit, command, claim, held, stake, most_of, ctx.now)
                if contested is not None:
                    return contested
                if lost := arbitration.beaten(claim, held, ctx.now):
                    return Verdict.deny("arbitration", lost)
            persons = claim is not None and claim.rank is Rank.PERSON
            verdict = await self._price(
                unit, ctx, command, command.listing_id, command.price, released=approved, persons=persons
            )
            return self._taken(unit, ctx, command, "price", claim, held, verdict)
        if claim is not None and isinstance(command, ListingCommand) and (part := arbitration.part_of(command)):
            await brakes.hold(unit.session, unit.tenant_id)  # of two at once, one sees the other's lease
            await unit.flush()
            held = await self._held(unit, command, part)
            if lost := arbitration.beaten(claim, held, ctx.now):
                return Verdict.deny("arbitration", lost)
            return self._taken(unit, ctx, command, part, claim, held, Verdict.proceed("open", "no rule is against it"))
        if isinstance(command, PublishListing):
            await brakes.hold(unit.session, unit.tenant_id)
            price = command.offer.price
            return await self._price(unit, ctx, command, command.listing_id, price, released=approved)
        if isinstance(command, IssueRefund):
            limit = (await ctx.services.profile()).settings.orders.refund_approval_minor
            return await judge_refund(unit, command, limit, approved=approved)
        if isinstance(command, SetAdRate):
            return await judge_ad_rate(
                unit, command, (await ctx.services.profile()).settings.advertising, approved=approved
            )
        if isinstance(command, BuyLabel):
            return await judge_label(unit, command, (await ctx.services.profile()).directives, ctx.now)
        if isinstance(command, LabelCommand):
            return await judge_label(unit, command)
        return Verdict.proceed("open", "no rule is against it")

    @staticmethod
    async def _directed(unit: UnitOfWork, ctx: Context, command: ChangePrice, claim: Claim) -> Claim:
        directives = (await ctx.services.profile()).directives
        if not directives:
            return claim
        category = await pricing_rows.category_of(unit.session, command.listing_id)
        return arbitration.directed(claim, directives, ctx.now, command.account_id, category)

    @staticmethod
    async def _held(unit: UnitOfWork, command: ListingCommand, part: Part) -> Held | None:
        """Who has this part of the listing, by a lease or by a change on its way."""
        row = await listing_leases.contested(unit.session, command.type_name(), command.listing_id, part)
        if row.decision_id is not None and row.open_agent in (None, row.agent):
            assert row.agent is not None and row.rank is not None and row.score is not None and row.until is not None
            return Held(row.agent, Rank(row.rank), row.score, row.decision_id, row.until, row.sent)
        if row.open_agent is None or row.open_decision is None:
            return None
        # wanted before there were leases, or by who has lost the part since: first come, first served
        return Held(row.open_agent, Rank.SPECIALIST, 1.0, row.open_decision, unit.now, row.sent)

    @staticmethod
    def _taken(
        unit: UnitOfWork,
        ctx: Context,
        command: ListingCommand,
        part: Part,
        claim: Claim | None,
        held: Held | None,
        verdict: Verdict,
    ) -> Verdict:
        """The part is the claimant's once nothing else is against it; whoever loses it is told."""
        if claim is None or verdict.answer not in ("proceed", "mutate"):
            return verdict
        holder = {"agent": claim.agent, "rank": int(claim.rank), "score": claim.score, "decision_id": claim.decision_id}
        unit.lease(command.listing_id, part, **holder, until=ctx.now + arbitration.LEASE)
        if held is not None and held.agent != claim.agent and (held.sent is not None or held.until > ctx.now):
            reason = f"{claim.agent} acts for {claim.rank}, {claim.score:.0%} sure; {held.agent} for {held.rank},"
            unit.emit(
                DecisionOutranked(
                    decision_id=held.decision_id,
                    listing_id=command.listing_id,
                    part=part,
                    agent=held.agent,
                    by_agent=claim.agent,
                    by_decision_id=claim.decision_id,
                    reason=f"{reason} {held.score:.0%} sure",
                )
            )
        return verdict

    async def _price(
        self,
        unit: UnitOfWork,
        ctx: Context,
        command: ChangePrice | PublishListing,
        listing_id: UUID,
        price: Money,
        *,
        released: bool = False,
        persons: bool = False,
    ) -> Verdict:
        profile = await ctx.services.profile()
        choices = profile.settings.pricing
        rows = await pricing_rows.rows(unit.session, since=ctx.now - WINDOW, listing_ids=[listing_id], market=False)
        if not rows:
            return Verdict.deny("listing", "the listing does not exist")
        row = rows[0]
        if profile.directives and isinstance(command, ChangePrice) and not persons and row.current_minor is not None:
            held = bearing(profile.directives, ctx.now, "hold-prices", row.account_id, row.category)
            if held is not None and row.current_minor >= lowest_price(row, choices, ctx.now):
                return Verdict.deny("directive", f"prices are held: {held.reason}")
        size = await self._catalogue_size(unit, row.currency)
        hour = await brakes.hour_of_moves(unit.session, listing_id, row.currency, ctx.now, size)
        proposal = proposal_for(row, price, choices, ctx.now, hour, released=released)
        verdict = self._firewall.check(proposal)
        if isinstance(verdict, Ask | Deny):
            words = " ".join(reason.words for reason in verdict.reasons)
            if isinstance(verdict, Ask) and await self._is_asked(unit, listing_id):
                return Verdict.deny("price-firewall", f"The owner is asked about this listing's price already. {words}")
            return Verdict(answer=verdict.verdict, rule="price-firewall", reason=words)
        allowed = verdict.to if isinstance(verdict, Clamp) else price
        if proposal.current is not None and allowed != proposal.current:
            sha256 = verdict.certificate.sha256
            await brakes.record(unit, listing_id, proposal.current, allowed, proposal.quantity, sha256, ctx.now)
        changes: dict[str, Any] = {"certificate": verdict.certificate.model_dump(mode="json")}
        if isinstance(command, ChangePrice):
            changes["price"] = allowed
        else:
            changes["offer"] = command.offer.model_copy(update={"price": allowed})
        signed = command.model_copy(update=changes)
        if isinstance(verdict, Clamp):
            why = " ".join(reason.words for reason in verdict.reasons)
            return Verdict.mutate("price-firewall", f"{price} became {allowed}: {why}", signed)
        return Verdict(answer="proceed", rule="price-firewall", reason="within all bounds; signed", command=signed)

    @staticmethod
    async def _is_asked(unit: UnitOfWork, listing_id: UUID) -> bool:
        """Whether a question about this listing's price is open: while a brake holds, one is enough."""
        about = (ChangePrice.type_name(), "listing", listing_id)
        questions = await decision_rows.open_questions(unit.session)
        return any(about in waiting for waiting in questions.values())

    async def _catalogue_size(self, unit: UnitOfWork, currency: str) -> brakes.CatalogueSize:
        """Counted now and then: a catalogue of many thousands does not change its size between two prices."""
        counted_at, size = self._sizes.get((unit.tenant_id, currency), (0.0, brakes.CatalogueSize(0, 0)))
        if not size.listings or time.monotonic() - counted_at > _COUNT_SECONDS:
            size = await brakes.catalogue_size(unit.session, currency)
            self._sizes[unit.tenant_id, currency] = (time.monotonic(), size)
        return size
