"""How each external command reaches a channel, exactly once as the channel sees it.

Every handler converges: it looks before it writes whenever an earlier attempt may have happened, and reads back what
it wrote. It returns what to book in our own transaction, or raises Rejected, Retryable or OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.signed_prices import permit
from flipsync.domain import commands as c
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import EditedElsewhere, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import ListingPublished, ListingVanished, PriceSet, ProductImported
from flipsync.domain.money import Money
from flipsync.runtime.channel_check import ChannelCheck
from flipsync.runtime.channel_reads import SharedPull
from flipsync.runtime.receipts import Book
from flipsync.security.secrets import SecretBox
from flipsync.services import hand_edits, orders, stock
from flipsync.services.accounts import ConnectedAccount
from flipsync.services.orders import AccountRef
from flipsync.services.pricing.certificate import Certificate, CertificateRefused
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.proposal import PriceProposal
from flipsync.services.webhooks import callback_url
from flipsync.store.models import Listing, Order
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import stock as stock_rows
from flipsync.store.repositories.stock import PooledGrant
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork


@dataclass(frozen=True)
class Done:
    """The channel confirmed. `book` writes what follows in the transaction of the receipt; None: nothing but `shown`.

    `shown` is a listing with the quantity the channel shows now.
    """

    detail: str
    book: Book | None = None
    shown: tuple[UUID, int | None] | None = None


class PooledGrants:
    """What pooled listings may show, granted for all effects of one claim at once by whoever asks first."""

    def __init__(self, store: Store, tenant_id: UUID, listing_ids: Collection[UUID]) -> None:
        self._store, self._tenant_id, self._listing_ids = store, tenant_id, listing_ids
        self._granted: asyncio.Task[dict[UUID, PooledGrant]] | None = None

    async def of(self, listing_id: UUID) -> PooledGrant | None:
        """None when it is not a live listing of a pooled item."""
        if self._granted is None:
            self._granted = asyncio.create_task(self._grant())
        return (await asyncio.shield(self._granted)).get(listing_id)

    async def _grant(self) -> dict[UUID, PooledGrant]:
        async with self._store.database.session(self._tenant_id) as session:
            return await stock_rows.grant_pooled(session, self._listing_ids)


@dataclass(frozen=True)
class Job:
    """One attempt at one effect."""

    effect: effect_rows.ClaimedEffect
    account: ConnectedAccount
    connector: MarketplaceConnector
    store: Store
    firewall: Firewall
    pulls: SharedPull
    pooled: PooledGrants
    check: ChannelCheck
    box: SecretBox

    @property
    def ref(self) -> AccountRef:
        return AccountRef(self.account.id, self.account.vendor)

    @property
    def cause(self) -> Cause:
        return Cause(self.effect.id, self.effect.correlation_id, self.effect.traceparent)

    async def listing(self, listing_id: UUID) -> Listing:
        async with self.store.reader(self.effect.tenant_id) as session:
            listing = await listing_rows.get(session, listing_id)
        if listing is None:
            raise Rejected("the listing is not in our books any more", missing=True)
        return listing

    async def live_listing(self, listing_id: UUID) -> tuple[Listing, str]:
        """The listing and its id on the channel."""
        listing = await self.listing(listing_id)
        if listing.status != "active" or listing.external_id is None:
            raise Rejected(f"the listing is {listing.status}, not active")
        return listing, listing.external_id


async def publish(job: Job, command: c.PublishListing) -> Done:
    listing = await job.listing(command.listing_id)
    certificate = _certified(job, command.certificate, command.listing_id, command.offer.price)
    found = None
    if listing.external_id is not None:
        found = await job.connector.read_listing(listing.external_id)
    elif job.effect.uncertain or job.effect.attempts > 1 or job.account.restored:
        found = await job.connector.find_listing(command.offer.sku)
    if found is None or found.status == "ended":
        found = await job.connector.publish(command.offer, job.effect.key)
    seen = await _read_written(job, found.external_id)
    if seen.price != command.offer.price:
        await job.connector.set_price(found.external_id, command.offer.price, f"{job.effect.key}:price")
        seen = await _read_written(job, found.external_id)
        if seen.price != command.offer.price:
            raise OutcomeUnknown(f"the channel shows {seen.price} instead of {command.offer.price}")
    whole = await _whole(job, seen)

    async def book(unit: UnitOfWork) -> None:
        await listing_rows.record_price(
            unit,
            listing,
            price_minor=command.offer.price.amount_minor,
            floor_minor=_floor(certificate),
            effect_id=job.effect.id,
            reason="first price",
        )
        await listing_rows.activate(
            unit,
            listing.id,
            external_id=found.external_id,
            price_minor=command.offer.price.amount_minor,
            quantity=seen.quantity,
        )
        await hand_edits.remember_written(unit, listing.id, whole)
        unit.emit(
            ListingPublished(listing_id=listing.id, account_id=job.account.id, vendor=job.account.vendor),
            dedup_key=f"published:{listing.id}:{job.effect.id}",
        )

    return Done(f"shown as {found.external_id} at {command.offer.price}", book)


async def revise(job: Job, command: c.ReviseListing) -> Done:
    """Text, images and attributes. Writing them twice is harmless, writing them late is not."""
    listing, external_id = await job.live_listing(command.listing_id)
    async with job.store.reader(job.effect.tenant_id) as session:
        if await effect_rows.is_outrun(session, job.effect):
            raise Rejected("a newer revision of the listing takes its place")
    before = await read_back(job, external_id)
    # an earlier try of ours would look like somebody's edit
    lost = () if job.effect.uncertain or job.effect.attempts > 1 else hand_edits.unseen(listing, before)
    first = not job.effect.uncertain and job.effect.attempts == 1
    # one choice of several may only show what another one says: nothing is risked there either
    theirs = hand_edits.edited(listing.shown, hand_edits.text_of(before)) if command.unless_edited and first else ()
    if theirs:
        raise Rejected(f"{', '.join(theirs)} edited on the channel: what is there stays", vendor_code="edited")
    # one key a try: a channel that remembers keys would answer the first one's again without writing
    await job.connector.revise(external_id, command.offer, f"{job.effect.key}:{job.effect.epoch}")
    seen = await _read_written(job, external_id)
    title = command.offer.title
    # channels may keep a form of their own: what did not move was not taken
    unmoved = seen.title == before.title != title
    told = f"shown as “{seen.title}”"
    if unmoved and seen.group_external_id is not None:
        told += (
            f", not “{title}”: this is one choice of listing {seen.group_external_id}, whose name all its choices"
            " bear. Rename that one on the channel"
        )
    elif unmoved and title != listing.title:
        raise OutcomeUnknown(f"the channel shows “{seen.title}” instead of “{title}”")
    whole = await _whole(job, seen)
    if lacking := hand_edits.not_shown(command.offer, whole):
        told += f"; it does not show {', '.join(lacking)}"

    async def book(unit: UnitOfWork) -> None:
        await listing_rows.set_title(unit, listing.id, title)
        await hand_edits.remember_written(unit, listing.id, whole)
        if lost:
            hand_edits.tell_overwritten(unit, job.ref, listing, lost, before, command.offer)

    return Done(told, book)


async def change_price(job: Job, command: c.ChangePrice) -> Done:
    listing, external_id = await job.live_listing(command.listing_id)
    shown = None if listing.price_minor is None else Money(amount_minor=listing.price_minor, currency=listing.currency)
    seen = await job.connector.read_listing(external_id) if job.effect.uncertain else None
    if seen is not None and seen.price == command.price:  # it was sent in time, whatever time it is now
        certificate = _certified(job, command.certificate, command.listing_id, command.price, sent=True)
    else:
        certificate = _certified(job, command.certificate, command.listing_id, command.price, current=shown)
        await _write_price(job, listing, external_id, command.price, shown)
        seen = await _read_written(job, external_id)
        if seen.price != command.price:
            raise OutcomeUnknown(f"the channel shows {seen.price} instead of {command.price}")

    async def book(unit: UnitOfWork) -> None:
        changed = await listing_rows.record_price(
            unit,
            listing,
            price_minor=command.price.amount_minor,
            floor_minor=_floor(certificate),
            effect_id=job.effect.id,
            reason="",
        )
        if changed:
            unit.emit(
                PriceSet(
                    listing_id=listing.id, account_id=job.account.id, vendor=job.account.vendor, price=command.price
                )
            )

    return Done(f"price is {command.price}", book)


async def _write_price(job: Job, listing: Listing, external_id: str, price: Money, shown: Money | None) -> None:
    """Set the price where the channel shows what our books know. A price somebody has put there is not written over:
    it is booked and told, and whoever decides goes on from it (services.hand_edits). Raises EditedElsewhere then."""
    try:
        await job.connector.set_price(external_id, price, job.effect.key, shown)
    except EditedElsewhere as edit:
        async with job.store.reader(job.effect.tenant_id) as session:
            ours = await effect_rows.sent_price(session, job.effect, edit.shown.amount_minor)
        if ours:  # an earlier write of ours, whose outcome nobody knew
            await job.connector.set_price(external_id, price, job.effect.key, edit.shown)
            return
        if edit.shown.currency == listing.currency:
            async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
                await hand_edits.price_edited(unit, job.ref, listing, edit.shown, found_by=job.effect.id)
        raise


async def end(job: Job, command: c.EndListing) -> Done:
    listing = await job.listing(command.listing_id)
    if listing.external_id is not None:
        await job.connector.end(listing.external_id, job.effect.key)
        seen = await job.connector.read_listing(listing.external_id)
        if seen is not None and seen.status == "active":
            raise OutcomeUnknown("the channel still shows the listing")
        await asyncio.sleep(job.account.config.settle_seconds)
        await job.pulls.fresh(job.cause)

    async def book(unit: UnitOfWork) -> None:
        await listing_rows.set_status(unit, listing.id, "ended", command.reason)
        goods = await listing_rows.with_goods(unit.session, listing.id)
        if goods is not None and goods[2].published and command.reason == command.UNPUBLISHED:
            unit.emit(
                ProductImported(product_id=goods[2].id, created=False)
            )  # published again while this was under way
        if await stock.entitlement(unit, listing.id) is not None:
            await stock.let_go(unit, listing.id, 0)

    return Done("off sale", book)


async def confirm_shipment(job: Job, command: c.ConfirmShipment) -> Done:
    async with job.store.reader(job.effect.tenant_id) as session:
        order = await session.get(Order, command.order_id)
    if order is None:
        raise Rejected("the order is not in our books any more", missing=True)
    told = await job.connector.confirm_shipment(
        order.external_id, command.carrier, command.tracking_number, job.effect.key
    )
    if told.status != "shipped":
        again = await job.connector.read_order(order.external_id)
        if again is None or again.status not in ("shipped", "refunded"):
            raise OutcomeUnknown(f"the channel says {told.vendor_status} after the shipment was confirmed")

    async def book(unit: UnitOfWork) -> None:
        await orders.confirm_shipped(unit, job.ref, order.id)

    return Done(f"{command.carrier} {command.tracking_number} confirmed", book)


async def ensure_webhooks(job: Job, command: c.EnsureWebhooks) -> Done:
    url = callback_url(command.callback_url, job.account.webhook_token)
    subscriptions = await job.connector.ensure_webhooks(url, job.account.webhook_secret)

    return Done(", ".join(sorted(each.topic for each in subscriptions)) or "no webhooks")


async def read_back(job: Job, external_id: str) -> ListingState:
    seen = await job.connector.read_listing(external_id)
    if seen is None:
        await _vanished(job)
        raise Rejected("the channel does not know the listing any more", missing=True)
    return seen


async def _whole(job: Job, seen: ListingState) -> ListingState:
    """With the pictures, where the quick read leaves them out."""
    if seen.text is None or seen.text.title is None or seen.text.images is not None:
        return seen
    return await job.connector.read_whole(seen.external_id) or seen


async def _read_written(job: Job, external_id: str) -> ListingState:
    """Read back after a write: where that cannot be done now, the write is not undone by it. Nobody may take it for one
    that never happened, and let something else take its place."""
    try:
        return await read_back(job, external_id)
    except Retryable as error:
        raise OutcomeUnknown(f"written, and not yet read back: {error.message}") from error


async def _vanished(job: Job) -> None:
    if job.effect.subject_kind != "listing":
        return
    await asyncio.sleep(job.account.config.settle_seconds)  # what it sold before it went belongs to buyers
    await job.pulls.fresh(job.cause)
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        await listing_rows.set_status(unit, job.effect.subject_id, "vanished", "the channel does not know it")
        if await stock.entitlement(unit, job.effect.subject_id) is not None:
            await stock.let_go(unit, job.effect.subject_id, 0)
        unit.emit(
            ListingVanished(listing_id=job.effect.subject_id, account_id=job.account.id, vendor=job.account.vendor)
        )


def _certified(
    job: Job,
    raw: dict[str, object] | None,
    listing_id: UUID,
    price: Money,
    *,
    current: Money | None = None,
    sent: bool = False,
) -> Certificate:
    """The firewall's signature, checked at the last moment: unsigned, altered or stale prices never leave.

    `sent`: the channel shows the price already, so its certificate need not be fresh any more.
    """
    certificate = Certificate.model_validate(raw) if raw is not None else None
    try:
        now = certificate.issued_at if certificate is not None and sent else job.store.clock.now()
        job.firewall.verify(certificate, listing_id, price, now, current=current)
    except (CertificateRefused, KeyError, ValueError) as error:
        if not isinstance(error, CertificateRefused):
            raise Rejected(f"the certificate cannot be read: {error}", vendor_code="certificate") from error
        raise Rejected(error.message, vendor_code="certificate", hint=error.hint) from error
    assert certificate is not None
    permit(price, certificate.valid_until, certificate.sha256)
    return certificate


def _floor(certificate: Certificate) -> int:
    """The lowest price the firewall would have let through when it signed: the owner's or the net-profit floor."""
    proposal = PriceProposal.model_validate(certificate.content["inputs"])
    owners = proposal.floor.amount_minor if proposal.floor else 1
    if proposal.fees is None:
        return owners
    economics = proposal.economics(proposal.fees.terms(certificate.issued_at))
    return economics.floor_price(owners, certificate.price.amount_minor) or owners
