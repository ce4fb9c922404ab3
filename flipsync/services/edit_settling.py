"""Whose words a listing bears that was edited on its channel: what the owner has said, or the question to the owner."""

from __future__ import annotations

from typing import Any, Literal

from flipsync.domain.commands import KeepEdit, OfferEdit, ReviseListing
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.events import ListingEdited
from flipsync.services.desk import OutdatedListing
from flipsync.services.why_edits import edit_words, whole_words

_KEEPS = "our books take over what the channel shows, for this listing alone"
_WRITES = "our words are written to the channel again"


def settle(
    event: ListingEdited, found: OutdatedListing | None, winner: Literal["ask", "ours", "theirs"]
) -> Decision[Any]:
    """`found` is the listing as it is in our books, `winner` the owner's setting. Pure."""
    evidence = [Evidence(kind="listing", id=event.listing_id, note=edit_words(event))]
    if event.fields == ("price",):
        return Decision.hold(f"a price is the pricing policy's business: {event.note}", evidence=evidence)
    if event.overwritten:
        lost = edit_words(event)
        why = f"our words were written over it before anybody had seen it ({lost}): write it again to keep it"
        return Decision.hold(why, evidence=evidence)
    if found is None or found.status != "active" or found.offer is None:
        return Decision.hold("the listing is not on sale", evidence=evidence)
    if found.told is None:
        return Decision.hold("its words were never ours: they were on the channel before us", evidence=evidence)
    edit = edit_words(event)
    if winner == "ours":
        revise = ReviseListing(account_id=event.account_id, listing_id=event.listing_id, offer=found.offer)
        why = f"our words win over what was edited on the channel ({edit})"
        return Decision.propose(revise, why=why, confidence=0.95, evidence=evidence)
    terms = {name: getattr(event, name) for name in ("account_id", "listing_id", "vendor", "listings", "theirs")}
    if winner == "theirs":
        why = f"what is edited on the channel wins ({edit})"
        return Decision.propose(KeepEdit(**terms), why=why, confidence=0.95, evidence=evidence)
    return Decision.propose(
        OfferEdit(**terms),
        why=f"“{found.offer.title[:60]}” was edited on {event.vendor}: {edit}. Keep the channel's version?"
        f" Yes: {_KEEPS}. No: {_WRITES}",
        confidence=0.9,
        evidence=evidence,
        alternatives=(
            Alternative(name="the channel's version", why=f"{_KEEPS}: {whole_words(event.theirs)}", chosen=True),
            Alternative(name="our version", why=f"{_WRITES}: {whole_words(event.ours)}"),
        ),
    )
