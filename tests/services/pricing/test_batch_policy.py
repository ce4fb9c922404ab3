"""The policy over arrays chooses what the scalar policy chooses; `benchmarks.repricing` tells how fast."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.repricing import catalogue
from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money, usd
from flipsync.services.pricing import (
    PolicySettings,
    PricePeriod,
    PricingPolicy,
    QuoteRequest,
    percentage_plus_fixed,
)
from flipsync.services.pricing.batch import BLANK, QuoteArrays, quote_batch

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEES = percentage_plus_fixed(
    "custom", Decimal("1235"), usd("0.30"), valid_from=NOW - timedelta(days=9), source="account"
)
SETTINGS = PolicySettings()


def cents(amount: int) -> Money:
    return Money(amount_minor=amount, currency="USD")


prices = st.integers(50, 9_000).map(cents)
requests = st.builds(
    QuoteRequest,
    current=prices | st.integers(-1, 3).map(cents),
    at=st.just(NOW),
    unit_cost=prices | st.integers(1, 500).map(cents) | st.none() | st.just(cents(0)),
    shipping_cost=st.integers(0, 900).map(cents) | st.none(),
    shipping_charged=st.integers(0, 900).map(cents) | st.none(),
    fees=st.just(FEES),
    tax_bps=st.integers(0, 2_000),
    floor=st.none() | prices,
    ceiling=prices | st.just(cents(50_000)) | st.none(),
    min_margin=st.none() | st.integers(0, 400).map(cents),
    min_margin_bps=st.integers(0, 2_000),
    max_step_up_bps=st.integers(1, 4_000),
    max_step_down_bps=st.integers(1, 4_000),
    rivals=st.lists(
        st.builds(
            RivalOffer,
            sku=st.just("A"),
            seller=st.just("r"),
            price=prices,
            in_stock=st.booleans(),
            seen_at=st.just(NOW),
        ),
        max_size=3,
    ).map(tuple),
    history=st.lists(
        st.builds(PricePeriod, price=prices, units=st.integers(0, 60), exposure_hours=st.floats(0, 2_000)), max_size=3
    ).map(tuple),
    stock=st.integers(-1, 20),
    days_since_last_sale=st.floats(0, 400),
    restock_days=st.none() | st.floats(0.5, 120),
    recent_prices=st.lists(prices, max_size=3).map(tuple),
)


@given(st.lists(requests, min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_batch_and_scalar_quote_alike(given_: list[QuoteRequest]) -> None:
    policy = PricingPolicy(SETTINGS)
    quotes = quote_batch(QuoteArrays.of(given_), FEES, SETTINGS, NOW, chunk=8)
    for i, each in enumerate(given_):
        one = policy.quote(each)
        assert (quotes.best[i], quotes.because[i]) == (one.best.amount_minor, one.because)
        assert bool(quotes.moves[i]) == (one.action == "move")
        assert quotes.confidence[i] == pytest.approx(one.confidence, abs=1e-9)
        if one.margin is None or one.expected_profit_per_day is None:
            assert quotes.margin[i] == BLANK and np.isnan(quotes.profit_per_day[i])
        else:
            assert quotes.margin[i] == one.margin.amount_minor
            assert quotes.profit_per_day[i] / 100 == pytest.approx(float(one.expected_profit_per_day), abs=1e-4)


def test_what_moves_in_a_whole_catalogue_earns_the_margin() -> None:
    rows = catalogue(20_000, seed=1)
    quotes = quote_batch(rows, FEES, SETTINGS, NOW)
    moves = quotes.moves
    assert 0.1 < moves.mean() < 0.9
    assert (quotes.margin[moves] >= 50).all()
    assert (quotes.best[~moves] == rows.current[~moves]).all()


def test_without_fees_every_listing_stays() -> None:
    rows = catalogue(100, seed=2)
    quotes = quote_batch(rows, None, SETTINGS, NOW)
    assert (quotes.best == rows.current).all() and not quotes.moves.any()
    assert QuoteArrays.of([]).current.size == 0


def test_the_package_stays_light_to_import() -> None:
    code = "import sys, flipsync.services.pricing; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
