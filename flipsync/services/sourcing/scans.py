"""Asking about goods, and keeping what is advised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.money import Money
from flipsync.domain.product_codes import read_code
from flipsync.domain.sourcing import (
    CatalogueAnswered,
    CatalogueEntry,
    RecordSourcingVerdict,
    SourcingAsked,
    SourcingListSent,
)
from flipsync.domain.text import storable
from flipsync.services.orders import AccountRef
from flipsync.services.sourcing.desk import PART
from flipsync.store.models import SourcingScan
from flipsync.store.repositories import sourcing as rows
from flipsync.store.unit_of_work import UnitOfWork

MOST_UNITS = 100_000
#: how long what was asked is kept: longer than it takes to see what came of the advice
KEPT = timedelta(days=400)
_TEXT = 300


@dataclass(frozen=True, slots=True)
class Question:
    """One article: its code, or its title, or both; what a unit would cost, and how many there are to buy."""

    text: str
    gtin: str | None
    asin: str | None
    title: str
    cost: Money | None
    units: int
    currency: str


def read_question(
    text: str, *, title: str = "", cost: Money | None = None, units: int = 1, currency: str = "USD"
) -> Question:
    """`text` is whatever was scanned, copied or typed. Raises InvalidInput for nothing, or a code that is none."""
    text, title = (" ".join(str(storable(each)).split())[:_TEXT] for each in (text, title))
    code = read_code(text) if text else None
    if code is None and text:
        title = title or text
    if not text and not title:
        raise InvalidInput("neither a code nor a title", hint="scan a barcode, or give an ASIN or the title")
    if not 1 <= units <= MOST_UNITS:
        raise InvalidInput(f"{units} is no number of units")
    if cost is not None and (cost.currency != currency or cost.amount_minor <= 0):
        raise InvalidInput(f"a cost is an amount above zero in {currency}")
    return Question(
        text=text or title,
        gtin=code.gtin if code else None,
        asin=code.asin if code else None,
        title=title,
        cost=cost,
        units=units,
        currency=currency,
    )


async def ask(
    unit: UnitOfWork,
    questions: Sequence[Question],
    *,
    name: str = "",
    by: UUID | None = None,
    problems: Sequence[tuple[int, str]] = (),
    is_list: bool = False,
) -> SourcingScan:
    """Have an agent look at them. A list is looked at in parts, when nobody waits for anything else."""
    lines: list[dict[str, Any]] = [
        {
            "text": each.text,
            "gtin": each.gtin,
            "asin": each.asin,
            "title": each.title,
            "cost_minor": None if each.cost is None else each.cost.amount_minor,
            "currency": each.currency,
            "units": each.units,
        }
        for each in questions
    ]
    scan = await rows.add_scan(
        unit,
        lines,
        kind="list" if is_list else "query",
        name=(name or questions[0].text)[:200],
        asked_by=by,
        problems=[list(each) for each in problems],
    )
    for part in range(-(-len(lines) // PART)):
        unit.emit((SourcingListSent if is_list else SourcingAsked)(scan_id=scan.id, part=part))
    return scan


async def settle(unit: UnitOfWork, command: RecordSourcingVerdict) -> None:
    """Keep the advice on a line. Raises NotFound when nobody asks about it any more."""
    columns = command.model_dump(exclude={"line_id", "currency", "scores", "waiting"})
    kept = await rows.settle(
        unit,
        command.line_id,
        **columns,
        scores=[each.model_dump(mode="json") for each in command.scores],
        waiting=list(command.waiting),
        decision_id=unit.cause.causation_id,
        decided_at=unit.now,
    )
    if not kept:
        raise NotFound(f"no line {command.line_id}")


async def enter_answer(
    unit: UnitOfWork, account: AccountRef, scan_id: UUID, part: int, found: Sequence[CatalogueEntry], currency: str
) -> None:
    """Keep what a channel's catalogue answered about a part of a scan, and tell it."""
    await rows.enter_answer(
        unit,
        scan_id,
        account.id,
        part,
        [
            {
                "line_id": UUID(entry.key),
                "external_id": entry.external_id,
                "title": entry.title,
                "brand": entry.brand,
                "codes": list(entry.codes),
                "sales_rank": entry.sales_rank,
                "offers": [each.amount_minor for each in entry.offers if each.currency == currency],
                "currency": currency,
            }
            for entry in found
        ],
    )
    unit.emit(
        CatalogueAnswered(account_id=account.id, vendor=account.vendor, scan_id=scan_id, part=part, found=len(found))
    )


async def forget_old(unit: UnitOfWork) -> None:
    await rows.forget_before(unit.session, unit.now - KEPT)
