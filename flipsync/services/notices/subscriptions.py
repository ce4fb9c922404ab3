"""Browsers and phones that let themselves be told by web push: each tells one person, while they are signed in there.

They are destinations like others (a test first, preferences, quiet hours, deliveries), but nobody writes their address:
the app brings what the browser gave it, again at every start, and nothing is sent twice for that.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.notices import webpush
from flipsync.connectors.notices.destination import LONGEST, Destination
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.webpush import VapidKey
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.security.secrets import SecretBox, SecretUnreadable
from flipsync.services.notices import destinations
from flipsync.services.notices.destinations import DestinationView
from flipsync.services.reading_page import View
from flipsync.store.models import NotificationDestination
from flipsync.store.repositories import deliveries as rows
from flipsync.store.unit_of_work import UnitOfWork

_KEY, NOBODYS = "vapid key", UUID(int=0)


class SubscriptionKeys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    p256dh: SecretStr = Field(
        max_length=200,
        examples=["BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"],
    )
    auth: SecretStr = Field(max_length=100, examples=["BTBZMqHH6r4Tts7J_aSIgg"])


class SubscriptionForm(BaseModel):
    """What `PushSubscription.toJSON()` gives in a browser, and what the device is called. It is kept as a secret."""

    model_config = ConfigDict(extra="forbid")

    endpoint: SecretStr = Field(
        min_length=8, max_length=LONGEST, examples=["https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"]
    )
    keys: SubscriptionKeys
    expirationTime: float | None = Field(default=None, description="as the browser says it; not needed")  # noqa: N815
    device: str = Field(default="", max_length=60, examples=["Ana's phone"])


class PushKeyView(View):
    public_key: str = Field(
        description="the browser's `applicationServerKey`; the same for as long as this installation lives",
        examples=["BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"],
    )


async def vapid(session: AsyncSession, box: SecretBox, contact: str = "") -> VapidKey:
    """The installation's key pair, made by whoever needs it first. Raises SecretUnreadable."""
    sealed = await rows.installation_secret(session, _KEY)
    if sealed is None:
        fresh = box.seal({"private": VapidKey.new().text}, tenant_id=NOBODYS, purpose=_KEY)
        await rows.keep_installation_secret(session, _KEY, fresh)
        sealed = await rows.installation_secret(session, _KEY)
        assert sealed is not None
    return VapidKey.read(box.open(sealed, tenant_id=NOBODYS, purpose=_KEY)["private"], contact)


async def public_key(unit: UnitOfWork, box: SecretBox) -> PushKeyView:
    return PushKeyView(public_key=(await vapid(unit.session, box)).public_text)


async def checked(form: SubscriptionForm, reach: Reach) -> Destination:
    """What the browser gave. Raises InvalidInput for what is none, or leads inside the installation's own network."""
    name = " ".join(form.device.split())
    if not name.isprintable():
        raise InvalidInput("a device's name is made of visible characters")
    found = webpush.subscribed(*_secrets(form).values(), name=name)
    await destinations.require_outside(found, reach)
    return found


async def subscribe(
    unit: UnitOfWork, box: SecretBox, user_id: UUID, session_id: UUID, form: SubscriptionForm, found: Destination
) -> DestinationView:
    """The browser tells this person from now on, and nobody else of the business; with a test when it is new.

    Raises Conflict when the person has enough destinations, or had enough tests; NotFound.
    """
    if not await rows.lock_person(unit.session, user_id):
        raise NotFound(f"no user {user_id}")
    secrets = _secrets(form)
    mark = hashlib.sha256(secrets["url"].encode()).hexdigest()
    mine: NotificationDestination | None = None
    for each in await rows.lock_marked(unit.session, mark):
        if each.user_id == user_id:
            mine = each
        else:
            await end(unit, each, "another person's now")
    if mine is None:
        return await destinations.put(unit, box, user_id, secrets, found, mark=mark, session_id=session_id)
    values = {"session_id": session_id, "shown": found.shown}
    if _same(unit, box, mine, secrets) and mine.state != "refused":
        await rows.renew_destination(unit.session, mine.id, values)
    else:
        sealed = box.seal(secrets, tenant_id=unit.tenant_id, purpose=destinations.purpose(mine.id))
        await rows.renew_destination(
            unit.session, mine.id, values | {"sealed": sealed, "state": "untried", "detail": ""}
        )
        await destinations.send_test(unit, user_id, mine.id)
    await unit.session.refresh(mine)
    return destinations.view(mine)


async def end(unit: UnitOfWork, row: NotificationDestination, why: str) -> None:
    """Nothing is sent there any more, and its keys are gone."""
    await rows.remove_destination(unit.session, row.user_id, row.id)
    unit.audit("notifications.destination-removed", "user", row.user_id, service=row.service, shown=row.shown, why=why)


def read(opened: dict[str, str], key: VapidKey) -> Destination:
    """As it was sealed. Raises InvalidInput."""
    return webpush.subscribed(opened["url"], opened["p256dh"], opened["auth"], vapid=key)


def _secrets(form: SubscriptionForm) -> dict[str, str]:
    keys = form.keys
    return {
        "url": form.endpoint.get_secret_value(),
        "p256dh": keys.p256dh.get_secret_value(),
        "auth": keys.auth.get_secret_value(),
    }


def _same(unit: UnitOfWork, box: SecretBox, row: NotificationDestination, secrets: dict[str, str]) -> bool:
    try:
        return box.open(row.sealed, tenant_id=unit.tenant_id, purpose=destinations.purpose(row.id)) == secrets
    except SecretUnreadable:  # sealed with a key that was lost: what came now is as good
        return False
