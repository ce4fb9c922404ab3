"""A supplier's list as it comes: CSV of any usual encoding and delimiter, one article a row; bad rows are told."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import MAX_MINOR
from flipsync.services.catalogue.columns import Header, shown
from flipsync.services.catalogue.encoding import Source, detect_encoding
from flipsync.services.catalogue.model import CellRefusedError
from flipsync.services.catalogue.numbers import AmountReader, Evidence
from flipsync.services.catalogue.sanitise import plain, without_formula_guard
from flipsync.services.sourcing.scans import MOST_UNITS, Question, read_question

MOST_BYTES, MOST_ROWS, _LINE = 4_000_000, 5_000, 10_000
_DELIMITERS = (",", ";", "\t", "|")
#: rows before the header: an address, a date, a greeting
_PREAMBLE = 10
_MOST_PROBLEMS = 100
_NAMES: dict[str, tuple[str, ...]] = {
    "code": ("barcode", "gtin", "ean", "upc", "isbn", "ean13", "ean 13", "upc code", "ean code", "asin", "code"),
    "asin": ("asin",),
    "title": ("title", "name", "product", "description", "product name", "item", "item name", "item description"),
    "cost": ("cost", "unit cost", "price", "unit price", "wholesale price", "wholesale", "net price", "buy price"),
    "units": ("units", "quantity", "qty", "stock", "available", "lot", "case size"),
}


@dataclass(frozen=True)
class SupplierList:
    """What could be read, and the rows that could not be with the reason."""

    questions: tuple[Question, ...]
    problems: tuple[tuple[int, str], ...]


def read_supplier_list(content: bytes, *, currency: str) -> SupplierList:
    """Raises InvalidInput for what is no list of goods with costs."""
    source = Source(content, max_bytes=MOST_BYTES)
    encoding = detect_encoding(source)
    with source.lines(encoding, max_chars=_LINE) as lines:
        text = list(lines)
    delimiter, begin, roles = _header(text)
    cells = [(begin + 2 + place, row) for place, row in enumerate(_rows(text[begin + 1 :], delimiter)) if any(row)]
    if len(cells) > MOST_ROWS:
        raise InvalidInput(f"the list has {len(cells):,} rows; the limit is {MOST_ROWS:,}", hint="send it in pieces")
    cost = roles.get("cost", -1)
    evidence = Evidence([cost])
    for _, row in cells:
        evidence.add(cost, _cell(row, cost))
    amount = AmountReader(currency, evidence.mark(cost), max_minor=MAX_MINOR)
    questions: list[Question] = []
    problems: list[tuple[int, str]] = []
    for number, row in cells:
        try:
            questions.append(_question(row, roles, amount, currency))
        except (InvalidInput, CellRefusedError) as error:
            if len(problems) < _MOST_PROBLEMS:
                problems.append((number, str(getattr(error, "message", error))[:300]))
    if not questions:
        first = f": row {problems[0][0]}: {problems[0][1]}" if problems else ""
        raise InvalidInput(f"no row of the list can be read{first}")
    return SupplierList(tuple(questions), tuple(problems))


def _header(text: list[str]) -> tuple[str, int, dict[str, int]]:
    """The delimiter, which line names the columns, and where they are."""
    seen: tuple[str, ...] = ()
    for place, line in enumerate(text[:_PREAMBLE]):
        for delimiter in _DELIMITERS:
            header = Header.of(cell.strip() for cell in next(_rows([line], delimiter), []))
            roles = header.assign(_NAMES)
            if "cost" in roles and ("code" in roles or "title" in roles):
                return delimiter, place, roles
            if len(header.names) > len(seen):
                seen = header.names
    raise InvalidInput(
        f"no row names the columns of a supplier's list. Seen: {shown(seen)}",
        hint="it needs a cost and a barcode, ASIN or title; units are optional",
    )


def _rows(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    try:
        for row in csv.reader(lines, delimiter=delimiter, strict=False):
            yield [without_formula_guard(plain(cell)) for cell in row]
    except csv.Error as error:
        raise InvalidInput(f"the list is no CSV: {error}") from error


def _cell(row: list[str], column: int) -> str:
    return row[column].strip() if 0 <= column < len(row) else ""


def _question(row: list[str], roles: dict[str, int], amount: AmountReader, currency: str) -> Question:
    code = _cell(row, roles.get("code", -1)) or _cell(row, roles.get("asin", -1))
    title = _cell(row, roles.get("title", -1))
    told = _cell(row, roles.get("units", -1))
    if told and not (told.isascii() and told.isdigit() and 0 < int(told[:12]) <= MOST_UNITS):
        raise InvalidInput(f"{told[:40]!r} is no number of units")
    paid = _cell(row, roles["cost"])
    if not paid:
        raise InvalidInput("no cost")
    cost = amount(paid)
    if not cost.amount_minor:
        raise InvalidInput("a cost of zero")
    return read_question(code, title=title, cost=cost, units=int(told) if told else 1, currency=currency)
