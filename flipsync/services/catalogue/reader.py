"""Reads a catalogue file of any recognised format, one product at a time, reporting what could not be imported.

    catalogue = read_catalogue(Path("products_export.csv"), currency="USD")
    for product in catalogue:
        ...
    print(catalogue.report.rejected)

Two passes: the first finds encoding, delimiter, format, decimal marks and which rows belong together; the second builds
products and holds no more than those whose last row is still to come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from flipsync.domain.errors import InvalidInput
from flipsync.services.catalogue.columns import Header, shown
from flipsync.services.catalogue.encoding import Encoding, Source, detect_encoding
from flipsync.services.catalogue.formats import FORMATS, Format
from flipsync.services.catalogue.model import FormatName, Limits, ProductDraft
from flipsync.services.catalogue.numbers import Evidence
from flipsync.services.catalogue.records import Record, read_records
from flipsync.services.catalogue.report import ImportReport
from flipsync.services.catalogue.rows import EVIDENCE_ROLES, OpenProduct, RowReader, RowRefusedError

_DELIMITERS = (",", ";", "\t", "|")
_CURRENCY = re.compile(r"[A-Z]{3}")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NEWLINE = re.compile(r"\r\n|\r|\n")
#: Blank or separator lines tolerated before the header.
_PREAMBLE_LINES = 20


def read_catalogue(
    source: Path | str | bytes,
    *,
    currency: str,
    default_cost_ratio: Decimal | None = None,
    limits: Limits | None = None,
) -> Catalogue:
    """Recognise a catalogue file. `currency` is what its prices are in; with `default_cost_ratio` (of the price) a
    missing cost is assumed and marked so. Raises InvalidInput when the file as a whole cannot be imported."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidInput(f"{currency!r} is not an ISO 4217 currency code", hint="for example USD")
    if default_cost_ratio is not None and not 0 < default_cost_ratio < 1:
        raise InvalidInput(
            "default_cost_ratio must lie between 0 and 1", hint="0.6 assumes a cost of 60 % of the price"
        )
    return Catalogue(source, currency, default_cost_ratio, limits or Limits())


class Catalogue:
    """An opened catalogue. Iterating yields ProductDrafts and fills `report`; each iteration reads the file afresh."""

    def __init__(
        self, source: Path | str | bytes, currency: str, default_cost_ratio: Decimal | None, limits: Limits
    ) -> None:
        self.currency = currency
        self.limits = limits
        self.report = ImportReport(limits.max_problems)
        self._cost_ratio = default_cost_ratio
        self._source = Source(source, max_bytes=limits.max_bytes)
        self.encoding: Encoding = detect_encoding(self._source)
        self._format, self.delimiter, self._header_records = self._recognise()
        self._layout = self._format.layout
        self._width = len(self._layout.header)
        self._evidence = Evidence(self._columns(EVIDENCE_ROLES))
        self._weight_evidence = Evidence(self._columns(("weight",)))
        self._scan()

    @property
    def format(self) -> FormatName:
        return self._format.name

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Headers that play no role in the import."""
        return self._layout.ignored

    def __iter__(self) -> Iterator[ProductDraft]:
        report = self.report = ImportReport(self.limits.max_problems)
        self._note_file_problems(report)
        layout, rows_of = self._layout, self._format.rows_of.copy()
        # WooCommerce and Shopify write weights with a point whatever the shop's locale.
        weight_mark = self._weight_evidence.mark(layout.at("weight")) or self._evidence.mark(-1)
        reader = RowReader(
            layout,
            self.currency,
            self._evidence,
            weight_mark if self.format == "generic" else ".",
            self.limits,
            report,
            self._cost_ratio,
        )
        open_products: dict[str, OpenProduct] = {}
        product_of, read_row = self._format.product_of, self._read_row
        for line, row in self._rows(report):
            group = product_of(row)
            product = open_products.get(group)
            if product is None:
                product = open_products[group] = OpenProduct(group, line)
            if group:
                read_row(row, line, product, reader)
            else:
                role, reason = self._format.unnamed(row)
                report.reject(line, layout.name(role), reason)
            rows_of[group] -= 1
            if product.waiting and (product.draft.title or product.refused):
                self._drain(product, reader)
            if rows_of[group] <= 0:
                del open_products[group], rows_of[group]
                product.complete = True
                self._drain(product, reader)
                draft = product.finish()
                if draft is not None:
                    report.products += 1
                    yield draft

    # -- second pass -----------------------------------------------------------------------------------------------

    def _read_row(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        try:
            self._format.read(row, line, product, reader)
        except RowRefusedError as refusal:
            reader.report.reject(line, self._layout.name(refusal.role), refusal.reason, refusal.value)

    def _drain(self, product: OpenProduct, reader: RowReader) -> None:
        waiting, product.waiting = product.waiting, []
        for line, row in waiting:
            self._read_row(row, line, product, reader)

    def _note_file_problems(self, report: ImportReport) -> None:
        for column in self._evidence.conflicting():
            report.warn(
                self._header_line, self._layout.header[column], "both point and comma are used as decimal mark here"
            )
        if self.encoding.guessed:
            report.warn(self._header_line, "", f"the encoding is a guess: {self.encoding.name}")

    # -- both passes -----------------------------------------------------------------------------------------------

    def _rows(self, report: ImportReport) -> Iterator[tuple[int, list[str]]]:
        """Sound data rows, each with one blank cell more than the header: absent roles point there."""
        width = self._width
        suspicious = self.encoding.damaged or self.encoding.has_nul
        with ExitStack() as stack:
            lines = stack.enter_context(self._source.lines(self.encoding, max_chars=self.limits.max_line_chars))
            records = read_records(lines, self.delimiter)
            for _ in range(self._header_records):
                next(records, None)
            for record in records:
                row = record.cells
                if len(row) != width or record.damage:
                    if not any(row):
                        continue  # a blank line
                    if not self._fit(record, report):
                        continue
                elif not any(row):
                    continue
                if suspicious and self._undecodable(record, report):
                    continue
                report.rows += 1
                row.append("")
                yield record.line, row

    def _fit(self, record: Record, report: ImportReport) -> bool:
        """Bring a row to the header's width in place where that loses and invents nothing; otherwise reject it."""
        row, width = record.cells, self._width
        reason, column = record.damage, ""
        if reason:
            if 0 <= record.damaged_cell < width:
                column = self._layout.header[record.damaged_cell]
        elif len(row) > width:
            if not any(row[width:]):
                del row[width:]
                return True
            reason = f"{len(row)} cells, but the header has {width}: an unquoted {self.delimiter!r} in a cell?"
        elif len(row) >= self._layout.required_width:
            row.extend([""] * (width - len(row)))
            return True
        else:
            reason = f"{len(row)} cells, but the header has {width}: an unquoted line break in a cell?"
        report.rows += 1
        report.reject(record.line, column, reason, self.delimiter.join(row))
        return False

    def _undecodable(self, record: Record, report: ImportReport) -> bool:
        line = record.line
        for index, cell in enumerate(record.cells):
            bad = self.encoding.undecodable.search(cell) if self.encoding.damaged else None
            position = bad.start() if bad else cell.find("\0")
            if position >= 0:
                line += len(_NEWLINE.findall(cell[:position]))
                what = f"a byte that is not {self.encoding.name}" if bad else "a NUL byte"
                report.rows += 1
                reason = f"{what}, at character {position + 1} of the cell"
                report.reject(line, self._layout.header[index], reason, cell)
                return True
            line += len(_NEWLINE.findall(cell))
        return False

    # -- first pass ------------------------------------------------------------------------------------------------

    def _columns(self, roles: tuple[str, ...]) -> list[int]:
        return [i for role in roles if (i := self._layout.at(role)) >= 0]

    def _scan(self) -> None:
        numbers = self._columns(EVIDENCE_ROLES)
        weights = self._columns(("weight",))
        scan, note, note_weight = self._format.scan, self._evidence.add, self._weight_evidence.add
        counts = ImportReport(max_problems=0)
        for _, row in self._rows(counts):
            scan(row)
            for column in numbers:
                cell = row[column]
                if cell and not cell.isdigit():
                    note(column, cell.strip())
            for column in weights:
                note_weight(column, row[column].strip())
        self._format.scanned()
        if not counts.rows:
            raise InvalidInput(
                "the file has a header but no rows",
                hint="export the catalogue again with its products; the header was " + shown(self._layout.header),
            )

    def _recognise(self) -> tuple[Format, str, int]:
        """The format, the delimiter and how many records to skip up to and including the header."""
        with self._source.lines(self.encoding, max_chars=self.limits.max_line_chars) as lines:
            head: list[str] = []
            for line in lines:
                head.append(line)
                if len(head) >= 2 * _PREAMBLE_LINES:
                    break
        seen: Header | None = None
        told = _SEPARATOR_LINE.fullmatch(head[0].rstrip("\r\n")) if head else None
        for delimiter in (told[1],) if told and told[1] in _DELIMITERS else _DELIMITERS:
            records = read_records(head[1:] if told else head, delimiter)
            for skipped, record in enumerate(records, start=2 if told else 1):
                if not any(cell.strip() for cell in record.cells) and skipped < _PREAMBLE_LINES:
                    continue
                if not record.damage:
                    header = Header.of(cell.strip() for cell in record.cells)
                    if seen is None or len(header.names) > len(seen.names):
                        seen = header
                    found = self._try_formats(header)
                    if found is not None:
                        self._header_line = record.line + (1 if told else 0)
                        return found, delimiter, skipped
                break
        names = seen.names if seen else ()
        expected = "; ".join(f.expects for f in FORMATS)
        raise InvalidInput(
            f"the header is not one of a catalogue. Seen: {shown(names)}. Expected: {expected}",
            hint="the first row must name the columns",
        )

    def _try_formats(self, header: Header) -> Format | None:
        if len(header.names) > self.limits.max_columns:
            raise InvalidInput(
                f"the header has {len(header.names):,} columns; the limit is {self.limits.max_columns:,}"
            )
        for format_class in FORMATS:
            found = format_class.recognise(header)
            if found is not None:
                return found
        return None
