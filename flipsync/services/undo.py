"""Taking back what was decided and done: once, only what is still so, and by the same ways as everything else.

A price goes back as a wish of a person's (`PriceUnwanted`), which an agent proposes and the gate and the price firewall
judge; a listing is ended or relisted as a person would do it. What cannot be taken back is listed with the reason. What
has changed since is left as it is: no newer price and no person's edit is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from pydantic import BaseModel

from flipsync.domain import commands as c
from flipsync.domain import listing_care as care
from flipsync.domain import steering_commands as steer
from flipsync.domain import workflow_messages as w
from flipsync.domain.advertising import SetAdRate
from flipsync.domain.called_off import PutBackUnits, TellBuyer, WriteByHand
from flipsync.domain.channel import Vendor
from flipsync.domain.commands import Command
from flipsync.domain.errors import Conflict, Forbidden, NotFound
from flipsync.domain.events import DeedUndone, PriceUnwanted
from flipsync.domain.goods_reading import NoteReading
from flipsync.domain.purchase_commands import OfferPurchaseOrder, OfferTransfers, PlacePurchaseOrder, PlanPurchases
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.security.roles import Permission
from flipsync.services import accounts, hand_edits, listing_care, listings, purchase_orders, transfers
from flipsync.store.models import Listing
from flipsync.store.repositories import decisions
from flipsync.store.repositories import hand_edits as locks
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import purchase_orders as purchase_rows
from flipsync.store.repositories import transfers as transfer_rows
from flipsync.store.repositories import undo as rows
from flipsync.store.repositories.undo import Deed
from flipsync.store.unit_of_work import UnitOfWork

Outcome = Literal["undone", "asked", "refused", "undoable", "already-undone", "moved-on", "impossible"]
Allowed = Callable[[Permission], bool]

PRICE, PUBLISH, END = (each.type_name() for each in (c.ChangePrice, c.PublishListing, c.EndListing))
PAUSE = c.PauseAccount.type_name()
OFFER = c.OfferEdit.type_name()
#: words written on a channel that our books took over
EDITS = (c.KeepEdit.type_name(), OFFER)
#: the owner's words, as a channel takes them
FITS = tuple(each.type_name() for each in (care.FitListing, care.OfferListingFix))
SENDS = OfferTransfers.type_name()
BUYS = tuple(each.type_name() for each in (PlacePurchaseOrder, OfferPurchaseOrder))
NEEDS: dict[str, Permission] = {
    PRICE: "pricing:write",
    PUBLISH: "catalogue:write",
    END: "catalogue:write",
    PAUSE: "accounts:write",
    **dict.fromkeys(EDITS, "catalogue:write"),
    **dict.fromkeys(FITS, "catalogue:write"),
    **dict.fromkeys(BUYS, "purchasing:write"),
    SENDS: "inventory:write",
}
#: why other commands cannot be taken back
_NEVER: dict[type[Command], str] = {
    c.IssueRefund: "money that was given back is the buyer's",
    c.ConfirmShipment: "the buyer was told that the parcel left the house",
    c.SetChannelQuantity: "quantities follow the stock ledger: correct the stock, and they follow",
    c.AllocateStock: "shares follow the stock ledger: correct the stock, and they follow",
    c.ReserveStock: "the units are a buyer's",
    c.MarkOrderReady: "the order is a buyer's: cancel it on its channel",
    c.ReviseListing: "its words follow the product: edit the product back, and they follow",
    c.ListOnChannel: "the listings it asked for have decisions of their own: take those back",
    c.AdoptListing: "whose listing it is was settled by a person; end it, or detach it on its channel",
    c.EndorseDecision: "it let another decision go ahead: take back that one",
    c.OverruleDecision: "the decision it stopped was about a moment that is over",
    c.AskOwner: "a question changes nothing",
    c.ExpireApproval: "the time of the question is over",
    c.ResumeAccount: "to pause an account again is for its owner to say",
    c.MeasureChannels: "what was measured changes nothing that was decided",
    c.RaiseRivalAlarm: "an alarm changes nothing",
    SetAdRate: "an ad is ended, not undone: `flipsync settings set advertising.mode=off` ends all of them",
    c.MoveAuthority: "outcomes move it; `flipsync agents authority --off` lets every agent decide what it declares",
    c.EnsureWebhooks: "without its webhooks the channel would tell of nothing",
    c.ReconcileRestored: "it only took over what the channel shows",
    c.SettleRefund: "money that was given back is the buyer's",
    c.BuyLabel: "a label is given back to its carrier: `flipsync label ORDER --give-back`",
    c.CancelLabel: "a label that was given back is void: buy another",
    c.CancelByHand: "the buyer was told on the channel's own page",
    c.HandOverUnits: "the units are another buyer's now",
    PutBackUnits: "what lies on the shelf is counted: correct the stock",
    TellBuyer: "the buyer has read it",
    WriteByHand: "the buyer has read it",
    c.MakeForecasts: "a forecast changes nothing, and the next one takes its place",
    RecordSourcingVerdict: "advice changes nothing: ask again for newer",
    steer.IssueDirective: "what binds agents is ended, not undone: `flipsync directives end`",
    steer.RevokeDirective: "what was ended is given anew: `flipsync directives give`",
    steer.ShareBudgets: "it changed settings: `flipsync undo changes` lists that change, and it is taken back there",
    steer.AdoptPlan: "a plan changes nothing, and the next one takes its place",
    steer.SetTarget: "a target changes nothing",
    steer.ClosePlan: "it told what was sold",
    PlanPurchases: "the orders and transfers that followed have decisions of their own: take those back",
    care.OfferProductFacts: "it changed the product: `flipsync undo changes` takes that change back",
    care.PlanListingWork: "what was done about each listing has a decision of its own: take those back",
    care.NoteListingNeeds: "what was told changes nothing",
    c.NoteTrend: "what was told of sales changes nothing",
    NoteReading: "what was read changes nothing; the next reading takes its place",
    c.TrainPolicy: "what was learned changes nothing until it is promoted",
    c.PromotePolicy: "a policy is taken back with `flipsync models rollback`",
    c.RollBackPolicy: "a policy is put back with `flipsync models promote`",
    w.ContinueWorkflow: "what the automation did is taken back with its run: `flipsync workflows cancel RUN --undo`",
    w.ConfirmIdentity: "what it is was a person's to say: edit the product if it is something else",
    w.WriteContent: "the product's words are taken back with the change of the product: `flipsync undo changes`",
    w.SetListPrice: "a list price is the owner's to change: import another one",
}
_WHY_NOT = {command.type_name(): why for command, why in _NEVER.items()}
#: commands that only read: nothing to take back, and not worth a line each
READS = frozenset(name for name, command in Command._registry.items() if command.scope == "read")


class UndoPart(BaseModel):
    """One thing that was decided, and what becomes of taking it back. `why` says it in words.

    A price is `asked` for until agent, gate and channel have answered; asked about again it is `already-undone` or
    `refused`. What was refused can be asked for `again`.
    """

    decision_id: UUID
    effect_id: UUID | None
    command: str
    subject_kind: str
    subject_id: UUID
    outcome: Outcome
    why: str


class UndoReport(BaseModel):
    """Newest first. With `dry_run` nothing was changed: what could be taken back is `undoable`."""

    dry_run: bool
    parts: list[UndoPart]

    def count(self, outcome: Outcome) -> int:
        return sum(part.outcome == outcome for part in self.parts)


class _Undo:
    """One run of it: what was found out about each listing, so that a row of prices goes back to before the first."""

    def __init__(self, unit: UnitOfWork, *, dry_run: bool, again: bool, by: UUID | None, allowed: Allowed) -> None:
        self._unit = unit
        self._dry_run = dry_run
        self._again = again
        self._by = by
        self._allowed = allowed
        #: not sent yet, and (to be) stopped: what came before them is the newest again
        self._stopped: list[UUID] = []
        #: by listing: the price it has, and the one it has after what was looked at so far is taken back
        self._prices: dict[UUID, tuple[Listing, c.ChangePrice, c.ChangePrice]] = {}
        #: what is recorded as taken back once the wish for its listing's price is
        self._asked: list[tuple[UUID, Deed, str]] = []

    async def look(self, deed: Deed) -> tuple[Outcome, str]:
        if deed.undone:
            outcome, why = _what_came(deed)
            if outcome != "refused" or not self._again:
                return outcome, why
            if deed.attempts >= rows.MOST_ATTEMPTS:
                return "refused", f"{why} (it was asked for {deed.attempts} times: that is enough)"
        if deed.decision_state in ("escalated", "awaiting"):
            return "impossible", "it has not been decided yet: refuse it where it is asked"
        if deed.command == OFFER and deed.refused and deed.verdict == "deny":
            return await self._refused_edit(deed)
        if deed.verdict == "deny" or deed.effect_state in ("rejected", "superseded"):
            return "impossible", f"it was never done: {deed.reason or deed.effect_state}"
        if deed.command in READS:
            return "impossible", "it only read"
        if deed.command not in NEEDS:
            return "impossible", _WHY_NOT.get(deed.command, "nobody knows how")
        self._require(deed)
        if deed.command == PAUSE:
            return await self._resume(deed)
        if deed.command in EDITS:
            return await self._edit(deed)
        if deed.command in FITS:
            return await self._fitted(deed)
        if deed.command in BUYS:
            return await self._purchase(deed)
        if deed.command == SENDS:
            return await self._transfers(deed)
        if deed.effect_state in ("leased", "unknown"):
            return "moved-on", "it is on its way to the channel: try again once it is known what became of it"
        if deed.effect_state == "pending":
            return await self._stop(deed)
        return await (self._price(deed) if deed.command == PRICE else self._listing(deed))

    async def finish(self) -> None:
        """Ask for the prices that were found to go back."""
        for listing, shown, back in self._prices.values():
            vendor = cast(Vendor, await locks.vendor_of(self._unit.session, listing.account_id))
            if self._dry_run:
                continue
            wish = self._unit.emit(
                PriceUnwanted(
                    listing_id=listing.id,
                    account_id=listing.account_id,
                    vendor=vendor,
                    price=back.price,
                    replaces=shown.price,
                )
            )
            for listing_id, deed, words in self._asked:
                if listing_id == listing.id:
                    self._record(deed, words, wish)

    async def _stop(self, deed: Deed) -> tuple[Outcome, str]:
        assert deed.effect_id is not None
        if deed.command == PUBLISH:
            return "moved-on", "it waits to be published: take it off sale once it is"
        if not self._dry_run and not await rows.stop(self._unit.session, deed.effect_id):
            return "moved-on", "it has just been sent to the channel: try again in a moment"
        self._stopped.append(deed.effect_id)
        return self._done(deed, "it was not sent yet, and will not be")

    async def _price(self, deed: Deed) -> tuple[Outcome, str]:
        assert deed.sent is not None
        if deed.undo is None:
            return "impossible", "the books do not know the price from before"
        sent = c.ChangePrice.model_validate(deed.sent)
        back = c.ChangePrice.model_validate(deed.undo["payload"])
        listing_id = sent.listing_id
        if listing_id in self._prices:  # a newer price of the same listing goes back in this run
            listing, shown, earlier = self._prices[listing_id]
            if earlier.price != sent.price:
                return "moved-on", f"the price between was no longer {sent.price} when it was changed again"
        else:
            found = await locks.lock(self._unit.session, listing_id)
            if found is None or found.status != "active":
                return "moved-on", "the listing is not on sale any more"
            newest = await rows.newest_effect(self._unit.session, listing_id, [PRICE, PUBLISH], self._stopped)
            if newest != deed.effect_id:
                return "moved-on", "a newer price was set or is on its way"
            if found.price_minor != sent.price.amount_minor:
                return "moved-on", f"the channel shows another price than {sent.price}: it was changed there"
            listing, shown = found, sent
        self._prices[listing_id] = (listing, shown, back)
        words = f"the price goes back from {sent.price} to {back.price}, if the price firewall lets it"
        if self._dry_run:
            return "undoable", words
        self._asked.append((listing_id, deed, words))
        return "asked", words

    async def _listing(self, deed: Deed) -> tuple[Outcome, str]:
        listing = await locks.lock(self._unit.session, deed.subject_id)
        newest = await rows.newest_effect(self._unit.session, deed.subject_id, [PUBLISH, END], self._stopped)
        wanted = "active" if deed.command == PUBLISH else "ended"
        if listing is None or listing.status != wanted or newest != deed.effect_id:
            return "moved-on", f"the listing is {listing.status if listing else 'gone'}, or was listed or ended since"
        if deed.command == PUBLISH:
            if not self._dry_run:
                await listings.take_off(self._unit, listing.id, "its publishing was taken back")
            return self._done(deed, "the listing is taken off sale")
        found = await listing_rows.with_goods(self._unit.session, listing.id)
        if found is None or not found[2].published:
            return "moved-on", "its product is a draft: publish the product, and the listing comes back with it"
        if not self._dry_run:
            await listings.relist(self._unit, listing.id)
        return self._done(deed, "the listing is put on sale again")

    async def _edit(self, deed: Deed) -> tuple[Outcome, str]:
        edit = c.KeepEdit.model_validate(deed.payload)
        try:
            await hand_edits.drop_kept(self._unit, edit, dry_run=self._dry_run)
        except Conflict as error:
            return "moved-on", error.message
        return self._done(deed, "the listing follows its product again, and the channel is told its words")

    async def _fitted(self, deed: Deed) -> tuple[Outcome, str]:
        try:
            fitted = care.FitListing.model_validate(deed.payload)
            await listing_care.unfit(self._unit, fitted, dry_run=self._dry_run)
        except (Conflict, NotFound) as error:
            return "moved-on", error.message
        return self._done(deed, "the listing says its product's own words again, and the channel is told them")

    async def _refused_edit(self, deed: Deed) -> tuple[Outcome, str]:
        """Somebody said that our words stay: the question is answered the other way."""
        self._require(deed)
        edit = c.OfferEdit.model_validate(deed.payload)
        try:
            await hand_edits.keep_theirs_after_all(self._unit, edit, dry_run=self._dry_run)
        except Conflict as error:
            return "moved-on", error.message
        return self._done(deed, "the listing keeps what was edited on the channel after all, which is told it")

    def _require(self, deed: Deed) -> None:
        if not self._allowed(NEEDS[deed.command]):
            raise Forbidden(f"you may not take back {deed.command}", hint=f"it needs {NEEDS[deed.command]}")

    async def _purchase(self, deed: Deed) -> tuple[Outcome, str]:
        order_id = await purchase_rows.of_decision(self._unit.session, deed.decision_id)
        order = None if order_id is None else await purchase_rows.lock(self._unit.session, order_id)
        if order is None or order.state not in ("draft", "placing", "ordered"):
            return "moved-on", f"the order is {purchase_orders.words(order)}" if order else "there is no order"
        if order.mail == "sending":
            return "moved-on", "it is just being mailed: try again in a moment"
        told = order.mail in ("sent", "unknown")
        if not self._dry_run:
            await purchase_orders.cancel(self._unit, order.id, "its decision was taken back")
        by = "the supplier is told by mail" if told else "nobody was told of it by mail"
        if not told and order.ordered_at is not None:
            by = "tell the supplier, whom you gave it to"
        return self._done(deed, f"order {order.number} is called off; {by}")

    async def _transfers(self, deed: Deed) -> tuple[Outcome, str]:
        made = await transfer_rows.of_decision(self._unit.session, deed.decision_id)
        planned = [each for each in made if each.state == "planned"]
        gone = ", ".join(f"TR-{each.number} is {each.state}" for each in made if each.state != "planned")
        if not planned:
            return "moved-on", gone or "nothing was set aside"
        for each in planned:
            if not self._dry_run:
                await transfers.cancel(self._unit, each.id, "its decision was taken back")
        stays = f"; {gone}, which stays so" if gone else ""
        return self._done(deed, f"{len(planned)} transfers are called off, their units are on offer again{stays}")

    async def _resume(self, deed: Deed) -> tuple[Outcome, str]:
        command = c.PauseAccount.model_validate(deed.payload)
        known = {each.id: each for each in await listing_rows.accounts(self._unit.session)}
        account = known.get(command.account_id)
        if account is None or account.status != "paused":
            return "moved-on", "the account is not paused any more"
        if not self._dry_run:
            try:
                await accounts.resume_account(self._unit, command.account_id)
            except Conflict as error:
                return "moved-on", error.message
        return self._done(deed, "the account goes on")

    def _done(self, deed: Deed, words: str) -> tuple[Outcome, str]:
        if self._dry_run:
            return "undoable", words
        self._record(deed, words)
        return "undone", words

    def _record(self, deed: Deed, words: str, wish: UUID | None = None) -> None:
        fact = DeedUndone(
            decision_id=deed.decision_id,
            effect_id=deed.effect_id,
            command=deed.command,
            how=words,
            by=self._by,
            wish=wish,
        )
        self._unit.emit(fact, dedup_key=deed.key)


def _what_came(deed: Deed) -> tuple[Outcome, str]:
    """Of a wish to take it back that is on record."""
    if deed.wish is None:
        return "already-undone", "it was taken back already"
    if deed.answer is None:
        return "asked", "the agent has not answered yet"
    if deed.answer_state == "held":
        return "refused", deed.answer
    if deed.answer_verdict == "deny":
        return "refused", deed.answer_reason or "the gate refuses"
    if deed.answer_effect == "rejected":
        return "refused", "the channel refuses the price"
    if deed.answer_effect == "superseded":
        return "refused", "a newer price was set before it was sent"
    if deed.answer_effect == "confirmed":
        return "already-undone", f"the price went back to {c.ChangePrice.model_validate(deed.answer_sent).price}"
    if deed.answer_verdict == "ask":
        return "asked", f"the owner is asked: {deed.answer_reason}"
    return "asked", "it is on its way to the channel" if deed.answer_effect else "it has not been decided yet"


async def undo_decision(
    unit: UnitOfWork,
    decision_id: UUID,
    *,
    dry_run: bool = False,
    again: bool = False,
    by: UUID | None = None,
    allowed: Allowed,
) -> UndoReport:
    """Take back what a decision did. Raises NotFound, and Forbidden when it takes a right that is not there."""
    await rows.hold(unit.session, unit.tenant_id)
    deeds = await rows.of_decision(unit.session, decision_id)
    if not deeds and not await decisions.get_all(unit.session, [decision_id]):
        raise NotFound(f"no decision {decision_id}")
    return await _undo(unit, deeds, dry_run=dry_run, again=again, by=by, allowed=allowed)


async def undo_effect(
    unit: UnitOfWork,
    effect_id: UUID,
    *,
    dry_run: bool = False,
    again: bool = False,
    by: UUID | None = None,
    allowed: Allowed,
) -> UndoReport:
    """Take back one effect of a decision's. Raises NotFound, Forbidden."""
    await rows.hold(unit.session, unit.tenant_id)
    deeds = await rows.of_effect(unit.session, effect_id)
    if not deeds:
        raise NotFound(f"no effect {effect_id} that an agent decided on")
    return await _undo(unit, deeds, dry_run=dry_run, again=again, by=by, allowed=allowed)


async def undo_since(
    unit: UnitOfWork,
    moment: datetime,
    *,
    dry_run: bool = False,
    again: bool = False,
    by: UUID | None = None,
    allowed: Allowed,
) -> UndoReport:
    """Take back everything that was decided since then (wall clock)."""
    await rows.hold(unit.session, unit.tenant_id)
    deeds = await rows.since(unit.session, moment, READS)
    return await _undo(unit, deeds, dry_run=dry_run, again=again, by=by, allowed=allowed)


async def _undo(
    unit: UnitOfWork, deeds: Sequence[Deed], *, dry_run: bool, again: bool, by: UUID | None, allowed: Allowed
) -> UndoReport:
    work = _Undo(unit, dry_run=dry_run, again=again, by=by, allowed=allowed)
    parts = []
    for deed in deeds:
        outcome, why = await work.look(deed)
        parts.append(
            UndoPart(
                decision_id=deed.decision_id,
                effect_id=deed.effect_id,
                command=deed.command,
                subject_kind=deed.subject_kind,
                subject_id=deed.subject_id,
                outcome=outcome,
                why=why,
            )
        )
    await work.finish()
    return UndoReport(dry_run=dry_run, parts=parts)
