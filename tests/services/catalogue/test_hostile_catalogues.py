"""Files as attackers and broken exports write them: sound rows come in as text, the others are named."""

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from flipsync.domain.errors import InvalidInput
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.store.models import Product, StockItem, Variant

if TYPE_CHECKING:
    from conftest import Shop

KEPT = (
    "'; DROP TABLE product; --",
    '" OR 1=1 --',
    "=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "\u202e\u0627\u0628\u0631\u064a\u0642 \u05e7\u05d5\u05de\u05e7\u05d5\u05dd",
    "tea\u200b\u200c\u200d\u2060pot",
    "\U0001fad6\U0001d57f\U0002070e",
    "$1 %s {0} :id",
)


def sheet(*rows: tuple[object, ...]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([("handle", "sku", "title", "price", "quantity", "brand"), *rows])
    return out.getvalue().encode("utf-8", "surrogatepass")


async def bring(shop: Shop, content: bytes) -> ImportOutcome:
    catalogue = read_catalogue(content, currency="USD")
    return await import_catalogue(shop.store, shop.tenant_id, catalogue, file_name="hostile.csv")


async def test_words_of_all_kinds_come_in_as_text(shop: Shop) -> None:
    rows = [(f"h{n}", f"S{n} {words}"[:90], words, "1.00", 1, words) for n, words in enumerate(KEPT)]
    outcome = await bring(shop, sheet(*rows))
    assert outcome.as_dict()["report"]["problems"] == []
    async with shop.store.reader(shop.tenant_id) as session:
        titles = set(await session.scalars(select(Product.title)))
    assert titles == set(KEPT)
    again = (await bring(shop, sheet(*rows))).as_dict()
    assert (again["products_unchanged"], again["products_created"], again["units_received"]) == (len(KEPT), 0, 0)


async def test_half_a_character_never_reaches_the_books(shop: Shop) -> None:
    rows = (("p", "P", "a\ud83db", "1.00", 1, ""), ("ok", "OK", "fine", "2.00", 3, ""))
    await bring(shop, sheet(*rows))
    async with shop.store.reader(shop.tenant_id) as session:
        titles = list(await session.scalars(select(Product.title)))
    assert "fine" in titles
    assert all(title.encode() for title in titles)


async def test_rows_that_cannot_be_used_are_named_and_the_others_come_in(shop: Shop) -> None:
    bad = {
        "nul": ("n", "N", "a\0b", "1.00", 1, ""),
        "negative units": ("q", "Q", "q", "1.00", -5, ""),
        "huge units": ("r", "R", "r", "1.00", 10**30, ""),
        "huge price": ("s", "S", "s", "9" * 40, 1, ""),
        "negative price": ("t", "T", "t", "-1.00", 1, ""),
        "formula price": ("u", "U", "u", "=1+1", 1, ""),
        "infinite price": ("v", "V", "v", "1e999", 1, ""),
        "long sku": ("w", "W" * 5000, "w", "1.00", 1, ""),
        "long title": ("x", "X", "x" * 100_000, "1.00", 1, ""),
    }
    outcome = (await bring(shop, sheet(("ok", "OK", "fine", "2.00", 3, ""), *bad.values()))).as_dict()
    named = {problem["line"]: problem for problem in outcome["report"]["problems"]}
    for line, name in enumerate(bad, start=3):
        assert line in named, name
        assert named[line]["reason"], name
    async with shop.store.reader(shop.tenant_id) as session:
        assert "OK" in set(await session.scalars(select(Variant.sku)))
        units = list(await session.scalars(select(StockItem.on_hand)))
    assert all(0 <= each <= 1_000_000 for each in units)


@pytest.mark.slow
async def test_ten_thousand_variants_of_one_product_come_in_whole(shop: Shop) -> None:
    text = "handle,sku,title,price,quantity,size\n" + "".join(f"big,B{i},Big,1.00,1,{i}\n" for i in range(10_000))
    outcome = (await bring(shop, text.encode())).as_dict()
    assert (outcome["products_created"], outcome["variants_created"], outcome["units_received"]) == (1, 10_000, 10_000)
    again = (await bring(shop, text.encode())).as_dict()
    assert (again["variants_unchanged"], again["units_received"]) == (10_000, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(1000),
        b"\x1f\x8b\x08" + bytes(1000),
        bytes(100_000),
        b"\xff" * 10_000,
        b'"' * 100_000,
        b"," * 200_000,
        b"sku,title,price\n" + b'"' + b"x" * 2_000_000,
        b"[" * 100_000,
        b"",
    ],
    ids=["xlsx or zip", "gzip", "zeros", "no text", "quotes", "commas", "endless cell", "json", "empty"],
)
def test_what_is_no_catalogue_is_refused_in_words(content: bytes) -> None:
    """Packed files are not opened at all: a bomb is a file of a format nobody reads."""
    tracemalloc.start()
    try:
        catalogue = read_catalogue(content, currency="USD")
        assert list(catalogue) == []
        assert catalogue.report.rejected > 0
    except InvalidInput as refused:
        assert refused.message
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20


def test_the_report_of_problems_is_safe_in_a_spreadsheet() -> None:
    cells = ("=1+1", "+1+1", "-1x", "@x", "\t=1", "\r=1")
    catalogue = read_catalogue(
        sheet(*((f"h{n}", f"S{n}", "t", cell, 1, "") for n, cell in enumerate(cells))), currency="USD"
    )
    assert list(catalogue) == []
    written = list(csv.reader(io.StringIO(catalogue.report.problems_csv())))
    assert len(written) == len(cells) + 1
    assert not [cell for row in written for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
