"""Suppliers: who goods are bought from, what they ask, and how long they take. Costs: only for who may see them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import price_lists, suppliers
from flipsync.services import reading_purchasing as reading
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.services.suppliers import OfferForm, SupplierEdit, SupplierForm
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/suppliers", tags=["suppliers"])

Reader = Annotated[Claims, may("purchasing:read")]
Writer = Annotated[Claims, may("purchasing:write")]
#: to whom orders are mailed decides where money goes
Buyer = Annotated[Claims, may_after_proof("purchasing:write")]
#: the file and the form around it
MAX_BYTES = price_lists.MAX_BYTES + 100_000


class SupplierQuery(SortedRequest, reading.SupplierFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.SupplierSort = None


class OfferPageQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: reading.OfferSort = None


class PriceListAnswer(BaseModel):
    """`offers` were (with `dry_run`: would be) put in place; `report` counts rows and lists the rejected ones."""

    dry_run: bool
    offers: int
    report: dict[str, Any]


@router.get("", summary="List suppliers", responses=problems(401, 403))
async def list_suppliers(
    query: Annotated[SupplierQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.SupplierView]:
    """Newest first, each with the lead time its deliveries have shown."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_suppliers(session, query, query, backend.store.clock.now())


@router.post(
    "",
    summary="Add a supplier",
    response_model=reading.SupplierView,
    status_code=201,
    responses=problems(401, 403, 409),
)
async def add_supplier(form: SupplierForm, user: Buyer, once: OnlyOnceDep) -> Response:
    """Without a mail address its orders are put to you, and you place them."""

    async def work(unit: UnitOfWork) -> reading.SupplierView:
        made = await suppliers.create(unit, form)
        return await reading.get_supplier(unit.session, made.id, unit.now)

    return await once.run(user, work, status=201)


@router.get("/{supplier_id}", summary="One supplier", responses=problems(401, 403, 404))
async def get_supplier(
    supplier_id: UUID, user: Reader, backend: BackendDep, response: Response
) -> reading.SupplierView:
    async with backend.store.reader(user.tenant_id) as session:
        found = await reading.get_supplier(session, supplier_id, backend.store.clock.now())
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch("/{supplier_id}", summary="Change a supplier", responses=problems(401, 403, 404, 409, 412, 428))
async def patch_supplier(
    supplier_id: UUID,
    form: SupplierEdit,
    user: Buyer,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> reading.SupplierView:
    """What is given is changed, what is left out stays."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await suppliers.edit(unit, supplier_id, form, expected)
        found = await reading.get_supplier(unit.session, supplier_id, unit.now)
    response.headers["ETag"] = etag(found.version)
    return found


@router.get("/{supplier_id}/offers", summary="What a supplier asks", responses=problems(401, 403, 404))
async def list_offers(
    supplier_id: UUID, query: Annotated[OfferPageQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.OfferView]:
    """Oldest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_offers(session, supplier_id, query)


@router.put(
    "/{supplier_id}/offers/{variant_id}",
    summary="Say what a supplier asks for goods",
    status_code=204,
    responses=problems(401, 403, 404),
)
async def put_offer(
    supplier_id: UUID, variant_id: UUID, form: OfferForm, user: Writer, backend: BackendDep, cause: CauseDep
) -> None:
    """In the place of what they asked before."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await suppliers.put_offer(unit, supplier_id, variant_id, form)


@router.delete(
    "/{supplier_id}/offers/{variant_id}",
    summary="They do not sell it any more",
    status_code=204,
    responses=problems(401, 403, 404),
)
async def remove_offer(supplier_id: UUID, variant_id: UUID, user: Writer, backend: BackendDep, cause: CauseDep) -> None:
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await suppliers.remove_offer(unit, supplier_id, variant_id)


@router.post(
    "/{supplier_id}/price-lists",
    summary="Import a price list",
    response_model=PriceListAnswer,
    responses=problems(401, 403, 404, 413),
    max_body_size=MAX_BYTES,
)
async def import_price_list(
    supplier_id: UUID,
    file: Annotated[UploadFile, File(description="CSV with the columns sku and cost; pack, moq, supplier_sku")],
    user: Writer,
    backend: BackendDep,
    once: OnlyOnceDep,
    dry_run: Annotated[bool, Form()] = False,
) -> Response:
    """Sound rows are what they ask from now on, the others are reported; what the file does not name stays."""
    content = await file.read()

    async def work() -> PriceListAnswer:
        async with backend.store.unit(user.tenant_id, once.cause) as unit:
            supplier = await suppliers.locked(unit, supplier_id)
            report = await price_lists.import_list(unit, supplier, content, dry_run=dry_run)
        return PriceListAnswer(dry_run=dry_run, offers=report.variants, report=report.as_dict())

    asked = repr((str(supplier_id), dry_run)).encode()
    return await once.run_long(user, asked + hashlib.sha256(content).digest(), work)
