"""Products: the catalogue as it is, and changes to it by hand."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import reading_catalogue as reading
from flipsync.services import undo_changes
from flipsync.services.product_edits import ProductEdit, edit_product
from flipsync.services.reading_page import Page, PageRequest, SortedRequest
from flipsync.services.undo_changes import ChangeReport, ChangeUndo, ChangeView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, ReaderDep, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/products", tags=["products"])

Reader = Annotated[Claims, may("catalogue:read")]


class ProductQuery(SortedRequest, reading.ProductFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.ProductSort = None


@router.get("", summary="List products", responses=problems(401, 403))
async def list_products(
    query: Annotated[ProductQuery, Query()], user: Reader, reader: ReaderDep
) -> Page[reading.ProductSummary]:
    """Newest first; `q` is a part of the title or handle."""
    return await reading.list_products(reader, query, query)


@router.get("/{product_id}", summary="One product with its variants", responses=problems(401, 403, 404))
async def get_product(product_id: UUID, user: Reader, reader: ReaderDep, response: Response) -> reading.ProductView:
    product = await reading.get_product(reader, product_id)
    response.headers["ETag"] = etag(product.version)
    return product


@router.patch("/{product_id}", summary="Change a product", responses=problems(401, 403, 404, 412, 428))
async def patch_product(
    product_id: UUID,
    edit: ProductEdit,
    user: Annotated[Claims, may("catalogue:write")],
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> reading.ProductView:
    """What is given is changed, what is left out stays; HTML is made safe. The channels follow."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        product = await edit_product(unit, product_id, edit, expected)
    response.headers["ETag"] = etag(product.version)
    return product


@router.get("/{product_id}/changes", summary="What people changed of a product", responses=problems(401, 403, 404))
async def list_changes(
    product_id: UUID, query: Annotated[PageRequest, Query()], user: Reader, backend: BackendDep
) -> Page[ChangeView]:
    """Newest first, each with what was there before."""
    async with backend.store.reader(user.tenant_id) as session:
        return await undo_changes.changes_of_product(session, product_id, query)


@router.post(
    "/{product_id}/changes/{change_id}/undo",
    summary="Put back what was there before",
    response_model=ChangeReport,
    responses=problems(401, 403, 404),
)
async def undo_change(
    product_id: UUID,
    change_id: UUID,
    form: ChangeUndo,
    user: Annotated[Claims, may("catalogue:write")],
    once: OnlyOnceDep,
) -> Response:
    """Each value, as long as it is still what the change wrote; the rest says why not. The channels follow."""

    async def work(unit: UnitOfWork) -> ChangeReport:
        about = ("product", product_id)
        return await undo_changes.undo_change(unit, change_id, about=about, dry_run=form.dry_run, allowed=user.may)

    return await once.run(user, work)
