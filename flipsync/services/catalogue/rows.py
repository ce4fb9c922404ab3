"""From the cells of one row to a VariantDraft: what every format has in common."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from flipsync.domain.money import Money
from flipsync.services.catalogue.columns import AMOUNT_ROLES, Layout
from flipsync.services.catalogue.model import CellRefusedError, Limits, ProductDraft, VariantDraft
from flipsync.services.catalogue.numbers import AmountReader, DecimalMark, Evidence
from flipsync.services.catalogue.report import ImportReport
from flipsync.services.catalogue.sanitise import derived_sku, image_url, plain, safe_html
from flipsync.services.catalogue.units import (
    looks_scientific,
    read_barcode,
    read_percent,
    read_quantity,
    read_weight,
    weight_unit,
)

#: Columns whose numbers share the decimal mark of money; weights may come from another exporter routine.
EVIDENCE_ROLES = (*AMOUNT_ROLES, "quantity", "vat")


class RowRefusedError(Exception):
    """The row cannot be imported; says which role's cell is to blame."""

    def __init__(self, role: str, reason: str, value: str = "") -> None:
        super().__init__(reason)
        self.role = role
        self.reason = reason
        self.value = value


class OpenProduct:
    """A product some of whose rows have been read.

    Rows that came before the one with the title are `waiting`; `complete` says that no more rows will come.
    """

    __slots__ = (
        "combinations",
        "complete",
        "draft",
        "images",
        "option_names",
        "refused",
        "shared_condition",
        "shared_stock",
        "shared_weight",
        "waiting",
    )

    def __init__(self, key: str, line: int) -> None:
        self.draft = ProductDraft(key, "", "", "", "", (), (), (), None, line)
        self.images: dict[str, None] = {}
        self.option_names: list[str] = []
        self.combinations: dict[tuple[tuple[str, str], ...], int] = {}
        self.refused = ""
        self.shared_condition: str | None = None
        self.shared_stock = ""
        self.shared_weight = ""
        self.waiting: list[tuple[int, list[str]]] = []
        self.complete = False

    def must_wait(self, line: int, row: list[str]) -> bool:
        """Whether the row has to wait for the one that names the product; if so it is kept."""
        if self.draft.title or self.refused or self.complete:
            return False
        self.waiting.append((line, row))
        return True

    def finish(self) -> ProductDraft | None:
        """The product, or None when nothing of it can be sold."""
        draft = self.draft
        if not draft.variants:
            return None
        draft.images = tuple(self.images)
        draft.option_names = tuple(name for name in self.option_names if any(name in v.options for v in draft.variants))
        return draft


class RowReader:
    """Reads the cells every format shares, reporting what is left out and refusing what would be sold wrongly."""

    def __init__(
        self,
        layout: Layout,
        currency: str,
        evidence: Evidence,
        weight_mark: DecimalMark | None,
        limits: Limits,
        report: ImportReport,
        default_cost_ratio: Decimal | None,
    ) -> None:
        self.layout = layout
        self.currency = currency
        self.limits = limits
        self.report = report
        self._cost_ratio = default_cost_ratio
        self._amounts = {
            role: AmountReader(currency, evidence.mark(layout.at(role)), max_minor=limits.max_amount_minor)
            for role in AMOUNT_ROLES
        }
        self._quantity_mark = evidence.mark(layout.at("quantity"))
        self._vat_mark = evidence.mark(layout.at("vat"))
        self._weight_mark = weight_mark
        self._weights: dict[tuple[str, str | None], int | None] = {}
        self._sku_lines: dict[str, int] = {}
        self._images: dict[str, str] = {}
        at = layout.at
        self._sku, self._quantity, self._barcode = at("sku"), at("quantity"), at("barcode")
        self._weight, self._weight_unit, self._vat = at("weight"), at("weight_unit"), at("vat")
        self._currency, self._condition = at("currency"), at("condition")
        self._cost, self._floor, self._ceiling = at("cost"), at("floor"), at("ceiling")

    # -- cells ---------------------------------------------------------------------------------------------------

    def amount(self, role: str, text: str) -> Money | None:
        """Blank is None, never zero. Raises RowRefusedError: a wrong amount costs money."""
        text = text.strip()
        if not text:
            return None
        try:
            return self._amounts[role](text)
        except CellRefusedError as error:
            raise RowRefusedError(role, str(error), text) from error

    def margin(self, role: str, text: str, line: int) -> Money | None:
        """A cost or bound. Zero proves nothing (exporters write it for "not entered"), so it is left out, warned."""
        money = self.amount(role, text)
        if money is not None and not money:
            self.report.warn(line, self.layout.name(role), "zero: taken as not known", text)
            return None
        return money

    def price(self, role: str, text: str) -> Money:
        money = self.amount(role, text)
        if money is None:
            raise RowRefusedError(role, "no price: blank is not zero, so this cannot be sold")
        if not money:
            raise RowRefusedError(role, "a price of zero", text)
        return money

    def text(self, role: str, value: str, line: int, limit: int = 0) -> str:
        """One line of plain text, cut to `limit` characters with a warning."""
        limit = limit or self.limits.max_text_chars
        text = plain(value)
        if len(text) > limit:
            self.report.warn(line, self.layout.name(role), f"longer than {limit} characters: cut", text)
            text = text[:limit].rstrip()
        return text

    def html(self, value: str, line: int) -> str:
        limit = self.limits.max_description_chars
        if len(value) > limit:
            self.report.warn(line, self.layout.name("description"), f"longer than {limit:,} characters: cut", value)
            value = value[:limit]
        return safe_html(value)

    def image(self, text: str, line: int, column: int) -> str | None:
        """A usable image address; anything but http and https is left out with a warning."""
        text = text.strip()
        if not text:
            return None
        url = image_url(text)
        if url is None:
            self.report.warn(line, self.layout.header[column], "not an http or https address: image left out", text)
        return url

    def add_images(self, product: OpenProduct, texts: Sequence[str], line: int, column: int) -> None:
        for text in texts:
            url = self.image(text, line, column)
            if url is None or url in product.images:
                continue
            if len(product.images) >= self.limits.max_images:
                self.report.warn(line, self.layout.header[column], "too many images: left out", url)
                return
            product.images[url] = None

    def tags(self, text: str, line: int) -> tuple[str, ...]:
        if not text:
            return ()
        tags = dict.fromkeys(tag[: self.limits.max_text_chars] for part in text.split(",") if (tag := plain(part)))
        if len(tags) > self.limits.max_tags:
            self.report.warn(
                line, self.layout.name("tags"), f"more than {self.limits.max_tags} tags: the rest left out"
            )
        return tuple(tags)[: self.limits.max_tags]

    def quantity(self, text: str, line: int) -> int | None:
        """Units on hand. Negative means oversold: nothing is on the shelf, so it becomes zero with a warning."""
        text = text.strip()
        if not text:
            return None
        try:
            quantity = read_quantity(text, self._quantity_mark, maximum=self.limits.max_quantity)
        except CellRefusedError as error:
            raise RowRefusedError("quantity", str(error), text) from error
        if quantity < 0:
            column = self.layout.name("quantity")
            self.report.warn(line, column, "negative stock (oversold): imported as none on hand", text)
            return 0
        return quantity

    def barcode(self, text: str, line: int) -> str | None:
        text = text.strip()
        if not text:
            return None
        if looks_scientific(text):
            raise RowRefusedError("barcode", "scientific notation: a spreadsheet has damaged this barcode", text)
        try:
            return read_barcode(text)
        except CellRefusedError as error:
            self.report.warn(line, self.layout.name("barcode"), str(error), text)
            return None

    def weight(self, text: str, unit_text: str, line: int) -> int | None:
        text = text.strip()
        if not text:
            return None
        unit = self.layout.default_weight_unit or weight_unit(unit_text)
        try:
            return self._weights[text, unit]
        except KeyError:
            pass
        try:
            grams = read_weight(text, unit, self._weight_mark, max_grams=self.limits.max_weight_grams)
        except CellRefusedError as error:
            self.report.warn(line, self.layout.name("weight"), f"{error}: weight left out", text)
            return None
        if len(self._weights) < 50_000:
            self._weights[text, unit] = grams
        return grams

    # -- rows ----------------------------------------------------------------------------------------------------

    def variant(
        self,
        row: list[str],
        line: int,
        product: OpenProduct,
        options: dict[str, str],
        price: Money,
        compare_at: Money | None,
        quantity_text: str | None = None,
    ) -> VariantDraft:
        """Read what the row says of one variant and add it to the product. Raises RowRefusedError."""
        report, draft = self.report, product.draft
        if len(draft.variants) >= self.limits.max_variants_per_product:
            raise RowRefusedError("key", f"the product has more than {self.limits.max_variants_per_product:,} variants")
        self._check_currency(row)
        combination = tuple(options.items())
        sku, derived = self._sku_of(row, product, combination)
        variant = VariantDraft(sku, derived, options, price, line, compare_at=compare_at)
        if compare_at is not None and compare_at.amount_minor <= price.amount_minor:
            variant.compare_at = None
        variant.quantity = self.quantity(row[self._quantity] if quantity_text is None else quantity_text, line)
        variant.barcode = self.barcode(row[self._barcode], line)
        variant.weight_grams = self.weight(row[self._weight], row[self._weight_unit], line)
        self._read_margins(row, line, variant)
        condition = row[self._condition].strip()
        variant.condition = self.text("condition", condition, line) if condition else product.shared_condition
        first = product.combinations.setdefault(combination, line)
        if first != line:
            report.warn(line, "", f"the same options as line {first}, but another SKU")
        self._sku_lines[sku] = line
        draft.variants.append(variant)
        report.variants += 1
        report.skus_derived += derived
        report.costs_assumed += variant.cost_assumed
        report.without_cost += variant.cost is None
        report.without_quantity += variant.quantity is None
        return variant

    def _check_currency(self, row: list[str]) -> None:
        stated = row[self._currency].strip()
        if stated and stated.upper() != self.currency:
            raise RowRefusedError("currency", f"priced in another currency than {self.currency}", stated)

    def _sku_of(
        self, row: list[str], product: OpenProduct, combination: tuple[tuple[str, str], ...]
    ) -> tuple[str, bool]:
        sku = plain(row[self._sku])
        derived = not sku
        if derived:
            sku = derived_sku(product.draft.key, combination)
        elif len(sku) > self.limits.max_sku_chars:
            raise RowRefusedError("sku", f"a SKU of more than {self.limits.max_sku_chars} characters", sku)
        elif looks_scientific(sku) and ("+" in sku or "." in sku or "," in sku):
            raise RowRefusedError("sku", "scientific notation: a spreadsheet has damaged this SKU", sku)
        first = self._sku_lines.get(sku)
        if first is not None:
            if derived:
                raise RowRefusedError("sku", f"no SKU, and the same product and options as line {first}")
            raise RowRefusedError("sku", f"the SKU is already used on line {first}", sku)
        return sku, derived

    def _read_margins(self, row: list[str], line: int, variant: VariantDraft) -> None:
        price = variant.price
        cost = self.margin("cost", text, line) if (text := row[self._cost]) else None
        if cost is None and self._cost_ratio is not None:
            cost = price.times(self._cost_ratio) or None  # never zero, however small the price
            variant.cost_assumed = cost is not None
        variant.cost = cost
        floor = variant.floor = self.margin("floor", text, line) if (text := row[self._floor]) else None
        ceiling = variant.ceiling = self.margin("ceiling", text, line) if (text := row[self._ceiling]) else None
        if vat := row[self._vat].strip():
            try:
                variant.vat_percent = read_percent(vat, self._vat_mark)
            except CellRefusedError as error:
                raise RowRefusedError("vat", str(error), vat) from error
        if floor is None and ceiling is None:
            return
        if floor is not None and ceiling is not None and floor > ceiling:
            raise RowRefusedError("floor", f"the floor is above the ceiling ({ceiling})", str(floor))
        if floor is not None and price < floor:
            self.report.warn(line, self.layout.name("floor"), f"the price ({price}) is below its floor", str(floor))
        if ceiling is not None and price > ceiling:
            self.report.warn(
                line, self.layout.name("ceiling"), f"the price ({price}) is above its ceiling", str(ceiling)
            )
