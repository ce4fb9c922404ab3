"""Suppliers' lists as they come, and bad rows told."""

from __future__ import annotations

import pytest

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services.sourcing.supplier_list import read_supplier_list


def test_a_list_as_a_german_supplier_sends_it() -> None:
    text = (
        "Northside Großhandel, KW 23\n\nEAN;Item;Unit Cost;Qty\n"
        "4006381333931;Textmarker gelb;1,20;50\n"
        "978-0-306-40615-7;Handbook;1.234,50;2\n"
        ";Schreibtischlampe;14,00;\n"
    )
    found = read_supplier_list(text.encode("cp1252"), currency="EUR")
    first, book, lamp = found.questions
    assert (first.gtin, first.cost, first.units) == ("04006381333931", Money(amount_minor=120, currency="EUR"), 50)
    assert (book.asin, book.cost, book.units) == ("0306406152", Money(amount_minor=123450, currency="EUR"), 2)
    assert (lamp.gtin, lamp.title, lamp.units) == (None, "Schreibtischlampe", 1)
    assert found.problems == ()


def test_rows_that_cannot_be_read_are_told_with_their_line() -> None:
    text = (
        "barcode,title,cost,units\n"
        "4006381333932,bad digit,1.00,1\n"
        "4006381333931,fine,1.00,1\n"
        ",,1.00,1\n"
        "4006381333931,free,0,1\n"
        "4006381333931,no cost,,1\n"
        "4006381333931,negative,-3.00,1\n"
        "4006381333931,many,1.00,999999999999999999\n"
        "4006381333931,some,1.00,a few\n"
    )
    found = read_supplier_list(text.encode(), currency="USD")
    assert [each.title for each in found.questions] == ["fine"]
    assert [row for row, _ in found.problems] == [2, 4, 5, 6, 7, 8, 9]
    assert "check digit" in found.problems[0][1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "title,colour\nlamp,red\n",
        "barcode,cost\n",
        "barcode,cost\n1,2\n" + "x" * 20_000,
        "barcode,cost,cost\n4006381333931,1,2\n",
        "\0\0\0\0",
    ],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_supplier_list(text.encode(), currency="USD")


def test_too_many_rows_are_refused() -> None:
    rows = "4006381333931,1.00\n" * 5_001
    with pytest.raises(InvalidInput, match="5,001 rows"):
        read_supplier_list(f"barcode,cost\n{rows}".encode(), currency="USD")
