"""Reports: a table of sales, profit, stock or tax, as JSON or as a file to keep."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import analytics, report_files, reports
from flipsync.services.analytics import Span
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])

User = Annotated[Claims, may("analytics:read")]
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


#: one file at a time in a replica: making one keeps a core busy for a second, and others are answered meanwhile
_WRITER = ThreadPoolExecutor(1, thread_name_prefix="reports")


class ReportQuery(Span):
    model_config = ConfigDict(extra="forbid")

    kind: reports.Kind = "sales"


class FileQuery(ReportQuery):
    format: report_files.Format = "csv"


@router.get("", summary="A report", responses=problems(401, 403))
async def get_report(query: Annotated[ReportQuery, Query()], user: User, backend: BackendDep) -> reports.Report:
    """Sales by day and channel, profit by SKU, stock by age, or tax by month and channel; with what columns mean."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reports.build(
            session, query.kind, query, await analytics.today(session, backend.store.clock.now())
        )


@router.get("/file", summary="A report as a file", response_class=Response, responses=problems(401, 403) | _FILE)
async def get_file(query: Annotated[FileQuery, Query()], user: User, backend: BackendDep) -> Response:
    """CSV without formulas, XLSX, or PDF."""
    report = await get_report(query, user, backend)
    content = await asyncio.get_running_loop().run_in_executor(_WRITER, report_files.write, report, query.format)
    name = report_files.file_name(report, query.format)
    return Response(
        content,
        media_type=report_files.MEDIA_TYPES[query.format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
