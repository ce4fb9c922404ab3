import csv
import io

from flipsync.services.catalogue import Catalogue, ProductDraft, read_catalogue

COLUMNS = [
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Type",
    "Tags",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Option2 Name",
    "Option2 Value",
    "Variant SKU",
    "Variant Grams",
    "Variant Inventory Qty",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Barcode",
    "Image Src",
    "Image Position",
    "Gift Card",
    "Variant Image",
    "Variant Weight Unit",
    "Cost per item",
    "Status",
]


def export(*rows: dict[str, str]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def read(*rows: dict[str, str]) -> tuple[Catalogue, list[ProductDraft]]:
    catalogue = read_catalogue(export(*rows), currency="USD")
    assert catalogue.format == "shopify"
    return catalogue, list(catalogue)


TEE = {
    "Handle": "tee",
    "Title": "Tee",
    "Body (HTML)": "<p>Soft<script>x()</script></p>",
    "Vendor": "Carrow",
    "Type": "Tops",
    "Tags": "cotton, summer,cotton",
    "Published": "true",
    "Option1 Name": "Size",
    "Option1 Value": "S",
    "Option2 Name": "Colour",
    "Option2 Value": "Red",
    "Variant SKU": "TEE-S",
    "Variant Grams": "180.0",
    "Variant Inventory Qty": "4",
    "Variant Price": "20.00",
    "Variant Compare At Price": "25.00",
    "Variant Barcode": "'4006381333931",
    "Image Src": "https://e.com/1.jpg",
    "Variant Image": "https://e.com/red.jpg",
    "Variant Weight Unit": "kg",
    "Cost per item": "7.50",
}
TEE_M = {"Handle": "tee", "Option1 Value": "M", "Option2 Value": "Red", "Variant SKU": "TEE-M", "Variant Price": "20"}


def test_a_product_with_variants_and_images() -> None:
    image_only = {"Handle": "tee", "Image Src": "https://e.com/2.jpg", "Image Position": "2"}
    catalogue, (tee,) = read(TEE, TEE_M | {"Image Src": "https://e.com/1.jpg"}, image_only)
    assert (tee.title, tee.description_html, tee.brand, tee.category) == ("Tee", "<p>Soft</p>", "Carrow", "Tops")
    assert tee.tags == ("cotton", "summer")
    assert tee.images == ("https://e.com/1.jpg", "https://e.com/2.jpg")
    assert tee.option_names == ("Size", "Colour")
    small, medium = tee.variants
    assert small.options == {"Size": "S", "Colour": "Red"}
    assert small.cost is not None
    assert small.compare_at is not None
    assert (small.price.amount_minor, small.compare_at.amount_minor, small.cost.amount_minor) == (2000, 2500, 750)
    assert (small.weight_grams, small.quantity, small.barcode) == (180, 4, "4006381333931")
    assert small.image == "https://e.com/red.jpg"
    assert (medium.options, medium.quantity, medium.cost) == ({"Size": "M", "Colour": "Red"}, None, None)
    assert catalogue.report.problems == []
    assert catalogue.report.rows == 3


def test_a_rejected_first_row_leaves_the_product_to_its_other_variants() -> None:
    catalogue, (tee,) = read(TEE | {"Variant Price": ""}, TEE_M)
    assert [v.sku for v in tee.variants] == ["TEE-M"]
    assert tee.title == "Tee"
    assert tee.images == ("https://e.com/1.jpg",)
    (problem,) = catalogue.report.problems
    assert (problem.line, problem.column, problem.severity) == (2, "Variant Price", "rejected")


def test_default_title_is_no_option() -> None:
    _, (mug,) = read(
        {
            "Handle": "mug",
            "Title": "Mug",
            "Option1 Name": "Title",
            "Option1 Value": "Default Title",
            "Variant Price": "9",
        }
    )
    assert mug.option_names == ()
    assert mug.variants[0].options == {}
    assert mug.variants[0].sku_derived


def test_continuation_rows_sorted_before_their_product_still_belong_to_it() -> None:
    catalogue, products = read(TEE_M, {"Handle": "mug", "Title": "Mug", "Variant Price": "9"}, TEE)
    tee = next(p for p in products if p.key == "tee")
    assert sorted(v.sku for v in tee.variants) == ["TEE-M", "TEE-S"]
    assert all(set(v.options) == {"Size", "Colour"} for v in tee.variants)
    assert catalogue.report.rejected == 0


def test_continuation_rows_without_their_product_are_rejected() -> None:
    catalogue, products = read(TEE_M, {"Handle": "mug", "Title": "Mug", "Variant Price": "9"})
    assert [p.key for p in products] == ["mug"]
    (problem,) = catalogue.report.problems
    assert (problem.line, problem.column) == (2, "Title")


def test_gift_cards_are_not_goods() -> None:
    catalogue, products = read({"Handle": "gift", "Title": "Gift", "Variant Price": "50", "Gift Card": "true"}, TEE)
    assert [p.key for p in products] == ["tee"]
    assert "gift cards" in catalogue.report.problems[0].reason


def test_drafts_are_not_published_and_blank_says_nothing() -> None:
    _, products = read(
        TEE | {"Status": "draft"},
        {"Handle": "hat", "Title": "Hat", "Variant Price": "9", "Published": "true"},
        {"Handle": "mug", "Title": "Mug", "Variant Price": "9"},
    )
    assert {p.key: p.published for p in products} == {"tee": False, "hat": True, "mug": None}


def test_a_condition_stated_once_holds_for_every_variant() -> None:
    header = (
        "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Google Shopping / Condition\n"
        "tee,Tee,Size,S,T-S,20,used\ntee,,,M,T-M,20,\nmug,Mug,,,MUG,5,\n"
    )
    products = list(read_catalogue(header.encode(), currency="USD"))
    assert {v.sku: v.condition for p in products for v in p.variants} == {"T-S": "used", "T-M": "used", "MUG": None}


def test_a_row_that_names_no_product_is_rejected() -> None:
    catalogue, products = read(TEE, {"Variant Price": "3", "Variant SKU": "LOST"})
    assert len(products) == 1
    assert catalogue.report.problems[0].line == 3


def test_a_price_re_saved_by_a_spreadsheet_in_another_locale() -> None:
    _, products = read(
        {"Handle": "a", "Title": "A", "Variant Price": "1.250,00"},
        {"Handle": "b", "Title": "B", "Variant Price": "9,9"},
    )
    assert [p.variants[0].price.amount_minor for p in products] == [125000, 990]


def test_the_template_of_2025() -> None:
    text = (
        "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,"
        "Option1 name,Option1 value,Price,Compare-at price,Cost per item,Inventory quantity,Weight value (grams),"
        "Weight unit for display,Product image URL,Variant image URL,Gift card\n"
        "Tee,tee,<b>Soft</b>,Carrow,Apparel,Tops,cotton,TRUE,Active,T-S,,Size,S,20.00,25.00,7.5,3,180,g,https://e.com/1,,FALSE\n"
        ",tee,,,,,,,,T-M,,,M,21.00,,,,180,g,,,\n"
    )
    catalogue = read_catalogue(text.encode(), currency="USD")
    (tee,) = catalogue
    assert catalogue.format == "shopify"
    assert [(v.sku, v.price.amount_minor, v.quantity, v.weight_grams) for v in tee.variants] == [
        ("T-S", 2000, 3, 180),
        ("T-M", 2100, None, 180),
    ]
    assert (tee.category, tee.published, tee.option_names) == ("Tops", True, ("Size",))
    assert catalogue.report.problems == []
