"""Many quantities at once: a JSON_LISTINGS_FEED, processed by Amazon in its own time and answered with a report.

Feeds API 2021-06-30; https://developer-docs.amazon.com/sp-api/docs/listings-feed-type-values
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from flipsync.connectors.base import QuantityChange, QuantityOutcome, Taken, Told
from flipsync.connectors.knowledge import Facts
from flipsync.connectors.marketplaces.amazon import attributes, mapping, wire, wire_work
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.rows import pages
from flipsync.connectors.request import Params
from flipsync.connectors.unpacking import UnpackError, gunzip
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable, Unreadable

#: Messages of one feed. Amazon advises files below 10 MiB; this many patches are about 3.
MESSAGES = 10_000
#: Of the first of several feeds.
_FIRST_MESSAGES = 1_000
#: SKUs one search may name.
_SEARCH = 20
#: searches under way at once: what Amazon's bucket holds
_AT_ONCE = 5
#: times that a search may come too early
_EARLY_CALLS = 3
#: The product type of what every offer has, whatever the goods (price, units, condition): good for patches of these.
ANY_OFFER = "PRODUCT"
_MEDIA_TYPE = "application/json; charset=UTF-8"
_FIRST_LOOK, _LONGEST_PAUSE, _PATIENCE = 0.5, 30.0, 600.0
_INCLUDED = [("includedData", "summaries,attributes,offers,fulfillmentAvailability,issues,relationships,productTypes")]


@dataclass(frozen=True, slots=True)
class Supply:
    """What must be known of a listing before its units are written. One that a report of all listings told names the
    type that every offer has, and is written to without knowing what else supplies it (`merges`); of any other one,
    `terms` is what is said of our own units beside their number."""

    product_type: str
    own_stock: bool
    warehouses: tuple[str, ...]
    merges: bool = False
    terms: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, item: wire.Item, marketplace_id: str) -> Supply:
        return cls(
            product_type=mapping.product_type(item, marketplace_id),
            own_stock=mapping.own_quantity(item) is not None,
            warehouses=mapping.warehouse_channels(item),
            terms=mapping.own_terms(item),
        )

    @classmethod
    def reported(cls) -> Supply:
        """Of a listing that the report says we fulfil ourselves."""
        return cls(ANY_OFFER, own_stock=True, warehouses=(), merges=True)

    def rows(self, quantity: int) -> list[dict[str, Any]]:
        """What supplies it, with that many units of our own."""
        return attributes.quantity_rows(quantity, self.warehouses, self.terms)

    def pack(self) -> Facts:
        facts = {"type": self.product_type, "own": self.own_stock, "warehouses": list(self.warehouses)}
        return facts | ({"merges": True} if self.merges else {}) | ({"terms": dict(self.terms)} if self.terms else {})

    @classmethod
    def unpack(cls, facts: Facts) -> Supply:
        warehouses = tuple(map(str, facts["warehouses"]))
        terms = tuple(facts.get("terms", {}).items())
        return cls(str(facts["type"]), facts["own"] is True, warehouses, facts.get("merges") is True, terms)


def warehouse_only() -> Rejected:
    """Why the units of a listing that Amazon's warehouses supply are not written."""
    return Rejected(
        "Amazon's warehouses supply this listing: its units are theirs to count",
        hint="to sell own stock too, list it under another SKU",
        vendor_code="fba",
    )


def feed_document(
    seller_id: str, language: str, changes: Sequence[QuantityChange], supplies: Sequence[Supply]
) -> bytes:
    """The feed: one patch of our own units for each change; message ids count from 1."""
    messages = [
        {
            "messageId": number,
            "sku": change.external_id,
            "operationType": "PATCH",
            "productType": supply.product_type,
            "patches": attributes.patch(
                {
                    "fulfillment_availability": attributes.quantity_rows(
                        change.quantity, supply.warehouses, supply.terms
                    )
                },
                "merge" if supply.merges else "replace",
            ),
        }
        for number, (change, supply) in enumerate(zip(changes, supplies, strict=True), start=1)
    ]
    header = {"sellerId": seller_id, "version": "2.0", "issueLocale": language}
    return json.dumps({"header": header, "messages": messages}, ensure_ascii=False, separators=(",", ":")).encode()


Found = Callable[[Sequence[wire.Item]], None]


def rows_of_listings() -> Rows:
    """Where listings go that cannot be read, by their SKU."""
    return Rows("listings", "sku")


def search_pages(api: SellerApi, query: Params, aside: Rows) -> AsyncIterator[wire.ItemSearch]:
    """The pages of one search of listings. One that came too early by Amazon's clock is asked again, while others go
    on: calls that left at once may arrive later than paced ones, and Amazon counts when they arrive."""
    decode = partial(wire.ItemSearch.model_validate, context=aside.context)
    path = {"sellerId": api.seller_id}

    async def ask(token: str | None) -> wire.ItemSearch:
        params = [*query, *([("pageToken", token)] if token else [])]
        for _ in range(_EARLY_CALLS):
            try:
                return await api.call("searchListingsItems", decode, path=path, params=params)
            except Retryable as early:
                if early.vendor_status != 429 or (early.after or 0.0) > _LONGEST_PAUSE:
                    raise
        return await api.call("searchListingsItems", decode, path=path, params=params)

    return pages(ask, lambda page: page.pagination.next_token)


async def find_items(
    api: SellerApi, skus: Sequence[str], aside: Rows, found_some: Found | None = None
) -> dict[str, wire.Item]:
    """These listings by SKU, twenty a call; what Amazon does not know is left out, and what cannot be read goes
    `aside`. `found_some` hears of those of each call as they come."""
    found: dict[str, wire.Item] = {}
    # The list is written with commas, so a SKU with one is asked for alone.
    plain = [sku for sku in dict.fromkeys(skus) if "," not in sku]
    waiting = iter([plain[start : start + _SEARCH] for start in range(0, len(plain), _SEARCH)])

    async def search() -> None:
        for asked in waiting:
            params = [
                *api.here,
                ("identifiers", ",".join(asked)),
                ("identifiersType", "SKU"),
                ("pageSize", str(_SEARCH)),
                *_INCLUDED,
            ]
            async for page in search_pages(api, params, aside):
                found.update((item.sku, item) for item in page.items)
                if found_some is not None:
                    found_some(page.items)

    # one after the other an answer's way, not Amazon's limit, would set the pace
    searches = [asyncio.create_task(search()) for _ in range(min(_AT_ONCE, math.ceil(len(plain) / _SEARCH)))]
    try:
        await asyncio.gather(*searches)
    finally:
        for each in searches:
            each.cancel()
    for sku in dict.fromkeys(skus):
        if "," in sku:
            path = {"sellerId": api.seller_id, "sku": sku}
            params = [*api.here, *_INCLUDED]
            try:
                item = await api.known("getListingsItem", wire.Item.model_validate, path=path, params=params)
            except Unreadable as error:
                aside.keep({"sku": sku}, error)
                continue
            if item is not None:
                found[sku] = item
                if found_some is not None:
                    found_some([item])
    return found


def _parts(indices: Sequence[int]) -> list[list[int]]:
    """What goes into each feed. Of many the first is small: it is read back while Amazon works the next one off."""
    sizes = [_FIRST_MESSAGES] if len(indices) > 2 * _FIRST_MESSAGES else []
    parts, start = [], 0
    while start < len(indices):
        size = sizes.pop() if sizes else MESSAGES
        parts.append(list(indices[start : start + size]))
        start += size
    return parts


class QuantityFeed:
    """Sends quantities as feeds."""

    def __init__(self, api: SellerApi, seen: Callable[[wire.Item], ListingState]) -> None:
        """`seen` is shown each listing that is read back, and says what state it is in."""
        self._api = api
        self._seen = seen

    async def set(
        self,
        changes: Sequence[QuantityChange],
        supplies: Mapping[str, Supply | ChannelError],
        taken: Taken | None = None,
        told: Told | None = None,
    ) -> list[QuantityOutcome]:
        """One outcome for each change, in their order. `supplies` lacks what Amazon does not list, and says why of what
        cannot be read; `taken` is told the id of each feed, and `told` what each reading-back shows.

        Raises Rejected or Retryable only before a feed was taken.
        """
        outcomes: dict[int, ChannelError | None] = {}
        sent: list[int] = []
        last: dict[str, int] = {}
        written: dict[str, Supply] = {}
        for index, change in enumerate(changes):
            supply = supplies.get(change.external_id)
            if supply is None:
                outcomes[index] = Rejected("there is no such listing", vendor_code="NOT_FOUND", missing=True)
            elif isinstance(supply, ChannelError):
                outcomes[index] = supply
            elif not supply.own_stock:
                outcomes[index] = warehouse_only()
            else:
                last[change.external_id] = index
                written[change.external_id] = supply
                sent.append(index)
        # Messages of one feed are not carried out in order: of several changes to one SKU only the last is sent.
        unique = [index for index in sent if last[changes[index].external_id] == index]
        shown: dict[str, ListingState] = {}
        feeds: list[asyncio.Task[dict[int, ChannelError | None]]] = []
        try:
            for part in _parts(unique):
                asked = [changes[index] for index in part]
                try:
                    feed = await self._send(asked, [written[each.external_id] for each in asked], taken)
                except (Rejected, Retryable) as error:
                    if not feeds:
                        raise
                    outcomes |= dict.fromkeys(part, error)
                    continue
                feeds.append(asyncio.create_task(self._through(part, feed, changes, shown, told)))
            for found in await asyncio.gather(*feeds):
                outcomes |= found
        finally:
            for each in feeds:
                each.cancel()
        for index in sent:
            outcomes.setdefault(index, outcomes[last[changes[index].external_id]])
        return [self._outcome(change, outcomes[index], shown) for index, change in enumerate(changes)]

    async def _through(
        self,
        part: Sequence[int],
        feed: str | OutcomeUnknown,
        changes: Sequence[QuantityChange],
        shown: dict[str, ListingState],
        told: Told | None,
    ) -> dict[int, ChannelError | None]:
        """What Amazon has against each change of a feed; the others are read back into `shown`."""
        if isinstance(feed, OutcomeUnknown):
            return dict.fromkeys(part, feed)
        try:
            verdict = verdicts(await self._report(feed), len(part), [changes[index].external_id for index in part])
        except OutcomeUnknown as unknown:
            return dict.fromkeys(part, unknown)
        accepted = {
            changes[index].external_id: changes[index]
            for index, error in zip(part, verdict, strict=True)
            if error is None
        }

        aside = rows_of_listings()

        def see(items: Sequence[wire.Item]) -> None:
            read = ((item.sku, aside.read(self._seen, item)) for item in items)
            states = {sku: state for sku, state in read if state is not None}
            shown.update(states)
            if told is not None:
                told([QuantityOutcome(accepted[sku], state, None) for sku, state in states.items() if sku in accepted])

        with suppress(ChannelError):  # what is not read back is not known
            await find_items(self._api, list(accepted), aside, see)
        return dict(zip(part, verdict, strict=True))

    def _outcome(
        self, change: QuantityChange, error: ChannelError | None, shown: Mapping[str, ListingState]
    ) -> QuantityOutcome:
        if error is not None:
            return QuantityOutcome(change, None, error)
        state = shown.get(change.external_id)
        if state is None:
            return QuantityOutcome(
                change, None, OutcomeUnknown("the feed was processed, the listing was not read back")
            )
        return QuantityOutcome(change, state, None)

    async def _send(
        self, changes: Sequence[QuantityChange], supplies: Sequence[Supply], taken: Taken | None
    ) -> str | OutcomeUnknown:
        """The feed's id, or why it is not known whether there is a feed. Raises Rejected, Retryable: there is none."""
        content = feed_document(self._api.seller_id, self._api.language, changes, supplies)
        document = await self._api.call(
            "createFeedDocument", wire_work.CreatedDocument.model_validate, body={"contentType": _MEDIA_TYPE}
        )
        await self._api.upload(document.url, content, _MEDIA_TYPE)
        body = {
            "feedType": "JSON_LISTINGS_FEED",
            "marketplaceIds": [self._api.marketplace_id],
            "inputFeedDocumentId": document.feed_document_id,
        }
        try:
            feed = await self._api.call("createFeed", wire_work.CreatedFeed.model_validate, body=body)
        except OutcomeUnknown as unknown:
            return unknown
        if taken is not None:
            await taken(feed.feed_id, changes)
        return feed.feed_id

    async def finished(self, feed_id: str) -> None:
        """Returns once the feed is processed, or was given up by Amazon. Raises OutcomeUnknown while it is not."""
        await self._end_of(feed_id)

    async def _report(self, feed_id: str) -> wire_work.FeedReport:
        """What came of the feed. Raises OutcomeUnknown once it was taken and nothing certain is heard."""
        feed = await self._end_of(feed_id)
        if feed is None or feed.processing_status != "DONE" or feed.result_feed_document_id is None:
            how = "is not known any more" if feed is None else f"ended {feed.processing_status}"
            raise OutcomeUnknown(f"feed {feed_id} {how}", hint="read the listings back")
        pause = waited = 0.0
        while True:
            try:
                return await self._download(feed.result_feed_document_id)
            except Retryable as later:
                pause = max(later.after or 0.0, _FIRST_LOOK, min(pause * 1.6, _LONGEST_PAUSE))
                waited += pause
                if waited > _PATIENCE:
                    raise OutcomeUnknown(f"the report of feed {feed_id} cannot be had: {later}") from later
                await asyncio.sleep(pause)
            except Rejected as refused:
                raise OutcomeUnknown(f"feed {feed_id} was taken, its result was refused: {refused}") from refused

    async def _end_of(self, feed_id: str) -> wire_work.Feed | None:
        """The feed once Amazon is done with it; None when it knows of none. Raises OutcomeUnknown after a while."""
        pause, waited = _FIRST_LOOK, 0.0
        while waited < _PATIENCE:
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.3, _LONGEST_PAUSE)
            try:
                feed = await self._api.call("getFeed", wire_work.Feed.model_validate, path={"feedId": feed_id})
                if feed.processing_status in ("DONE", "CANCELLED", "FATAL"):
                    return feed
            except Retryable:
                continue
            except Rejected as refused:
                if refused.missing:
                    return None
                raise OutcomeUnknown(f"feed {feed_id} was taken, its result was refused: {refused}") from refused
        raise OutcomeUnknown(f"feed {feed_id} is still being processed", hint="read the listings back")

    async def _download(self, document_id: str) -> wire_work.FeedReport:
        document = await self._api.call(
            "getFeedDocument", wire_work.FeedDocument.model_validate, path={"feedDocumentId": document_id}
        )
        found = await self._api.fetch(document.url)
        try:
            return read_report(found.content, gzipped=document.compression_algorithm == "GZIP" and found.packed)
        except ValueError as error:
            raise OutcomeUnknown(f"the feed's report cannot be read: {error}", hint="read the listings back") from error


def read_report(content: bytes, *, gzipped: bool) -> wire_work.FeedReport:
    """Raises ValueError when it is no processing report."""
    try:
        return wire_work.FeedReport.model_validate_json(gunzip(content) if gzipped else content)
    except UnpackError as error:
        raise ValueError("not gzip") from error


def verdicts(report: wire_work.FeedReport, count: int, skus: Sequence[str] = ()) -> list[ChannelError | None]:
    """For each message, None when it was accepted, else what Amazon has against it. An issue that names no message is
    that of its SKU (`skus`: those of the messages), or of the feed as a whole, where nothing of it was accepted."""
    numbers = {sku: number for number, sku in enumerate(skus, start=1)}
    found: list[ChannelError | None] = [None] * count
    told: dict[int, list[wire_work.FeedIssue]] = {}
    for issue in report.issues:
        if issue.severity == "ERROR":
            told.setdefault(issue.message_id or numbers.get(issue.sku, 0), []).append(issue)
    for number, issues in told.items():
        words = "; ".join(
            f"{issue.attribute_name}: {issue.message}" if issue.attribute_name else issue.message for issue in issues
        )
        error = Rejected(words, vendor_code=issues[0].code)
        if number == 0 and not report.summary.messages_accepted:
            return [error] * count
        if 1 <= number <= count:
            found[number - 1] = error
    return found
