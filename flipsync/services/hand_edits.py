"""Listings edited by hand on their channel: noticed, told, and settled as the owner wants it.

Channels keep texts in forms of their own (trimmed, rewritten, in capitals), so what a channel shows is never compared
with what it was told, but with what it showed right after that: `Listing.shown` keeps a mark of each field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from uuid import UUID

from flipsync.domain.channel import ListingState, ListingText, Offer, Vendor
from flipsync.domain.commands import KeepEdit
from flipsync.domain.errors import Conflict, NotFound, VersionMismatch
from flipsync.domain.events import EditedField, ListingEdited, ListingOutdated, OfferChanged
from flipsync.domain.money import Money
from flipsync.services.orders import AccountRef
from flipsync.services.quotes import WINDOW, lowest_price
from flipsync.services.tenant_settings import profile
from flipsync.store.models import Listing
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories import hand_edits as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.store.unit_of_work import UnitOfWork

_FIELDS: tuple[EditedField, ...] = ("title", "description_html", "images", "specifics")
Glance = Literal["", "remember", "look"]
#: a mark that no value has: the channel did not tell the pictures yet, since it was still taking them in
_LATER = "later"


# Marks. Pure.


def text_of(seen: ListingState) -> ListingText:
    """What can be compared. Of a channel that tells a title only, that; never one that all choices of a group bear."""
    if seen.text is not None:
        return seen.text
    return ListingText() if seen.group_external_id else ListingText(title=seen.title)


def marks_of(text: ListingText) -> dict[str, str]:
    """A short mark of each field that is known; white space does not count."""
    return {name: _mark(value) for name in _FIELDS if (value := getattr(text, name)) is not None}


def _mark(value: Any) -> str:
    plain = " ".join(value.split()) if isinstance(value, str) else value
    spelled = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2s(spelled.encode(), digest_size=8).hexdigest()


def shown_by(seen: ListingState) -> dict[str, Any]:
    """What `Listing.shown` keeps of a state."""
    text = text_of(seen)
    later = {"images": _LATER} if text.images is None and text.title is not None else {}
    return {"marks": {**later, **marks_of(text)}, "at": _moment(seen)}


def edited(shown: Mapping[str, Any], text: ListingText) -> tuple[EditedField, ...]:
    """Fields that differ from what the channel showed last."""
    known, now = shown.get("marks", {}), marks_of(text)
    return tuple(name for name in _FIELDS if name in now and known.get(name, _LATER) not in (_LATER, now[name]))


def glance(shown: Mapping[str, Any], seen: ListingState) -> Glance:
    """What a row of the channel's list asks for: a look at the listing itself, or that it be remembered.

    Lists may tell less than a single read: what they leave out is looked at when the channel says it was modified.
    """
    known, now = shown.get("marks", {}), marks_of(text_of(seen))
    fields = edited(shown, text_of(seen))
    if fields and shown.get("told") != {name: now[name] for name in fields}:
        return "look"
    if set(known) - set(now) and shown.get("at") != _moment(seen):
        return "look"
    return "remember" if set(now) - set(known) or (shown.get("told") and not fields) else ""


def not_shown(offer: Offer, seen: ListingState) -> tuple[str, ...]:
    """Item specifics that a channel which tells them does not show, by the name or the value they were told with."""
    shown = text_of(seen).specifics
    if shown is None:
        return ()
    there = {_plain(word) for pair in shown.items() for word in pair}
    chosen = () if offer.group is None else offer.group.options
    names = [name for name, value in offer.attributes.items() if value.strip() and name not in chosen]
    return tuple(name for name in names if not {_plain(name), _plain(offer.attributes[name])} & there)


def _plain(words: str) -> str:
    return "".join(each for each in words.casefold() if each.isalnum())


def _moment(seen: ListingState) -> str | None:
    return seen.modified_at.isoformat() if seen.modified_at else None


# What was seen


async def remember_written(unit: UnitOfWork, listing_id: UUID, seen: ListingState) -> None:
    """What the channel shows right after we wrote: the form it keeps our words in."""
    await rows.set_shown(unit, listing_id, shown_by(seen))


async def remember(unit: UnitOfWork, looks: Sequence[tuple[Listing, ListingState]]) -> None:
    """Marks of fields that had none; what was seen before stays what it is compared with."""
    kept = [(row, seen, shown_by(seen)["marks"] | row.shown.get("marks", {})) for row, seen in looks]
    values = [(row.id, row.version, {"marks": marks, "at": _moment(seen)}) for row, seen, marks in kept]
    await rows.set_shown_unless_changed(unit, values)


async def notice(unit: UnitOfWork, account: AccountRef, looks: Sequence[tuple[Listing, ListingState]]) -> int:
    """Tell of listings whose words differ from what the channel showed last, each edit once; returns how many.

    `looks` are listings as they were before the channel was asked: what was written meanwhile is left out.
    """
    told: dict[tuple[str, ...], list[tuple[UUID, ListingText, ListingText]]] = {}
    for before, seen in looks:
        row = await rows.lock(unit.session, before.id)
        if row is None or row.status != "active" or row.version != before.version:
            continue
        if await listing_rows.has_open_effects(unit.session, row.id):
            continue
        text = text_of(seen)
        ours = await _ours(unit, row, text)
        now = marks_of(text)
        known = now | {name: mark for name, mark in row.shown.get("marks", {}).items() if mark != _LATER}
        fields = []
        for name in edited(row.shown, text):
            if now[name] == _mark(getattr(ours, name)):
                known[name] = now[name]  # what we wrote shows at last
            else:
                fields.append(name)
        news = {name: now[name] for name in fields}
        new = bool(fields) and row.shown.get("told") != news
        await rows.set_shown(unit, row.id, {"marks": known, "at": _moment(seen), **({"told": news} if news else {})})
        if not new:
            continue
        place = seen.group_external_id if text.of_group and seen.group_external_id else str(row.id)
        told.setdefault((place, *fields, *news.values()), []).append((row.id, _only(ours, fields), _only(text, fields)))
    for (_, *parts), found in told.items():
        listing_id, ours, theirs = found[0]
        unit.emit(
            ListingEdited(
                listing_id=listing_id,
                account_id=account.id,
                vendor=account.vendor,
                fields=tuple(name for name in _FIELDS if name in parts),
                ours=ours,
                theirs=theirs,
                listings=tuple(each for each, _, _ in found),
            )
        )
    return len(told)


def _only(text: ListingText, fields: Sequence[EditedField]) -> ListingText:
    return ListingText(**{name: getattr(text, name) for name in fields}, of_group=text.of_group)


async def _ours(unit: UnitOfWork, row: Listing, theirs: ListingText) -> ListingText:
    """What the channel was told last, with what was let stand of earlier edits; a title at least."""
    told = await effect_rows.offer_told(unit.session, row.id)
    kept = {name: value for name, value in row.overrides.items() if name in _FIELDS}
    if told is None:
        return ListingText.model_validate({"title": row.title, **kept})
    offer = Offer.model_validate(told)
    words = offer.group if theirs.of_group and offer.group is not None else offer
    text = ListingText(
        title=words.title,
        description_html=words.description_html,
        images=words.images,
        specifics=offer.attributes,
        of_group=theirs.of_group,
    )
    return ListingText.model_validate({**text.model_dump(), **kept})


def unseen(row: Listing, seen: ListingState) -> tuple[EditedField, ...]:
    """What somebody edited since we looked last. Of choices of one listing nothing: others' words look like that."""
    text = text_of(seen)
    if text.of_group:
        return ()
    now, told = marks_of(text), row.shown.get("told", {})
    return tuple(name for name in edited(row.shown, text) if told.get(name) != now[name])


def tell_overwritten(
    unit: UnitOfWork, account: AccountRef, row: Listing, fields: Sequence[EditedField], seen: ListingState, offer: Offer
) -> None:
    """Whoever edited `fields` on the channel is told that our words won, and what was lost."""
    ours = ListingText(
        title=offer.title, description_html=offer.description_html, images=offer.images, specifics=offer.attributes
    )
    unit.emit(
        ListingEdited(
            listing_id=row.id,
            account_id=account.id,
            vendor=account.vendor,
            fields=tuple(fields),
            ours=_only(ours, fields),
            theirs=_only(text_of(seen), fields),
            listings=(row.id,),
            overwritten=True,
        )
    )


async def price_edited(
    unit: UnitOfWork, account: AccountRef, row: Listing, price: Money, *, found_by: UUID | None = None
) -> None:
    """The channel shows a price that is not ours: the pricing policy goes on from there.

    `found_by` is the effect that was about to write another one, and did not: it is no write under way.

    Where the owner lets the channel win, it stays as it is instead, unless it is below what the price firewall lets
    through: then the policy goes on from it too, and the fact says so. Nothing is booked over a price that was set
    since `row` was read.
    """
    now = await rows.lock(unit.session, row.id)
    if now is None or now.version != row.version:
        return
    if found_by is None and await listing_rows.has_open_effects(unit.session, row.id):
        return
    settings = (await profile(unit.session, unit.tenant_id)).settings
    keep, note = False, "the pricing policy goes on from it"
    if settings.listings.hand_edits == "theirs":
        (known,) = await pricing_rows.rows(unit.session, since=unit.now - WINDOW, listing_ids=[row.id], market=False)
        lowest = lowest_price(known, settings.pricing, unit.now)
        keep = price.amount_minor >= lowest
        note = "it stays, as the owner wants it"
        if not keep:
            floor = Money(amount_minor=lowest, currency=price.currency)
            note = f"it is below the floor of {floor}, which the price firewall holds: it does not stay"
    await listing_rows.set_price_seen(unit, row.id, price.amount_minor)
    overrides = {name: value for name, value in row.overrides.items() if name != "price_minor"}
    if keep:
        overrides["price_minor"] = price.amount_minor
    if overrides != row.overrides:
        await rows.set_overrides(unit, row.id, overrides, row.shown, row.title)
    before = None if row.price_minor is None else Money(amount_minor=row.price_minor, currency=row.currency)
    unit.emit(
        ListingEdited(
            listing_id=row.id,
            account_id=account.id,
            vendor=account.vendor,
            fields=("price",),
            ours=ListingText(),
            theirs=ListingText(),
            listings=(row.id,),
            price_ours=before,
            price_theirs=price,
            note=note,
        )
    )
    if not keep:
        unit.emit(OfferChanged(listing_id=row.id, account_id=account.id, vendor=account.vendor, cause="drift"))


# What becomes of it


async def keep_theirs(unit: UnitOfWork, edit: KeepEdit) -> None:
    """From now on the listing is to say what was written on the channel. Raises NotFound, Conflict."""
    for listing_id in edit.listings:
        row = await _live(unit, listing_id)
        marks = {**row.shown.get("marks", {}), **marks_of(edit.theirs)}
        await _override(unit, row, edit, {"marks": marks, "at": row.shown.get("at")})


async def _override(unit: UnitOfWork, row: Listing, edit: KeepEdit, shown: dict[str, Any]) -> None:
    words = edit.theirs.model_dump(mode="json", exclude_none=True)
    title = edit.theirs.title if edit.theirs.title is not None and not edit.theirs.of_group else row.title
    await rows.set_overrides(unit, row.id, {**row.overrides, **words}, shown, title)


async def keep_theirs_after_all(unit: UnitOfWork, edit: KeepEdit, *, dry_run: bool) -> None:
    """`keep_ours` taken back: the listing is to say what was written on the channel, and the channel is told it.

    With `dry_run` only looked at. Raises NotFound; Conflict where other words were taken over since.
    """
    words = edit.theirs.model_dump(mode="json", exclude_none=True, exclude={"of_group"})
    found = []
    for listing_id in edit.listings:
        row = await _live(unit, listing_id)
        if any(name in row.overrides for name in words):
            raise Conflict("other words were taken over from the channel since")
        found.append(row)
    if dry_run:
        return
    for row in found:  # what it shows stays as it is known until it is written
        await _override(unit, row, edit, row.shown)
    unit.emit(ListingOutdated(listing_id=edit.listing_id, account_id=edit.account_id, vendor=edit.vendor, again=True))


async def keep_ours(unit: UnitOfWork, edit: KeepEdit) -> None:
    """The channel is told our words again: once for all choices of one listing."""
    await ask_again(unit, edit)
    unit.emit(ListingOutdated(listing_id=edit.listing_id, account_id=edit.account_id, vendor=edit.vendor, again=True))


async def ask_again(unit: UnitOfWork, edit: KeepEdit) -> None:
    """Nobody settled it: the edit is told anew when the channel is compared with us next."""
    for listing_id in edit.listings:
        row = await rows.lock(unit.session, listing_id)
        if row is not None:
            await rows.set_shown(unit, row.id, {name: value for name, value in row.shown.items() if name != "told"})


async def drop_kept(unit: UnitOfWork, edit: KeepEdit, *, dry_run: bool) -> None:
    """`keep_theirs` taken back: the listings follow their product in what was kept, as long as that is what they keep.

    With `dry_run` only looked at. Raises NotFound; Conflict where other words came since.
    """
    words = edit.theirs.model_dump(mode="json", exclude_none=True, exclude={"of_group"})
    kept = []
    for listing_id in edit.listings:
        row = await _live(unit, listing_id)
        if any(row.overrides.get(name) != value for name, value in words.items()):
            raise Conflict("the listing keeps other words by now, or none of its own")
        kept.append(row)
    if dry_run:
        return
    for row in kept:
        left = {name: value for name, value in row.overrides.items() if name not in words}
        if set(left) <= {"of_group"}:
            left = {}
        await rows.set_overrides(unit, row.id, left, row.shown, row.title)
    unit.emit(ListingOutdated(listing_id=edit.listing_id, account_id=edit.account_id, vendor=edit.vendor, again=True))


async def drop_overrides(unit: UnitOfWork, listing_id: UUID, expected_version: int | None = None) -> None:
    """The listing follows its product again. Raises NotFound, VersionMismatch, Conflict when it always did."""
    row = await _live(unit, listing_id, expected_version)
    dropped = set(row.overrides)
    if not dropped:
        raise Conflict("nothing of the listing was written on its channel", hint="it follows its product already")
    await rows.set_overrides(unit, row.id, {}, row.shown, row.title)
    vendor = cast(Vendor, await rows.vendor_of(unit.session, row.account_id))
    if dropped - {"price_minor"}:
        unit.emit(ListingOutdated(listing_id=row.id, account_id=row.account_id, vendor=vendor, again=True))
    if "price_minor" in dropped:
        unit.emit(OfferChanged(listing_id=row.id, account_id=row.account_id, vendor=vendor, cause="drift"))


async def _live(unit: UnitOfWork, listing_id: UUID, expected_version: int | None = None) -> Listing:
    row = await rows.lock(unit.session, listing_id)
    if row is None:
        raise NotFound(f"no listing {listing_id}")
    VersionMismatch.check("the listing", row.version, expected_version)
    if row.status != "active":
        raise Conflict(f"the listing is {row.status}, not on sale")
    return row
