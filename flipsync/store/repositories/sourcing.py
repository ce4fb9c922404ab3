"""Rows of what is asked about goods before they are bought, what catalogues told, and what was advised."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import CatalogueAnswer, CatalogueFind, SourcingLine, SourcingScan
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(SourcingLine.id)


async def add_scan(unit: UnitOfWork, lines: Sequence[dict[str, Any]], **columns: Any) -> SourcingScan:
    """A scan with its lines in their order; each is the columns of `sourcing_line` that are known when it is asked."""
    scan = SourcingScan(id=new_id(), tenant_id=unit.tenant_id, lines=len(lines), asked_at=unit.now, **columns)
    unit.session.add(scan)
    await unit.session.flush()
    rows = [
        {"id": new_id(), "tenant_id": unit.tenant_id, "scan_id": scan.id, "place": place, "scores": [], "waiting": []}
        | line
        for place, line in enumerate(lines)
    ]
    await unit.session.execute(insert(SourcingLine), rows)
    return scan


async def scan(session: AsyncSession, scan_id: UUID) -> SourcingScan | None:
    return await session.get(SourcingScan, scan_id)


async def lines(session: AsyncSession, scan_id: UUID, first: int, most: int) -> Sequence[SourcingLine]:
    """So many lines of a scan from `first` on, in their order."""
    query = select(SourcingLine).where(SourcingLine.scan_id == scan_id, SourcingLine.place >= first)
    return (await session.scalars(query.order_by(SourcingLine.place).limit(most))).all()


async def line(session: AsyncSession, line_id: UUID) -> SourcingLine | None:
    return await session.get(SourcingLine, line_id)


async def line_of(session: AsyncSession, scan_id: UUID) -> SourcingLine | None:
    """The first line of a scan."""
    return (await session.scalars(select(SourcingLine).where(SourcingLine.scan_id == scan_id).limit(1))).first()


async def settle(unit: UnitOfWork, line_id: UUID, **columns: Any) -> bool:
    """Keep the newest advice; False when the line is not there."""
    done = await unit.session.execute(
        update(SourcingLine)
        .where(SourcingLine.id == line_id)
        .values(**columns)
        .returning(SourcingLine.id)
        .execution_options(synchronize_session=False)
    )
    return done.first() is not None


async def finds(session: AsyncSession, line_ids: Collection[UUID]) -> Sequence[CatalogueFind]:
    query = select(CatalogueFind).where(CatalogueFind.line_id.in_(line_ids))
    return (await session.scalars(query.order_by(CatalogueFind.line_id, CatalogueFind.id))).all()


async def answered(session: AsyncSession, scan_id: UUID, part: int) -> set[UUID]:
    """Accounts whose channel has answered about a part of a scan."""
    query = select(CatalogueAnswer.account_id).where(CatalogueAnswer.scan_id == scan_id, CatalogueAnswer.part == part)
    return set(await session.scalars(query))


_UNANSWERED = text(
    """
    WITH parts AS (
        SELECT l.scan_id, l.place / :part AS part, min(s.asked_at) AS asked_at, min(s.kind) AS kind, count(*) AS lines
          FROM sourcing_line l
          JOIN sourcing_scan s ON s.id = l.scan_id
          JOIN marketplace_account m ON m.id = :account_id
         WHERE l.tenant_id = current_tenant() AND l.waiting <> '[]'::jsonb AND s.asked_at >= :since
           AND l.waiting @> jsonb_build_array(m.name)
           AND NOT EXISTS (SELECT FROM catalogue_answer a WHERE a.scan_id = l.scan_id AND a.account_id = :account_id
                                                          AND a.part = l.place / :part)
         GROUP BY l.scan_id, l.place / :part),
    now AS (
        SELECT scan_id, part, asked_at, kind,
               sum(lines) OVER (ORDER BY kind DESC, asked_at, scan_id, part) - lines AS before FROM parts)
    SELECT l.id FROM now JOIN sourcing_line l ON l.scan_id = now.scan_id AND l.place / :part = now.part
     WHERE now.before < :part ORDER BY now.kind DESC, now.asked_at, l.scan_id, l.place
    """
)


async def unanswered(session: AsyncSession, account_id: UUID, since: datetime, part: int) -> list[SourcingLine]:
    """Lines that wait for the catalogue of this account, in whole parts of `part` lines and no more than two of them:
    what people ask before lists, the oldest first."""
    asked = {"account_id": account_id, "since": since, "part": part}
    ids = [row[0] for row in await session.execute(_UNANSWERED, asked)]
    found = {row.id: row for row in await session.scalars(select(SourcingLine).where(SourcingLine.id.in_(ids)))}
    return [found[each] for each in ids if each in found]


async def enter_answer(
    unit: UnitOfWork, scan_id: UUID, account_id: UUID, part: int, found: Sequence[dict[str, Any]]
) -> None:
    """Keep what a channel answered; answering again takes the place of the first."""
    told = upsert(CatalogueAnswer).values(
        id=new_id(),
        tenant_id=unit.tenant_id,
        scan_id=scan_id,
        account_id=account_id,
        part=part,
        found=len(found),
        at=unit.now,
    )
    await unit.session.execute(
        told.on_conflict_do_update(
            index_elements=["scan_id", "account_id", "part"], set_={"found": len(found), "at": unit.now}
        )
    )
    for row in found:
        values = {"id": new_id(), "tenant_id": unit.tenant_id, "account_id": account_id, "seen_at": unit.now, **row}
        again = {name: value for name, value in values.items() if name not in ("id", "tenant_id")}
        await unit.session.execute(
            upsert(CatalogueFind)
            .values(**values)
            .on_conflict_do_update(index_elements=["line_id", "account_id", "external_id"], set_=again)
        )


async def forget_before(session: AsyncSession, moment: datetime) -> None:
    await session.execute(
        delete(SourcingScan).where(SourcingScan.asked_at < moment).execution_options(synchronize_session=False)
    )


async def page(
    session: AsyncSession,
    place: Place,
    *,
    scan_id: UUID | None,
    verdict: str | None,
    q: str | None,
) -> Sequence[Any]:
    """(line,) and what a cursor is made of; `q` is a part of what was asked or recognised."""
    query = select(SourcingLine)
    if scan_id is not None:
        query = query.where(SourcingLine.scan_id == scan_id)
    if verdict is not None:
        query = query.where(SourcingLine.verdict == verdict)
    if q:
        query = query.where(
            SourcingLine.text.icontains(q, autoescape=True) | SourcingLine.product.icontains(q, autoescape=True)
        )
    return (await session.execute(place.put(query))).all()


async def verdicts(session: AsyncSession, scan_id: UUID) -> dict[str | None, int]:
    """How many lines of a scan have which verdict; None is those that have none yet."""
    query = (
        select(SourcingLine.verdict, func.count()).where(SourcingLine.scan_id == scan_id).group_by(SourcingLine.verdict)
    )
    return {row[0]: row[1] for row in await session.execute(query)}
