"""Reports as tables and files: figures as the books have them, and no word of a stranger's that a spreadsheet obeys."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from shop import Shop, dollars

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, ChannelRefund
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services import orders, report_files, reports, sales_facts
from flipsync.services.analytics import Span
from flipsync.services.orders import AccountRef
from flipsync.services.reports import Kind, Report

TODAY = date(2026, 3, 31)
SPAN = Span.model_validate({"from": date(2026, 3, 1), "to": TODAY})
EVIL = '=HYPERLINK("http://evil.example","click")'


async def sell(shop: Shop, account: AccountRef, sku: str, *, currency: str = "USD", refunded: int = 0) -> None:
    placed = datetime(2026, 3, 30, 10, tzinfo=UTC)

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    line = ChannelOrderLine(
        external_id="l",
        listing_external_id=f"x-{sku}",
        sku=sku,
        title=sku,
        quantity=1,
        total=money(10_000),
        tax=money(1_000),
    )
    refunds = (ChannelRefund(external_id="r", amount=money(refunded), created_at=placed),) if refunded else ()
    told = ChannelOrder(
        external_id=f"{sku}-{currency}",
        number="1",
        status="paid",
        vendor_status="paid",
        holds_stock=True,
        placed_at=placed,
        modified_at=placed,
        currency=currency,
        lines=(line,),
        shipping=money(0),
        tax=money(1_000),
        total=money(11_000),
        refunds=refunds,
    )
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, told)


async def build(shop: Shop, kind: Kind) -> Report:
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.store.reader(shop.tenant_id) as session:
        return await reports.build(session, kind, SPAN, TODAY)


def by_title(report: Report) -> list[dict[str, Any]]:
    titles = [column.title for column in report.columns]
    assert all(len(row) == len(titles) for row in report.rows)
    return [dict(zip(titles, row, strict=True)) for row in report.rows]


async def test_tax_says_what_is_left_of_it_and_who_pays(shop: Shop) -> None:
    await sell(shop, await shop.account("custom", name="My shop"), "a", refunded=5_500)
    await sell(shop, await shop.account("ebay", name="Auctions"), "b")
    rows = {row["Channel"]: row for row in by_title(await build(shop, "tax"))}
    mine, theirs = rows["My shop"], rows["Auctions"]
    assert (mine["Month"], mine["Taxed sales"]) == (date(2026, 3, 1), dollars(5_000))
    assert (mine["Tax collected"], mine["Tax given back"], mine["Tax left"]) == (
        dollars(1_000),
        dollars(500),
        dollars(500),
    )
    assert (mine["Paid by"], theirs["Paid by"]) == ("you", "marketplace")


async def test_profit_has_a_line_for_each_currency_in_all(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5, cost=4_000)
    await shop.listing(account, goods, units=5)
    await sell(shop, account, goods.sku)
    await sell(shop, account, goods.sku, currency="JPY")
    rows = {(row["SKU"], row["Profit"].currency): row for row in by_title(await build(shop, "profit"))}
    assert rows[goods.sku, "USD"]["Profit"] == rows["All, USD", "USD"]["Profit"] == dollars(10_000 - 1_200 - 4_000)
    assert rows["All, JPY", "JPY"]["Net revenue"] == Money(amount_minor=10_000, currency="JPY")


async def test_stock_is_told_by_age(shop: Shop) -> None:
    goods = await shop.variant(units=3, cost=700)
    (row,) = by_title(await build(shop, "stock"))
    assert (row["SKU"], row["Units"], row["Worth"], row["0 to 30 days"]) == (
        goods.sku,
        3,
        dollars(2_100),
        dollars(2_100),
    )


async def test_files_hold_the_same_figures_and_no_formula(shop: Shop) -> None:
    account = await shop.account("custom", name=EVIL)
    await sell(shop, account, "plain")
    report = await build(shop, "sales")
    text = report_files.as_csv(report).decode("utf-8-sig")
    header, row = csv.reader(io.StringIO(text))
    told = dict(zip(header, row, strict=True))
    assert (told["Channel"], told["Net revenue"], told["Currency"]) == (f"'{EVIL}", "100.00", "USD")
    sheet = zipfile.ZipFile(io.BytesIO(report_files.as_xlsx(report)))
    inside = {name: sheet.read(name).decode() for name in sheet.namelist() if name.endswith(".xml")}
    assert not [name for name, xml in inside.items() if re.search(r"<f[ >]|<hyperlink", xml)]
    assert "HYPERLINK" in inside["xl/sharedStrings.xml"] and "<v>100</v>" in inside["xl/worksheets/sheet1.xml"]
    assert report_files.as_pdf(report).startswith(b"%PDF-")
    assert report_files.file_name(report, "pdf") == "flipsync-sales-2026-03-01-to-2026-03-31.pdf"


@pytest.mark.parametrize(
    ("wrote", "kept"),
    [
        ("=1+1", "'=1+1"),
        ("+4912", "'+4912"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("＝1", "'＝1"),
        ("Teapot = nice", "Teapot = nice"),
        ("日本 (blue)", "日本 (blue)"),
    ],
)
def test_what_looks_like_a_formula_is_text(wrote: str, kept: str) -> None:
    report = made([[wrote]])
    (_, (cell, _)) = csv.reader(io.StringIO(report_files.as_csv(report).decode("utf-8-sig"), newline=""))
    assert cell == kept


def made(rows: list[list[Any]]) -> Report:
    return Report(
        kind="sales",
        title="Sales",
        business=EVIL,
        first=TODAY - timedelta(days=1),
        last=TODAY,
        time_zone="UTC",
        counted_at=None,
        columns=[reports.Column(title="Channel", kind="text")],
        rows=rows,
        details=None,
    )


def test_any_letters_and_any_length_make_a_pdf_and_a_sheet_and_too_many_rows_no_pdf() -> None:
    report = made([["日本\x00\x07 e\u0301 🙂" * 9_000], [""], [None]])
    assert report_files.as_pdf(report).startswith(b"%PDF-")
    assert zipfile.ZipFile(io.BytesIO(report_files.as_xlsx(report))).testzip() is None
    with pytest.raises(InvalidInput):
        report_files.as_pdf(made([["x"]] * (report_files.MOST_PDF_ROWS + 1)))
