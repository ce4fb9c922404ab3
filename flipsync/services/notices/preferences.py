"""How a person wants to be told outside the app: over what, of what, when, and how much at once."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain import clock
from flipsync.domain.errors import VersionMismatch
from flipsync.services.notices.kinds import Kind, Severity
from flipsync.store.repositories import notices as rows
from flipsync.store.unit_of_work import UnitOfWork

Channel = Literal["email", "sms", "chat", "push"]
_EVERY: tuple[Channel, ...] = ("email", "sms", "chat", "push")
#: what a person asked for by name goes out, however little it matters to others
_ASKED_FOR: dict[Kind, tuple[Channel, ...]] = {
    "report-ready": ("email", "chat", "push"),
    "report-failed": ("email", "chat", "push"),
}


def _to_the_minute(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("is a time of day in the person's own zone: without one")
    return value.replace(second=0, microsecond=0)


#: JSON Schema's "time" has a zone; OpenAPI's registry of formats has this for one without
TimeOfDay = Annotated[
    time,
    AfterValidator(_to_the_minute),
    WithJsonSchema({"type": "string", "format": "time-local", "examples": ["08:00:00"]}),
]


class Preferences(BaseModel):
    """In the app everybody finds everything; this is about what goes out to their destinations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_zone: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(clock.time_zone)] = Field(
        default="UTC", examples=["Europe/Berlin"]
    )
    quiet_from: TimeOfDay | None = Field(default=None, examples=["22:00"])
    quiet_until: TimeOfDay | None = Field(default=None, examples=["07:00"])
    urgent_passes: bool = Field(default=True, description="what is urgent comes in quiet hours too")
    digest: Literal["none", "daily"] = Field(
        default="none", description="daily: one message a day for everything that is not urgent"
    )
    digest_at: TimeOfDay = time(8, 0)
    most_per_hour: int = Field(default=12, ge=1, le=60, description="messages an hour; what is more comes as one")
    by_severity: dict[Severity, tuple[Channel, ...]] = Field(
        default={"urgent": _EVERY, "warning": ("email", "chat", "push"), "info": ()},
        description="over what, by how urgent it is; what is not named goes nowhere",
    )
    by_kind: dict[Kind, tuple[Channel, ...]] = Field(
        default={}, description="over what, for single kinds, however urgent; before `by_severity`"
    )

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet hours have a beginning and an end: give both or none")
        return self

    def channels(self, kind: Kind, severity: Severity) -> frozenset[Channel]:
        otherwise = _ASKED_FOR.get(kind, self.by_severity.get(severity, ()))
        return frozenset(self.by_kind.get(kind, otherwise))

    def is_quiet(self, now: datetime) -> bool:
        """Whether it is one of the person's quiet hours. From 22:00 until 07:00 is a night; from = until is none."""
        if self.quiet_from is None or self.quiet_until is None:
            return False
        local = self._local(now).time()
        if self.quiet_from <= self.quiet_until:
            return self.quiet_from <= local < self.quiet_until
        return local >= self.quiet_from or local < self.quiet_until

    def last_digest_due(self, now: datetime) -> datetime:
        """The newest moment up to now at which a digest was due; real time, whatever the clocks were set to."""
        local = self._local(now)
        due = local.replace(hour=self.digest_at.hour, minute=self.digest_at.minute, second=0, microsecond=0, fold=0)
        if due > local:
            due = (due - timedelta(days=1)).replace(fold=0)
        return due.astimezone(zoneinfo.ZoneInfo("UTC"))

    def _local(self, now: datetime) -> datetime:
        return now.astimezone(zoneinfo.ZoneInfo(self.time_zone))


class PreferencesView(BaseModel):
    choices: Preferences
    version: int = Field(description="0: never said; the defaults count")


async def get(session: AsyncSession, user_id: UUID) -> PreferencesView:
    row = await rows.preference(session, user_id)
    return PreferencesView(choices=Preferences(), version=0) if row is None else _view(row.choices, row.version)


async def put(unit: UnitOfWork, user_id: UUID, choices: Preferences, expected_version: int) -> PreferencesView:
    """They count from the next message on. Raises VersionMismatch when they were changed since they were read."""
    stored = choices.model_dump(mode="json")
    version = await rows.put_preference(unit.session, unit.tenant_id, user_id, stored, expected_version)
    if version is None:
        raise VersionMismatch("they were changed since they were read", hint="read them again, then change them")
    unit.audit("notifications.preferences-changed", "user", user_id)
    return PreferencesView(choices=choices, version=version)


async def of_everybody(session: AsyncSession) -> dict[UUID, Preferences]:
    """Of those who said anything."""
    return {user_id: read(choices) for user_id, choices in (await rows.preferences(session)).items()}


def read(stored: dict[str, Any]) -> Preferences:
    return Preferences.model_validate(stored)


def _view(stored: dict[str, Any], version: int) -> PreferencesView:
    return PreferencesView(choices=read(stored), version=version)
