"""The channel watch on observations written by hand: each cause by its own signs, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flipsync.connectors.witness import CallSeen
from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, ListingState, WebhookNotice, WebhookSubscription
from flipsync.domain.channel_fault import CAUSES
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import Money
from flipsync.services.watch import ChannelWatch, Expected
from flipsync.services.watch.memory import Heard, LimitTold

START = datetime(2026, 3, 2, 14, tzinfo=UTC)
URL = "https://api.example/hook"


def dollars(minor: int, currency: str = "USD") -> Money:
    return Money(amount_minor=minor, currency=currency)


class World:
    """A watch, a clock moved by hand, and three listings with ten units each at 20.00."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.watch = ChannelWatch(lambda: START.timestamp() + self.seconds)
        self.memory = self.watch.memory
        self.memory.expects_webhooks, self.memory.callback_url = True, URL
        self.books = {name: Expected(f"SKU-{name}", 10, dollars(2000)) for name in "abc"}
        self.shown: dict[str, dict[str, Any]] = {name: {} for name in "abc"}
        self.look()
        self.passes(20)

    def passes(self, seconds: float) -> World:
        self.seconds += seconds
        return self

    def state(self, name: str) -> ListingState | None:
        fields = {
            "external_id": name,
            "sku": f"SKU-{name}",
            "title": f"Title {name}",
            "status": "active",
            "price": dollars(2000),
            "quantity": 10,
            "group_external_id": "group",
        } | self.shown[name]
        return None if fields["status"] == "gone" else ListingState(**fields)

    def look(self) -> World:
        """Read the whole list, and each listing."""
        self.memory.expects(dict(self.books))
        states = [state for name in self.shown if (state := self.state(name)) is not None]
        self.memory.walked_listings(states)
        for name in self.shown:
            self.memory.looked(name, self.state(name))
        return self

    def call(self, status: int | None = 200, **more: Any) -> World:
        self.memory.saw_call(CallSeen(path="/listings", writes=False, status=status, **more))
        return self

    def refused(self, status: int, message: str = "", **more: Any) -> World:
        return self.call(status, message=message, auth=True, **more)

    def writes(self, name: str, quantity: int, *, answered: bool = True) -> World:
        """We write a quantity; what the channel shows is for the test to say."""
        state = self.state(name)
        before = None if state is None else state.quantity
        error = None if answered else OutcomeUnknown("no answer in time")
        self.memory.wrote(name, "quantity", quantity, before, error)
        self.books[name] = Expected(f"SKU-{name}", quantity, dollars(2000))
        self.memory.expects(dict(self.books))
        return self

    def sale(self, name: str, *, shows: bool = True) -> World:
        """A unit is sold, and we are told at once."""
        row = self.books[name]
        assert row.quantity is not None
        self.books[name] = Expected(row.sku, row.quantity - 1, row.price)
        if shows:
            self.shown[name]["quantity"] = row.quantity - 1
        self.memory.expects(dict(self.books))
        return self

    def order(self, key: str, *, sku: str = "SKU-a", currency: str = "USD") -> ChannelOrder:
        now = START + timedelta(seconds=self.seconds)
        line = ChannelOrderLine(
            external_id="1", listing_external_id="a", sku=sku, title="", quantity=1,
            total=dollars(2000, currency), tax=dollars(0, currency),
        )  # fmt: skip
        return ChannelOrder(
            external_id=key, number=key, status="paid", vendor_status="paid", holds_stock=True, placed_at=now,
            modified_at=now, currency=currency, lines=(line,), shipping=dollars(0, currency), tax=dollars(0, currency),
            total=dollars(2000, currency),
        )  # fmt: skip

    def hears(self, key: str, *, ago: float = 0.0, dedup: str = "") -> World:
        changed = START + timedelta(seconds=self.seconds - ago)
        notice = WebhookNotice(
            kind="order", topic="order.created", resource_id=key, dedup_key=dedup or key, modified_at=changed
        )
        self.memory.hears(notice)
        return self

    def trouble(self, kind: Any) -> World:
        self.memory.arrived(Heard(self.memory.now(), trouble=kind))
        return self

    def subscribed(self, *topics: str, active: bool = True, url: str = URL) -> World:
        rows = [WebhookSubscription(external_id="1", topic=topic, url=url, active=active) for topic in topics]
        self.memory.saw_subscriptions(rows)
        return self

    def lists(self, *orders: ChannelOrder) -> World:
        self.memory.listed_orders(self.memory.began, orders)
        return self

    @property
    def causes(self) -> list[str]:
        return [finding.cause for finding in self.watch.findings()]


def test_nothing_is_found_where_all_is_well() -> None:
    world = World().subscribed("order.created", "listing.updated")
    for minute in range(60):
        order = world.order(f"o{minute}")
        world.hears(order.external_id).sale("a").call(skew=1.5).passes(20)
        world.lists(order).look().subscribed("order.created", "listing.updated")
        if minute % 5 == 0:
            world.writes("b", 20 - minute % 7)
            world.shown["b"]["quantity"] = 20 - minute % 7
            world.passes(2).look()
        assert world.causes == [], f"after {minute} looks"
        if world.books["a"].quantity == 1:
            world.writes("a", 10)
            world.shown["a"]["quantity"] = 10


def test_a_sale_that_we_have_not_been_told_of_yet_is_no_fault() -> None:
    world = World()
    world.shown["a"]["quantity"] = 9
    assert world.look().causes == []


def test_one_failed_call_is_no_fault() -> None:
    assert World().call(503).call(200).causes == []
    assert World().call(429).call(200).causes == []


def token(world: World, status: int = 200, code: str = "") -> World:
    world.memory.saw_call(CallSeen(path="/token", writes=False, token=True, status=status, code=code))
    return world


AUTH: dict[str, Callable[[World], World]] = {
    "token-expired": lambda w: token(w.refused(403, "The access token has expired")).call(),
    "access-ended": lambda w: w.refused(401, "The access token has expired"),
    "access-revoked": lambda w: token(w.refused(401, "Invalid access token"), 400, "invalid_grant"),
    "secret-rotated": lambda w: token(w.refused(401, "Invalid access token"), 401, "invalid_client"),
    "scope-lost": lambda w: w.call().refused(403, "Insufficient permissions to fulfill the request.").call(),
    "account-suspended": lambda w: w.refused(402, "Unavailable Shop"),
    "token-endpoint-down": lambda w: token(w.refused(401, "Invalid access token"), 503),
}
ANSWERS: dict[str, Callable[[World], World]] = {
    "address-moved": lambda w: w.call(301),
    "channel-down": lambda w: w.call(502).call(502),
    "channel-maintenance": lambda w: w.call(503, page="scheduled maintenance").call(503, page="scheduled maintenance"),
    "firewall-blocks": lambda w: w.refused(403, page="<title>Access denied</title> blocked"),
    "not-the-api": lambda w: w.call(200, trouble="unusable", page="<title>Just a moment...</title>"),
    "schema-changed": lambda w: w.call(200, trouble="unusable").call(200, trouble="unusable"),
    "clock-skewed": lambda w: w.call(skew=600.0).call(skew=600.0),
    "limit-lower": lambda w: w.call(429, after=1.0).call().call(429, after=1.0).call().call(429, after=1.0),
    "quota-gone": lambda w: w.call(429, after=28_800.0),
}
DELIVERY: dict[str, Callable[[World], World]] = {
    "webhooks-missing": lambda w: w.subscribed("order.created").subscribed("order.created", url="https://other"),
    "webhook-topic-missing": lambda w: w.subscribed("order.created", "listing.updated").subscribed("listing.updated"),
    "webhooks-paused": lambda w: w.subscribed("order.created").subscribed("order.created", active=False),
    "webhooks-forged": lambda w: w.hears("1").trouble("forged").hears("2").trouble("forged"),
    "webhook-secret-changed": lambda w: w.hears("1").passes(5).trouble("forged").passes(2).trouble("forged"),
    "webhooks-garbled": lambda w: w.trouble("garbled"),
    "webhooks-late": lambda w: w.hears("1", ago=30),
    "webhooks-reordered": lambda w: w.hears("1").hears("2", ago=5).hears("3").hears("4", ago=5),
    "webhooks-duplicated": lambda w: w.hears("1").hears("1").hears("1").hears("2").hears("2"),
    "webhooks-replayed": lambda w: w.hears("1").hears("2").passes(30).hears("1").hears("2"),
    "queue-gone": lambda w: w.call(400, code="QueueDoesNotExist"),
    "queue-denied": lambda w: w.refused(403, code="InvalidClientTokenId"),
}


@pytest.mark.parametrize(("cause", "signs"), [*AUTH.items(), *ANSWERS.items(), *DELIVERY.items()])
def test_signs_that_come_by_themselves(cause: str, signs: Callable[[World], World]) -> None:
    assert signs(World()).causes == [cause]


def test_what_blinds_us_hides_the_rest() -> None:
    world = World().refused(401, "unknown token")
    world.shown["a"]["status"] = "gone"
    assert world.look().causes == ["access-revoked"]
    assert CAUSES["access-revoked"].blinds


def test_a_graph_that_denies_access_with_http_200() -> None:
    world = World().call()
    denied = Rejected("Access denied for orders field.", vendor_code="ACCESS_DENIED", vendor_status=200, auth=True)
    world.memory.failed(denied, wrote=False)
    assert world.call().causes == ["scope-lost"]


def test_silent_and_lossy_webhooks() -> None:
    silent = World()
    orders = [silent.passes(5).order(f"o{n}") for n in range(3)]
    assert silent.passes(5).lists(*orders).causes == []
    assert silent.passes(40).lists(*orders).causes == ["webhooks-silent"]
    lossy = World()
    orders = [lossy.passes(5).order(f"o{n}") for n in range(6)]
    for order in orders[1::2]:
        lossy.memory.arrived(Heard(order.placed_at.timestamp(), order.external_id, True, order.placed_at.timestamp()))
    assert lossy.passes(45).lists(*orders).causes == ["webhooks-lossy"]


def shown_after(world: World, quantity: int) -> World:
    world.shown["a"]["quantity"] = quantity
    return world.passes(2).look()


def test_writes_that_are_not_done() -> None:
    world = World().writes("a", 4).passes(2).look()
    assert world.causes == [], "it may take a moment"
    assert world.passes(14).look().causes == [], "nothing else has moved: what is read may be old"
    assert world.sale("b").passes(2).look().causes == ["write-ignored"]
    still = World().writes("a", 4).passes(30).look()
    assert still.causes == ["write-ignored"], "but not as old as that"


@pytest.mark.parametrize(
    ("shown", "cause"), [(7, "write-half-applied"), (0, "write-applied-twice")], ids=["half", "twice"]
)
def test_writes_that_are_done_otherwise(shown: int, cause: str) -> None:
    world = shown_after(World().writes("a", 4 if cause == "write-half-applied" else 5), shown)
    if cause == "write-applied-twice":
        assert world.causes == [], "it may have been sold"
        world.passes(10).lists().passes(1).look()
    assert world.causes == [cause]


def test_writes_that_come_late_or_go_again() -> None:
    late = World().writes("a", 4).passes(2).look().passes(10)
    assert shown_after(late, 4).causes == ["write-delayed"]
    silent = World().writes("a", 4, answered=False).passes(2).look().passes(10)
    assert shown_after(silent, 4).causes == ["write-after-timeout"]
    reverted = shown_after(World().writes("a", 4), 4).passes(10)
    assert shown_after(reverted, 10).causes == ["write-reverted"]


def test_answers_that_are_lost() -> None:
    world = shown_after(World().writes("a", 4, answered=False), 4).writes("b", 6, answered=False)
    world.shown["b"]["quantity"] = 6
    assert world.passes(2).look().causes == ["answers-lost"]


def test_a_write_on_another_listing() -> None:
    world = World().writes("a", 4)
    world.shown["b"]["quantity"] = 4
    assert world.passes(2).look().causes == ["write-misplaced"]


def test_stock_that_sales_do_not_move_is_frozen() -> None:
    world = World().sale("a", shows=False).sale("b", shows=False).passes(10).look()
    assert world.causes == ["stock-frozen"]


def test_what_another_tool_changes() -> None:
    world = World()
    world.shown["a"]["quantity"] = 17
    assert world.look().passes(20).look().causes == ["stock-changed-elsewhere"]
    world = World()
    world.shown["a"]["price"] = dollars(1400)
    assert world.look().passes(20).look().causes == ["price-changed-elsewhere"]


def test_what_another_tool_changes_while_buyers_buy() -> None:
    """A difference that stays through sales is no less a difference."""
    world = World()
    world.shown["a"] = {"price": dollars(1400), "quantity": 10}
    for _ in range(3):
        assert world.causes == []
        world.look().passes(4).sale("a")
    assert world.look().causes == ["price-changed-elsewhere"]
    world = World()
    world.shown["a"]["quantity"] = 17
    for left in (16, 15, 14):
        assert world.causes == []
        world.look().passes(4).sale("a", shows=False)
        world.shown["a"]["quantity"] = left
    assert world.look().causes == ["stock-changed-elsewhere"]


@pytest.mark.parametrize("what", ["price", "quantity"])
def test_what_another_tool_changes_is_found_by_the_write_that_would_have_hidden_it(what: Any) -> None:
    world = World()
    world.memory.edited("a", what, 2000, 1400)
    assert world.causes == [f"{'price' if what == 'price' else 'stock'}-changed-elsewhere"]
    assert world.passes(300).look().causes == [], "and is told for a while"


def test_what_a_write_finds_and_our_own_writes_explain_is_nobody_elses_doing() -> None:
    world = World().writes("a", 4).passes(2)  # ignored, or not done yet
    world.memory.edited("a", "quantity", 4, 10)
    assert world.causes == []
    world = World().writes("a", 4)
    world.shown["a"]["quantity"] = 4
    world.passes(2).look()
    world.memory.edited("a", "quantity", 4, 10)
    assert world.causes == ["write-reverted"]
    world = World()
    world.memory.edited("a", "price", 2000, 200_000)
    assert world.causes == []


def test_prices_of_another_currency_and_scale() -> None:
    world = World()
    world.shown = {name: {"price": dollars(2000, "EUR")} for name in world.shown}
    assert world.look().causes == ["currency-wrong"]
    world.shown = {name: {"price": dollars(200_000)} for name in world.shown}
    assert world.look().causes == ["price-scale-wrong"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"status": "draft"}, "listing-suppressed"),
        ({"status": "ended"}, "listing-ended"),
        ({"status": "gone"}, "listing-gone"),
        ({"sku": "OTHER"}, "sku-changed"),
        ({"sku": "SKU-b", "external_id": "b"}, "listing-merged"),
        ({"title": "Cheap!"}, "title-rewritten"),
        ({"group_external_id": None}, "variation-split"),
        ({"quantity": None}, "stock-uncounted"),
    ],
)
def test_what_becomes_of_the_goods(change: dict[str, Any], cause: str) -> None:
    world = World()
    world.shown["a"] |= change
    assert world.look().causes == [cause]


def test_listings_that_are_all_gone_at_once_are_another_form_of_answer() -> None:
    world = World()
    world.shown = {name: {"status": "gone"} for name in world.shown}
    assert world.look().causes == ["schema-changed"]


def test_lists_that_leave_out_or_repeat() -> None:
    world = World()
    states = [state for name in "ab" if (state := world.state(name)) is not None]
    world.memory.walked_listings(states)
    world.memory.looked("c", world.state("c"))
    assert world.causes == ["list-truncated"]
    world.memory.walked_listings([states[0], states[1], states[0]])
    assert world.causes == ["list-page-repeated"]
    whole = [state for name in "abc" if (state := world.state(name)) is not None]
    world.memory.walked_listings([*whole, states[0].model_copy(update={"external_id": "twin"})])
    assert world.causes == ["listing-doubled"]


def test_what_was_listed_while_the_list_was_walked_is_not_missing_from_it() -> None:
    world = World()
    states = [state for name in "abc" if (state := world.state(name)) is not None]
    world.memory.walked_listings(states)
    world.books["d"], world.shown["d"] = Expected("SKU-d", 10, dollars(2000)), {}
    world.memory.expects(dict(world.books))
    world.memory.looked("d", world.state("d"))
    assert world.causes == []
    world.passes(20).memory.walked_listings(states)
    world.memory.looked("d", world.state("d"))
    assert world.causes == ["list-truncated"]


def test_orders_that_are_missing_strange_or_not_known() -> None:
    world = World()
    first, second = world.order("o1"), world.order("o2")
    world.hears("o1").hears("o2").passes(5).lists(first)
    assert world.memory.missing_from_list(world.memory.began, {"o1"}) == [], "lists may lag behind"
    world.passes(10).lists(first)
    assert world.memory.missing_from_list(world.memory.began, {"o1"}) == ["o2"]
    world.memory.orders_left_out["o2"] = world.memory.now()
    assert world.causes == ["orders-missing"]
    assert world.lists(first, second).causes == []
    assert world.lists().causes == ["order-list-empty"]
    world.lists(first, second, world.order("o3", sku="NOT-OURS"))
    assert world.causes == ["foreign-orders"]
    stale = World().hears("o1").passes(5)
    stale.memory.order_read("o1", known=False)
    assert stale.passes(10).causes == ["reads-stale"]


def test_limits_that_the_vendor_tells() -> None:
    def told(**more: Any) -> LimitTold:
        fields = {"rate": None, "burst": None, "left": None, "ours": 100.0} | more
        return LimitTold(START.timestamp() + 20, "graphql", 100.0, 2000.0, **fields)

    world = World()
    for _ in range(2):
        world.memory.told_limit(told(rate=20.0))
    assert world.causes == ["limit-lower"]
    world = World()
    for _ in range(2):
        world.memory.told_limit(told(left=100.0))
    assert world.causes == ["limit-shared"]
    world = World()
    for _ in range(5):
        world.memory.told_limit(told(left=1900.0, rate=100.0, burst=2000.0))
    assert world.causes == []


def test_evidence_is_for_people_and_short() -> None:
    world = World()
    world.shown["a"]["status"] = "gone"
    (finding,) = world.look().watch.findings()
    assert finding.evidence == ("SKU-a (a) is not known there",)
    assert finding.since.tzinfo is not None and finding.known.hint


def test_a_permission_that_we_never_had_is_not_lost() -> None:
    world = World()
    for _ in range(30):
        world.call().passes(20)
        world.memory.saw_call(CallSeen(path="/fees", writes=False, status=403, message="missing scope", auth=True))
        world.memory.saw_call(CallSeen(path="/fees", writes=False, status=403, message="missing scope", auth=True))
        world.call()
    assert world.causes == []
    assert world.refused(403, "missing scope").call().causes == ["scope-lost"], "listings were read before"


def test_what_we_change_ourselves_is_not_judged() -> None:
    world = World()
    world.books["a"] = Expected("SKU-a", 10, dollars(2000), busy=True)
    world.shown["a"] = {"status": "ended", "title": "New title"}
    assert world.look().causes == []
