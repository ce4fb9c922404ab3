"""A catalogue over arrays comes out as listing by listing, and only what moves is told."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipsync.domain.directives import Directive
from flipsync.domain.ids import new_id
from flipsync.domain.money import CurrencyMismatchError
from flipsync.services.policy_choice import SHIPPED, Staged, Version
from flipsync.services.pricing.batch import QuoteArrays
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import PolicySettings
from flipsync.services.quotes import quotes_from, request_for
from flipsync.services.repricing import TOLD, columns_of, repricing_from
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.pricing import PriceRow, RivalRow, SaleRow

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CHOICES = PricingChoices()
PLAIN = Staged()

minors = st.integers(50, 9_000)
lately = st.floats(0, 20 * 24).map(lambda hours: NOW - timedelta(hours=hours))


def row(**told: Any) -> PriceRow:
    known: dict[str, Any] = {
        "listing_id": uuid4(),
        "account_id": uuid4(),
        "vendor": "custom",
        "currency": "USD",
        "sku": "A-1",
        "status": "active",
        "current_minor": 2999,
        "list_minor": 2999,
        "cost_minor": 900,
        "cost_as_of": NOW - timedelta(days=3),
        "floor_minor": None,
        "ceiling_minor": None,
        "entitled": 3,
        "published_at": NOW - timedelta(days=9),
        "price_changed_at": None,
        "variant_currency": "USD",
        "by_hand_minor": None,
    }
    return PriceRow(**known | told)


rows = st.builds(
    row,
    vendor=st.sampled_from(["custom", "woocommerce", "ebay"]),
    status=st.sampled_from(["active", "active", "active", "ended"]),
    current_minor=minors | st.none(),
    list_minor=minors | st.none(),
    cost_minor=minors | st.integers(1, 500) | st.none() | st.just(0),
    floor_minor=minors | st.none(),
    ceiling_minor=minors | st.just(50_000) | st.none(),
    entitled=st.integers(0, 20),
    published_at=lately | st.none(),
    by_hand_minor=st.none() | st.none() | minors,
    restock_days=st.none() | st.floats(0.5, 120),
    rivals=st.lists(st.builds(RivalRow, st.just("r"), minors | st.just(0), st.booleans()), max_size=3),
    sales=st.lists(st.builds(SaleRow, lately, minors, st.integers(1, 5)), max_size=4).map(
        lambda sales: sorted(sales, key=lambda sale: sale.at)
    ),
    changes=st.lists(st.tuples(lately, minors | st.none(), minors), max_size=4).map(
        lambda changes: sorted(changes, key=lambda change: change[0])
    ),
    empty=lately.flatmap(lambda at: st.lists(st.just((at, at + timedelta(hours=30))), max_size=1)),
)


@given(st.lists(rows, max_size=25))
@settings(max_examples=150, deadline=None)
def test_what_moves_is_what_moves_one_by_one(listings: list[PriceRow]) -> None:
    one_by_one = quotes_from(listings, CHOICES, NOW, PLAIN)
    found = repricing_from(listings, CHOICES, NOW, PLAIN)
    assert found.looked_at == len(one_by_one)
    assert (found.choices, found.directives) == ((), ())
    moving = [each for each in one_by_one if each.quote.best != each.quote.current]
    assert [(move.listing_id, move.current, move.best) for move in found.moves] == [
        (each.listing_id, each.quote.current, each.quote.best) for each in moving
    ]
    for move, each in zip(found.moves, moving, strict=True):
        assert move.confidence == pytest.approx(each.quote.confidence, abs=1e-9)
        assert (move.account_id, move.sku, move.units_on_offer) == (each.account_id, each.sku, each.units_on_offer)
        assert move.why == each.quote.reason, "there are fewer than are told"


@given(st.lists(rows.filter(lambda each: each.current_minor and each.published_at), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_columns_are_the_requests(listings: list[PriceRow]) -> None:
    requests = [request_for(each, CHOICES, NOW) for each in listings]
    wanted, found = QuoteArrays.of([each for each in requests if each]), columns_of(listings, CHOICES, NOW)
    for each in dataclasses.fields(QuoteArrays):
        here, there = getattr(found, each.name), getattr(wanted, each.name)
        assert here.dtype == there.dtype and np.array_equal(here, there), each.name


def moving(count: int) -> list[PriceRow]:
    """Listings whose rivals are cheaper by ever more."""
    cheaper = [RivalRow("r", 2900 - number, True) for number in range(count)]
    return [row(rivals=[rival]) for rival in cheaper]


def test_the_surest_are_told_with_their_reasons() -> None:
    found = repricing_from(moving(TOLD + 30), CHOICES, NOW, PLAIN)
    told = [move for move in found.moves if move.why]
    assert len(found.moves) == TOLD + 30 and len(told) == TOLD
    others = [move.confidence for move in found.moves if not move.why]
    assert min(move.confidence for move in told) >= max(others)


def test_one_that_arrays_cannot_hold_is_refused_as_ever() -> None:
    elsewhere, absurd = row(variant_currency="EUR"), row(ceiling_minor=10**12)
    with pytest.raises(CurrencyMismatchError):
        repricing_from([*moving(2), elsewhere], CHOICES, NOW, PLAIN)
    with pytest.raises(ValueError, match="check the digits"):
        repricing_from([*moving(2), absurd], CHOICES, NOW, PLAIN)
    unknown = row(variant_currency="EUR", cost_minor=None, list_minor=None)
    assert repricing_from([unknown], CHOICES, NOW, PLAIN).moves == [], "nothing of it is in the other currency"


def test_a_directive_binds_its_listings_and_no_others() -> None:
    here, elsewhere = moving(2)
    held = Directive(
        id=new_id(),
        kind="hold-prices",
        account_id=here.account_id,
        reason="the sale",
        starts_at=NOW - timedelta(hours=1),
        ends_at=NOW + timedelta(hours=1),
    )
    found = repricing_from([here, elsewhere], CHOICES, NOW, PLAIN, [held])
    assert [move.listing_id for move in found.moves] == [elsewhere.listing_id]
    assert found.looked_at == 2 and found.directives == (held,)


def test_what_policies_of_the_registry_make_of_each_listing_is_kept() -> None:
    shadow = Version(new_id(), "2", PricingPolicy(PolicySettings(min_gain=0.5)))
    listings = moving(3)
    found = repricing_from(listings, CHOICES, NOW, Staged(SHIPPED, None, shadow))
    assert {(choice.listing_id, choice.role) for choice in found.choices} == {
        (each.listing_id, role) for each in listings for role in ("acting", "shadow")
    }
