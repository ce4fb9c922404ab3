import csv
import io
from datetime import UTC, datetime, timedelta

from flipsync.services.catalogue import Catalogue, ProductDraft, read_catalogue

COLUMNS = [
    "ID",
    "Type",
    "SKU",
    "GTIN, UPC, EAN, or ISBN",
    "Name",
    "Published",
    "Short description",
    "Description",
    "Date sale price starts",
    "Date sale price ends",
    "In stock?",
    "Stock",
    "Weight (kg)",
    "Sale price",
    "Regular price",
    "Categories",
    "Tags",
    "Images",
    "Parent",
    "Position",
    "Brands",
    "Cost of goods",
    "Attribute 1 name",
    "Attribute 1 value(s)",
    "Attribute 2 name",
    "Attribute 2 value(s)",
]


def read(*rows: dict[str, str], currency: str = "EUR") -> tuple[Catalogue, list[ProductDraft]]:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    catalogue = read_catalogue(out.getvalue().encode("utf-8-sig"), currency=currency)
    assert catalogue.format == "woocommerce"
    return catalogue, list(catalogue)


MUG = {
    "ID": "7",
    "Type": "simple",
    "SKU": "MUG",
    "Name": "Mug",
    "Published": "1",
    "Stock": "4",
    "Regular price": "9,90",
}
SHIRT = {
    "ID": "10",
    "Type": "variable",
    "SKU": "SHIRT",
    "Name": "Shirt",
    "Published": "1",
    "Weight (kg)": "0.3",
    "Categories": "Clothing > Shirts, Sale\\, really",
    "Images": "https://e.com/1.jpg, https://e.com/2.jpg",
    "Attribute 1 name": "Size",
    "Attribute 1 value(s)": "S, M",
}


def variation(number: str, size: str, **more: str) -> dict[str, str]:
    return {
        "ID": number,
        "Type": "variation",
        "Name": f"Shirt - {size}",
        "Parent": "SHIRT",
        "Regular price": "20",
        "Attribute 1 name": "Size",
        "Attribute 1 value(s)": size,
    } | more


def test_a_simple_product_with_a_decimal_comma() -> None:
    gtin = {
        "GTIN, UPC, EAN, or ISBN": "4006381333931",
        "Weight (kg)": "0.35",
        "Cost of goods": "3.2",
        "Brands": "Norden",
    }
    catalogue, (mug,) = read(MUG | gtin | {"Description": "Line one\\nLine <b>two</b>", "Short description": "short"})
    variant = mug.variants[0]
    assert variant.cost is not None
    assert (mug.key, mug.title, mug.brand) == ("MUG", "Mug", "Norden")
    assert mug.description_html == "Line one\nLine <b>two</b>"
    assert (variant.price.amount_minor, variant.cost.amount_minor) == (990, 320)
    assert (variant.quantity, variant.weight_grams, variant.barcode) == (4, 350, "4006381333931")
    assert catalogue.report.problems == []


def test_variations_belong_to_their_parent_in_any_order() -> None:
    early = variation("11", "S", SKU="SHIRT-S", Stock="2")
    late = variation("12", "M", **{"Parent": "id:10", "Stock": "'-3", "Weight (kg)": "0.4"})
    catalogue, products = read(early, MUG, SHIRT, late)
    shirt = next(p for p in products if p.key == "SHIRT")
    assert (shirt.category, shirt.option_names) == ("Clothing > Shirts", ("Size",))
    assert shirt.images == ("https://e.com/1.jpg", "https://e.com/2.jpg")
    small, medium = shirt.variants
    assert (small.sku, small.options, small.quantity, small.weight_grams) == ("SHIRT-S", {"Size": "S"}, 2, 300)
    assert (medium.sku_derived, medium.options, medium.quantity, medium.weight_grams) == (True, {"Size": "M"}, 0, 400)
    assert [(p.line, p.column, p.severity) for p in catalogue.report.problems] == [(5, "Stock", "warning")]


def test_a_parent_without_sku_is_found_by_its_id() -> None:
    catalogue, (shirt,) = read(SHIRT | {"SKU": ""}, variation("11", "S", Parent="id:10"))
    assert shirt.key == "id:10"
    assert len(shirt.variants) == 1
    assert catalogue.report.rejected == 0


def test_what_is_not_goods_of_ours_is_rejected_with_the_reason() -> None:
    catalogue, products = read(
        MUG,
        MUG | {"ID": "8", "SKU": "SET", "Type": "grouped"},
        MUG | {"ID": "9", "SKU": "AFF", "Type": "external"},
        variation("11", "S", Parent="NOWHERE"),
        variation("12", "S", Parent=""),
        SHIRT,
        MUG | {"ID": "14", "SKU": "NAMELESS", "Name": ""},
        MUG | {"ID": "15", "SKU": "FREE", "Regular price": ""},
    )
    assert [p.key for p in products] == ["MUG"]
    assert sorted((p.line, p.column) for p in catalogue.report.problems) == [
        (3, "Type"),
        (4, "Type"),
        (5, "Parent"),
        (6, "Parent"),
        (7, "Type"),
        (8, "Name"),
        (9, "Regular price"),
    ]


def test_a_second_product_with_the_same_sku_is_rejected() -> None:
    catalogue, products = read(MUG, MUG | {"ID": "8", "Name": "Other mug"})
    assert [p.title for p in products] == ["Mug"]
    assert "line 2" in catalogue.report.problems[0].reason


def test_a_sale_price_counts_only_while_it_runs() -> None:
    today = datetime.now(UTC).date()
    past, future = str(today - timedelta(days=2)), str(today + timedelta(days=2))
    catalogue, products = read(
        MUG | {"ID": "1", "SKU": "A", "Sale price": "7,50"},
        MUG | {"ID": "2", "SKU": "B", "Sale price": "7,50", "Date sale price ends": past},
        MUG | {"ID": "3", "SKU": "C", "Sale price": "7,50", "Date sale price starts": future},
        MUG
        | {"ID": "4", "SKU": "D", "Sale price": "7,50", "Date sale price starts": past, "Date sale price ends": future},
        MUG | {"ID": "5", "SKU": "E", "Sale price": "12,00"},
    )
    prices = {
        p.key: (v.price.amount_minor, v.compare_at and v.compare_at.amount_minor) for p in products for v in p.variants
    }
    assert prices == {"A": (750, 990), "B": (990, None), "C": (990, None), "D": (750, 990), "E": (990, None)}
    assert catalogue.report.rejected == 0


def test_stock_kept_on_the_parent_is_not_multiplied() -> None:
    parent = SHIRT | {"Stock": "5"}
    _, (alone,) = read(parent, variation("11", "S", Stock="parent"))
    assert alone.variants[0].quantity == 5
    catalogue, (shared,) = read(parent, variation("11", "S", Stock="parent"), variation("12", "M", Stock="parent"))
    assert [v.quantity for v in shared.variants] == [None, None]
    assert catalogue.report.warnings == 2


def test_guards_against_formulas_are_taken_off_again() -> None:
    _, (product,) = read(MUG | {"Name": "'=1+1", "SKU": "'-X", "Description": "'@home"})
    assert (product.title, product.variants[0].sku, product.description_html) == ("=1+1", "-X", "@home")


def test_a_weight_always_has_a_point_whatever_the_prices_use() -> None:
    _, (product,) = read(MUG | {"Weight (kg)": "1.250"})
    assert product.variants[0].weight_grams == 1250


def test_private_and_draft_products_are_not_published() -> None:
    _, products = read(*(MUG | {"SKU": f"M{value}", "ID": "", "Published": value} for value in ("1", "0", "-1", "")))
    assert [p.published for p in products] == [True, False, False, None]
