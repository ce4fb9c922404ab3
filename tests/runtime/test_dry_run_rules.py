"""Rules that are no setting tried on past decisions: what binds agents, and what one variant costs and may cost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from shop import Shop
from trials import GRAPH, choose, figure, priced, tried, work

from flipsync.domain.advertising import AdsRead
from flipsync.domain.directives import Directive, Terms
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import ProductImported
from flipsync.domain.ids import new_id
from flipsync.domain.workflow_messages import StockToList
from flipsync.services import directives, orders
from flipsync.services.directives import DirectiveForm, DirectiveView
from flipsync.services.dry_run_change import change_of
from flipsync.store.models import LabelPurchase, Product

HOLD = {"directives.give": {"kind": "hold-prices"}}


async def about(shop: Shop, listing: UUID) -> Any:
    """The listing's SKU, account and category."""
    (row,) = await shop.rows(
        "SELECT v.sku, l.account_id, p.id AS product_id FROM listing l JOIN variant v ON v.id = l.variant_id"
        " JOIN product p ON p.id = v.product_id WHERE l.id = :id",
        id=listing,
    )
    return row


async def bind(shop: Shop, **terms: Any) -> DirectiveView:
    async with shop.unit() as unit:
        return await directives.give(unit, DirectiveForm(terms=Terms(**terms), days=7, reason="a test"), None)


async def test_prices_are_held_where_it_would_have_bound(shop: Shop) -> None:
    """Three listings go up by a step of 10 %. Held are all of them, those of one account, those of one category."""
    listings = [await priced(shop, cost=2000) for _ in range(3)]
    lamp = await about(shop, listings[1])
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, lamp.product_id)).category = "Lamps"
    await work(shop, "pricing")
    for held, terms in (
        (3, {}),
        (1, {"account_id": str((await about(shop, listings[0])).account_id)}),
        (1, {"category": "Lamps"}),
        (0, {"category": "Chairs"}),
    ):
        found = await tried(shop, {"directives.give": [{"kind": "hold-prices", **terms}]})
        assert (found.decisions, found.changed, found.cannot) == (3, held, {}), terms
        assert figure(found, "price changes") == (3, 3 - held)
        assert all("A directive holds the price" in each.now for each in found.differences)
        assert found.change == {"directives.give": [{"kind": "hold-prices", **terms}]}


async def test_money_that_is_waited_for_less_makes_another_price(shop: Shop) -> None:
    await priced(shop)
    await work(shop, "pricing")
    found = await tried(shop, {"directives.give": {"kind": "clear-stock", "patience_days": 1}})
    assert (found.decisions, found.changed, found.cannot) == (1, 1, {})
    (told,) = found.differences
    assert told.then.endswith("to 32.98 USD") and told.now.endswith("to 27.60 USD")
    assert (await tried(shop, {"directives.give": {"kind": "clear-stock", "patience_days": 60}})).changed == 0


async def test_a_directive_that_bound_is_tried_as_if_it_had_not(shop: Shop) -> None:
    """And a new one about the same takes its place, where a narrower one goes before it."""
    held = await bind(shop, kind="hold-prices")
    listing = await priced(shop)
    await work(shop, "pricing")
    account = (await about(shop, listing)).account_id
    assert (await tried(shop, HOLD)).changed == 0
    freed = await tried(shop, {"directives.end": str(held.id)})
    assert (freed.changed, freed.cannot, figure(freed, "price changes")) == (1, {}, (0, 1))
    assert freed.differences[0].then.startswith("nothing: ") and freed.change == {"directives.end": [str(held.id)]}
    narrower = {"kind": "clear-stock", "patience_days": 1, "account_id": str(account)}
    assert (await tried(shop, {"directives.give": narrower})).changed == 0, "to hold goes before to clear"
    both = await tried(shop, {"directives.give": narrower, "directives.end": [str(held.id)]})
    assert both.changed == 1 and both.differences[0].now != freed.differences[0].now


async def test_nothing_new_is_listed_where_it_would_have_bound(shop: Shop) -> None:
    await choose(shop, {"auto_list": True})
    ebay, amazon = await shop.account("ebay"), await shop.account("amazon")
    goods = [await shop.variant(units=2) for _ in range(2)]
    async with shop.unit() as unit:
        unit.emit(ProductImported(product_id=goods[0].product_id, created=True))
        unit.emit(StockToList(product_id=goods[1].product_id, run_id=new_id(), part="publish"))
    await work(shop, "market", "auto_listing")
    asked = await shop.rows("SELECT payload->>'account_id' AS id FROM proposal WHERE command = 'ListOnChannel'")
    assert sorted(row.id for row in asked) == sorted([str(ebay.id), str(amazon.id)] * 2)
    one = await tried(shop, {"directives.give": {"kind": "list-nothing", "account_id": str(ebay.id)}})
    assert {name: each.changed for name, each in one.by_agent.items()} == {"market": 1, "auto_listing": 1}
    alone, beside = (
        [each.now for each in one.differences if each.agent == name] for name in ("market", "auto_listing")
    )
    assert alone[0].startswith("ListOnChannel of ") and "directive" not in alone[0]
    assert "a directive says to list nothing new there" in beside[0]
    none = await tried(shop, {"directives.give": {"kind": "list-nothing"}})
    assert none.changed == 2 and all("list nothing new" in each.now for each in none.differences)


async def test_labels_above_a_cap_are_counted_in_the_books(shop: Shop) -> None:
    for vendor, costs in (("ebay", (900, 2_500)), ("amazon", (4_000,))):
        account = await shop.account(vendor)  # type: ignore[arg-type]
        goods = await shop.variant(units=3)
        await shop.listing(account, goods, units=3)
        async with shop.unit() as unit:
            told = await orders.ingest_order(unit, account, shop.order({goods.sku: 1}))
            for cost in costs:
                terms = {"parcel": {}, "ship_from": {}, "service": "s", "most_minor": 5_000, "state": "cancelled"}
                of = {"tenant_id": shop.tenant_id, "order_id": told.order_id, "currency": "USD"}
                unit.session.add(LabelPurchase(**of, **terms, cost_minor=cost))
    for terms, count, cost in (({}, 2, 6_500), ({"account_id": str(account.id)}, 1, 4_000)):
        found = await tried(shop, {"directives.give": {"kind": "cap-labels", "limit_minor": 2_000, **terms}})
        bought = {each.unit: (each.then, each.now) for each in found.figures}
        assert bought == {"count": (0, count), "USD": (0, cost)}


async def test_another_floor_or_ceiling_bounds_the_price_of_its_variant_alone(shop: Shop) -> None:
    """Both go from 29.99 to 32.98, the highest of a step."""
    first, second = [await about(shop, await priced(shop, cost=2000)) for _ in range(2)]
    await work(shop, "pricing")
    capped = await tried(shop, {f"variants.{first.sku}.ceiling_minor": 3_100})
    (told,) = capped.differences
    assert (capped.unchanged, capped.cannot) == (1, {}) and told.now.startswith(f"{first.sku} from 29.99 USD to 31.00")
    above = await tried(shop, {f"variants.{second.sku}.floor_minor": 3_250})
    assert above.changed == 0 and figure(above, "below the floor") == (0, 0), "the price is above it as it is"
    beyond = await tried(shop, {f"variants.{second.sku}.floor_minor": 5_000})
    assert beyond.changed == 1 and beyond.differences[0].then.startswith(second.sku)
    assert figure(beyond, "below the floor") == (1, 1), "no step reaches it"
    assert (await tried(shop, {f"variants.{first.sku}.ceiling_minor": None})).changed == 0, "there was none"


async def test_another_cost_is_what_sales_would_have_left(shop: Shop) -> None:
    """At 32.98 the channel takes 3.96 and a parcel 4.50: with a cost of 28.00 nothing would be left."""
    sku = (await about(shop, await priced(shop, cost=2000))).sku
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    same = await tried(shop, {f"variants.{sku}.cost_minor": 2_000})
    assert (same.changed, same.unchanged) == (0, 2)
    dear = await tried(shop, {f"variants.{sku}.cost_minor": 2_800})
    assert (dear.changed, dear.unchanged, dear.cannot) == (1, 1, {})
    assert figure(dear, "below the floor") == (1, 1)
    unknown = await tried(shop, {f"variants.{sku}.cost_minor": None})
    assert figure(unknown, "price changes") == (2, 1), "without a cost no price is moved"


async def test_another_cost_decides_where_goods_are_listed_and_advertised(shop: Shop) -> None:
    await choose(shop, {"auto_list": True, "advertising.mode": "auto"})
    ebay = await shop.account("ebay")
    on_show, new = await shop.variant(units=90, cost=900), await shop.variant(units=2, cost=900)
    await shop.listing(ebay, on_show, units=90)
    async with shop.unit() as unit:
        for number in range(6):
            await orders.ingest_order(unit, ebay, shop.order({on_show.sku: 1}, minute=number))
        unit.emit(AdsRead(account_id=ebay.id, vendor="ebay", advertised=0))
        unit.emit(ProductImported(product_id=new.product_id, created=True))
    await work(shop, "market", "auto_listing", "advertising")
    found = await tried(shop, {f"variants.{new.sku}.cost_minor": 2_900})
    assert {name: each.changed for name, each in found.by_agent.items()} == {"market": 1, "advertising": 0}
    assert found.differences[0].then.startswith("ListOnChannel") and "not placed" in found.differences[0].now
    found = await tried(shop, {f"variants.{on_show.sku}.cost_minor": 2_900})
    assert {name: each.changed for name, each in found.by_agent.items()} == {"market": 0, "advertising": 1}
    assert found.differences[0].then.startswith("SetAdRate") and found.cannot == {}


async def test_what_nobody_knows_is_not_tried(shop: Shop) -> None:
    goods = await shop.variant(ceiling_minor=3_000)
    other = await Shop(shop.store).found()
    nowhere = str(new_id())
    for change, said in (
        ({"variants.NO-SUCH.floor_minor": 100}, "no variant has the SKU 'NO-SUCH'"),
        ({"directives.end": nowhere}, f"no directive {nowhere}"),
        ({"directives.give": {"kind": "hold-prices", "account_id": nowhere}}, "no connected account"),
    ):
        with pytest.raises(NotFound, match=said):
            await tried(shop, change)
    with pytest.raises(NotFound):
        await tried(other, {f"variants.{goods.sku}.floor_minor": 100})
    with pytest.raises(InvalidInput, match="would be below its floor"):
        await tried(shop, {f"variants.{goods.sku}.floor_minor": 4_000})
    moved = {f"variants.{goods.sku}.floor_minor": 4_000, f"variants.{goods.sku}.ceiling_minor": 5_000}
    assert (await tried(shop, moved)).change == moved


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"directives.give": []}, "between one and 20"),
        ({"directives.give": {"kind": "sell-all"}}, "directives.give 0.kind: "),
        ({"directives.give": {"kind": "clear-stock"}}, "clear-stock, which needs it"),
        ({"directives.end": "yesterday"}, "directives.end 0: "),
        ({"variants.A.floor_minor": 0}, "above 0, or null for none"),
        ({"variants.A.cost_minor": "12"}, "above 0, or null for none"),
        ({"variants.A.cost_minor": True}, "above 0, or null for none"),
        ({"variants.A.price_minor": 100}, "there is no such setting"),
    ],
)
def test_what_is_no_rule_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        change_of(change, GRAPH.agents)


def test_of_two_about_the_same_the_last_one_counts() -> None:
    terms = [{"kind": "cap-labels", "limit_minor": 100}, {"kind": "cap-labels", "limit_minor": 200}]
    (one,) = change_of({"directives.give": terms}, GRAPH.agents).given
    assert isinstance(one, Directive) and one.limit_minor == 200


def test_a_sku_may_be_written_with_dots_and_lines() -> None:
    sku = "LAMP.cost_minor.7\nblue"
    change = change_of({f"variants.{sku}.cost_minor": 7}, GRAPH.agents)
    assert change.variants[sku].amounts == {"cost_minor": 7}
    assert change.as_dict() == {f"variants.{sku}.cost_minor": 7}
