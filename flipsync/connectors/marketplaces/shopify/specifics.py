"""Item specifics: a metafield each, defined once, so that merchants find them by their names.

Of goods that stand alone they are the product's; of one variant beside others its own, so that the others are left as
they are, and without its choices, which its options say. A definition gives a metafield its place on the page in the
admin. Without the right to define, or where a shop has as many definitions as it may, the metafields are written all
the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Literal

from flipsync.connectors.marketplaces.shopify import documents, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected

Owner = Literal["PRODUCT", "PRODUCTVARIANT"]
#: The type of a metafield that holds one line of text.
KIND = "single_line_text_field"
#: Shopify takes keys of 3 to 64 letters, digits, hyphens and underscores, and such values.
_KEY, _LONGEST_NAME, _LONGEST_VALUE = re.compile(r"[a-z0-9_-]{3,64}"), 255, 1_000


def key_of(name: str) -> str:
    """The key of a specific: its own words where they fit, else with a mark that tells it from others alike."""
    plain = re.sub(r"[ _-]+", "_", name.casefold().strip())
    if _KEY.fullmatch(plain):
        return plain
    bare = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:50]
    return f"{bare}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}".lstrip("_")


def fields(offer: Offer, choices: Collection[str] = ()) -> list[dict[str, str]]:
    """The metafields of an offer's attributes, without those that are the names of choices."""
    return [
        {"namespace": documents.SPECIFICS, "key": key, "type": KIND, "value": value}
        for key, (_, value) in _told(offer, choices).items()
    ]


def _told(offer: Offer, choices: Collection[str]) -> Mapping[str, tuple[str, str]]:
    """Name and value by key."""
    chosen = {name.strip().casefold() for name in choices}
    rows = ((name, " ".join(value.split())[:_LONGEST_VALUE]) for name, value in offer.attributes.items())
    return {
        key_of(name): (name, value)
        for name, value in rows
        if name.strip() and value and name.strip().casefold() not in chosen
    }


def specifics_of(row: wire.Variant) -> dict[str, str] | None:
    """By the names they are defined with, or their keys; None where they were not asked for, or are too many."""
    found = row.product.specifics if row.product.has_only_default_variant else row.specifics
    if found is None or found.page_info.has_next_page:
        return None
    return {(row.definition.name if row.definition is not None else row.key): row.value for row in found.nodes}


class Specifics:
    """Defines what is not defined yet. Asks a shop once for what is."""

    def __init__(self, api: AdminApi) -> None:
        self._api = api
        self._defined: dict[Owner, set[str]] = {}
        self._may = True

    async def of(self, offer: Offer, owner: Owner = "PRODUCT", choices: Collection[str] = ()) -> list[dict[str, str]]:
        """The offer's metafields, defined as far as the shop lets us. Raises Retryable."""
        rows, told = fields(offer, choices), _told(offer, choices)
        for row in rows:
            await self._define(owner, row["key"], told[row["key"]][0])
        return rows

    async def _define(self, owner: Owner, key: str, name: str) -> None:
        if not self._may:
            return
        try:
            if owner not in self._defined:
                self._defined[owner] = {row.key async for row in self._all(owner)}
            if key in self._defined[owner]:
                return
            definition = {
                "name": name.strip()[:_LONGEST_NAME],
                "namespace": documents.SPECIFICS,
                "key": key,
                "type": KIND,
                "ownerType": owner,
            }
            payload = await self._api.payload(documents.DEFINE, wire.DefinitionPayload, {"definition": definition})
        except Rejected:
            self._may = False  # the app may not, and need not be told again with each listing
            return
        except OutcomeUnknown:
            return  # the next listing finds out
        if any("LIMIT" in error.code for error in payload.user_errors):
            self._may = False  # the shop has as many as it may
        else:
            self._defined[owner].add(key)  # or this one cannot be, and need not be tried again

    async def _all(self, owner: Owner) -> AsyncIterator[wire.Definition]:
        decode = wire.Connection[wire.Definition].model_validate
        async for rows in self._api.pages(documents.DEFINITIONS, decode, {"owner": owner}):
            for row in rows:
                yield row
