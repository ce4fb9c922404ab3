"""What the price rule is trained on is what it is asked when it runs: the same books, read by either, say the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from shop import Shop

from flipsync.domain.ids import new_id
from flipsync.services.pricing.batch import BLANK, QuoteArrays
from flipsync.services.pricing.batch_history import Past, past_of
from flipsync.services.pricing.history import EVIDENCE, Book, spans
from flipsync.services.pricing.quote import PolicySettings
from flipsync.services.quotes import request_for
from flipsync.services.repricing import columns_of
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.models import Order, OrderLine, PriceChange
from flipsync.store.repositories import pricing as pricing_rows
from flipsync.training.shops import FEES, NOW, Pricer

DAYS = 75
PAST = tuple(Past.__annotations__)


def played() -> tuple[Pricer, list[list[tuple[int, int]]]]:
    """Three listings priced for longer than evidence counts, and what each asked and sold on each day."""
    start = np.array([2_999, 4_200, 1_500])
    pricer = Pricer(PolicySettings(), FEES, cost=start // 3, start=start, ceiling=start * 3, shipping=300)
    rng = np.random.default_rng(5)
    kept: list[list[tuple[int, int]]] = [[], [], []]
    for day in range(DAYS):
        rivals = (start * (0.9 + 0.2 * rng.random(3))).astype(np.int64)
        asked = pricer.price(rivals[:, None] if day % 3 else np.full((3, 1), BLANK))
        units = rng.poisson([2.0, 0.3, 6.0])
        for each, price, count in zip(kept, asked.tolist(), units.tolist(), strict=True):
            each.append((price, count))
        pricer.sold(units)
    return pricer, kept


async def in_books(shop: Shop, days: list[tuple[int, int]], first: int) -> UUID:
    """A listing whose days went so, in the database: two orders at noon of most days."""
    account, goods = await shop.account(), await shop.variant(units=500, cost=900)
    listing = await shop.listing(account, goods, units=500, price=days[-1][0])
    asked = first
    async with shop.unit() as unit:
        for day, (price, units) in enumerate(days):
            at = NOW + timedelta(days=day)
            if price != asked:
                unit.session.add(_change(shop, listing, asked, price, at))
                asked = price
            for part in filter(None, (units // 2, units - units // 2)):
                await _sell(unit, shop, account.id, listing, goods.sku, part, price, at + timedelta(hours=12))
        await unit.session.flush()
    return listing


def _change(shop: Shop, listing: UUID, old: int, new: int, at: Any) -> PriceChange:
    told = {"currency": "USD", "floor_minor": 1, "effect_id": new_id()}
    return PriceChange(tenant_id=shop.tenant_id, listing_id=listing, old_minor=old, new_minor=new, at=at, **told)


async def _sell(unit: Any, shop: Shop, account: UUID, listing: UUID, sku: str, units: int, price: int, at: Any) -> None:
    order = Order(
        tenant_id=shop.tenant_id,
        account_id=account,
        external_id=str(new_id()),
        number=str(new_id()),
        status="paid",
        vendor_status="paid",
        holds_stock=True,
        currency="USD",
        total_minor=units * price,
        tax_minor=0,
        shipping_minor=0,
        placed_at=at,
        modified_at=at,
    )
    unit.session.add(order)
    await unit.session.flush()
    line = {"external_id": "1", "sku": sku, "title": sku, "tax_minor": 0, "total_minor": units * price}
    unit.session.add(OrderLine(tenant_id=shop.tenant_id, order_id=order.id, listing_id=listing, quantity=units, **line))


@pytest.mark.slow
async def test_training_and_the_running_system_see_the_same_past(shop: Shop) -> None:
    pricer, kept = played()
    books, now = [book.read(pricer.now - pricer.evidence) for book in pricer.books], pricer.now
    start = [2_999, 4_200, 1_500]
    listings = [await in_books(shop, days, first) for days, first in zip(kept, start, strict=True)]
    async with shop.store.reader(shop.tenant_id) as session:
        read = await pricing_rows.rows(session, since=now - EVIDENCE, listing_ids=listings, now=now)
    rows = {row.listing_id: row for row in read}
    served = [rows[listing] for listing in listings]
    for row in served:
        row.published_at = NOW  # the shop lists by its own clock
    trained, choices = past_of(books, now), PricingChoices()
    alone = QuoteArrays.of([request for row in served if (request := request_for(row, choices, now))])
    together = columns_of(served, choices, now)
    for name in PAST:
        assert np.array_equal(trained[name], getattr(alone, name)), name  # type: ignore[literal-required]
        assert np.array_equal(trained[name], getattr(together, name)), name  # type: ignore[literal-required]
    assert trained["history_hours"].sum(axis=1) == pytest.approx(EVIDENCE / timedelta(hours=1))
    assert trained["history_units"].sum() < sum(units for days in kept for _, units in days), "some is too long ago"
    assert len(served[2].sales) <= len(served[2].changes) + 1 < EVIDENCE.days, "one row of sales a price"


def test_evidence_ends_where_the_books_were_read_from() -> None:
    day = timedelta(days=1)
    book = Book(1_000, NOW - 90 * day, NOW - EVIDENCE)
    assert spans(book, NOW) == [(1_000, 0, EVIDENCE / timedelta(hours=1))]
    book.ask(1_100, NOW - 20 * day)
    assert [(price, hours / 24) for price, _, hours in spans(book, NOW)] == [(1_000, 36.0), (1_100, 20.0)]
    assert [hours / 24 for *_, hours in spans(book.read(NOW - 5 * day), NOW)] == [5.0]
    assert book.current_minor == 1_100 and book.changes == []
