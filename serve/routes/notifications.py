"""Notifications: what you were told, what you have not read, and how you want to be told."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services.notices import destinations, inbox, preferences, subscriptions
from flipsync.services.notices.destinations import DeliveryView, DestinationForm, Destinations, DestinationView
from flipsync.services.notices.inbox import NotificationPage, NotificationView, Unread
from flipsync.services.notices.kinds import heard_by
from flipsync.services.notices.preferences import Preferences, PreferencesView
from flipsync.services.notices.subscriptions import PushKeyView, SubscriptionForm
from flipsync.services.reading_page import Page, PageRequest, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, ReaderDep, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])

#: everybody, for themselves alone
Oneself = Annotated[Claims, may("self:manage")]


class NotificationQuery(SortedRequest, inbox.NotificationFilter):
    model_config = ConfigDict(extra="forbid")

    sort: inbox.NotificationSort = None


@router.get("", summary="List what you were told", responses=problems(401, 403))
async def list_notifications(
    query: Annotated[NotificationQuery, Query()], user: Oneself, reader: ReaderDep
) -> NotificationPage:
    """Newest first, with how much of it you have not read. Of what your role may not see (any more) nothing is
    shown."""
    return await inbox.list_for(reader, user.user_id, heard_by(user.role), query, query)


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


@router.get("/destinations", summary="Where you are told outside the app", responses=problems(401, 403))
async def list_destinations(user: Oneself, backend: BackendDep) -> Destinations:
    """As much of each as may be seen: the rest is a secret."""
    async with backend.store.reader(user.tenant_id) as session:
        return await destinations.list_for(session, user.user_id)


@router.post(
    "/destinations",
    status_code=201,
    summary="Be told there too",
    response_model=DestinationView,
    responses=problems(401, 403, 409),
)
async def add_destination(form: DestinationForm, user: Oneself, once: OnlyOnceDep, backend: BackendDep) -> Response:
    """A test is sent; when it has arrived, what you want told goes there. 422 for what is no destination of ours, or
    leads inside the installation's own network."""
    found = await destinations.checked(form, backend.reach)

    async def work(unit: UnitOfWork) -> DestinationView:
        return await destinations.add(unit, backend.box, user.user_id, form.url, found)

    return await once.run(user, work, status=201)


@router.post(
    "/destinations/{destination_id}/test",
    summary="Send a test",
    response_model=DestinationView,
    responses=problems(401, 403, 404, 409),
)
async def test_destination(destination_id: UUID, user: Oneself, once: OnlyOnceDep) -> Response:
    """What came of it is in the destination's `state` and in the list of deliveries, a little later."""

    async def work(unit: UnitOfWork) -> DestinationView:
        return await destinations.test(unit, user.user_id, destination_id)

    return await once.run(user, work)


@router.delete(
    "/destinations/{destination_id}",
    summary="Be told there no more",
    status_code=204,
    responses=problems(401, 403, 404),
)
async def remove_destination(destination_id: UUID, user: Oneself, backend: BackendDep, cause: CauseDep) -> Response:
    """Its secret is gone at once; what was sent there stays in the list of deliveries for a while."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await destinations.remove(unit, user.user_id, destination_id)
    return Response(status_code=204)


@router.get("/push-key", summary="What a browser subscribes under", responses=problems(401, 403))
async def get_push_key(user: Oneself, backend: BackendDep) -> PushKeyView:
    """Give it to `pushManager.subscribe` as `applicationServerKey` (RFC 8292)."""
    async with backend.store.unit(user.tenant_id) as unit:
        return await subscriptions.public_key(unit, backend.box)


@router.post(
    "/subscriptions",
    status_code=201,
    summary="Be told on this device too",
    response_model=DestinationView,
    responses=problems(401, 403, 409),
)
async def subscribe(form: SubscriptionForm, user: Oneself, once: OnlyOnceDep, backend: BackendDep) -> Response:
    """By web push: bring what the browser's `PushSubscription` says, again whenever the app starts. It becomes one of
    your destinations (listed, tested and removed there) for as long as you are signed in on this device; whoever
    subscribes with the same browser next is told there in your place. A device that is new gets a test."""
    found = await subscriptions.checked(form, backend.reach)

    async def work(unit: UnitOfWork) -> DestinationView:
        return await subscriptions.subscribe(unit, backend.box, user.user_id, user.session_id, form, found)

    return await once.run(user, work, status=201)


@router.get("/deliveries", summary="What was sent to you, and what came of it", responses=problems(401, 403))
async def list_deliveries(
    query: Annotated[PageRequest, Query()], user: Oneself, backend: BackendDep
) -> Page[DeliveryView]:
    """Newest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await destinations.list_deliveries(session, user.user_id, query)


@router.get("/preferences", summary="How you want to be told", responses=problems(401, 403))
async def get_preferences(user: Oneself, backend: BackendDep, response: Response) -> PreferencesView:
    async with backend.store.reader(user.tenant_id) as session:
        view = await preferences.get(session, user.user_id)
    response.headers["ETag"] = etag(view.version)
    return view


@router.put("/preferences", summary="Say how you want to be told", responses=problems(401, 403, 412, 428))
async def put_preferences(
    choices: Preferences,
    user: Oneself,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> PreferencesView:
    """Counts from the next message on; `If-Match: "0"` where nothing was said yet."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await preferences.put(unit, user.user_id, choices, expected)
    response.headers["ETag"] = etag(view.version)
    return view
