"""Reports API 2021-06-30: ask for a report, wait, read it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from flipsync.connectors.marketplaces.amazon import wire_work
from flipsync.connectors.marketplaces.amazon.api import Fetched, SellerApi
from flipsync.connectors.unpacking import UnpackError, gunzip
from flipsync.domain.clock import require_utc
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable

_FIRST_LOOK, _LONGEST_PAUSE = 0.5, 60.0


async def report(
    api: SellerApi,
    kind: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    restricted: bool = False,
    patience: float = 900.0,
) -> bytes:
    """The report of this type, unpacked. Raises what `fetched` raises."""
    return (await fetched(api, kind, start, end, restricted, patience)).content


async def report_text(api: SellerApi, kind: str, *, patience: float = 900.0) -> str:
    """A report of text in whatever letters it came: Amazon writes what is usual in a store, and seldom says so. Raises
    what `fetched` raises."""
    found = await fetched(api, kind, None, None, False, patience)
    for charset in ("utf-8-sig", found.charset):
        with suppress(LookupError, UnicodeDecodeError):
            return found.content.decode(charset)
    return found.content.decode("cp932" if api.language == "ja_JP" else "cp1252", "replace")


async def fetched(
    api: SellerApi, kind: str, start: datetime | None, end: datetime | None, restricted: bool, patience: float
) -> Fetched:
    """The report of this type (https://developer-docs.amazon.com/sp-api/docs/report-type-values) as Amazon made it.

    `restricted`: it names buyers. Asking twice makes two reports and changes nothing else. Raises Rejected when there
    is nothing to report, Retryable when it is not ready within `patience` seconds.
    """
    body: dict[str, object] = {"reportType": kind, "marketplaceIds": [api.marketplace_id]}
    for name, moment in (("dataStartTime", start), ("dataEndTime", end)):
        if moment is not None:
            body[name] = require_utc(moment).isoformat().replace("+00:00", "Z")
    try:
        made = await api.call("createReport", wire_work.CreatedReport.model_validate, body=body)
    except OutcomeUnknown as unknown:
        raise Retryable(f"no report: {unknown.message}", vendor_status=unknown.vendor_status) from unknown
    document_id = await _document_of(api, made.report_id, patience)
    document = await api.call(
        "getReportDocument",
        wire_work.ReportDocument.model_validate,
        path={"reportDocumentId": document_id},
        restricted=restricted,
    )
    found = await api.fetch(document.url)
    if document.compression_algorithm != "GZIP" or not found.packed:
        return found
    try:
        return Fetched(gunzip(found.content), found.charset)
    except UnpackError as error:
        raise Retryable("the report broke off") from error


async def _document_of(api: SellerApi, report_id: str, patience: float) -> str:
    pause, waited = _FIRST_LOOK, 0.0
    while waited < patience:
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 1.6, _LONGEST_PAUSE)
        found = await api.call("getReport", wire_work.Report.model_validate, path={"reportId": report_id})
        if found.processing_status == "DONE" and found.report_document_id is not None:
            return found.report_document_id
        if found.processing_status == "CANCELLED":
            raise Rejected("Amazon cancelled the report: there is nothing in it", vendor_code="CANCELLED")
        if found.processing_status == "FATAL":
            raise Rejected("Amazon could not make the report", vendor_code="FATAL")
    raise Retryable(f"report {report_id} is not ready", after=_LONGEST_PAUSE)
