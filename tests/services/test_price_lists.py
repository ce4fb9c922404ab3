"""A supplier's price list from a file: sound rows are what they ask, the others are named with line and reason."""

from __future__ import annotations

import pytest
from shop import Shop

from flipsync.domain.errors import InvalidInput
from flipsync.services import price_lists, suppliers
from flipsync.services.price_lists import read_price_list
from flipsync.services.suppliers import OfferForm, SupplierForm


def test_decimal_marks_packs_and_their_own_names_are_read() -> None:
    read = read_price_list(
        b"\xef\xbb\xbfSKU;Wholesale price;Case size;MOQ;Supplier SKU\r\nA;1.234,50;12;24;T-1\r\n\r\nB;0,99;;;\r\n",
        "EUR",
    )
    assert read.report.problems == []
    assert read.offers == {
        "A": (2, OfferForm(pack_cost_minor=123450, pack_units=12, least_units=24, supplier_sku="T-1")),
        "B": (4, OfferForm(pack_cost_minor=99)),
    }


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (b"A,0", "cost", "no cost"),
        (b"A,", "cost", "not a number"),
        (b"A,-3.00", "cost", "negative"),
        (b"A,=1+1", "cost", "not a"),
        (b"A,3.999", "cost", "decimals"),
        (b"A,99999999999999", "cost", "larger"),
        (b"A,3.00,1.5", "pack", "whole number"),
        (b"A,3.00,12,-1", "moq", "whole number"),
        (b"A,3.00,999999999", "pack", "whole number"),
        (b",3.00", "sku", "no SKU"),
        (b"GOOD,3.00", "sku", "on line 2 already"),
        (b'"A,3.00', "", "never closed"),
        (b"A\x00,3.00", "", "cannot be read"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_stand(row: bytes, column: str, reason: str) -> None:
    read = read_price_list(b"sku,cost,pack,moq\nGOOD,2.00\n" + row + b"\n", "USD")
    (problem,) = read.report.problems
    assert (problem.line, problem.column) == (3, column) and reason in problem.reason, problem
    assert list(read.offers) == ["GOOD"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"name,colour\nA,B\n", "needs a column sku"),
        (b"sku,cost,cost\nA,1,2\n", "more than once"),
        (b"sku,cost\n" + b"A,1\n" * 101, "the limit is 100"),
        (b"sku,cost\n" + b"x" * 200_000, "longer than"),
    ],
)
def test_a_file_that_is_no_list_is_refused_whole(content: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_lists, "MAX_ROWS", 100)
    with pytest.raises(InvalidInput, match=says):
        read_price_list(content, "USD")


async def test_known_goods_get_what_is_asked_and_the_same_file_again_changes_nothing(shop: Shop) -> None:
    goods = [await shop.variant() for _ in range(3)]
    content = "sku,cost,pack\n" + "".join(f"{each.sku},{at + 1}.00,6\n" for at, each in enumerate(goods))
    content += "NOBODY-HAS-IT,1.00,1\n"
    async with shop.unit() as unit:
        made = await suppliers.create(unit, SupplierForm(name="Teapots"))
        await suppliers.put_offer(unit, made.id, goods[0].variant_id, OfferForm(pack_cost_minor=5))
    for dry_run in (True, False, False):
        async with shop.unit() as unit:
            supplier = await suppliers.locked(unit, made.id)
            report = await price_lists.import_list(unit, supplier, content.encode(), dry_run=dry_run)
        rows = await shop.rows("SELECT pack_cost_minor FROM supplier_offer ORDER BY pack_cost_minor")
        asked = [row.pack_cost_minor for row in rows]
        assert asked == ([5] if dry_run else [100, 200, 300])
        assert (report.variants, report.rejected) == (3, 1)
    (problem,) = report.problems
    assert (problem.line, problem.value) == (5, "NOBODY-HAS-IT")
