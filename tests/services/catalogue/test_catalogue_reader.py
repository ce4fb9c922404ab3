from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flipsync.domain.errors import InvalidInput
from flipsync.services.catalogue import Catalogue, Limits, ProductDraft, read_catalogue
from flipsync.services.catalogue.encoding import Source, detect_encoding
from flipsync.services.catalogue.records import read_records
from flipsync.services.catalogue.sanitise import derived_sku, image_url, safe_html

HEADER = "sku,title,price,quantity,barcode,description\n"


def read(text: str | bytes, currency: str = "USD", **options: object) -> tuple[Catalogue, list[ProductDraft]]:
    data = text.encode() if isinstance(text, str) else text
    catalogue = read_catalogue(data, currency=currency, **options)  # type: ignore[arg-type]
    return catalogue, list(catalogue)


def problems(catalogue: Catalogue) -> list[tuple[int, str, str]]:
    return [(p.line, p.column, p.severity) for p in catalogue.report.problems]


# -- files as a whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n\n\n", "Seen"),
        (HEADER.encode(), "no rows"),
        (HEADER.encode() + b"\n,,,,,\n", "no rows"),
        (b"colour,mood\nred,fine\n", "'colour', 'mood'.*Expected: WooCommerce.*Shopify.*title and price"),
        (b"sku,title,price,price\na,b,1,2\n", "'price' appears more than once"),
        (b"\x00\x01\x02\x03", "Seen"),
        (b"x" * 2_000_000, "longer than"),
    ],
)
def test_a_file_that_is_no_catalogue_says_so(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read(data)


def test_a_missing_or_too_large_file_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        read_catalogue(tmp_path / "nothing.csv", currency="USD")
    with pytest.raises(InvalidInput, match="cannot read"):
        read_catalogue(tmp_path, currency="USD")
    with pytest.raises(InvalidInput, match="limit"):
        read(HEADER + "a,b,1,1,,\n", limits=Limits(max_bytes=20))
    with pytest.raises(InvalidInput, match="currency"):
        read_catalogue(b"x", currency="dollars")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("preamble", ["", "\n\n", "sep={}\n"])
def test_the_delimiter_is_sniffed(delimiter: str, preamble: str) -> None:
    text = preamble.format(delimiter) + "sku,title,price\nA1,A shirt,12.50\n".replace(",", delimiter)
    catalogue, (product,) = read(text)
    assert catalogue.delimiter == delimiter
    assert product.variants[0].price.amount_minor == 1250
    assert product.variants[0].line == 2 + preamble.count("\n")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_numbers_are_physical_lines(newline: str) -> None:
    text = newline.join(
        [
            "sku,title,price,description",
            'A,"Two',
            'lines",1.00,x',
            "",
            'B,"Three',
            "more",
            'lines",oops,y',
            "C,Last,3.00,z",
        ]
    )
    catalogue, products = read(text)
    assert [(p.variants[0].sku, p.line) for p in products] == [("A", 2), ("C", 8)]
    assert problems(catalogue) == [(5, "price", "rejected")]
    assert products[0].title == "Two lines"


# -- encodings -------------------------------------------------------------------------------------------------------

ACCENTS = "sku,title,price\nA1,Größe – Café “süß” €,12.50\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings_are_recognised(codec: str) -> None:
    catalogue, (product,) = read(ACCENTS.encode(codec))
    assert product.title == "Größe – Café “süß” €"
    assert catalogue.report.warnings == 0
    again, _ = read(ACCENTS.encode(codec))
    assert again.encoding == catalogue.encoding


def test_utf_16_big_endian_with_a_mark() -> None:
    _, (product,) = read(b"\xfe\xff" + ACCENTS.encode("utf-16-be"))
    assert product.title.startswith("Größe")


def test_cyrillic_is_not_taken_for_western_text() -> None:
    rows = "".join(f"A{i},Красная рубашка из хлопка с длинным рукавом,12.50\n" for i in range(20))
    catalogue, products = read(("sku,title,price\n" + rows).encode("cp1251"))
    assert products[0].title == "Красная рубашка из хлопка с длинным рукавом"
    assert catalogue.encoding.guessed
    assert "guess" in catalogue.report.problems[0].reason


def test_an_undecodable_byte_rejects_its_row_with_line_and_column() -> None:
    data = ACCENTS.encode() + b'A2,"One\nTw\xffo",1.00\nA3,Fine,2.00\n'
    catalogue, products = read(data)
    assert [p.variants[0].sku for p in products] == ["A1", "A3"]
    assert problems(catalogue) == [(4, "title", "rejected")]
    assert "byte that is not utf-8, at character 7" in catalogue.report.problems[0].reason


def test_a_nul_byte_rejects_its_row() -> None:
    catalogue, products = read(HEADER + "A,x\0y,1.00,1,,\nB,fine,1.00,1,,\n")
    assert [p.variants[0].sku for p in products] == ["B"]
    assert problems(catalogue) == [(2, "title", "rejected")]


def test_a_file_cut_inside_a_utf_16_character_still_reads() -> None:
    catalogue, products = read((ACCENTS + "A2,Fine,2.00\n").encode("utf-16")[:-1])
    assert [p.variants[0].sku for p in products] == ["A1"]
    assert catalogue.report.rejected == 1


# -- quoting ---------------------------------------------------------------------------------------------------------


def test_an_unclosed_quote_costs_one_row() -> None:
    catalogue, products = read(HEADER + 'A,"open,1.00,1,,\nB,fine,2.00,1,,\nC,fine too,3.00,1,,\n')
    assert [p.variants[0].sku for p in products] == ["B", "C"]
    assert problems(catalogue) == [(2, "title", "rejected")]
    assert "never closed" in catalogue.report.problems[0].reason


def test_an_unclosed_quote_before_quoted_rows_costs_one_row() -> None:
    catalogue, products = read(HEADER + 'A,"open,1.00,1,,\nB,"fine",2.00,1,,\nC,"fine, too",3.00,1,,\n')
    assert [p.variants[0].sku for p in products] == ["B", "C"]
    assert problems(catalogue)[0] == (2, "title", "rejected")


def test_an_unclosed_quote_in_a_large_file_is_found_without_reading_on_for_ever() -> None:
    rows = "".join(f"S{i},a title of some length,1.00,1,,\n" for i in range(8000))
    catalogue, products = read(HEADER + 'A,"open,1.00,1,,\n' + rows)
    assert len(products) == 8000
    assert problems(catalogue) == [(2, "title", "rejected")]


def test_an_undoubled_quote_is_reported() -> None:
    catalogue, products = read(HEADER + 'A,"a 12" ruler",1.00,1,,\nB,12" ruler,2.00,1,,\n')
    assert [p.title for p in products] == ['12" ruler']
    assert catalogue.report.problems[0].line == 2


def test_rows_of_the_wrong_width() -> None:
    text = "sku,title,price,note\nA,x,1.00\nB,y,2.00,n,,\nC,z,3.00,n,more\nD,w\n"
    catalogue, products = read(text)
    assert [p.variants[0].sku for p in products] == ["A", "B"]
    assert problems(catalogue) == [(4, "", "rejected"), (5, "", "rejected")]


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=4), max_size=12))
def test_records_lose_no_line(rows: list[list[str]]) -> None:
    import csv
    import io

    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    lines = io.StringIO(out.getvalue(), newline="")
    assert [record.cells for record in read_records(lines, ",")] == rows


# -- cells -----------------------------------------------------------------------------------------------------------


def test_blank_is_never_zero() -> None:
    catalogue, products = read(HEADER + "A,x,,1,,\nB,y,0,1,,\nC,z,1.00,,,\n")
    assert [p.variants[0].sku for p in products] == ["C"]
    assert products[0].variants[0].quantity is None
    assert products[0].variants[0].cost is None
    assert [p.reason for p in catalogue.report.problems] == [
        "no price: blank is not zero, so this cannot be sold",
        "a price of zero",
    ]
    assert catalogue.report.without_quantity == 1


def test_a_duplicate_sku_points_at_the_first() -> None:
    catalogue, products = read(HEADER + "A,x,bad,1,,\nA,y,1.00,1,,\nB,z,1.00,1,,\nA,w,2.00,1,,\n")
    assert sorted(p.title for p in products) == ["y", "z"]
    assert catalogue.report.problems[1].line == 5
    assert "already used on line 3" in catalogue.report.problems[1].reason


def test_quantities_negative_huge_and_fractional() -> None:
    catalogue, products = read(HEADER + "A,x,1,-3,,\nB,x,1,99999999,,\nC,x,1,2.5,,\nD,x,1,4.0,,\n")
    assert {p.variants[0].sku: p.variants[0].quantity for p in products} == {"A": 0, "D": 4}
    assert problems(catalogue) == [
        (2, "quantity", "warning"),
        (3, "quantity", "rejected"),
        (4, "quantity", "rejected"),
    ]


def test_barcodes_damaged_wrong_and_right() -> None:
    catalogue, products = read(
        HEADER + "A,x,1,1,9.78E+12,\nB,x,1,1,4006381333932,\nC,x,1,1,4006381333931,\nD,x,1,1,SHELF-7,\n"
    )
    assert {p.variants[0].sku: p.variants[0].barcode for p in products} == {
        "B": None,
        "C": "4006381333931",
        "D": None,
    }
    assert problems(catalogue) == [
        (2, "barcode", "rejected"),
        (3, "barcode", "warning"),
        (5, "barcode", "warning"),
    ]


def test_a_damaged_sku_is_rejected() -> None:
    catalogue, products = read(HEADER + "1.23E+11,x,1,1,,\n1E5,y,1,1,,\n")
    assert [p.variants[0].sku for p in products] == ["1E5"]
    assert problems(catalogue) == [(2, "sku", "rejected")]


def test_decimal_commas_are_read_by_the_evidence_of_the_file() -> None:
    text = "sku;title;price;cost\nA;x;12,50;1.234\nB;y;1.234;2,5\nC;z;1.234,50;\n"
    _, products = read(text, currency="EUR")
    assert [p.variants[0].price.amount_minor for p in products] == [1250, 123400, 123450]
    assert products[0].variants[0].cost is not None
    assert products[0].variants[0].cost.amount_minor == 123400


def test_an_ambiguous_price_without_evidence_is_rejected() -> None:
    catalogue, products = read('sku,title,price\nA,x,"1,234"\nB,y,5\n')
    assert [p.variants[0].sku for p in products] == ["B"]
    assert "ambiguous" in catalogue.report.problems[0].reason
    _, settled = read('sku,title,price\nA,x,"1,234"\nB,y,5.00\n')
    assert settled[0].variants[0].price.amount_minor == 123400


def test_contradicting_marks_settle_nothing_and_are_pointed_out() -> None:
    catalogue, products = read('sku,title,price\nA,x,"1,50"\nB,y,2.50\nC,z,"1,234"\n')
    assert [p.variants[0].price.amount_minor for p in products] == [150, 250]
    assert catalogue.report.warnings == 1
    assert catalogue.report.rejected == 1


def test_costs_bounds_tax_condition_and_weight_of_the_generic_format() -> None:
    text = (
        "SKU,Title,Price (USD),Unit Cost,Min Price,Ceiling,VAT %,Weight (lb),Condition,Images,Note\n"
        "A,x,20.00,8.00,15,30,20,2,Used,https://e.com/1.jpg https://e.com/2.jpg,hi\n"
        "B,y,10.00,0,12,11,,,,,\n"
        "C,y,10.00,,12,40,,,,javascript:alert(1),\n"
    )
    catalogue, products = read(text)
    variant = products[0].variants[0]
    assert variant.cost is not None
    assert variant.floor is not None
    assert variant.ceiling is not None
    assert (variant.cost.amount_minor, variant.floor.amount_minor, variant.ceiling.amount_minor) == (800, 1500, 3000)
    assert (variant.vat_percent, variant.weight_grams, variant.condition) == (Decimal(20), 907, "Used")
    assert products[0].images == ("https://e.com/1.jpg", "https://e.com/2.jpg")
    assert catalogue.ignored_columns == ("Note",)
    assert problems(catalogue) == [
        (3, "Unit Cost", "warning"),
        (3, "Min Price", "rejected"),
        (4, "Images", "warning"),
        (4, "Min Price", "warning"),
    ]


def test_another_currency_is_never_relabelled() -> None:
    for text in (
        "sku,title,price,currency\nA,x,1.00,EUR\n",
        "sku,title,price (EUR)\nA,x,1.00\n",
        "sku,title,price\nA,x,1.00 €\n",
    ):
        catalogue, products = read(text)
        assert products == []
        assert catalogue.report.rejected == 1


def test_a_missing_cost_can_be_assumed_and_is_marked() -> None:
    catalogue, products = read("sku,title,price,cost\nA,x,9.99,\nB,y,9.99,3.00\n", default_cost_ratio=Decimal("0.6"))
    first, second = (p.variants[0] for p in products)
    assert first.cost is not None
    assert (first.cost.amount_minor, first.cost_assumed, second.cost_assumed) == (599, True, False)
    assert catalogue.report.costs_assumed == 1


def test_formulas_stay_text_and_are_defused_only_in_the_problem_report() -> None:
    formula = '"=HYPERLINK(""http://x"",""y"")"'
    catalogue, (product,) = read(HEADER + f"A,{formula},1.00,1,,\nB,x,{formula},1,,\n")
    assert product.title == '=HYPERLINK("http://x","y")'
    assert "'=HYPERLINK" in catalogue.report.problems_csv()


def test_descriptions_are_made_safe() -> None:
    body = (
        '<p onclick="x()">Fine <b>wool</b><script>alert(1)</script><style>p{}</style>'
        '<a href="javascript:x()">l</a><img src="data:x" onerror=y><iframe src="http://e.com"></iframe></p>'
    )
    clean = safe_html(body)
    assert "Fine <b>wool</b>" in clean
    for bad in ("script", "alert", "onclick", "onerror", "iframe", "style", "data:"):
        assert bad not in clean
    assert safe_html("plain words") == "plain words"
    assert safe_html("5 < 6 & more") == "5 &lt; 6 &amp; more"


@given(st.text())
def test_cleaning_is_idempotent(body: str) -> None:
    once = safe_html(body)
    assert safe_html(once) == once
    assert "\0" not in once


@pytest.mark.parametrize("url", ["https://e.com/a.jpg", "HTTP://e.com", "https://e.com/a?b=c,d#e"])
def test_images_with_http_are_kept(url: str) -> None:
    assert image_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "/a.jpg",
        "ftp://e.com/a",
        "javascript:x",
        "data:image/png;base64,A",
        "https://",
        "https://u@e.com",
        "https://e.com/a b",
    ],
)
def test_other_images_are_not(url: str) -> None:
    assert image_url(url) is None


def test_long_texts_are_cut_with_a_warning() -> None:
    limits = Limits(max_title_chars=10, max_description_chars=20)
    catalogue, (product,) = read(HEADER + "A,a very long title,1,1,,<b>" + "x" * 40 + "\n", limits=limits)
    assert product.title == "a very lon"
    assert product.description_html == "<b>" + "x" * 17 + "</b>"
    assert catalogue.report.warnings == 2


def test_problems_are_bounded_and_counted() -> None:
    catalogue, products = read(HEADER + "A,x,,1,,\n" * 50, limits=Limits(max_problems=10))
    assert products == []
    assert catalogue.report.rejected == 50
    assert len(catalogue.report.problems) == 10
    assert catalogue.report.as_dict()["problems_omitted"] == 40


# -- derived SKUs ----------------------------------------------------------------------------------------------------


def test_derived_skus_are_stable_and_flagged() -> None:
    text = "handle,title,price,size\nshirt,Shirt,1,S\nshirt,,1,M\nshirt,,1,S\n"
    catalogue, (product,) = read(text)
    skus = [v.sku for v in product.variants]
    assert len(skus) == len(set(skus)) == 2
    assert all(v.sku_derived and v.sku.startswith("shirt-") for v in product.variants)
    assert "same product and options as line 2" in catalogue.report.problems[0].reason
    reordered, (other,) = read("size,price,title,handle\nM,1,Shirt,shirt\nS,1,,shirt\n")
    assert {v.sku for v in other.variants} == set(skus)
    assert reordered.report.skus_derived == 2


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=3), st.text(max_size=200))
def test_a_derived_sku_is_short_ascii(options: list[tuple[str, str]], key: str) -> None:
    sku = derived_sku(key, options)
    assert sku == derived_sku(key, options)
    assert len(sku) <= 56
    assert sku.isascii()


def test_what_spells_alike_is_kept_apart() -> None:
    assert derived_sku("a-b", []) != derived_sku("a", [("x", "b")])
    assert derived_sku("日本", []) != derived_sku("中国", [])


# -- products over several rows --------------------------------------------------------------------------------------


def test_rows_of_a_product_need_not_be_adjacent_nor_in_order() -> None:
    text = "handle,sku,title,price\na,A2,,2\nb,B1,Bee,1\na,A1,Ay,1\na,A3,,3\n"
    _, products = read(text)
    assert {p.key: (p.title, sorted(v.sku for v in p.variants)) for p in products} == {
        "a": ("Ay", ["A1", "A2", "A3"]),
        "b": ("Bee", ["B1"]),
    }


def test_a_product_without_a_title_is_rejected_row_by_row() -> None:
    catalogue, products = read("handle,sku,title,price\na,A1,,1\na,A2,,2\nb,B,Bee,1\n")
    assert [p.key for p in products] == ["b"]
    assert problems(catalogue) == [(2, "title", "rejected"), (3, "title", "rejected")]


def test_ten_thousand_variants_of_one_product_and_not_one_more() -> None:
    text = "handle,sku,title,price,size\n" + "".join(f"big,S{i},Big,1,{i}\n" for i in range(10_001))
    catalogue, (product,) = read(text)
    assert len(product.variants) == 10_000
    assert catalogue.report.rejected == 1


def test_a_catalogue_can_be_read_twice_and_products_come_as_soon_as_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(HEADER + "".join(f"S{i},t{i},1.00,1,,\n" for i in range(5)))
    catalogue = read_catalogue(path, currency="USD")
    products = iter(catalogue)
    assert next(products).variants[0].sku == "S0"
    assert catalogue.report.rows == 1
    assert len(list(catalogue)) == len(list(catalogue)) == 5
    assert catalogue.report.rows == 5


# -- anything at all -------------------------------------------------------------------------------------------------

LEAD = st.sampled_from(
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff\xfe\0\0",
        HEADER.encode(),
        b"Handle,Title,Variant Price,Variant SKU,Option1 Value,Image Src,Variant Grams,Variant Barcode\n",
        b"Type,SKU,Name,Regular price,Parent,Stock,Attribute 1 name,Attribute 1 value(s)\n",
        "sku,title,price\n".encode("utf-16"),
    ]
)
NOISE = st.one_of(
    st.binary(max_size=300),
    st.text(alphabet=",;\t\n\r\"'abAB01.-+=€é\0", max_size=300).map(str.encode),
    st.lists(
        st.sampled_from(["a", "1.00", '"', "variation", "simple", "variable", "id:1", "\n", ",", ",,", "é", "1,5"])
    ).map(lambda parts: "".join(parts).encode("cp1252")),
)


@settings(max_examples=400, deadline=None)
@given(LEAD, NOISE)
@example(b"\xff\xfe", b"s\0k\0")
@example(HEADER.encode(), b'"\n"\n"')
def test_arbitrary_bytes_raise_nothing_but_invalid_input(lead: bytes, noise: bytes) -> None:
    try:
        catalogue, products = read(lead + noise)
    except InvalidInput:
        return
    report = catalogue.report
    assert report.variants == sum(len(p.variants) for p in products)
    assert report.products == len(products)
    assert all(v.price.amount_minor > 0 for p in products for v in p.variants)
    skus = [v.sku for p in products for v in p.variants]
    assert len(skus) == len(set(skus))


@given(st.binary(max_size=200))
@example(b"Aa\xe1\x81")  # the decoder waits for a third byte that never comes
def test_any_bytes_have_an_encoding(data: bytes) -> None:
    if not data:
        return
    source = Source(data, max_bytes=1000)
    encoding = detect_encoding(source)
    with source.lines(encoding, max_chars=1000) as lines:
        text = "".join(lines)
    if not encoding.damaged:
        assert encoding.undecodable.search(text) is None


@given(
    st.lists(
        st.tuples(
            st.text("ABCdef019-_/", min_size=1, max_size=20), st.text(min_size=1, max_size=30), st.integers(1, 10**9)
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    )
)
def test_what_was_written_is_read_back(rows: list[tuple[str, str, int]]) -> None:
    import csv
    import io

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["sku", "title", "price"])
    sound = [row for row in rows if row[1].isprintable() and row[1].strip()]
    for sku, title, minor in sound:
        writer.writerow([sku, title, f"{minor // 100}.{minor % 100:02}"])
    if not sound:
        return
    _, products = read(out.getvalue())
    assert [(v.sku, p.title, v.price.amount_minor) for p in products for v in p.variants] == [
        (sku, " ".join(title.split()), minor) for sku, title, minor in sound
    ]


def test_the_real_export_in_the_shared_data_is_read_whole(contracts: Path) -> None:
    path = contracts.parent / "data" / "catalogues" / "shopify-apparel.csv"
    if not path.exists():
        pytest.skip("the shared example catalogue is not on this machine")
    catalogue = read_catalogue(path, currency="USD")
    products = list(catalogue)
    assert catalogue.format == "shopify"
    assert (len(products), catalogue.report.variants, catalogue.report.rejected) == (20, 22, 0)
    varsity = next(p for p in products if p.key == "classic-varsity-top")
    assert [v.options for v in varsity.variants] == [{"Size": "Small"}, {"Size": "Medium"}, {"Size": "Large"}]
    assert len({v.sku for p in products for v in p.variants}) == 22


def test_the_default_catalogue_is_sound() -> None:
    import flipsync

    catalogue = read_catalogue(Path(flipsync.__file__).parent / "catalogues" / "default.csv", currency="USD")
    products = list(catalogue)
    assert catalogue.report.problems == []
    assert catalogue.ignored_columns == ()
    variants = [v for p in products for v in p.variants]
    assert len(products) >= 20
    assert len(variants) >= 35
    assert all(v.cost and v.floor and v.cost < v.floor < v.price and v.barcode and v.weight_grams for v in variants)
    assert sum(v.quantity == 1 for v in variants) >= 8
