"""What of a shop's own settings its listings and stock depend on: the location, and where products are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.shopify import documents, mapping, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.domain.errors import Rejected

_ONLINE_STORE = frozenset({"Online Store", "online_store"})
#: stands where a document needs a publication and none is known
NOWHERE = "gid://shopify/Publication/0"


class ShopPlaces:
    """Found once, kept for the connector's life. Options: `location_id`, `publication_id` (ids or bare numbers)."""

    def __init__(self, api: AdminApi, config: AccountConfig) -> None:
        self._api = api
        self._options = config.options
        self._location: str | None = None
        self._publication: str | None = None
        self._publication_known = False

    async def location(self) -> str:
        """Where our stock is. Raises Rejected, naming the locations, when the shop has several and none is chosen."""
        if self._location is None:
            self._location = await self._find_location()
        return self._location

    async def _find_location(self) -> str:
        chosen = self._options.get("location_id", "").strip()
        if chosen:
            return _option("Location", "location_id", chosen)
        decode = wire.Connection[wire.Location].model_validate
        few = await self._api.read(documents.ONE_LOCATION, decode, {})
        if few.page_info.has_next_page or len(few.nodes) != 1:
            pages = self._api.pages(documents.LOCATIONS, decode, {})
            active = [row async for page in pages for row in page if row.is_active]
        else:
            active = [row for row in few.nodes if row.is_active]
        if len(active) == 1:
            return active[0].id
        names = ", ".join(f"{row.name} ({mapping.number_of(row.id)})" for row in active)
        raise Rejected(
            f"the shop has {len(active)} active locations: {names}" if active else "the shop has no active location",
            hint="set the account's option location_id to the one our stock is in",
            vendor_code="location",
        )

    async def publication(self) -> str | None:
        """The online store, or the option's publication; None where the app may not see what is published."""
        if not self._publication_known:
            self._publication = await self._find_publication()
            self._publication_known = True
        return self._publication

    async def _find_publication(self) -> str | None:
        chosen = self._options.get("publication_id", "").strip()
        if chosen:
            return _option("Publication", "publication_id", chosen)
        decode = wire.Connection[wire.Publication].model_validate
        try:
            rows = [row async for page in self._api.pages(documents.PUBLICATIONS, decode, {}) for row in page]
        except Rejected as refused:
            if refused.vendor_code != "ACCESS_DENIED":
                raise
            return None
        named = [row for row in rows if row.names & _ONLINE_STORE]
        if named or len(rows) == 1:
            return (named or rows)[0].id
        return None

    async def variables(self) -> Mapping[str, Any]:
        """What every document that shows listings is given."""
        publication = await self.publication()
        return {
            "location": await self.location(),
            "publication": publication or NOWHERE,
            "published": publication is not None,
        }


def _option(kind: str, name: str, value: str) -> str:
    try:
        return mapping.gid(kind, value)
    except ValueError as error:
        raise Rejected(f"option {name}: {error}", vendor_code="option") from error
