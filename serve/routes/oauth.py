"""Connecting accounts by the seller's consent: where the browser is sent, and where it comes back to."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from flipsync.domain.channel import StockMode, Vendor
from flipsync.domain.money import Currency
from flipsync.security.tokens import Claims
from flipsync.services import consents
from flipsync.services.consent_wish import Wish
from flipsync.services.reading_page import Moment, View
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, PublicUrlDep, may, may_after_proof
from serve.errors import problems
from serve.pacing import OPEN

router = APIRouter(prefix="/api/v1/oauth", tags=["oauth"])

Reader = Annotated[Claims, may("accounts:read")]
Writer = Annotated[Claims, may_after_proof("accounts:write")]
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page for the seller", "content": {"text/html": {"schema": {"type": "string"}}}}
}


class StartConsentRequest(BaseModel):
    """A new account (vendor, name, currency, …), or with `account_id` one whose access is renewed.

    `credentials` holds the keys of the application at the vendor (client_id, client_secret; Amazon: application_id;
    eBay: redirect_name, the RuName). Without them the installation's own application asks.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"vendor": "ebay", "name": "my eBay", "currency": "USD", "options": {"marketplace_id": "EBAY_US"}},
                {"account_id": "01903f4c-7c00-7000-8000-000000000000"},
            ]
        },
    )

    account_id: UUID | None = Field(default=None, description="the account to authorize again")
    vendor: Vendor | None = None
    name: str = Field(default="", max_length=100, examples=["my shop"])
    base_url: AnyHttpUrl | None = Field(default=None, description="of a shop; other vendors' are known")
    token_url: AnyHttpUrl | None = None
    notification_url: AnyHttpUrl | None = None
    options: Annotated[dict[str, str], Field(max_length=20)] | None = Field(
        default=None, description="the vendor's own settings", examples=[{"marketplace_id": "ATVPDKIKX0DER"}]
    )
    currency: Currency | None = None
    credentials: Annotated[dict[str, SecretStr], Field(max_length=20)] = Field(default_factory=dict)
    stock_mode: StockMode = "escrow"
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)
    return_to: str = Field(
        default="", max_length=1000, description="where the browser goes afterwards: a path, or an allowed address"
    )

    def wish(self) -> Wish:
        place = ("base_url", "token_url", "notification_url", "options", "currency", "requests_per_second")
        told = {name: value for name in place if (value := getattr(self, name)) is not None}
        return Wish(
            vendor=self.vendor,
            name=self.name,
            place=told,
            credentials={name: secret.get_secret_value() for name, secret in self.credentials.items()},
            stock_mode=self.stock_mode,
            account_id=self.account_id,
            return_to=self.return_to,
        )


class ConsentView(View):
    """How far it is. `redirect_uri` is what has to be registered with the application at the vendor."""

    id: UUID
    vendor: str
    name: str
    account_id: UUID | None = Field(description="the account, once it is connected")
    status: consents.Status = Field(
        description="unknown: the vendor may have given keys, but nobody has them; start again"
    )
    detail: str
    hint: str
    redirect_uri: str
    created_at: Moment
    expires_at: Moment


class StartedView(ConsentView):
    url: str = Field(
        default="", description="open it in a browser; empty once it was answered", examples=["https://auth.ebay.com/…"]
    )


@router.post(
    "/consents",
    summary="Ask a seller for access",
    status_code=201,
    response_model=StartedView,
    responses=problems(401, 403, 404, 409),
)
async def start(
    form: StartConsentRequest, user: Writer, backend: BackendDep, once: OnlyOnceDep, public_url: PublicUrlDep
) -> Response:
    """The seller opens `url` within 15 minutes, signs in at the vendor and says yes; then the account is connected.

    The address serves once. Whoever opens it connects *their* account to this business: give it to nobody else.
    """

    async def work(unit: UnitOfWork) -> ConsentView:
        return _view(await backend.consents.start(unit, form.wish(), user_id=user.user_id, public_url=public_url))

    async def reveal(body: dict[str, Any]) -> dict[str, Any]:
        return {"url": await backend.consents.url(user.tenant_id, UUID(body["id"]))}

    return await once.run(user, work, status=201, reveal=reveal)


@router.get("/consents/{consent_id}", summary="How far a consent is", responses=problems(401, 403, 404))
async def get_consent(consent_id: UUID, user: Reader, backend: BackendDep) -> ConsentView:
    async with backend.store.reader(user.tenant_id) as session:
        return _view(await backend.consents.look(session, consent_id))


@router.get(
    "/callback/{vendor}",
    summary="Come back from the vendor",
    response_class=HTMLResponse,
    responses={**problems(400, 403, 404, 409, 502), **_PAGE, 303: {"description": "To `return_to` of the consent"}},
    dependencies=OPEN,
)
async def callback(
    vendor: Vendor,
    request: Request,
    backend: BackendDep,
    state: Annotated[str, Query(max_length=200, description="what the vendor was given; serves once")] = "",
) -> Response:
    """Where vendors send the seller's browser. A browser gets a page, whatever became of it; a program, a problem."""
    landed = await backend.consents.land(vendor, request.query_params.multi_items())
    if landed.return_to:
        outcome = {"consent": landed.status, "vendor": vendor}
        joint = "&" if "?" in landed.return_to else "?"
        return RedirectResponse(f"{landed.return_to}{joint}{urlencode(outcome)}", status_code=303)
    if landed.error is not None and "text/html" not in request.headers.get("accept", ""):
        raise landed.error
    return HTMLResponse(_page(landed), status_code=200 if landed.error is None else landed.error.status)


@router.post(
    "/keys/{vendor}",
    summary="Deliver keys",
    status_code=200,
    responses=problems(400, 403, 404, 409, 502),
    dependencies=OPEN,
)
async def keys(
    vendor: Vendor,
    backend: BackendDep,
    body: Annotated[dict[str, Any], Body(examples=[{"key_id": 1, "user_id": "…", "key_permissions": "read_write"}])],
    state: Annotated[str, Query(max_length=200, description="what the shop was given; serves once")] = "",
) -> dict[str, str]:
    """Where a shop posts the keys it made. Answered with 200 when the account is connected with them, else with a
    problem, and the shop deletes them."""
    await backend.consents.deliver(vendor, state, body)
    return {"status": "connected"}


def _view(consent: consents.ConsentView) -> ConsentView:
    return ConsentView(
        id=consent.id,
        vendor=consent.vendor,
        name=consent.name,
        account_id=consent.account_id,
        status=consent.status,
        detail=consent.detail,
        hint=consent.hint,
        redirect_uri=consent.redirect_uri,
        created_at=consent.created_at,
        expires_at=consent.expires_at,
    )


def _page(landed: consents.Landed) -> str:
    """For people; nothing in it is loaded, run or remembered."""
    title, words, hint = (escape(text) for text in (landed.title, landed.words, landed.hint))
    more = f"<p>{hint}</p>" if hint else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><h1>{title}</h1><p>{words}</p>{more}</html>"
    )
