"""A supplier's price list from a file: each sound row is what they ask from now on, the others are named with a reason.

Columns: `sku` (ours), `cost` (of one pack), and if there are any `pack` (units in one), `moq` (units), `supplier_sku`.
Encoding, delimiter, decimal marks and damaged rows are dealt with as in a catalogue (services.catalogue).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flipsync.domain.errors import InvalidInput
from flipsync.services.catalogue.columns import Header, shown
from flipsync.services.catalogue.encoding import Source, detect_encoding
from flipsync.services.catalogue.model import CellRefusedError
from flipsync.services.catalogue.numbers import AmountReader, Evidence
from flipsync.services.catalogue.records import Record, read_records
from flipsync.services.catalogue.report import ImportReport
from flipsync.services.catalogue.sanitise import plain
from flipsync.services.stock import MAX_UNITS
from flipsync.services.suppliers import MAX_COST_MINOR, OfferForm, put_offers
from flipsync.store.models import Supplier
from flipsync.store.repositories import suppliers as rows
from flipsync.store.unit_of_work import UnitOfWork

MAX_BYTES, MAX_ROWS = 20_000_000, 100_000
_MAX_LINE_CHARS, _MOST_SKUS = 100_000, 5_000
_DELIMITERS = (",", ";", "\t", "|")
_ALIASES = {
    "sku": ("sku", "our sku", "item", "article", "variant sku", "product code"),
    "cost": ("cost", "pack cost", "price", "unit price", "net price", "wholesale price", "cost per item"),
    "pack": ("pack", "pack size", "pack units", "case", "case size", "units per pack", "units per case"),
    "moq": ("moq", "minimum", "minimum order quantity", "min qty", "min quantity", "least units"),
    "supplier_sku": ("supplier sku", "their sku", "vendor sku", "mpn", "part number"),
}


@dataclass(frozen=True)
class PriceList:
    """What a file says: offers by our SKU with the line they are on. `report` counts and names the rest."""

    offers: dict[str, tuple[int, OfferForm]]
    columns: dict[str, str]
    report: ImportReport


async def import_list(unit: UnitOfWork, supplier: Supplier, content: bytes, *, dry_run: bool) -> ImportReport:
    """Put what a file asks in the place of what they asked before. Raises InvalidInput for a file that is no list."""
    read = await asyncio.to_thread(read_price_list, content, supplier.currency)
    found: dict[Any, OfferForm] = {}
    skus = list(read.offers)
    for at in range(0, len(skus), _MOST_SKUS):
        known = await rows.by_sku(unit.session, skus[at : at + _MOST_SKUS])
        for sku in skus[at : at + _MOST_SKUS]:
            line, form = read.offers[sku]
            if sku not in known:
                read.report.reject(line, read.columns["sku"], "no goods of ours have this SKU", sku)
            elif known[sku][1] != supplier.currency:
                why = f"kept in {known[sku][1]}, and {supplier.currency} is asked"
                read.report.reject(line, read.columns["sku"], why, sku)
            else:
                found[known[sku][0]] = form
    read.report.variants = len(found)
    if not dry_run:
        await put_offers(unit, supplier.id, found)
    return read.report


def read_price_list(content: bytes, currency: str) -> PriceList:
    """Raises InvalidInput when the file as a whole cannot be read."""
    source = Source(content, max_bytes=MAX_BYTES)
    encoding = detect_encoding(source)
    with source.lines(encoding, max_chars=_MAX_LINE_CHARS) as lines:
        text = list(lines)
    delimiter, header, roles, begin = _recognise(text)
    report = ImportReport()
    records = list(_records(text, delimiter, begin))
    if len(records) > MAX_ROWS:
        raise InvalidInput(f"the file has {len(records):,} rows; the limit is {MAX_ROWS:,}", hint="split it")
    evidence = Evidence([roles["cost"]])
    for record in records:
        if not record.damage and len(record.cells) > roles["cost"]:
            evidence.add(roles["cost"], record.cells[roles["cost"]].strip())
    amounts = AmountReader(currency, evidence.mark(roles["cost"]), max_minor=MAX_COST_MINOR)
    names = {role: header.names[at] for role, at in roles.items()}
    offers: dict[str, tuple[int, OfferForm]] = {}
    for record in records:
        report.rows += 1
        cells = dict.fromkeys(_ALIASES, "")
        if not record.damage:
            cells |= {role: record.cells[at].strip() for role, at in roles.items() if at < len(record.cells)}
        if record.damage or "\0" in "".join(cells.values()) or encoding.undecodable.search("".join(cells.values())):
            report.reject(record.line, "", record.damage or "signs that cannot be read", "".join(record.cells))
            continue
        role, sku = "sku", plain(cells["sku"])[:100]
        try:
            if not sku:
                raise CellRefusedError("no SKU")
            if sku in offers:
                raise CellRefusedError(f"the SKU is on line {offers[sku][0]} already")
            role = "cost"
            cost = amounts(cells["cost"]).amount_minor
            if not cost:
                raise CellRefusedError("no cost: blank or zero is not a price")
            role = "pack"
            pack = _whole(cells["pack"], 1)
            role = "moq"
            least = _whole(cells["moq"], 0)
        except CellRefusedError as refused:
            report.reject(record.line, names.get(role, role), str(refused), cells[role])
            continue
        theirs = plain(cells["supplier_sku"])[:100]
        offers[sku] = (
            record.line,
            OfferForm(pack_cost_minor=cost, pack_units=max(1, pack), least_units=least, supplier_sku=theirs),
        )
    return PriceList(offers, names, report)


def _whole(text: str, blank: int) -> int:
    if not text:
        return blank
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= MAX_UNITS):
        raise CellRefusedError("not a whole number of units")
    return int(text)


def _recognise(text: list[str]) -> tuple[str, Header, dict[str, int], int]:
    """Delimiter, header, the columns' roles, and the line after the header."""
    begin = next((at for at, line in enumerate(text[:20]) if line.strip()), 0)
    seen: Header | None = None
    for delimiter in _DELIMITERS:
        record = next(read_records(text[begin : begin + 1], delimiter), None)
        if record is None or record.damage:
            continue
        header = Header.of(cell.strip() for cell in record.cells)
        roles = header.assign(_ALIASES)
        if {"sku", "cost"} <= set(roles):
            return delimiter, header, roles, begin + 1
        seen = header if seen is None or len(header.names) > len(seen.names) else seen
    names = shown(seen.names) if seen else "nothing"
    raise InvalidInput(f"this is no price list: it needs a column sku and a column cost. Seen: {names}")


def _records(text: list[str], delimiter: str, begin: int) -> Iterator[Record]:
    for record in read_records(text[begin:], delimiter):
        if any(cell.strip() for cell in record.cells):
            yield record._replace(line=record.line + begin)
