"""What routes ask for: the backend, who is asking and whether they may, pages, preconditions, doing a thing once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from flipsync.domain.errors import Forbidden, InvalidInput, Unauthenticated
from flipsync.security.roles import Permission
from flipsync.security.tokens import Claims
from flipsync.services.idempotency import MAX_KEY_LENGTH, Answer, fingerprint, run_long, run_once
from flipsync.services.sessions import require_recent_proof
from flipsync.store.audit import Actor
from flipsync.store.pipeline import TenantReader
from flipsync.store.unit_of_work import Cause, UnitOfWork
from serve.backend import Backend
from serve.errors import NotModified, PreconditionRequired
from serve.pacing import address_of, take_nobody

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    bearerFormat="JWT",
    description="access token from POST /api/v1/auth/login, or API key",
)
_ETAG = re.compile(r'"(\d{1,19})"')
#: told in the document, and not to FastAPI: what does not fit is refused with a hint
_AS_ETAG: dict[str, Any] = {"pattern": '^"[0-9]{1,19}"$'}


async def the_backend(connection: HTTPConnection) -> Backend:
    return cast(Backend, connection.app.state.backend)


BackendDep = Annotated[Backend, Depends(the_backend)]


async def client_address(connection: HTTPConnection, backend: BackendDep) -> str:
    return address_of(connection.scope, backend)


ClientAddressDep = Annotated[str, Depends(client_address)]


async def signed_in(
    connection: HTTPConnection,
    scopes: SecurityScopes,
    backend: BackendDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Claims:
    """Who is asking, by access token or API key. Raises Unauthenticated, Forbidden, TooManyRequests."""
    try:
        if credentials is None:
            raise Unauthenticated("no access token", hint="send Authorization: Bearer <access token>")
        claims = await backend.claims(credentials.credentials)
    except Unauthenticated:
        take_nobody(connection.scope, backend, "address")
        raise
    backend.take(connection.scope, claims)
    require(claims, scopes.scopes)
    try:
        await backend.require_present(claims)
    except Unauthenticated:
        anew = await backend.claims_anew(credentials.credentials)
        if anew is None:
            raise
        claims = anew
        require(claims, scopes.scopes)
        await backend.require_present(claims)
    connection.state.claims = claims
    return claims


def require(claims: Claims, permissions: Sequence[str]) -> None:
    """Raises Forbidden when the role, or the API key, lacks one of the permissions."""
    for permission in permissions:
        if not claims.may(cast(Permission, permission)):
            who = "this API key" if claims.is_key else f"the role {claims.role}"
            raise Forbidden(f"{who} may not do this", hint=f"it needs {permission}")


def may(*permissions: Permission) -> Any:
    """Who is asking, and only if their role allows all of it: `user: Annotated[Claims, may("orders:read")]`."""
    return Security(signed_in, scopes=list(permissions))


async def stepped_up(claims: Annotated[Claims, Depends(signed_in)], backend: BackendDep) -> Claims:
    """Who is asking, having proven lately who they are. Raises StepUpRequired.

    An API key passes: it was made by somebody who stepped up, for permissions that were named then.
    """
    if not claims.is_key:
        await require_recent_proof(backend.reader(claims), claims.session_id)
    return claims


def may_after_proof(permission: Permission) -> Any:
    """As `may`, for what moves money or opens doors: the password or second factor was given within minutes."""
    return Security(stepped_up, scopes=[permission])


async def public_url(request: Request, backend: BackendDep) -> str:
    """Where browsers and vendors find this API. What a caller says it is called is believed only of this machine."""
    if backend.settings.public_url:
        return backend.settings.public_url.rstrip("/")
    host = request.url.hostname or ""
    if host in ("127.0.0.1", "::1", "localhost"):
        return f"{request.url.scheme}://{request.url.netloc}"
    raise InvalidInput("this API does not know its own address", hint="set FLIPSYNC_PUBLIC_URL where it is started")


PublicUrlDep = Annotated[str, Depends(public_url)]


async def reader(connection: HTTPConnection, backend: BackendDep) -> TenantReader:
    """For questions as the signed-in user, who is declared before it."""
    return backend.reader(connection.state.claims)


ReaderDep = Annotated[TenantReader, Depends(reader)]


async def the_cause(request: Request, address: ClientAddressDep) -> Cause:
    """Declared after the user, so that what is done is put down to them."""
    claims: Claims | None = getattr(request.state, "claims", None)
    if claims is None:
        actor = Actor("nobody", None, address)
    elif claims.is_key:
        actor = Actor("key", claims.session_id, address)
    else:
        actor = Actor("user", claims.user_id, address)
    return Cause(traceparent=getattr(request.state, "traceparent", ""), actor=actor)


CauseDep = Annotated[Cause, Depends(the_cause)]


@dataclass(frozen=True)
class OnlyOnce:
    """A request with an Idempotency-Key: the work is done by the first, repetitions get its answer."""

    backend: Backend
    key: str
    cause: Cause
    method: str
    path: str
    body: bytes

    async def run(
        self,
        user: Claims,
        work: Callable[[UnitOfWork], Awaitable[BaseModel]],
        *,
        status: int = 200,
        reveal: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] | None = None,
    ) -> Response:
        """`work` and the record of its answer are one transaction. Raises KeyReused and what `work` raises.

        `reveal` adds to the answer what must not be kept with the record.
        """

        async def answer(unit: UnitOfWork) -> dict[str, Any]:
            return (await work(unit)).model_dump(mode="json")

        done = await run_once(
            self.backend.store,
            user.tenant_id,
            key=self.key,
            request=self._fingerprint(user, self.body),
            work=answer,
            status=status,
            cause=self.cause,
        )
        return _answered(done if reveal is None else replace(done, body=done.body | await reveal(done.body)))

    async def run_long(self, user: Claims, content: bytes, work: Callable[[], Awaitable[BaseModel]]) -> Response:
        """For work in many transactions; `content` stands for the body. Raises KeyReused and what `work` raises."""

        async def answer() -> dict[str, Any]:
            return (await work()).model_dump(mode="json")

        return _answered(
            await run_long(
                self.backend.store,
                user.tenant_id,
                key=self.key,
                request=self._fingerprint(user, content),
                work=answer,
                cause=self.cause,
            )
        )

    def _fingerprint(self, user: Claims, content: bytes) -> str:
        return fingerprint(self.method, self.path, str(user.user_id), content)


def _answered(done: Answer) -> Response:
    headers = {"Idempotent-Replayed": "true"} if done.replayed else None
    return JSONResponse(done.body, status_code=done.status, headers=headers)


async def _only_once(
    request: Request,
    backend: BackendDep,
    cause: CauseDep,
    key: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=MAX_KEY_LENGTH,
            description="a fresh random string for each thing to be done; repeat it when repeating the request",
            examples=["0b6e8a5e-6f1c-4f43-9f0f-2f6c2a0c7b1d"],
        ),
    ],
) -> OnlyOnce:
    is_file = request.headers.get("content-type", "").startswith("multipart/")
    body = b"" if is_file else await request.body()
    return OnlyOnce(backend, key, cause, request.method, request.url.path, body)


OnlyOnceDep = Annotated[OnlyOnce, Depends(_only_once)]


def etag(version: int) -> str:
    return f'"{version}"'


@dataclass(frozen=True)
class Known:
    """The answer a reader has already, by its ETag. Tags are weak: `counted_at` may be newer by now."""

    told: str
    response: Response

    def unless(self, mark: str) -> None:
        """Go on unless that is what they have. Raises NotModified."""
        tag = f'W/"{mark}"'
        if any(each.strip().removeprefix("W/") in (f'"{mark}"', "*") for each in self.told.split(",")):
            raise NotModified(tag)
        self.response.headers["ETag"] = tag

    def unless_same(self, view: BaseModel) -> None:
        """For answers that depend on too much to be marked before they are made. Raises NotModified."""
        said = view.model_dump_json(exclude={"counted_at"})
        self.unless(hashlib.sha256(said.encode()).hexdigest()[:32])


async def known(
    response: Response,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="ETags of answers that are there already")
    ] = None,
) -> Known:
    return Known(if_none_match or "", response)


#: declared after the user: who may not read is not told what they have
KnownDep = Annotated[Known, Depends(known)]


async def _expected_version(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="the ETag the change is based on; required",
            examples=['"3"'],
            json_schema_extra=_AS_ETAG,
        ),
    ] = None,
) -> int:
    if if_match is None:
        raise PreconditionRequired("If-Match is missing", hint="send the ETag of what you read")
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise InvalidInput("If-Match is not an ETag of ours", hint='send it as it came, e.g. "3"')
    return int(match[1])


ExpectedVersion = Annotated[int, Depends(_expected_version)]


async def _version_if_told(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="the ETag this is based on; else any",
            examples=['"3"'],
            json_schema_extra=_AS_ETAG,
        ),
    ] = None,
) -> int | None:
    return None if if_match is None else await _expected_version(if_match)


#: for what is done, not edited: whoever read it first may say which version was meant
VersionIfTold = Annotated[int | None, Depends(_version_if_told)]
