"""Listings that were not made through the Inventory API: found by a report of all, and brought under it.

bulkMigrateListing takes five at a time. A migrated listing can then be changed by applications only: eBay refuses the
seller's own changes of it. So nothing is migrated unless the account's option `migrate` is "yes".
"""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from xml.etree import ElementTree

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, nothing, segment
from flipsync.connectors.marketplaces.ebay.listings import Listings
from flipsync.connectors.unpacking import gunzip
from flipsync.domain.channel import TakenIn
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Rejected, Retryable
from flipsync.domain.money import Money

_FEED = "/sell/feed/v1"
_REPORT = "LMS_ACTIVE_INVENTORY_REPORT"
_AT_ONCE = 5
_MOST_BYTES = 1024 * 1024 * 1024
#: what unpacking and parsing raise for a file that broke off or is something else
_NO_REPORT = (ElementTree.ParseError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
#: listings that are learnt before what is known of them is written down
_PART = 2_000
#: A report ordered this lately is still true enough: an interrupted look goes on with it.
_FRESH = timedelta(minutes=15)
_LOOKS, _PATIENCE, _LONG_PATIENCE = 2.0, 20.0, 300.0
_DONE = frozenset({"COMPLETED", "COMPLETED_WITH_ERROR", "PARTIALLY_PROCESSED"})


@dataclass(frozen=True, slots=True)
class Active:
    """A listing as the report of all active ones has it; a SKU for each variation that has one, and their prices."""

    listing_id: str
    skus: tuple[str, ...]
    prices: tuple[wire.Amount | None, ...] = ()


class Migration:
    """Of one seller."""

    def __init__(self, api: EbayApi, config: AccountConfig, listings: Listings) -> None:
        self._api = api
        self._listings = listings
        self._allowed = config.options.get("migrate", "").strip().casefold() in ("yes", "true", "1")

    async def take_in(self, known: Collection[str]) -> TakenIn:
        """What is active and not among the `known` SKUs, in eBay's spelling. Raises Retryable without a report yet."""
        apart = [each for each in await self.active() if not each.skus or not set(each.skus) <= set(known)]
        left = {each.listing_id: "it has no SKU: give it one on eBay" for each in apart if not each.skus}
        ready = [each.listing_id for each in apart if each.skus]
        if not self._allowed:
            words = "it was not made through eBay's Inventory API: the account's option migrate=yes brings it there"
            return TakenIn(left_out=left | dict.fromkeys(ready, words))
        states = []
        for start in range(0, len(ready), _AT_ONCE):
            for row in await self._migrate(ready[start : start + _AT_ONCE]):
                if row.status_code >= 300 or row.errors:
                    left[row.listing_id] = _words(row.errors)
                    continue
                found = [await self._listings.state(item.sku) for item in row.inventory_items]
                states += [state for state in found if state is not None]
        return TakenIn(states=tuple(states), left_out=left)

    async def _migrate(self, listing_ids: Sequence[str]) -> Sequence[wire.Migrated]:
        """One outcome a listing. After a lost answer the next look finds what was migrated among the others."""
        body = {"requests": [{"listingId": each} for each in listing_ids]}
        try:
            done = await self._api.inventory(
                "POST", "/bulk_migrate_listing", wire.Migrations.model_validate, body, reads=True
            )
        except Rejected as refused:
            if refused.auth:
                raise
            if len(listing_ids) == 1:
                error = wire.Error(message=refused.message)
                return [wire.Migrated(listing_id=listing_ids[0], status_code=400, errors=(error,))]
            return [row for each in listing_ids for row in await self._migrate([each])]  # one spoiled it for all
        # a row that was refused may not name its listing; rows come in the order of the requests
        named = {row.listing_id for row in done.responses}
        rest = [each for each in listing_ids if each not in named]
        rows = [
            row if row.listing_id or not rest else row.model_copy(update={"listing_id": rest.pop(0)})
            for row in done.responses
        ]
        silent = wire.Error(message="eBay did not say what became of it")
        return rows + [wire.Migrated(listing_id=each, status_code=500, errors=(silent,)) for each in rest]

    async def active(self, patience: float = _PATIENCE) -> list[Active]:
        """Every active fixed-price listing, however it was made. Raises Retryable without a report after so long."""
        task = await self._report(patience)
        content = await self._api.call(
            "GET", f"{_FEED}/task/{segment(task)}/download_result_file", bytes, limits.FEED, raw=True
        )
        try:
            return await asyncio.to_thread(lambda: list(_listings(content)))  # a million rows take a while
        except _NO_REPORT as error:
            raise Retryable(f"eBay's report of active listings cannot be read: {error}") from error

    async def learn_live(self) -> AsyncIterator[int]:
        """What is on sale on this marketplace, by its currency, is remembered; yields how many, part after part."""
        part = 0
        for listing in await self.active(_LONG_PATIENCE):
            for sku, price in zip(listing.skus, listing.prices, strict=True):
                if price is not None and price.currency == self._api.site.currency:
                    part += self._listings.reported(sku, price)
            if part >= _PART:
                yield part
                part = 0
        yield part

    async def _report(self, patience: float) -> str:
        """The id of a finished report, ordered now or a short while ago."""
        task = await self._newest()
        if task is None or utc_now() - task.creation_date > _FRESH or task.status in ("FAILED", "ABORTED"):
            criteria = {"listingFormat": "FIXED_PRICE"}
            order = {"feedType": _REPORT, "schemaVersion": "1.0", "filterCriteria": criteria}
            await self._api.call("POST", f"{_FEED}/inventory_task", nothing, limits.FEED, body=order, reads=True)
            task = await self._newest()
        until = time.monotonic() + patience
        while task is not None and task.status not in _DONE:
            if task.status in ("FAILED", "ABORTED"):
                raise Rejected("eBay could not make its report of active listings", vendor_code="feed")
            if time.monotonic() > until:
                raise Retryable(f"eBay's report of active listings is {task.status.lower()}", after=30.0)
            await asyncio.sleep(_LOOKS)
            path = f"{_FEED}/inventory_task/{segment(task.task_id)}"
            task = await self._api.read(path, wire.FeedTask.model_validate, limits.FEED)
        if task is None:
            raise Retryable("eBay does not show the report that was ordered yet", after=30.0)
        return task.task_id

    async def _newest(self) -> wire.FeedTask | None:
        params = [("feed_type", _REPORT), ("look_back_days", "1"), ("limit", "100")]
        found = await self._api.read(f"{_FEED}/inventory_task", wire.FeedTasks.model_validate, limits.FEED, params)
        return max(found.tasks, key=lambda task: task.creation_date, default=None)


def _words(errors: Sequence[wire.Error]) -> str:
    return "; ".join(error.long_message or error.message for error in errors) or "eBay does not say why"


def _listings(content: bytes) -> Iterator[Active]:
    """The report is XML, alone or packed: SKUDetails with ItemID, SKU, and the SKUs of its Variations.

    Raises ValueError and what unpacking and parsing raise for what is no report.
    """
    for part in _parts(content):
        # eBay's own file; expat fetches nothing from elsewhere and bounds what entities grow to
        root = ElementTree.fromstring(part)  # noqa: S314
        if _name(root).lower() == "html":
            raise ValueError("it is a web page")
        for row in root.iter():
            if _name(row) == "Ack" and (row.text or "").strip() == "Failure":
                raise ValueError("eBay says in it that it failed")
            if _name(row) == "SKUDetails":
                ids = [(each.text or "").strip() for each in row.iter() if _name(each) == "ItemID"]
                variations = [each for each in row.iter() if _name(each) == "Variation"]
                where = variations or [row]
                skus = [(sku.text or "").strip() for each in where for sku in each if _name(sku) == "SKU"]
                if ids:
                    whole = len(skus) == len(where) and all(skus)
                    yield Active(ids[0], tuple(skus) if whole else (), tuple(map(_price, where)) if whole else ())


def _parts(content: bytes) -> list[bytes]:
    if content[:2] == b"\x1f\x8b":
        return [gunzip(content, _MOST_BYTES)]
    if content[:2] != b"PK":
        return [content]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        named = [each for each in archive.infolist() if each.filename.lower().endswith(".xml")]
        if not named or sum(each.file_size for each in named) > _MOST_BYTES:
            raise ValueError("the archive holds no report, or too much")
        return [archive.read(each) for each in named]


def _price(row: ElementTree.Element) -> wire.Amount | None:
    for each in row:
        if _name(each) == "Price" and each.text and (currency := each.get("currencyID")):
            try:
                Money.parse(each.text.strip(), currency)
            except ValueError:
                return None
            return wire.Amount(value=each.text.strip(), currency=currency)
    return None


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
