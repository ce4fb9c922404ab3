"""Phones that sync: made known, listed, forgotten when they are lost."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict, FlipSyncError, NotFound, Unavailable
from flipsync.domain.ids import new_id
from flipsync.security.tokens import Claims
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import SyncDevice
from flipsync.store.repositories import sync as rows
from flipsync.store.repositories import sync_begun
from flipsync.store.unit_of_work import UnitOfWork

#: of one user, not counting those that were forgotten
MAX_DEVICES = 50


class DeviceForgotten(FlipSyncError):
    """The device was forgotten on purpose: it may not sync any more."""

    code = "device-forgotten"
    status = 410


class DeviceView(View):
    id: UUID
    name: str
    created_at: Moment
    last_seq: int = Field(description="the last of its mutations that was answered; the next one is one more")
    last_push_at: Moment
    forgotten_at: Moment | None


async def register(unit: UnitOfWork, user: Claims, name: str, clock: datetime) -> DeviceView:
    """A phone of the user's; `clock` is what its clock says now.

    Raises Unavailable before sync began (`beginning`), Conflict when there are too many.
    """
    if not await sync_begun.is_filled(unit.session):
        raise Unavailable("sync has not begun", hint="register the device again")
    if await rows.known_devices(unit.session, user.user_id) >= MAX_DEVICES:
        raise Conflict(f"you have {MAX_DEVICES} devices", hint="forget those you have no more")
    device = SyncDevice(
        id=new_id(),
        tenant_id=unit.tenant_id,
        user_id=user.user_id,
        name=name,
        created_at=unit.now,
        last_seq=0,
        before_clock_at=clock,
        before_server_at=unit.now,
        clock_at=clock,
        server_at=unit.now,
    )
    unit.session.add(device)
    await unit.session.flush()
    unit.audit("sync.device-added", "device", device.id, name=name)
    return _view(device)


async def list_devices(session: AsyncSession, user: Claims, page: PageRequest) -> Page[DeviceView]:
    """The user's own, newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.devices(session, user.user_id, page.after_id(), page.limit + 1)
    return cut(found, page.limit, _view, lambda row: [str(row.id)])


async def forget_device(unit: UnitOfWork, user: Claims, device_id: UUID) -> None:
    """A lost phone: what it has not told yet is never taken. Raises NotFound."""
    device = await rows.device(unit.session, device_id, user.user_id, lock=True)
    if device is None:
        raise NotFound(f"no device {device_id}")
    if device.forgotten_at is None:
        device.forgotten_at = unit.now
        unit.audit("sync.device-forgotten", "device", device_id, name=device.name)


async def known_device(session: AsyncSession, device_id: UUID, user: Claims, *, lock: bool = False) -> SyncDevice:
    """The user's device. Raises NotFound, DeviceForgotten."""
    device = await rows.device(session, device_id, user.user_id, lock=lock)
    if device is None:
        raise NotFound(f"no device {device_id}", hint="register it first")
    if device.forgotten_at is not None:
        raise DeviceForgotten(f"{device.name} was forgotten", hint="register the device anew")
    return device


def _view(device: SyncDevice) -> DeviceView:
    return DeviceView(
        id=device.id,
        name=device.name,
        created_at=device.created_at,
        last_seq=device.last_seq,
        last_push_at=device.server_at,
        forgotten_at=device.forgotten_at,
    )
