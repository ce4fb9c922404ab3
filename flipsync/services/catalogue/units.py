"""Quantities, weights in grams, tax rates and barcodes as catalogue files write them."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from flipsync.services.catalogue.model import CellRefusedError
from flipsync.services.catalogue.numbers import DecimalMark, read_decimal

#: Grams in one unit. Pound and ounce are the international avoirdupois ones (NIST Handbook 44, appendix C), exact.
GRAMS: dict[str, Decimal] = {
    "mg": Decimal("0.001"),
    "g": Decimal(1),
    "kg": Decimal(1000),
    "t": Decimal(1_000_000),
    "oz": Decimal("28.349523125"),
    "lb": Decimal("453.59237"),
    "st": Decimal("6350.29318"),
}
_UNIT_NAMES = {
    **{unit: unit for unit in GRAMS},
    "gr": "g",
    "gram": "g",
    "grams": "g",
    "gramme": "g",
    "grammes": "g",
    "gms": "g",
    "kgs": "kg",
    "kilo": "kg",
    "kilos": "kg",
    "kilogram": "kg",
    "kilograms": "kg",
    "lbs": "lb",
    "pound": "lb",
    "pounds": "lb",
    "ounce": "oz",
    "ounces": "oz",
    "ozs": "oz",
    "milligram": "mg",
    "milligrams": "mg",
    "stone": "st",
    "tonne": "t",
    "tonnes": "t",
}
_WEIGHT = re.compile(r"(?P<number>[-+]?[0-9.,][0-9.,\s\u00a0\u202f']*?)\s*(?P<unit>[a-zA-Z]*)\.?")
_PLAIN_QUANTITY = re.compile(r"-?[0-9]{1,15}(?:[.,]0+)?", re.ASCII)
_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]{1,3}", re.ASCII)
_BARCODE_DECORATION = re.compile(r"[-\s\u2010-\u2013]+")
_BARCODE_LENGTHS = frozenset({8, 12, 13, 14})


def weight_unit(name: str) -> str | None:
    """The unit's symbol ("kg") for a name as files write it ("Kilograms"), None when it is not a unit of weight."""
    return _UNIT_NAMES.get(name.strip().rstrip(".").casefold())


def read_weight(text: str, unit: str | None, mark: DecimalMark | None, *, max_grams: int) -> int | None:
    """Whole grams, half up; a unit in the cell wins over `unit`. None for zero, which means "not weighed".

    Raises CellRefusedError.
    """
    match = _WEIGHT.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise CellRefusedError("not a weight")
    if match["unit"]:
        unit = weight_unit(match["unit"])
        if unit is None:
            raise CellRefusedError(f"{match['unit']} is not a unit of weight: write g, kg, oz or lb")
    number = read_decimal(match["number"].strip(), mark)
    if number == 0:
        return None
    if number < 0:
        raise CellRefusedError("negative")
    if unit is None:
        raise CellRefusedError("a weight without its unit: write g, kg, oz or lb in the cell or the header")
    grams = (number * GRAMS[unit]).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    if grams > max_grams:
        raise CellRefusedError(f"more than {max_grams:,} grams")
    return max(1, int(grams))


def read_quantity(text: str, mark: DecimalMark | None, *, maximum: int) -> int:
    """Whole units, possibly negative. Raises CellRefusedError."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        quantity = int(text)
    elif _PLAIN_QUANTITY.fullmatch(text):
        quantity = int(text.replace(",", ".").partition(".")[0])
    else:
        number = read_decimal(text, mark)
        if number != number.to_integral_value():
            raise CellRefusedError("not a whole number of units")
        quantity = int(number)
    if abs(quantity) > maximum:
        raise CellRefusedError(f"more than {maximum:,} units")
    return quantity


def read_percent(text: str, mark: DecimalMark | None) -> Decimal:
    """A tax rate in percent: "20", "20%" and the fraction "0.2" are all 20. Raises CellRefusedError."""
    bare = text.rstrip("%").rstrip()
    rate = read_decimal(bare, mark)
    if bare == text and 0 < rate < 1:
        rate *= 100
    if not 0 <= rate <= 100:
        raise CellRefusedError("not between 0 and 100 percent")
    return rate.normalize() if rate else Decimal(0)


def looks_scientific(text: str) -> bool:
    """True for "9.78E+12": a spreadsheet has thrown the last digits away."""
    return _SCIENTIFIC.fullmatch(text) is not None


def read_barcode(text: str) -> str:
    """A GTIN-8, -12, -13 or -14 with a valid check digit; an ISBN-10 becomes its ISBN-13. Raises CellRefusedError."""
    digits = text if text.isdigit() else _BARCODE_DECORATION.sub("", text.lstrip("'"))
    if digits.endswith(".0"):  # a spreadsheet took it for a number, but kept every digit
        digits = digits[:-2]
    if not digits.isascii() or not (digits.isdigit() or (len(digits) == 10 and digits[:9].isdigit())):
        raise CellRefusedError("not a GTIN, UPC, EAN or ISBN: left out")
    if len(digits) == 10:
        return _isbn13(digits.upper())
    if len(digits) not in _BARCODE_LENGTHS:
        raise CellRefusedError(
            f"{len(digits)} digits; barcodes have 8, 12, 13 or 14 (a spreadsheet drops leading zeros): left out"
        )
    if check_digit(digits[:-1]) != digits[-1]:
        raise CellRefusedError("the barcode's check digit is wrong: left out")
    return digits


def check_digit(payload: str) -> str:
    """The last digit of a GTIN (GS1 General Specifications, 7.9: weights 3 and 1 from the right)."""
    digits = payload.encode("ascii")
    thrice, once = digits[::-2], digits[-2::-2]
    total = 3 * sum(thrice) + sum(once) - ord("0") * (3 * len(thrice) + len(once))
    return str(-total % 10)


def _isbn13(isbn10: str) -> str:
    values = [10 if c == "X" else int(c) if c.isdigit() else -1 for c in isbn10]
    if -1 in values or sum((10 - i) * value for i, value in enumerate(values)) % 11:
        raise CellRefusedError("the ISBN's check digit is wrong: left out")
    payload = "978" + isbn10[:9]
    return payload + check_digit(payload)
