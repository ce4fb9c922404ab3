"""Catalogue files: Shopify and WooCommerce product exports and plain CSV, recognised by their headers."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import BaseModel

from flipsync.domain.channel import StockMode
from flipsync.domain.money import Currency
from flipsync.security.tokens import Claims
from flipsync.services.catalogue import Limits, read_catalogue
from flipsync.services.catalogue_import import Quantities, import_catalogue
from serve.deps import BackendDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/products/imports", tags=["products"])

#: the file and the form around it
MAX_BYTES = Limits().max_bytes + 100_000


class ImportAnswer(BaseModel):
    """`report` counts rows and lists the rejected ones with line, column and reason."""

    run_id: UUID | None
    dry_run: bool
    format: str
    products_created: int
    products_updated: int
    products_unchanged: int
    variants_created: int
    variants_updated: int
    variants_unchanged: int
    units_received: int
    stock_counts: int
    report: dict[str, Any]


@router.post(
    "",
    summary="Import a catalogue file",
    response_model=ImportAnswer,
    responses=problems(401, 403, 413),
    max_body_size=MAX_BYTES,
)
async def import_file(
    file: Annotated[UploadFile, File(description="CSV, any usual encoding and delimiter")],
    user: Annotated[Claims, may("catalogue:write")],
    backend: BackendDep,
    once: OnlyOnceDep,
    currency: Annotated[Currency, Form()] = "USD",
    quantities: Annotated[Quantities, Form()] = "difference",
    stock_mode: Annotated[StockMode, Form()] = "escrow",
    dry_run: Annotated[bool, Form()] = False,
) -> Response:
    """Sound rows are imported, the others reported. Known goods are updated: the same file again changes nothing.

    `quantities=difference` books what changed since the last file, so that units sold meanwhile stay sold; `count`
    takes the figures of known goods as a count of the shelf, `first` leaves their stock alone.
    """
    content = await file.read()
    name = PurePath(file.filename or "upload").name[:200]

    async def work() -> ImportAnswer:
        outcome = await import_catalogue(
            backend.store,
            user.tenant_id,
            read_catalogue(content, currency=currency),
            file_name=name,
            dry_run=dry_run,
            quantities=quantities,
            stock_mode=stock_mode,
            cause=once.cause,
        )
        return ImportAnswer.model_validate(outcome.as_dict())

    asked = repr((currency, quantities, stock_mode, dry_run)).encode()
    return await once.run_long(user, asked + hashlib.sha256(content).digest(), work)
