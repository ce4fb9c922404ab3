"""Marketplace accounts: connect, look after, pause, disconnect. Credentials go in and never come out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import ChannelInfo, StockMode, Vendor
from flipsync.domain.money import Currency
from flipsync.security.tokens import Claims
from flipsync.services import accounts
from flipsync.services.reading_page import Moment, Page, SortedRequest, View
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, VersionIfTold, etag, may, may_after_proof
from serve.errors import TAGGED, problems

router = APIRouter(prefix="/api/v1/marketplace/accounts", tags=["marketplace"])

Reader = Annotated[Claims, may("accounts:read")]
Writer = Annotated[Claims, may("accounts:write")]
Proven = Annotated[Claims, may_after_proof("accounts:write")]
Secrets = Annotated[dict[str, SecretStr], Field(min_length=1, max_length=20)]


class ConnectRequest(BaseModel):
    """`credentials` holds the vendor's own names, e.g. consumer_key and consumer_secret."""

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor
    name: str = Field(min_length=1, max_length=100, examples=["my shop"])
    base_url: AnyHttpUrl = Field(examples=["https://shop.example.com"])
    token_url: AnyHttpUrl | None = Field(default=None, description="where access tokens come from, if not the vendor's")
    notification_url: AnyHttpUrl | None = Field(
        default=None, description="where notifications are fetched or managed, if apart from base_url"
    )
    options: Annotated[dict[str, str], Field(max_length=20)] = Field(
        default_factory=dict, description="the vendor's own settings", examples=[{"marketplace_id": "ATVPDKIKX0DER"}]
    )
    currency: Currency
    credentials: Secrets = Field(examples=[{"consumer_key": "ck_…", "consumer_secret": "cs_…"}])
    stock_mode: StockMode = "escrow"
    requests_per_second: float = Field(default=25.0, gt=0, le=1000)


class CredentialsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    credentials: Secrets = Field(examples=[{"token": "the shop's own"}])
    keep_others: bool = Field(
        default=False, description="those not named stay: an application has a new secret, and the consent is good"
    )


class ReasonRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, examples=["stocktaking"])


class TermView(View):
    """Something of the account's access that ends unless a person renews it: POST /oauth/consents, or new keys."""

    what: str = Field(examples=["consent"])
    ends_at: Moment
    warned_days: int | None = Field(description="the last warning: 30, 7 or 1 days before, 0 when it has ended")


class AccountFaultView(View):
    """One way in which the channel does not tell the truth."""

    id: UUID
    cause: str
    says: str
    hint: str = Field(description="what you can do; what is mended by itself says so")
    since: Moment = Field(description="the first sign of it")
    opened_at: Moment
    last_seen_at: Moment
    evidence: list[str]


class AccountView(View):
    id: UUID
    vendor: str
    name: str
    base_url: str
    options: dict[str, str]
    currency: Currency
    status: accounts.AccountStatus
    status_reason: str
    stock_mode: StockMode
    version: int = Field(description="the ETag; counts what people and agents change of it")
    seller_id: str = Field(description="who sells there, as the vendor says; empty where it says nothing")
    rated: str = Field(description="how the vendor rates us: top, good or below its standard; empty where it does not")
    rated_because: str
    orders_cursor: Moment | None = Field(description="orders changed up to here are in the books")
    last_ok_at: Moment | None
    consecutive_failures: int
    created_at: Moment
    updated_at: Moment
    ends: list[TermView] = Field(description="what ends that only a person can renew, soonest first")
    faults: list[AccountFaultView] = Field(description="what is the matter with it now; empty when all is well")


class AccountQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: accounts.AccountSort = None
    vendor: Vendor | None = None
    status: accounts.AccountStatus | None = None


class Connection(BaseModel):
    """What `probe` learned. `healthy`: it can be read and written."""

    healthy: bool
    channel: ChannelInfo


@router.get("", summary="List accounts", responses=problems(401, 403))
async def list_accounts(
    query: Annotated[AccountQuery, Query()], user: Reader, backend: BackendDep
) -> Page[AccountView]:
    """In the order they were connected by default, each with what is the matter with it."""
    async with backend.store.reader(user.tenant_id) as session:
        found = await accounts.page_of_accounts(session, query, vendor=query.vendor, status=query.status)
    return Page(items=[_view(account) for account in found.items], next_cursor=found.next_cursor)


@router.post(
    "",
    summary="Connect an account",
    status_code=201,
    response_model=AccountView,
    responses=problems(401, 403, 409, 502),
)
async def connect_account(form: ConnectRequest, user: Proven, backend: BackendDep, once: OnlyOnceDep) -> Response:
    """The channel is asked first, with these credentials; an account that does not answer is not connected."""
    config = AccountConfig(
        vendor=form.vendor,
        base_url=form.base_url,
        token_url=form.token_url,
        notification_url=form.notification_url,
        options=form.options,
        currency=form.currency,
        requests_per_second=form.requests_per_second,
    )
    vault = MemoryVault(form.credentials)
    async with connect(config, form.credentials, backend.limits, f"new:{user.tenant_id}", vault) as connector:
        channel = await connector.probe()

    async def work(unit: UnitOfWork) -> AccountView:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor=form.vendor,
            name=form.name,
            config=config,
            # what the trial renewed is the only good one
            credentials={name: secret.get_secret_value() for name, secret in vault.credentials.items()},
            stock_mode=form.stock_mode,
            seller_id=channel.seller_id,
        )
        return _view(await accounts.get_account(unit.session, account_id))

    return await once.run(user, work, status=201)


@router.get("/{account_id}", summary="One account", responses=problems(401, 403, 404))
async def get_account(account_id: UUID, user: Reader, backend: BackendDep, response: Response) -> AccountView:
    async with backend.store.reader(user.tenant_id) as session:
        return _tagged(await accounts.get_account(session, account_id), response)


@router.post("/{account_id}/probe", summary="Ask the channel how it is", responses=problems(401, 403, 404, 409, 502))
async def probe(account_id: UUID, user: Writer, backend: BackendDep) -> Connection:
    """Checks credentials and permissions; changes nothing that stays."""
    async with backend.store.reader(user.tenant_id) as session:
        account = await accounts.load_account(session, backend.box, account_id)
    async with backend.connector(account) as connector:
        channel = await connector.probe()
    return Connection(healthy=channel.can_read and channel.can_write, channel=channel)


@router.put(
    "/{account_id}/credentials",
    summary="Replace credentials",
    responses=problems(401, 403, 404, 409, 412, 428),
)
async def put_credentials(
    account_id: UUID,
    form: CredentialsRequest,
    user: Proven,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> AccountView:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        given = {name: secret.get_secret_value() for name, secret in form.credentials.items()}
        await accounts.replace_credentials(
            unit, backend.box, account_id, given, keep_others=form.keep_others, expected_version=expected
        )
        return _tagged(await accounts.get_account(unit.session, account_id), response)


@router.post("/{account_id}/pause", summary="Stop writing to it", responses=TAGGED | problems(401, 403, 404, 409, 412))
async def pause(
    account_id: UUID,
    form: ReasonRequest,
    user: Writer,
    expected: VersionIfTold,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> AccountView:
    """Orders are still read. Pausing a paused account changes nothing."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await accounts.pause_account(unit, account_id, form.reason, expected)
        return _tagged(await accounts.get_account(unit.session, account_id), response)


@router.post("/{account_id}/resume", summary="Write to it again", responses=TAGGED | problems(401, 403, 404, 409, 412))
async def resume(
    account_id: UUID,
    user: Writer,
    expected: VersionIfTold,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> AccountView:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await accounts.resume_account(unit, account_id, expected)
        return _tagged(await accounts.get_account(unit.session, account_id), response)


@router.post(
    "/{account_id}/disconnect", summary="Forget its credentials", responses=TAGGED | problems(401, 403, 404, 412)
)
async def disconnect(
    account_id: UUID,
    form: ReasonRequest,
    user: Proven,
    expected: VersionIfTold,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> AccountView:
    """For good: credentials and callback address are gone, orders and history stay."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await accounts.disconnect_account(unit, account_id, form.reason, expected)
        return _tagged(await accounts.get_account(unit.session, account_id), response)


def _tagged(account: accounts.AccountSummary, response: Response) -> AccountView:
    response.headers["ETag"] = etag(account.version)
    return _view(account)


def _view(account: accounts.AccountSummary) -> AccountView:
    return AccountView(
        id=account.id,
        vendor=account.vendor,
        name=account.name,
        base_url=str(account.config.base_url),
        options=account.config.options,
        currency=account.config.currency,
        status=account.status,
        status_reason=account.status_reason,
        stock_mode=account.stock_mode,
        version=account.version,
        seller_id=account.seller_id,
        rated=account.rated,
        rated_because=account.rated_because,
        orders_cursor=account.orders_cursor,
        last_ok_at=account.last_ok_at,
        consecutive_failures=account.consecutive_failures,
        created_at=account.created_at,
        updated_at=account.updated_at,
        ends=[TermView(what=end.what, ends_at=end.ends_at, warned_days=end.warned_days) for end in account.ends],
        faults=[
            AccountFaultView(
                id=fault.id,
                cause=fault.cause,
                says=fault.says,
                hint=fault.hint,
                since=fault.since,
                opened_at=fault.opened_at,
                last_seen_at=fault.last_seen_at,
                evidence=list(fault.evidence),
            )
            for fault in account.faults
        ],
    )
