"""Every variant of a shop in one export: a bulk operation, which costs what starting and asking for it costs.

https://shopify.dev/docs/api/usage/bulk-operations/queries
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from flipsync.connectors.marketplaces.shopify import documents, mapping, wire
from flipsync.connectors.marketplaces.shopify.api import AdminApi
from flipsync.connectors.unread import Rows
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable

#: Variants that are handed on together.
_PART = 2_000
#: Seconds between looks at an export, and for which it is waited for.
_FIRST_LOOK, _LONGEST_PAUSE, _PATIENCE = 0.5, 15.0, 300.0
_ENDED = frozenset({"FAILED", "CANCELED", "CANCELING", "EXPIRED"})


async def counted_variants(api: AdminApi, location: str, aside: Rows) -> AsyncIterator[list[wire.Variant]]:
    """Part after part, in no order; what cannot be read goes `aside`. Raises Rejected when the shop will not make an
    export (another one may be under way), Retryable when it is not ready before long."""
    if not mapping.is_gid(location, "Location"):
        raise Rejected(f"{location!r} is no location of a shop", vendor_code="option")
    address = await _exported(api, documents.counted_variants(location))
    if address is None:
        return  # there are none
    lines = (await api.fetch(address)).splitlines()
    for start in range(0, len(lines), _PART):
        read = [
            aside.read(wire.Variant.model_validate_json, line) for line in lines[start : start + _PART] if line.strip()
        ]
        yield [row for row in read if row is not None]


async def _exported(api: AdminApi, query: str) -> str | None:
    """Where the export can be had. To start one twice changes nothing in the shop."""
    try:
        payload = await api.write(documents.EXPORT, wire.ExportPayload, {"query": query})
    except OutcomeUnknown as unknown:
        raise Retryable(f"no export: {unknown.message}", vendor_status=unknown.vendor_status) from unknown
    export, pause, waited = payload.bulk_operation, _FIRST_LOOK, 0.0
    while export is not None and waited < _PATIENCE:
        if export.status == "COMPLETED":
            return _address(export.url)
        if export.status in _ENDED:
            raise Rejected(f"the export ended {export.status}", vendor_code=export.error_code or export.status)
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 1.6, _LONGEST_PAUSE)
        export = await api.read(documents.EXPORTED, _export_or_none, {"id": export.id})
    raise Retryable("the export is not ready" if export is not None else "the shop does not know the export any more")


def _address(url: str | None) -> str | None:
    if url is not None and urlsplit(url).scheme not in ("https", "http"):
        raise Unreadable("the export has no address")
    return url


def _export_or_none(data: Any) -> wire.Export | None:
    return None if data is None else wire.Export.model_validate(data)
