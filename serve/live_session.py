"""One client's live connection: who it is, its events, its heartbeat, and the end of its access token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unauthenticated, Unavailable
from flipsync.security.paces import Pace, TooManyRequests
from flipsync.security.places import place_of
from flipsync.security.tokens import Claims
from flipsync.services import live_events
from serve.backend import Backend
from serve.errors import PART_GONE
from serve.live import Listener
from serve.pacing import address_of

PROTOCOL = "flipsync.v1"
BEARER_PREFIX = "bearer."
RESUME_PREFIX = "resume."
UNAUTHENTICATED, FORBIDDEN, TOO_FAST, TRY_LATER, TOO_BIG, MISUSED = 4401, 4403, 4429, 1013, 1009, 1008
_SECONDS_TO_SIGN_IN = 10.0
_SECONDS_TO_SEND = 30.0
_MAX_CHARS = 8192


class _Closing(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason


class LiveSession:
    """`await LiveSession(socket, backend).run()`: returns when the connection is over, raises nothing."""

    def __init__(self, socket: WebSocket, backend: Backend) -> None:
        self._socket = socket
        self._backend = backend
        self._pace = Pace(backend.settings.websocket_messages_per_minute, name="connection")

    async def run(self) -> None:
        self._backend.metrics.websockets.inc()
        try:
            self._claims = await self._accept()
            self._backend.take_live(self._claims)
            # what a person is told is not for their programs: a key has some of their permissions, not all
            person = None if self._claims.is_key else self._claims.user_id
            async with self._backend.live.listen(self._claims.tenant_id, person) as listener:
                await self._catch_up()
                await self._serve(listener)
        except _Closing as closing:
            await self._close(closing.code, closing.reason)
        except TooManyRequests as error:
            await self._close(TOO_FAST, error.message)
        except WebSocketDisconnect:
            return
        except Unavailable as error:
            await self._close(TRY_LATER, error.message)
        except (*PART_GONE, OSError):
            await self._close(TRY_LATER, "live events are not available now")
        finally:
            self._backend.metrics.websockets.dec()

    async def _accept(self) -> Claims:
        offered: Sequence[str] = self._socket.scope.get("subprotocols", ())
        token, self._resume = _offered(offered, BEARER_PREFIX), _offered(offered, RESUME_PREFIX)
        await self._socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        if token is not None:
            return await self._authenticated(token)
        self._take_nobody()
        try:
            async with asyncio.timeout(_SECONDS_TO_SIGN_IN):
                message = await self._receive()
        except TimeoutError:
            raise _Closing(UNAUTHENTICATED, "no access token came") from None
        resume = message.get("resume")
        self._resume = resume if isinstance(resume, str) else None
        return await self._authenticated(_token_in(message))

    async def _catch_up(self) -> None:
        """What was missed since the event last seen. Listening has begun: nothing falls between, some comes twice."""
        if self._resume is None:
            await self._send({"type": "ready"})
            return
        try:
            last_seen = UUID(self._resume)
        except ValueError:
            raise _Closing(MISUSED, "resume is the id of an event") from None
        events = await live_events.missed(self._backend.store, self._claims.tenant_id, last_seen)
        await self._send({"type": "ready", "resumed": events is not None})
        for event in events or ():
            await self._send({"type": "event", "event": event})

    async def _authenticated(self, token: str) -> Claims:
        try:
            claims = await self._backend.claims(token)
        except Unauthenticated as error:
            self._take_nobody()
            raise _Closing(UNAUTHENTICATED, error.message) from None
        await self._require_present(claims)
        if not claims.may("events:read"):
            raise _Closing(FORBIDDEN, f"the role {claims.role} may not see live events")
        return claims

    async def _require_present(self, claims: Claims) -> None:
        try:
            await self._backend.require_present(claims)
        except Unauthenticated as error:
            raise _Closing(UNAUTHENTICATED, error.message) from None
        except Unavailable as error:
            raise _Closing(TRY_LATER, error.message) from None

    async def _serve(self, listener: Listener) -> None:
        tasks = [asyncio.create_task(self._tell(listener)), asyncio.create_task(self._hear())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, listener: Listener) -> None:
        heartbeat = self._backend.settings.websocket_heartbeat_seconds
        while True:
            left = (self._claims.expires_at - utc_now()).total_seconds()
            if left <= 0:
                raise _Closing(UNAUTHENTICATED, "the access token has expired")
            try:
                async with asyncio.timeout(min(heartbeat, left)):
                    event = await listener.get()
            except TimeoutError:
                await self._require_present(self._claims)
                if left > heartbeat:
                    await self._send({"type": "heartbeat"})
                continue
            dropped = listener.take_dropped()
            if dropped:
                await self._send({"type": "dropped", "count": dropped})
            await self._send({"type": "event", "event": orjson.Fragment(event)})

    async def _hear(self) -> None:
        """A client may renew its access token; nothing else is listened to."""
        while True:
            claims = await self._authenticated(_token_in(await self._receive()))
            if claims.user_id != self._claims.user_id:
                raise _Closing(FORBIDDEN, "the token is another user's")
            self._claims = claims

    def _take_nobody(self) -> None:
        """Who does not say who they are counts for their address, as with requests. Raises TooManyRequests."""
        address = address_of(self._socket.scope, self._backend)
        self._backend.nobody_paces["address"].take(place_of(address))

    async def _receive(self) -> dict[str, Any]:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        self._pace.take()
        text = message.get("text") or ""
        if len(text) > _MAX_CHARS:
            raise _Closing(TOO_BIG, "the message is too long")
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _Closing(MISUSED, "the message is not JSON") from None
        if not isinstance(content, dict):
            raise _Closing(MISUSED, "the message is not an object")
        return content

    async def _send(self, content: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_SECONDS_TO_SEND):
                await self._socket.send_text(orjson.dumps(content).decode())
        except TimeoutError:
            raise _Closing(TRY_LATER, "the client does not read") from None
        except RuntimeError:  # the server's way to say that the connection closed meanwhile
            raise WebSocketDisconnect(1006) from None

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await self._socket.close(code, reason)
            except (RuntimeError, WebSocketDisconnect):
                return


def _offered(names: Sequence[str], prefix: str) -> str | None:
    return next((name.removeprefix(prefix) for name in names if name.startswith(prefix)), None)


def _token_in(message: dict[str, Any]) -> str:
    if message.get("type") != "authenticate" or not isinstance(message.get("token"), str):
        raise _Closing(UNAUTHENTICATED, 'send {"type": "authenticate", "token": "…"}')
    return str(message["token"])
