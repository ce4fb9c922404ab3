"""Where a person is told outside the app: added (with a test), listed masked, tested again, removed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.notices.destination import LONGEST, Channel, Destination, parse
from flipsync.connectors.notices.reach import Reach
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Rejected, Retryable
from flipsync.domain.ids import new_id
from flipsync.security.secrets import SecretBox
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import NotificationDelivery, NotificationDestination
from flipsync.store.repositories import deliveries as rows
from flipsync.store.unit_of_work import UnitOfWork

#: destinations of a person, and tests of an hour
MOST, MOST_TESTS = 10, 10


class DestinationForm(BaseModel):
    """The whole URL is kept as a secret and shown to nobody again."""

    model_config = ConfigDict(extra="forbid")

    url: SecretStr = Field(
        min_length=8,
        max_length=LONGEST,
        examples=["mailtos://shop%40example.com:password@smtp.example.com?to=ada@example.com"],
    )


class DestinationView(View):
    id: UUID
    channel: Channel
    service: str
    shown: str = Field(description="as much of it as may be seen", examples=["a…@example.com by smtp.example.com"])
    state: Literal["untried", "working", "refused"] = Field(
        description="untried: the test has not arrived yet; refused: nothing is sent there until a test arrives"
    )
    detail: str
    created_at: Moment


class DeliveryView(View):
    """`unknown`: it may have arrived and is not sent again; `pointless`: all of it was settled before it went."""

    id: UUID
    destination_id: UUID
    shown: str
    purpose: Literal["one", "digest", "test"]
    about: list[UUID]
    state: Literal["waiting", "sending", "sent", "rejected", "unknown", "pointless"]
    attempts: int
    detail: str
    created_at: Moment
    finished_at: Moment | None


class Destinations(View):
    items: list[DestinationView]


async def checked(form: DestinationForm, reach: Reach) -> Destination:
    """What the URL says. Raises InvalidInput for one that is none, or leads inside the installation's own network."""
    found = parse(form.url.get_secret_value())
    await require_outside(found, reach)
    return found


async def require_outside(found: Destination, reach: Reach) -> None:
    """Raises InvalidInput for what is called without TLS outside, or leads inside the installation's own network."""
    if not found.tls and found.channel in ("chat", "push") and not reach.is_inside(found.host):
        raise InvalidInput("a hook on the open internet is called by https")
    try:
        await reach.addresses(found.host, found.port)
    except (Rejected, Retryable) as refused:
        raise InvalidInput(refused.message, hint=refused.hint) from None


async def add(unit: UnitOfWork, box: SecretBox, user_id: UUID, url: SecretStr, found: Destination) -> DestinationView:
    """A destination, and a test to it. Raises Conflict when the person has enough of them, or of tests."""
    return await put(unit, box, user_id, {"url": url.get_secret_value()}, found)


async def put(
    unit: UnitOfWork, box: SecretBox, user_id: UUID, secrets: Mapping[str, str], found: Destination, **more: Any
) -> DestinationView:
    """`secrets` are what is needed to get there; `more` is written beside. Raises as `add`."""
    if not await rows.lock_person(unit.session, user_id):
        raise NotFound(f"no user {user_id}")
    if len(await rows.destinations_of(unit.session, user_id)) >= MOST:
        raise Conflict(f"nobody has more than {MOST} destinations", hint="remove one first")
    destination_id = new_id()
    await rows.add_destination(
        unit.session,
        {
            "id": destination_id,
            "tenant_id": unit.tenant_id,
            "user_id": user_id,
            "channel": found.channel,
            "service": found.service,
            "shown": found.shown,
            "sealed": box.seal(secrets, tenant_id=unit.tenant_id, purpose=purpose(destination_id)),
            **more,
        },
    )
    unit.audit("notifications.destination-added", "user", user_id, service=found.service, shown=found.shown)
    await send_test(unit, user_id, destination_id)
    return view(await _of(unit.session, user_id, destination_id))


async def test(unit: UnitOfWork, user_id: UUID, destination_id: UUID) -> DestinationView:
    """A test to it; when it arrives, everything goes there (again). Raises NotFound, Conflict."""
    await rows.lock_person(unit.session, user_id)
    row = await _of(unit.session, user_id, destination_id)
    await send_test(unit, user_id, destination_id)
    return view(row)


async def remove(unit: UnitOfWork, user_id: UUID, destination_id: UUID) -> DestinationView:
    """Its secret is gone, and nothing goes there any more. Raises NotFound."""
    await rows.lock_person(unit.session, user_id)
    row = view(await _of(unit.session, user_id, destination_id))
    await rows.remove_destination(unit.session, user_id, destination_id)
    unit.audit("notifications.destination-removed", "user", user_id, service=row.service, shown=row.shown)
    return row


async def list_for(session: AsyncSession, user_id: UUID) -> Destinations:
    return Destinations(items=[view(row) for row in await rows.destinations_of(session, user_id)])


async def list_deliveries(session: AsyncSession, user_id: UUID, page: PageRequest) -> Page[DeliveryView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.of_person(session, user_id=user_id, limit=page.limit + 1, after=page.after_id())
    return cut(found, page.limit, lambda row: _delivery(*row), lambda row: [str(row[0].id)])


def purpose(destination_id: UUID) -> str:
    """What its secret is sealed for."""
    return f"notification destination {destination_id}"


def view(row: NotificationDestination) -> DestinationView:
    return DestinationView.model_validate({name: getattr(row, name) for name in DestinationView.model_fields})


async def send_test(unit: UnitOfWork, user_id: UUID, destination_id: UUID) -> None:
    """Raises Conflict when the person had enough of them."""
    if await rows.tests_since(unit.session, user_id, utc_now() - timedelta(hours=1)) >= MOST_TESTS:
        raise Conflict(f"{MOST_TESTS} tests an hour are enough", hint="wait an hour")
    message = {"user_id": user_id, "destination_id": destination_id, "purpose": "test", "about": []}
    await rows.put(unit.session, unit.tenant_id, [message])


async def _of(session: AsyncSession, user_id: UUID, destination_id: UUID) -> NotificationDestination:
    row = await rows.destination(session, destination_id)
    if row is None or row.user_id != user_id:
        raise NotFound(f"no destination {destination_id}")
    return row


def _delivery(row: NotificationDelivery, shown: str) -> DeliveryView:
    values = {name: getattr(row, name) for name in DeliveryView.model_fields if name != "shown"}
    return DeliveryView.model_validate(values | {"shown": shown})
