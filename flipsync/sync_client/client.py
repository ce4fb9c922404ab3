"""How a device talks with the server: register once, push what it did in its order, pull what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from flipsync.domain.errors import FlipSyncError
from flipsync.sync_client.device_file import DeviceFile

_SYNC = "/api/v1/sync/devices"
#: at most so many, and so much text, in one push: the server takes 200 mutations and a million bytes
_BATCH, _BYTES = 200, 900_000


class Offline(FlipSyncError):
    """No answer, or none that says anything: sync again later. What was done is kept."""

    code = "offline"
    status = 503


class Refused(FlipSyncError):
    """The server will not hear this user: sign in again, or ask for the right to sync. What was done is kept."""

    code = "refused"
    status = 403


class DeviceForgotten(Refused):
    """Somebody said that this device is lost: it has to be registered anew, with a new file."""

    status = 410


@dataclass(frozen=True)
class Synced:
    """What one sync brought: answers, things changed, whether everything had to be told anew."""

    answered: int
    changed: int
    anew: bool


class SyncClient:
    """Brings a device's file and the server together. `http` knows the server's address and says who the user is."""

    def __init__(
        self, device: DeviceFile, http: httpx2.AsyncClient, *, name: str = "device", batch: int = _BATCH
    ) -> None:
        self.device, self._http, self._name, self._most = device, http, name, batch

    async def sync(self) -> Synced:
        """Push everything, then pull everything. Raises Offline, Refused, DeviceForgotten; done again, it goes on."""
        answered = await self.push()
        changed, anew = await self.pull()
        return Synced(answered, changed, anew)

    async def register(self) -> str:
        """The device's id at the server; made known once."""
        known = self.device.device_id
        if known is not None:
            return known
        body = {"name": self._name, "clock": self.device.clock().isoformat()}
        key = {"Idempotency-Key": self.device.registration_key}
        answer = await self._call("POST", _SYNC, json=body, headers=key)
        self.device.registered(answer["id"])
        return str(answer["id"])

    async def push(self) -> int:
        """Tell what was done; returns how many were answered. A lost answer is asked for again, by the same ids."""
        path = f"{_SYNC}/{await self.register()}/mutations"
        total, asked_again = 0, False
        while batch := self._batch():
            body = {"sent_at": self.device.clock().isoformat(), "mutations": batch}
            answers = await self._call("POST", path, json=body)
            news = self.device.answered([each for each in answers["answers"] if each["outcome"] != "deferred"])
            total += news
            if news:
                continue
            if asked_again or not self.device.ask_again_after(answers["last_seq"]):
                raise Refused(
                    f"the server waits for number {answers['last_seq'] + 1}, which this device no longer has",
                    hint="show the user what was not taken, and register anew with a new file",
                )
            asked_again = True  # the server was restored from a backup
        return total

    async def pull(self) -> tuple[int, bool]:
        """Hear what changed; returns how many things, and whether all of it was told anew."""
        path = f"{_SYNC}/{await self.register()}/changes"
        changed, anew = 0, False
        while True:
            if self.device.cursor is None:
                self.device.begin_anew()
            asked = {"limit": "500"} | ({"cursor": self.device.cursor} if self.device.cursor else {})
            try:
                page = await self._call("GET", path, params=asked)
            except _ResyncRequired:
                self.device.begin_anew()
                changed, anew = 0, True
                continue
            self.device.take(page)
            changed += len(page["changes"])
            anew = anew or page["full"]
            if not page["more"]:
                return changed, anew

    def _batch(self) -> list[dict[str, Any]]:
        """What is told next: as much as one request may hold, at least one."""
        batch: list[dict[str, Any]] = []
        size = 0
        for done in self.device.unanswered(self._most):
            told = done.told()
            size += len(repr(told).encode())
            if batch and size > _BYTES:
                break
            batch.append(told)
        return batch

    async def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, **more)
        except httpx2.HTTPError as error:
            raise Offline(f"no answer: {error}") from error
        if answer.is_success:
            told: dict[str, Any] = answer.json()
            return told
        problem = _problem(answer)
        kind = str(problem.get("type", "")).rpartition(":")[2]
        said = str(problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code}")
        if answer.status_code == 410:
            raise _ResyncRequired(said) if kind == "resync-required" else DeviceForgotten(said)
        if answer.status_code >= 500 or answer.status_code in (408, 409, 429):
            raise Offline(said)
        raise Refused(said)


class _ResyncRequired(Exception):
    """The cursor cannot go on."""


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
