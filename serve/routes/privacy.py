"""Privacy: what is held about a person, handed over or forgotten, and how long it is kept."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flipsync.domain.channel import Vendor
from flipsync.security.tokens import Claims
from flipsync.services import erasure, privacy_export, retention, user_erasure
from flipsync.services.erasure import Buyer
from flipsync.services.privacy_export import BuyerExport, UserExport
from flipsync.services.retention import RetentionView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, OnlyOnceDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/privacy", tags=["privacy"])

Looker = Annotated[Claims, may("privacy:read")]


class BuyerForm(BaseModel):
    """Whom it is about. One of their orders is enough: others under the same mail address, the same name on that
    channel, or the same name and door are found."""

    model_config = ConfigDict(extra="forbid")

    order_id: UUID | None = None
    email: str | None = Field(default=None, min_length=3, max_length=320, examples=["ada@example.com"])
    buyer_id: str | None = Field(default=None, min_length=1, max_length=200, description="the channel's name for them")
    vendor: Vendor | None = Field(default=None, description="whose name `buyer_id` is; default: any")

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.order_id is None and self.email is None and self.buyer_id is None:
            raise ValueError("give order_id, email or buyer_id")
        return self

    def buyer(self) -> Buyer:
        return Buyer(self.order_id, self.email, self.buyer_id, self.vendor)


class UserForm(BaseModel):
    """Says again whom it is about: it cannot be taken back."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254, description="theirs", examples=["ben@example.com"])


class UserErasedView(BaseModel):
    rows: dict[str, int] = Field(description="rows changed, by table", examples=[{"app_user": 1, "audit_entry": 12}])


class ErasedView(BaseModel):
    orders_erased: int
    orders_waiting: int = Field(description="not over yet: their buyer is forgotten as soon as they are")
    rows: dict[str, int] = Field(description="rows changed, by table")


@router.post(
    "/buyers/export",
    summary="Hand over all that is held about a buyer",
    responses=problems(401, 403, 404),
)
async def export_buyer(form: BuyerForm, user: Looker, backend: BackendDep, cause: CauseDep) -> BuyerExport:
    """Orders with everything that hangs on them, every other row that names the buyer, and labels. Noted in the audit
    log. A POST, so that no address is part of a URL; it changes nothing."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        export = await privacy_export.buyer(unit.session, backend.box, user.tenant_id, form.buyer())
        for order_id in export.orders:
            unit.audit("buyer.exported", "order", order_id)
    return export


@router.post(
    "/buyers/erase",
    summary="Forget a buyer",
    response_model=ErasedView,
    responses=problems(401, 403, 404, 409),
)
async def erase_buyer(
    form: BuyerForm, user: Annotated[Claims, may_after_proof("privacy:erase")], once: OnlyOnceDep
) -> Response:
    """For good, everywhere in the books, and again should a backup be put back. Sums, taxes and goods stay."""

    async def work(unit: UnitOfWork) -> ErasedView:
        orders = await erasure.find(unit.session, form.buyer())
        done = await erasure.forget(unit, orders, reason="asked")
        return ErasedView(orders_erased=done.orders, orders_waiting=done.waiting, rows=done.rows)

    return await once.run(user, work)


@router.post(
    "/users/{user_id}/erase",
    summary="Forget a user",
    response_model=UserErasedView,
    responses=problems(401, 403, 404, 409),
)
async def erase_user(
    user_id: UUID, form: UserForm, user: Annotated[Claims, may_after_proof("privacy:erase")], once: OnlyOnceDep
) -> Response:
    """For good, everywhere in the books and in the audit log, whose chain still holds; and again should a backup be put
    back. Sessions, keys, passkeys, devices and what they were told are gone at once; what they did stays, under an id
    that names nobody. 409 for the last owner, and for another address than theirs."""

    async def work(unit: UnitOfWork) -> UserErasedView:
        return UserErasedView(rows=await user_erasure.erase(unit, user.granted, user_id, email=form.email))

    return await once.run(user, work)


@router.post(
    "/users/{user_id}/export",
    summary="Hand over all that is held about a user",
    responses=problems(401, 403, 404),
)
async def export_user(user_id: UUID, user: Looker, backend: BackendDep, cause: CauseDep) -> UserExport:
    """Account, sessions, keys, what they did. No secret, and no hash of one. Noted in the audit log."""
    return await _export_user(user_id, user, backend, cause)


@router.post(
    "/me/export",
    summary="Get all that is held about you",
    responses=problems(401, 403),
)
async def export_me(user: Annotated[Claims, may("self:manage")], backend: BackendDep, cause: CauseDep) -> UserExport:
    """As for any user, for yourself."""
    return await _export_user(user.user_id, user, backend, cause)


@router.get("/retention", summary="How long buyers are remembered", responses=problems(401, 403))
async def show_retention(user: Looker, backend: BackendDep) -> RetentionView:
    """What the owner chose, and what is due. What was dropped is in the audit log: retention.buyers-erased and
    retention.pruned."""
    async with backend.store.reader(user.tenant_id) as session:
        return await retention.look(session, user.tenant_id, backend.store.clock.now())


async def _export_user(user_id: UUID, user: Claims, backend: BackendDep, cause: CauseDep) -> UserExport:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        export = await privacy_export.user(unit.session, user_id)
        unit.audit("user.exported", "user", user_id)
    return export
