"""The rule behind re-imports, tried on any history: figures from files, sales, cancellations and shipments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.services.catalogue.difference import VariantPlan
from flipsync.services.catalogue.model import VariantDraft
from flipsync.services.catalogue.report import ImportReport
from flipsync.services.catalogue.stock_difference import Quantities, StockPlan, may_move, plan_stock
from flipsync.store.models import StockItem
from flipsync.store.repositories.catalogue import KnownStock

VARIANT = new_id()


class Shelf:
    """One variant's books, kept as the ledger keeps them."""

    def __init__(self) -> None:
        self.item: StockItem | None = None
        self.imported: int | None = None
        self.known = self.moved = False
        self.sold = 0

    def bring(self, quantity: int | None, quantities: Quantities = "difference") -> StockPlan:
        draft = VariantDraft("A", False, {}, usd("9"), 2, quantity=quantity)
        variant = VariantPlan(draft, VARIANT, self.known, {}, None, self.imported)
        stock = {VARIANT: KnownStock(self.item, False, self.moved)} if self.item else {}
        plan = plan_stock([variant], stock, quantities, ImportReport())
        if not self.known:
            self.item, self.known, self.imported = StockItem(on_hand=0, reserved=0, allocated=0), True, quantity
        self.imported = plan.imported.get(VARIANT, self.imported)
        assert self.item is not None
        for booking in plan.bookings:
            self.item.on_hand += booking.units
            self.moved = True
            assert self.item.on_hand == booking.target >= self.item.reserved
        return plan

    def reserve(self, units: int) -> None:
        if self.item is not None:
            self.item.reserved += min(units, self.item.on_hand - self.item.reserved)

    def ship(self) -> None:
        if self.item is not None:
            self.sold += self.item.reserved
            self.item.on_hand -= self.item.reserved
            self.item.reserved = 0


FIGURES = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(st.tuples(st.just("bring"), FIGURES), st.tuples(st.just("reserve"), FIGURES), st.tuples(st.just("ship"))),
    max_size=12,
)


def history(steps: list[tuple[str, int] | tuple[str]]) -> Shelf:
    shelf = Shelf()
    shelf.bring(5)
    for step in steps:
        getattr(shelf, step[0])(*step[1:])
    return shelf


@given(STEPS, FIGURES)
def test_after_any_history_a_file_leaves_what_it_says_less_what_was_sold(
    steps: list[tuple[str, int] | tuple[str]], figure: int
) -> None:
    shelf = history(steps)
    shelf.bring(figure)
    assert shelf.item is not None
    assert shelf.item.on_hand == max(figure - shelf.sold, shelf.item.reserved)


@given(STEPS, FIGURES)
def test_the_same_file_again_books_nothing_whatever_is_sold(
    steps: list[tuple[str, int] | tuple[str]], sales: int
) -> None:
    shelf = history(steps)
    figure = shelf.imported
    shelf.reserve(sales)
    shelf.ship()
    assert shelf.bring(figure).bookings == []


def test_a_figure_that_did_not_change_is_not_even_looked_up() -> None:
    draft = VariantDraft("A", False, {}, usd("9"), 2, quantity=5)
    same, other = (VariantPlan(draft, VARIANT, True, {}, None, last) for last in (5, 4))
    assert [may_move(v, "difference") for v in (same, other)] == [False, True]
    assert [may_move(same, mode) for mode in ("count", "first")] == [True, False]


def test_more_units_than_a_shelf_can_hold_are_a_warning() -> None:
    shelf = Shelf()
    shelf.bring(5)
    assert shelf.item is not None
    shelf.item.on_hand = 9_999_999
    plan = shelf.bring(7)
    assert (plan.bookings, plan.imported) == ([], {})
