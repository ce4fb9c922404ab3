"""Reports: a table of sales, profit, stock, tax or customers, as JSON or as a file to keep; and made by themselves."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import analytics, report_files, report_schedules, reports
from flipsync.services.analytics import Span
from flipsync.services.reading_page import Page, PageRequest
from flipsync.services.report_schedules import ReportRunView, ScheduleForm, ScheduleView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])

User = Annotated[Claims, may("analytics:read")]
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for kind in report_files.MEDIA_TYPES.values()
        }
    }
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


class ScheduleQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")


def _whose(user: Claims) -> UUID | None:
    """Everybody has their own; an owner sees to all, in person."""
    return None if user.role == "owner" and not user.is_key else user.user_id


@router.get("/schedules", summary="List reports that are made by themselves", responses=problems(401, 403))
async def list_schedules(
    query: Annotated[ScheduleQuery, Query()], user: User, backend: BackendDep
) -> Page[ScheduleView]:
    """Your own, newest first, ended ones too; an owner sees everybody's."""
    async with backend.store.reader(user.tenant_id) as session:
        return await report_schedules.list_schedules(session, _whose(user), query)


@router.post(
    "/schedules",
    status_code=201,
    summary="Have a report made by itself",
    response_model=ScheduleView,
    responses=problems(401, 403, 409),
)
async def schedule_report(form: ScheduleForm, user: User, once: OnlyOnceDep) -> Response:
    """Every day, week or month at a time of day in the business's time zone. It goes to where you are told of things:
    by mail with the file, elsewhere as a word that it is there."""

    async def work(unit: UnitOfWork) -> ScheduleView:
        return await report_schedules.schedule(unit, user.user_id, form)

    return await once.run(user, work, status=201)


@router.post(
    "/schedules/{schedule_id}/end",
    summary="End a report that is made by itself",
    response_model=ScheduleView,
    responses=problems(401, 403, 404, 409),
)
async def end_schedule(schedule_id: UUID, user: User, once: OnlyOnceDep) -> Response:
    """No more of it is made; what was made stays for its time."""

    async def work(unit: UnitOfWork) -> ScheduleView:
        return await report_schedules.end(unit, _whose(user), schedule_id)

    return await once.run(user, work)


@router.get("/runs", summary="List reports that were made by themselves", responses=problems(401, 403))
async def list_runs(query: Annotated[ScheduleQuery, Query()], user: User, backend: BackendDep) -> Page[ReportRunView]:
    """Newest first; why one is not there is with it."""
    async with backend.store.reader(user.tenant_id) as session:
        return await report_schedules.list_runs(session, _whose(user), query)


@router.get(
    "/runs/{report_run_id}/file",
    summary="The file of a report that was made by itself",
    response_class=Response,
    responses=problems(401, 403, 404) | _FILE,
)
async def get_run_file(report_run_id: UUID, user: User, backend: BackendDep) -> Response:
    """As it was made and sent; kept for 30 days."""
    async with backend.store.reader(user.tenant_id) as session:
        found = await report_schedules.file(session, _whose(user), report_run_id)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}"'}
    return Response(found.content, media_type=found.media_type, headers=headers)
