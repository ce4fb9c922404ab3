"""Connecting an account by the seller's consent: sent off with a state that serves once, taken in when they come back.

waiting     the seller was sent to the vendor; after 15 minutes it is too late (expired)
redeeming   the answer is here and cannot be brought again; the vendor is being asked for the keys
connected   the account is in the books, or has its new keys
denied      the seller, or the vendor, said no
failed      nothing was connected, and it is said why
unknown     the vendor may have given access, but the keys did not arrive or were not saved: nobody has them

A process that is killed between the vendor's answer and our books leaves `redeeming`, which is told as unknown from
REDEEMING on. The cure is the same for all of them: start again; the vendor replaces what it gave before.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.consent import Asked, Consent, ConsentDenied, ConsentForged, Query, new_verifier
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.oauth import as_stored
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import StockMode, Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, FlipSyncError, InvalidInput, NotFound, OutcomeUnknown, Rejected
from flipsync.domain.ids import new_id
from flipsync.security.roles import allows
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, own_roles
from flipsync.services.accounts import AnotherSeller
from flipsync.services.consent_wish import Applications, Wish, check_return, known, with_application, without_tokens
from flipsync.store.audit import Actor
from flipsync.store.models import ConsentRequest
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.repositories import consents as rows
from flipsync.store.repositories import identity as user_rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

LIFETIME = timedelta(minutes=15)
REDEEMING = timedelta(minutes=5)
KEPT = timedelta(days=7)
Status = Literal["waiting", "redeeming", "connected", "denied", "failed", "unknown", "expired"]

_AGAIN = "start again: the vendor replaces what it gave before"
_CUT_OFF = "it was cut off after the vendor was asked: whether it gave keys is not known, and nobody has them"


@dataclass(frozen=True)
class ConsentView:
    """A consent as people see it: no secrets."""

    id: UUID
    vendor: Vendor
    name: str
    account_id: UUID | None
    status: Status
    detail: str
    hint: str
    redirect_uri: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Landed:
    """What became of an answer, for whoever brought it. `error` is why nothing was connected."""

    title: str
    words: str
    hint: str = ""
    vendor: str = ""
    status: Status = "failed"
    return_to: str = ""
    account_id: UUID | None = None
    error: FlipSyncError | None = None


@dataclass(frozen=True)
class _Taken:
    """An answer that was accepted, and what it answers."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    vendor: Vendor
    name: str
    account_id: UUID | None
    stock_mode: StockMode
    return_to: str
    consent: Consent
    asked: Asked
    code: str = field(repr=False)
    seller_id: str
    #: keys that the vendor delivered instead of a code
    keys: Mapping[str, SecretStr] | None = field(default=None, repr=False)


class Consents:
    """The flow for every vendor that has a consent page."""

    def __init__(
        self,
        store: Store,
        box: SecretBox,
        limiter: Limiter,
        *,
        applications: Applications,
        return_origins: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._box = box
        self._limiter = limiter
        self._applications = applications
        self._return_origins = frozenset(return_origins)

    # Sending off

    async def start(self, unit: UnitOfWork, wish: Wish, *, user_id: UUID, public_url: str) -> ConsentView:
        """Prepare a consent; `url` is what the seller opens. `public_url` is where the vendor finds our API.

        Raises InvalidInput (something is missing), NotFound and Conflict (the account to authorize again).
        """
        check_return(wish.return_to, self._return_origins)
        vendor, config, name, stored = await self._subject(unit, wish)
        consent, installed = known(vendor), self._applications.get(vendor, {})
        credentials, config = with_application(consent, stored, wish.credentials, config, installed)
        await forget_old(unit)
        now, request_id, state = utc_now(), new_id(), secrets.token_urlsafe(32)
        base = public_url.rstrip("/")
        values: dict[str, Any] = {
            "id": request_id,
            "tenant_id": unit.tenant_id,
            "user_id": user_id,
            "vendor": vendor,
            "account_id": wish.account_id,
            "name": name,
            "config": config.model_dump(mode="json"),
            "stock_mode": wish.stock_mode,
            "state_hash": _hash(state),
            "sealed": self._box.seal(
                {"state": state, "verifier": new_verifier()} | {f"key {k}": v for k, v in credentials.items()},
                tenant_id=unit.tenant_id,
                purpose=purpose(request_id),
            ),
            "redirect_uri": f"{base}/api/v1/oauth/callback/{vendor}",
            "delivery_uri": f"{base}/api/v1/oauth/keys/{vendor}",
            "return_to": wish.return_to,
            "created_at": now,
            "expires_at": now + LIFETIME,
        }
        await rows.insert_request(unit.session, values)
        row = await rows.get_request(unit.session, request_id)
        assert row is not None
        consent.url(self._asked(row, config))  # a page that cannot be opened is told now
        return _view(row)

    async def _subject(self, unit: UnitOfWork, wish: Wish) -> tuple[Vendor, AccountConfig, str, dict[str, str]]:
        if wish.account_id is None:
            vendor, config = wish.place_of_new(self._applications)
            name = wish.name.strip()
            if any(account.name == name for account in await accounts.list_accounts(unit.session)):
                raise Conflict(f"there is an account named {name!r} already", hint="choose another name")
            return vendor, config, name, {}
        if wish.vendor is not None or wish.place or wish.name:
            raise InvalidInput("an account that is authorized again keeps its vendor, name and address")
        account = await accounts.load_account(unit.session, self._box, wish.account_id)
        name = (await accounts.get_account(unit.session, wish.account_id)).name
        kept = {key: value.get_secret_value() for key, value in account.credentials.items()}
        return account.vendor, account.config, name, without_tokens(kept)

    async def url(self, tenant_id: UUID, request_id: UUID) -> str:
        """The address to open; "" when it serves no more. Raises NotFound."""
        async with self._store.reader(tenant_id) as session:
            row = await rows.get_request(session, request_id)
        if row is None:
            raise NotFound(f"no consent {request_id}")
        if _status(row) != "waiting":
            return ""
        config = AccountConfig.model_validate(row.config)
        return known(cast(Vendor, row.vendor)).url(self._asked(row, config))

    def _asked(self, row: ConsentRequest, config: AccountConfig) -> Asked:
        opened = self._box.open(row.sealed, tenant_id=row.tenant_id, purpose=purpose(row.id))
        return Asked(
            config=config,
            app={k.removeprefix("key "): SecretStr(v) for k, v in opened.items() if k.startswith("key ")},
            state=opened["state"],
            redirect_uri=row.redirect_uri,
            verifier=opened["verifier"],
            delivery_uri=row.delivery_uri,
            reference=str(row.id),
        )

    # Taking in

    async def land(self, vendor: Vendor, query: Query) -> Landed:
        """A browser that the vendor sent back. Never raises for what the answer says: see `Landed.error`."""
        try:
            taken = await self._take(vendor, _single(query, "state"), query=query)
        except FlipSyncError as error:
            return _refused(error, vendor)
        return taken if isinstance(taken, Landed) else await self._complete(taken)

    async def deliver(self, vendor: Vendor, state: str, body: Any) -> None:
        """Keys that a shop posts. Raises whatever keeps them from being connected: the shop then deletes them."""
        taken = await self._take(vendor, state, body=body)
        landed = taken if isinstance(taken, Landed) else await self._complete(taken)
        if landed.error is not None:
            raise landed.error

    async def _take(self, vendor: Vendor, state: str, *, query: Query = (), body: Any = None) -> _Taken | Landed:
        """Accept the answer, once and before anything is done with it; of two at once the second is refused.

        Raises NotFound, Conflict, InvalidInput: then the request is as it was, and its own answer may still come.
        """
        async with self._store.database.unbound() as session:
            tenant_id = await rows.tenant_of_state(session, _hash(state)) if state else None
        if tenant_id is None:
            raise NotFound("nobody here waits for this answer", hint="start again in FlipSync")
        async with self._store.unit(tenant_id) as unit:
            row = await rows.lock_request(unit.session, _hash(state))
            if row is None or row.vendor != vendor:
                raise ConsentForged("the answer comes from another vendor than was asked", hint="start again")
            consent, now = known(vendor), utc_now()
            if row.status == "connected" and consent.delivers and body is None:
                return _arrived(row)  # the keys came first, the browser follows
            if row.status != "waiting":
                raise Conflict("this answer was brought before, and serves once", hint="start again if need be")
            if row.expires_at <= now:
                raise Conflict("the answer comes too late", hint="start again, and answer within 15 minutes")
            config = AccountConfig.model_validate(row.config)
            asked = self._asked(row, config)
            try:
                await self._check_user(unit.session, row.user_id)
                keys = consent.delivered(body, str(row.id)) if body is not None else None
                consented = None if keys is not None else consent.read(query, asked.app, config)
            except ConsentDenied as error:
                await _end(unit.session, row.id, "denied", error)
                return _refused(error, vendor, "denied", row.return_to)
            await rows.update_request(unit.session, row.id, {"status": "redeeming", "answered_at": now})
            return _Taken(
                id=row.id,
                tenant_id=row.tenant_id,
                user_id=row.user_id,
                vendor=vendor,
                name=row.name,
                account_id=row.account_id,
                stock_mode=cast(StockMode, row.stock_mode),
                return_to=row.return_to,
                consent=consent,
                asked=asked,
                code=consented.code if consented is not None else "",
                seller_id=consented.seller_id if consented is not None else "",
                keys=keys,
            )

    async def _check_user(self, session: AsyncSession, user_id: UUID) -> None:
        user = await user_rows.get_user(session, user_id)
        role = None
        if user is not None and user.disabled_at is None:
            role = await own_roles.held_by(session, user_id, user.role)
        if role is None or not allows(role, "accounts:write"):
            raise ConsentDenied(
                "whoever started this may not connect accounts any more", hint="ask an owner to start it"
            )

    async def _complete(self, taken: _Taken) -> Landed:
        try:
            account_id = await self._connect(taken)
        except FlipSyncError as error:
            status: Status = "unknown" if isinstance(error, OutcomeUnknown) else "failed"
            async with self._store.unit(taken.tenant_id) as unit:
                await _end(unit.session, taken.id, status, error)
            return _refused(error, taken.vendor, status, taken.return_to)
        return Landed(
            f"{taken.name} is connected",
            "You may close this window.",
            vendor=taken.vendor,
            status="connected",
            return_to=taken.return_to,
            account_id=account_id,
        )

    async def _connect(self, taken: _Taken) -> UUID:
        """Redeem the code, ask the channel who it belongs to, and put it in the books."""
        config = _as_seller(taken)
        key = str(taken.account_id or f"new:{taken.tenant_id}")
        if taken.keys is not None:
            changes: Mapping[str, SecretStr | None] = taken.keys
        else:
            grant = await taken.consent.redeem(taken.asked, taken.code, self._limiter, key)
            changes = as_stored(grant, utc_now())
        vault = MemoryVault(taken.asked.app)
        await vault.save(changes)
        async with connect(config, vault.credentials, self._limiter, key, vault) as connector:
            info = await connector.probe()
        if not info.can_read:
            raise Rejected("access was given, but not enough of it", hint="; ".join(info.notes), auth=True)
        # what the trial renewed is the only good one
        credentials = {name: secret.get_secret_value() for name, secret in vault.credentials.items()}
        async with self._store.unit(taken.tenant_id, Cause(actor=Actor("user", taken.user_id))) as unit:
            if taken.account_id is None:
                account_id = await accounts.connect_account(
                    unit,
                    self._box,
                    vendor=taken.vendor,
                    name=taken.name,
                    config=config,
                    credentials=credentials,
                    stock_mode=taken.stock_mode,
                    seller_id=info.seller_id,
                )
            else:
                account_id = taken.account_id
                await _check_told(unit.session, taken, info.seller_id)
                await accounts.replace_credentials(
                    unit, self._box, account_id, credentials, config=config, seller_id=info.seller_id
                )
            done = {"status": "connected", "account_id": account_id, "sealed": b""}
            await rows.update_request(unit.session, taken.id, done)
        return account_id

    # Looking, and cleaning up

    async def look(self, session: AsyncSession, request_id: UUID) -> ConsentView:
        """Raises NotFound."""
        row = await rows.get_request(session, request_id)
        if row is None:
            raise NotFound(f"no consent {request_id}")
        return _view(row)


async def owner(session: AsyncSession) -> UUID:
    """In whose name the command line starts consents. Raises NotFound."""
    found = await user_rows.an_owner(session)
    if found is None:
        raise NotFound("the business has no owner who could consent", hint="flipsync user add … --role owner")
    return found


async def forget_old(unit: UnitOfWork) -> int:
    """Secrets of requests that nobody answered in time, and requests of long ago; how many of those."""
    now = utc_now()
    await rows.forget_secrets(unit.session, now - REDEEMING)
    return await rows.delete_requests_before(unit.session, now - KEPT)


def _as_seller(taken: _Taken) -> AccountConfig:
    """The account's configuration with the seller's id in it. Raises AnotherSeller."""
    config, option = taken.asked.config, taken.consent.seller_option
    if not option or not taken.seller_id:
        return config
    before = config.options.get(option)
    if before and before != taken.seller_id:
        raise AnotherSeller(
            f"{taken.name!r} is for seller {before}, the consent was given by {taken.seller_id}",
            hint="sign in at the vendor as the right seller, and start again",
        )
    return config.model_copy(update={"options": {**config.options, option: taken.seller_id}})


async def _check_told(session: AsyncSession, taken: _Taken, seller_id: str) -> None:
    """Whom the books know must be the one who consented; where a shop's address tells, no vendor has to."""
    row = await account_rows.get_account(session, taken.account_id) if taken.account_id is not None else None
    if row is not None and row.seller_id and not seller_id:
        raise Rejected("the vendor does not say which seller gave this consent", hint="start again later")


async def _end(session: AsyncSession, request_id: UUID, status: Status, error: FlipSyncError) -> None:
    detail = f"{error.message}: {_CUT_OFF}" if status == "unknown" else error.message
    values = {"status": status, "detail": detail[:500], "hint": _hint(error, status)[:500], "sealed": b""}
    await rows.update_request(session, request_id, values | {"answered_at": utc_now()})


def _hint(error: FlipSyncError, status: Status) -> str:
    return _AGAIN if status == "unknown" else error.hint or _AGAIN


def _refused(error: FlipSyncError, vendor: str, status: Status = "failed", return_to: str = "") -> Landed:
    title = "Not connected" if status != "unknown" else "Nobody can tell"
    words = f"{error.message}: {_CUT_OFF}" if status == "unknown" else error.message
    return Landed(title, words, _hint(error, status), vendor, status, return_to, error=error)


def _arrived(row: ConsentRequest) -> Landed:
    words = "You may close this window."
    return Landed(
        f"{row.name} is connected", words, "", row.vendor, "connected", row.return_to, account_id=row.account_id
    )


def _status(row: ConsentRequest) -> Status:
    now = utc_now()
    if row.status == "waiting" and row.expires_at <= now:
        return "expired"
    if row.status == "redeeming" and row.answered_at is not None and row.answered_at + REDEEMING <= now:
        return "unknown"
    return cast(Status, row.status)


def _view(row: ConsentRequest) -> ConsentView:
    status, detail, hint = _status(row), row.detail, row.hint
    if not detail and status in ("expired", "unknown"):
        detail, hint = (_CUT_OFF if status == "unknown" else "nobody answered in time"), _AGAIN
    return ConsentView(
        id=row.id,
        vendor=cast(Vendor, row.vendor),
        name=row.name,
        account_id=row.account_id,
        status=status,
        detail=detail,
        hint=hint,
        redirect_uri=row.redirect_uri,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _single(query: Query, name: str) -> str:
    found = [value for key, value in query if key == name]
    return found[0] if len(found) == 1 else ""


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def purpose(request_id: UUID) -> str:
    return f"consent-request:{request_id}"
