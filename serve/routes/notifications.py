"""Notifications: what you were told, what you have not read, and how you want to be told."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services.notices import inbox, preferences
from flipsync.services.notices.inbox import NotificationPage, NotificationView, Unread
from flipsync.services.notices.kinds import heard_by
from flipsync.services.notices.preferences import Preferences, PreferencesView
from flipsync.services.reading_page import PageRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])

#: everybody, for themselves alone
Oneself = Annotated[Claims, may("self:manage")]


class NotificationQuery(PageRequest, inbox.NotificationFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List what you were told", responses=problems(401, 403))
async def list_notifications(
    query: Annotated[NotificationQuery, Query()], user: Oneself, backend: BackendDep
) -> NotificationPage:
    """Newest first, with how much of it you have not read. Of what your role may not see (any more) nothing is
    shown."""
    async with backend.store.reader(user.tenant_id) as session:
        return await inbox.list_for(session, user.user_id, heard_by(user.role), query, query)


@router.post(
    "/{notification_id}/read",
    summary="Have read one",
    response_model=NotificationView,
    responses=problems(401, 403, 404, 409),
)
async def read_notification(notification_id: UUID, user: Oneself, once: OnlyOnceDep) -> Response:
    """Your other devices are told."""

    async def work(unit: UnitOfWork) -> NotificationView:
        return await inbox.read_one(unit, user.user_id, heard_by(user.role), notification_id)

    return await once.run(user, work)


@router.post("/read-all", summary="Have read all", response_model=Unread, responses=problems(401, 403, 409))
async def read_all_notifications(user: Oneself, once: OnlyOnceDep) -> Response:
    """All there is until now."""

    async def work(unit: UnitOfWork) -> Unread:
        return await inbox.read_all(unit, user.user_id, heard_by(user.role))

    return await once.run(user, work)


@router.get("/preferences", summary="How you want to be told", responses=problems(401, 403))
async def get_preferences(user: Oneself, backend: BackendDep, response: Response) -> PreferencesView:
    async with backend.store.reader(user.tenant_id) as session:
        view = await preferences.get(session, user.user_id)
    response.headers["ETag"] = etag(view.version)
    return view


@router.put("/preferences", summary="Say how you want to be told", responses=problems(401, 403, 412, 428))
async def put_preferences(
    choices: Preferences,
    expected: ExpectedVersion,
    user: Oneself,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> PreferencesView:
    """Counts from the next message on; `If-Match: "0"` where nothing was said yet."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await preferences.put(unit, user.user_id, choices, expected)
    response.headers["ETag"] = etag(view.version)
    return view
