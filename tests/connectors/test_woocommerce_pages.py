"""No order is lost to page drift, whatever is added, changed and deleted while a list is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.woocommerce import pages
from flipsync.connectors.marketplaces.woocommerce.client import WooCommerceConnector
from flipsync.connectors.marketplaces.woocommerce.pages import Page, walk
from flipsync.connectors.marketplaces.woocommerce.wire import RefundRow
from flipsync.domain.errors import ChannelError, Rejected, Retryable, UnreadOrders

START = datetime(2026, 1, 1, tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(2, 4),
    ids=st.sets(st.integers(0, 60), max_size=30),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=15),
    with_total=st.booleans(),
)
async def test_rows_that_stay_are_seen_exactly_once(
    size: int, ids: set[int], changes: list[tuple[bool, int]], with_total: bool
) -> None:
    rows, pending, deleted = set(ids), list(changes), set()

    async def fetch(offset: int) -> Page[RefundRow]:
        ordered = sorted(rows)
        page = Page([RefundRow(id=n) for n in ordered[offset : offset + size]], len(ordered) if with_total else None)
        if pending:
            added, row = pending.pop()
            if added:
                rows.add(row)
            else:
                rows.discard(row)
                deleted.add(row)
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_SIZE", size)
        seen = [row.id async for page in walk(fetch) for row in page.rows]
    assert len(seen) == len(set(seen))
    assert ids - deleted <= set(seen)


async def test_a_list_that_never_holds_still_is_retryable() -> None:
    count = 0

    async def fetch(offset: int) -> Page[RefundRow]:
        nonlocal count
        count += 1
        return Page([RefundRow(id=count * 1000 + n) for n in range(100)], 10_000)

    with pytest.raises(Retryable):
        async for _ in walk(fetch):
            pass
    assert count < 100


class Shop:
    """/orders of a shop whose orders change while they are read; `between` runs after each list request."""

    def __init__(self, count: int) -> None:
        self.modified = {n: START + timedelta(seconds=n) for n in range(1, count + 1)}
        self.now = START + timedelta(seconds=count)
        self.requests: list[httpx2.URL] = []
        self.between: Any = lambda shop: None

    def touch(self, order_id: int) -> None:
        self.now += timedelta(seconds=1)
        self.modified[order_id] = self.now

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        query = request.url.params
        if query.get("status") == "trash":  # the bin has a list of its own, and is empty
            return httpx2.Response(200, json=[])
        self.requests.append(request.url)
        after = datetime.fromisoformat(query["modified_after"] + "Z")
        assert (query["dates_are_gmt"], query["orderby"], query["order"]) == ("true", "id", "asc")
        found = sorted(n for n, moment in self.modified.items() if moment > after)
        offset = int(query["offset"])
        rows = [self.row(n) for n in found[offset : offset + int(query["per_page"])]]
        self.between(self)
        return httpx2.Response(200, json=rows, headers={"X-WP-Total": str(len(found))})

    def row(self, order_id: int) -> dict[str, Any]:
        moment = self.modified[order_id].replace(tzinfo=None).isoformat()
        dates = {"date_created_gmt": "2026-01-01T00:00:00", "date_modified_gmt": moment}
        return {"id": order_id, "status": "processing", "currency": "USD", "total": "1.00", "refunds": [], **dates}

    async def poll(self, since: datetime) -> list[tuple[int, datetime]]:
        config = AccountConfig(vendor="woocommerce", base_url="https://shop.test", currency="USD")
        keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
        transport = httpx2.MockTransport(self.answer)
        async with WooCommerceConnector(config, keys, Unlimited(), "a", transport=transport) as connector:
            return [(int(order.external_id), order.modified_at) async for order in connector.orders(since)]


async def test_one_page_is_one_request() -> None:
    shop = Shop(100)
    assert [n for n, _ in await shop.poll(START)] == list(range(1, 101))
    assert len(shop.requests) == 1
    assert [n for n, _ in await shop.poll(START + timedelta(seconds=98))] == [98, 99, 100]


async def test_an_order_that_changes_behind_the_walk_is_not_overtaken() -> None:
    shop = Shop(250)
    touched = [3, 249]

    def between(shop: Shop) -> None:
        # After the first page: a low id (behind the walk), then a high one (ahead of it).
        if len(shop.requests) == 1:
            for order_id in touched:
                shop.touch(order_id)

    shop.between = between
    seen = dict(await shop.poll(START))
    # A caller goes on from the latest change it saw: nothing older may be missing.
    horizon = max(seen.values())
    assert seen == {n: moment for n, moment in shop.modified.items() if moment <= horizon}
    assert set(seen) == set(range(1, 251))


@pytest.mark.parametrize("pace", [1, 5])
async def test_a_shop_that_never_rests_is_read_without_a_gap(pace: int) -> None:
    shop = Shop(450)

    def between(shop: Shop) -> None:
        turn = len(shop.requests)
        for n in range(pace):
            shop.touch((turn * 7 + n * 13) % 450 + 1)

    shop.between = between
    cursor, latest = START, {}
    for _ in range(4):
        for order_id, moment in await shop.poll(cursor):
            latest[order_id] = moment
            cursor = max(cursor, moment)
    shop.between = lambda shop: None
    for order_id, moment in await shop.poll(cursor):
        latest[order_id] = moment
    assert latest == shop.modified


@pytest.mark.parametrize("total", [250, None])
async def test_a_shop_that_does_not_hear_where_to_begin_is_noticed(total: int | None) -> None:
    async def fetch(offset: int) -> Page[RefundRow]:
        return Page([RefundRow(id=n) for n in range(pages.PAGE_SIZE)], total)

    with pytest.raises(Retryable, match="first one"):
        async for _ in walk(fetch):
            pass


@pytest.mark.parametrize("shown", [60, 10])
async def test_a_page_that_is_cut_short_loses_nothing(shown: int) -> None:
    """A proxy that shortens answers, or a shop with a limit of its own: what is missing is asked for, or told of."""

    async def fetch(offset: int) -> Page[RefundRow]:
        return Page([RefundRow(id=n) for n in range(250)[offset : offset + shown]], 250)

    if shown == 60:
        assert [row.id async for page in walk(fetch) for row in page.rows] == list(range(250))
    else:
        with pytest.raises(Retryable):
            [row.id async for page in walk(fetch) for row in page.rows]


@pytest.mark.parametrize("hidden", [{99}, {0, 99, 198}, set(range(30, 60)), {249}])
async def test_rows_that_are_counted_and_not_shown_stop_nobody(hidden: set[int]) -> None:
    """The total counts what the key may not see, or what has no class any more."""
    calls = 0

    async def fetch(offset: int) -> Page[RefundRow]:
        nonlocal calls
        calls += 1
        rows = [RefundRow(id=n) for n in range(250)[offset : offset + pages.PAGE_SIZE] if n not in hidden]
        return Page(rows, 250)

    seen = [row.id async for page in walk(fetch) for row in page.rows]
    assert seen == [n for n in range(250) if n not in hidden] and calls < 12


async def test_a_product_that_cannot_be_read_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Any] = [{"id": n, "sku": f"S{n}"} for n in range(1, 251)]
    rows[4], rows[99] = None, {"sku": "nameless"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        offset = int(request.url.params["offset"])
        return httpx2.Response(200, json=rows[offset : offset + 100])

    async def listed() -> list[str]:
        config = AccountConfig(vendor="woocommerce", base_url="https://shop.test", currency="USD")
        keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
        transport = httpx2.MockTransport(answer)
        async with WooCommerceConnector(config, keys, Unlimited(), "a", transport=transport) as connector:
            return [state.external_id async for state in connector.listings()]

    assert await listed() == [str(n) for n in range(1, 251) if n not in (5, 100)]
    assert "is left out" in caplog.text
    rows[:] = [{"idV2": 1}, {"idV2": 2}]  # of which none can be read: that is no shop without goods
    with pytest.raises(Retryable):
        await listed()


@pytest.mark.parametrize("cut", [0, 1, 2])
@pytest.mark.parametrize("total", [80, 250])
async def test_an_answer_that_was_cut_short_once_is_asked_for_again(cut: int, total: int) -> None:
    calls = 0

    async def fetch(offset: int) -> Page[RefundRow]:
        nonlocal calls
        calls += 1
        shown = 7 if calls == cut + 1 else pages.PAGE_SIZE
        return Page([RefundRow(id=n) for n in range(total)[offset : offset + shown]], total)

    assert [row.id async for page in walk(fetch) for row in page.rows] == list(range(total))


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (httpx2.Response(400, json={"code": "rest_invalid_param", "message": "status", "data": {"status": 400}}), None),
        (httpx2.Response(401, json={"code": "woocommerce_rest_cannot_view", "message": "no"}), Rejected),
        (httpx2.Response(200, json=[{"id": 7, "status": "trash"}]), UnreadOrders),
    ],
    ids=["no such list", "refused", "unreadable"],
)
async def test_a_bin_that_cannot_be_read_is_not_taken_for_an_empty_one(
    answer: httpx2.Response, raised: type[ChannelError] | None
) -> None:
    def shop(request: httpx2.Request) -> httpx2.Response:
        binned = request.url.params.get("status") == "trash"
        return httpx2.Response(answer.status_code, content=answer.content) if binned else httpx2.Response(200, json=[])

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    async with WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(shop)) as connector:
        if raised is None:
            assert [order async for order in connector.orders(START)] == []
            return
        with pytest.raises(raised):
            _ = [order async for order in connector.orders(START)]
