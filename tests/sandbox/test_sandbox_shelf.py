"""Whatever sellers and buyers do on the marketplace, nobody buys what is not there and no unit gets lost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flipsync.sandbox import audit
from flipsync.sandbox.app import Sandbox, SandboxConfig
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Listing, Order

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
SKUS = st.sampled_from(["A", "B"])


class Shelf(RuleBasedStateMachine):
    """Compares the marketplace with plain arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = Sandbox(SandboxConfig(start_ms=1_772_460_000_000))
        self.books = self.sandbox.books
        self.orders = self.sandbox.market.orders
        self.units = {"A": 3, "B": 0}
        self.open: list[int] = []
        with self.books.transaction():
            for number, (sku, units) in enumerate(self.units.items(), 1):
                self.books.add_listing(Listing(number, "custom", sku, sku, "active", 1000, units, 0, 0, 0, {}), "test")

    def teardown(self) -> None:
        self.books.close()

    @rule(sku=SKUS, quantity=st.integers(1, 5))
    def buy(self, sku: str, quantity: int) -> None:
        placed = self.sandbox.market.place("custom", sku, quantity, BUYER)
        assert isinstance(placed, Order) == (self.units[sku] >= quantity)
        if isinstance(placed, Order):
            self.units[sku] -= quantity
            self.open.append(placed.id)

    @rule(sku=SKUS, quantity=st.integers(0, 8))
    def set_quantity(self, sku: str, quantity: int) -> None:
        listing = self.books.listing_by_sku("custom", sku)
        assert listing is not None
        with self.books.transaction():
            self.books.set_stock(listing, quantity, "set by seller", "test")
        self.units[sku] = quantity

    @precondition(lambda self: self.open)
    @rule(data=st.data(), restock=st.booleans(), units=st.integers(1, 9))
    def refund(self, data: st.DataObject, restock: bool, units: int) -> None:
        order = self.books.order(data.draw(st.sampled_from(self.open)))
        assert order is not None
        line = order.lines[0]
        back = min(units, line.quantity - line.restocked) if restock and order.holds_stock else 0
        with self.books.transaction():
            self.orders.refund(order, {line.id: (units, 0)}, 0, "test", restock=restock)
            self.books.save_order(order)
        self.units[line.sku] += back

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order = self.books.order(data.draw(st.sampled_from(self.open)))
        assert order is not None
        line = order.lines[0]
        held = line.quantity - line.restocked if order.holds_stock else 0
        with self.books.transaction():
            self.orders.give_back(order, "cancellation")
            order.status = "cancelled"
            self.books.save_order(order)
        self.units[line.sku] += held

    @invariant()
    def shelf_is_as_it_should_be(self) -> None:
        shown = {row.sku: row.quantity for row in self.books.listings("channel = 'custom'", ())}
        assert shown == self.units
        assert min(shown.values()) >= 0  # type: ignore[type-var]
        assert audit.inconsistencies(self.books) == []


TestShelf = Shelf.TestCase
TestShelf.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
