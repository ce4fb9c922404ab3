"""A report as a file: CSV, XLSX, PDF. What buyers and channels wrote stays text: no cell of it is ever a formula."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money, minor_digits
from flipsync.services.reports import Cell, Report

Format = Literal["csv", "xlsx", "pdf"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
#: a program that opens CSV would work these out (OWASP, CSV injection); a blank may stand before them
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")
#: a longer one is no paper any more
MOST_PDF_ROWS = 2_000
_LONGEST_CELL, _LONGEST_MEANING = 32_000, 1_500
_WIDTHS = {"text": 3.0, "date": 1.6, "count": 1.3, "money": 2.0, "share": 1.2}


def write(report: Report, form: Format) -> bytes:
    """Raises InvalidInput for a PDF of too many rows. Takes a while: not for an event loop."""
    writer: Callable[[Report], bytes] = {"csv": as_csv, "xlsx": as_xlsx, "pdf": as_pdf}[form]
    return writer(report)


def media_type(form: str) -> str:
    """Of a format as it is kept. Raises KeyError for none of ours."""
    return {str(name): kind for name, kind in MEDIA_TYPES.items()}[form]


def file_name(report: Report, form: Format) -> str:
    """Of nothing that anybody wrote."""
    span = f"{report.last}" if report.first is None else f"{report.first}-to-{report.last}"
    return f"flipsync-{report.kind}-{span}.{form}"


def as_csv(report: Report) -> bytes:
    """One header line (RFC 4180, UTF-8 with a mark that spreadsheets know). Amounts are plain decimals with their
    currency in a column of its own, shares are numbers; text that looks like a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*(_harmless(column.title) for column in report.columns), "Currency"])
    for row in report.rows:
        writer.writerow([*(_plain(cell) for cell in row), _currency(row)])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def as_xlsx(report: Report) -> bytes:
    """A sheet of figures (numbers are numbers) and one with what the columns mean."""
    import xlsxwriter  # here: who writes no sheet need not load it

    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        bold = book.add_format({"bold": True})
        formats: dict[Any, Any] = {
            digits: book.add_format({"num_format": "#,##0" + "." * bool(digits) + "0" * digits}) for digits in (0, 2, 3)
        }
        formats["date"] = book.add_format({"num_format": "yyyy-mm-dd"})
        formats["share"] = book.add_format({"num_format": "0.0%"})
        sheet = book.add_worksheet(report.title[:31])
        for index, title in enumerate([*(column.title for column in report.columns), "Currency"]):
            sheet.write_string(0, index, title, bold)
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(report.rows, 1):
            for index, (cell, column) in enumerate(zip(row, report.columns, strict=True)):
                _put(sheet, number, index, cell, column.kind, formats)
            sheet.write_string(number, len(row), _currency(row))
        sheet.set_column(0, len(report.columns), 16)
        about = book.add_worksheet("About")
        about.set_column(0, 0, 24)
        for number, (name, meaning) in enumerate(_about(report)):
            about.write_string(number, 0, name[:_LONGEST_CELL], bold)
            about.write_string(number, 1, meaning[:_LONGEST_CELL])
    return out.getvalue()


def as_pdf(report: Report) -> bytes:
    """A4 across. Its font has Latin letters; others are shown as question marks."""
    if len(report.rows) > MOST_PDF_ROWS:
        raise InvalidInput(
            f"{len(report.rows):,} rows are too many for a PDF (at most {MOST_PDF_ROWS:,})",
            hint="ask for CSV or XLSX, or a shorter span",
        )
    from fpdf import FPDF  # here: it brings fonts and pictures along

    pdf = FPDF(orientation="L", format="A4")
    pdf.set_title(report.title)
    pdf.set_creator("FlipSync")
    pdf.set_auto_page_break(False)
    weights = [_WIDTHS[column.kind] for column in report.columns]
    widths = [weight * pdf.epw / sum(weights) for weight in weights]

    def header() -> None:
        pdf.add_page()
        pdf.set_font("helvetica", "B", 7)
        _line(pdf, [column.title for column in report.columns], widths, report)

    pdf.add_page()
    pdf.set_font("helvetica", "B", 15)
    pdf.cell(0, 9, _latin(f"{report.title} - {report.business}"), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("helvetica", "", 8)
    for name, meaning in _about(report)[1:]:
        pdf.multi_cell(0, 4.5, _latin(f"{name}: {meaning}")[:_LONGEST_MEANING], new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)
    pdf.set_font("helvetica", "B", 7)
    _line(pdf, [column.title for column in report.columns], widths, report)
    pdf.set_font("helvetica", "", 7)
    for row in report.rows:
        if pdf.get_y() > pdf.h - 18:
            header()
            pdf.set_font("helvetica", "", 7)
        _line(
            pdf, [_shown(cell, column.kind) for cell, column in zip(row, report.columns, strict=True)], widths, report
        )
    return bytes(pdf.output())


def _line(pdf: Any, texts: list[str], widths: list[float], report: Report) -> None:
    for text, width, column in zip(texts, widths, report.columns, strict=True):
        shown = _latin(text)
        while shown and pdf.get_string_width(shown) > width - 2:
            shown = shown[: max(0, int(len(shown) * (width - 2) / pdf.get_string_width(shown)) - 1)]
        pdf.cell(width, 4.6, shown, border="B", align="L" if column.kind in ("text", "date") else "R")
    pdf.ln()


def _put(sheet: Any, row: int, index: int, cell: Cell, kind: str, formats: dict[Any, Any]) -> None:
    if cell is None:
        return
    if isinstance(cell, Money):
        sheet.write_number(row, index, float(cell.decimal()), formats[minor_digits(cell.currency)])
    elif isinstance(cell, date):
        sheet.write_datetime(row, index, cell, formats["date"])
    elif isinstance(cell, str):
        sheet.write_string(row, index, cell[:_LONGEST_CELL])
    elif kind == "share":
        sheet.write_number(row, index, cell, formats["share"])
    else:
        sheet.write_number(row, index, cell)


def _about(report: Report) -> list[tuple[str, str]]:
    span = f"{report.last}" if report.first is None else f"{report.first} to {report.last}"
    counted = "has just begun" if report.counted_at is None else f"{report.counted_at:%Y-%m-%d %H:%M} UTC"
    return [
        (report.title, report.business),
        (f"Days ({report.time_zone})", span),
        ("Changes are in until", counted),
        *((column.title, column.meaning) for column in report.columns if column.meaning),
    ]


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Money):
        return cell.plain()
    if isinstance(cell, str):
        return _harmless(cell)
    return cell.isoformat() if isinstance(cell, date) else str(Decimal(str(cell)))


def _harmless(text: str) -> str:
    bare = text.lstrip(f"{string.whitespace}\u00a0\u200b\ufeff")
    return f"'{text}" if bare.startswith(_FORMULA) or text.startswith(("\t", "\r", "\n")) else text


def _currency(row: list[Cell]) -> str:
    return next((cell.currency for cell in row if isinstance(cell, Money)), "")


def _shown(cell: Cell, kind: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Money):
        return str(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    if kind == "share" and not isinstance(cell, str):
        return f"{cell:.1%}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _latin(text: str) -> str:
    return (
        "".join(letter if letter.isprintable() else " " for letter in text).encode("cp1252", "replace").decode("cp1252")
    )


def cells(report: Report) -> Iterator[list[str]]:
    """As a person reads them."""
    for row in report.rows:
        yield [_shown(cell, column.kind) for cell, column in zip(row, report.columns, strict=True)]
