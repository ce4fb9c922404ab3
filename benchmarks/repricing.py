"""A whole catalogue repriced and judged by the firewall: arrays, listing by listing, and with pandas.

    python -m benchmarks.repricing [--quick] [--listings 1000000] [--seed 1] [--json]

Every listing has up to three rivals, four prices of its own with what they sold, and three prices left lately. Listing
by listing is what `PricingPolicy` and `judge` do, with what the policy is asked made beforehand; pandas is the same
policy over the columns of a DataFrame, without the firewall. Both are timed on a part and multiplied, and must choose
the same prices. As the agent does it: from rows as they come from the database to the moves it proposes.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

import numpy as np

from benchmarks.measuring import Report, saying
from benchmarks.repricing_pandas import best_prices
from flipsync.domain.channel import RivalOffer
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money, usd
from flipsync.services.policy_choice import Staged
from flipsync.services.pricing import PolicySettings, PricePeriod, PricingPolicy, QuoteRequest, percentage_plus_fixed
from flipsync.services.pricing.batch import BLANK, QuoteArrays, Quotes, quote_batch
from flipsync.services.pricing.batch_economics import Ints
from flipsync.services.pricing.batch_firewall import ProposalArrays, check_batch
from flipsync.services.pricing.firewall import judge
from flipsync.services.pricing.history import EVIDENCE
from flipsync.services.pricing.proposal import PriceProposal
from flipsync.services.pricing.rules import FirewallLimits
from flipsync.services.quotes import quotes_from
from flipsync.services.repricing import repricing_from
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.pricing import PriceRow, RivalRow, SaleRow

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEES = percentage_plus_fixed(
    "custom", Decimal("1235"), usd("0.30"), valid_from=NOW - timedelta(days=9), source="account"
)
SETTINGS, LIMITS, CHOICES = PolicySettings(), FirewallLimits(), PricingChoices()
#: the aim: listings in seconds, in GB
AIM_LISTINGS, AIM_SECONDS, AIM_GB = 1_000_000, 10.0, 2.0
#: what the marketplace takes, minor units
_MARKET = (1, 10_000_000)
T = TypeVar("T")


def catalogue(size: int, seed: int) -> QuoteArrays:
    """A market of `size` listings: three rivals, four periods of history, three prices left lately each."""
    rng = np.random.default_rng(seed)
    current = np.exp(rng.normal(7.6, 0.8, size)).astype(np.int64) + 100

    def around(width: int, spread: float, share: float) -> Ints:
        values = (current[:, None] * np.exp(rng.normal(0, spread, (size, width)))).astype(np.int64) + 1
        return np.where(rng.random((size, width)) < share, values, BLANK)

    history = around(4, 0.15, 0.8)
    hours = np.where(history == BLANK, 0.0, rng.uniform(10, 900, history.shape))
    return QuoteArrays(
        current=current,
        unit_cost=(current * rng.uniform(0.2, 0.7, size)).astype(np.int64) + 1,
        shipping_cost=rng.integers(100, 500, size),
        shipping_charged=np.full(size, BLANK, dtype=np.int64),
        tax_bps=np.full(size, 800, dtype=np.int64),
        floor=np.where(rng.random(size) < 0.5, BLANK, (current * 0.5).astype(np.int64)),
        ceiling=current * 2,
        min_margin=np.full(size, 50, dtype=np.int64),
        margin_bps=np.full(size, 500, dtype=np.int64),
        step_up_bps=np.full(size, 1_000, dtype=np.int64),
        step_down_bps=np.full(size, 1_000, dtype=np.int64),
        stock=rng.integers(0, 4, size),
        days_since_last_sale=rng.exponential(40, size),
        restock_days=np.where(np.arange(size) % 3 == 0, np.inf, 2.0 + np.arange(size) % 20),
        rivals=around(3, 0.1, 0.7),
        recent=around(3, 0.05, 0.5),
        history_price=history,
        history_units=rng.poisson(hours * 0.003),
        history_hours=hours,
    )


def proposals(asked: QuoteArrays, quotes: Quotes) -> ProposalArrays:
    """What moves, as the firewall is asked: nothing else was moved lately."""
    moves = np.flatnonzero(quotes.moves)
    asked, size = asked.part(moves), moves.size

    def alike(value: int) -> Ints:
        return np.full(size, value, dtype=np.int64)

    return ProposalArrays(
        current=asked.current,
        proposed=quotes.best[moves],
        unit_cost=asked.unit_cost,
        cost_as_of=alike(int((NOW - timedelta(days=1)).timestamp() * 1e6)),
        shipping_cost=asked.shipping_cost,
        shipping_charged=asked.shipping_charged,
        tax_bps=asked.tax_bps,
        floor=asked.floor,
        ceiling=asked.ceiling,
        min_margin=asked.min_margin,
        margin_bps=asked.margin_bps,
        step_up_bps=asked.step_up_bps,
        step_down_bps=asked.step_down_bps,
        changes_24h=alike(0),
        moved_24h=alike(0),
        travel_14d=alike(0),
        start_14d=asked.current,
        market_floor=alike(_MARKET[0]),
        market_ceiling=alike(_MARKET[1]),
        catalogue_listings=alike(1_000_000),
        catalogue_value=alike(10**11),
        catalogue_moved_1h=alike(0),
        at_risk_1h=alike(0),
        released=np.zeros(size, dtype=np.bool_),
        quantity=np.maximum(asked.stock, 1),
        one_currency=np.ones(size, dtype=np.bool_),
    )


def repriced(asked: QuoteArrays) -> tuple[Quotes, Ints]:
    """Every quote, and the prices that may be shown of those that move."""
    quotes = quote_batch(asked, FEES, SETTINGS, NOW)
    return quotes, check_batch(proposals(asked, quotes), FEES, LIMITS, NOW).price


def in_threads(asked: QuoteArrays, threads: int) -> None:
    size = len(asked)
    bounds = [size * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: repriced(asked.part(slice(*part))), pairwise(bounds)))


def request(asked: QuoteArrays, row: int) -> QuoteRequest:
    def money(amount: int) -> Money | None:
        return None if amount == BLANK else Money(amount_minor=int(amount), currency="USD")

    def known(amount: int) -> Money:
        return Money(amount_minor=int(amount), currency="USD")

    periods = zip(asked.history_price[row], asked.history_units[row], asked.history_hours[row], strict=True)
    return QuoteRequest(
        current=known(asked.current[row]),
        at=NOW,
        unit_cost=money(asked.unit_cost[row]),
        shipping_cost=money(asked.shipping_cost[row]),
        tax_bps=int(asked.tax_bps[row]),
        fees=FEES,
        floor=money(asked.floor[row]),
        ceiling=money(asked.ceiling[row]),
        min_margin=money(asked.min_margin[row]),
        min_margin_bps=int(asked.margin_bps[row]),
        max_step_up_bps=int(asked.step_up_bps[row]),
        max_step_down_bps=int(asked.step_down_bps[row]),
        rivals=tuple(
            RivalOffer(sku="A", seller="r", price=known(price), in_stock=True, seen_at=NOW)
            for price in asked.rivals[row]
            if price != BLANK
        ),
        history=tuple(
            PricePeriod(price=known(price), units=int(units), exposure_hours=float(hours))
            for price, units, hours in periods
            if price != BLANK
        ),
        stock=int(asked.stock[row]),
        days_since_last_sale=float(asked.days_since_last_sale[row]),
        restock_days=float(asked.restock_days[row]) if np.isfinite(asked.restock_days[row]) else None,
        recent_prices=tuple(known(price) for price in asked.recent[row] if price != BLANK),
    )


def proposal(asked: QuoteRequest, best: Money) -> PriceProposal:
    nothing, listing = Money.zero("USD"), UUID(int=1)
    return PriceProposal(
        listing_id=listing,
        channel_currency="USD",
        current=asked.current,
        proposed=best,
        unit_cost=asked.unit_cost,
        cost_as_of=NOW - timedelta(days=1),
        fees=asked.fees,
        shipping_cost=asked.shipping_cost,
        tax_bps=asked.tax_bps,
        floor=asked.floor,
        ceiling=asked.ceiling,
        min_margin=asked.min_margin,
        min_margin_bps=asked.min_margin_bps,
        max_step_up_bps=asked.max_step_up_bps,
        max_step_down_bps=asked.max_step_down_bps,
        changes_24h=0,
        moved_24h=nothing,
        travel_14d=nothing,
        start_14d=asked.current,
        market_floor=Money(amount_minor=_MARKET[0], currency="USD"),
        market_ceiling=Money(amount_minor=_MARKET[1], currency="USD"),
        catalogue_listings=1_000_000,
        catalogue_value=Money(amount_minor=10**11, currency="USD"),
        catalogue_moved_1h=0,
        at_risk_1h=nothing,
        quantity=max(asked.stock, 1),
    )


def one_by_one(requests: list[QuoteRequest]) -> tuple[list[int], list[int]]:
    """The best price of each, and what may be shown of those that move (BLANK: nothing)."""
    policy = PricingPolicy(SETTINGS)
    best, shown = [], []
    for each in requests:
        quote = policy.quote(each)
        best.append(quote.best.amount_minor)
        if quote.action == "move":
            price, _ = judge(proposal(each, quote.best), LIMITS, NOW)
            shown.append(BLANK if price is None else price)
    return best, shown


def rows(asked: QuoteArrays) -> list[PriceRow]:
    """As they come from the database: sales of four prices at most, up to three changes of them, the rivals."""
    account, made = new_id(), []
    for row, current in enumerate(asked.current.tolist()):
        made.append(
            PriceRow(
                listing_id=UUID(int=row),
                account_id=account,
                vendor="custom",
                currency="USD",
                sku=f"A-{row}",
                status="active",
                current_minor=current,
                list_minor=current,
                cost_minor=int(asked.unit_cost[row]),
                cost_as_of=NOW - timedelta(days=1),
                floor_minor=None,
                ceiling_minor=int(asked.ceiling[row]),
                entitled=int(asked.stock[row]),
                published_at=NOW - timedelta(days=90),
                price_changed_at=None,
                variant_currency="USD",
                by_hand_minor=None,
                restock_days=float(asked.restock_days[row]) if np.isfinite(asked.restock_days[row]) else None,
                rivals=[RivalRow("r", price, True) for price in asked.rivals[row].tolist() if price != BLANK],
                sales=[SaleRow(NOW - timedelta(days=day), current, 1) for day in (41, 25, 9, 5) if row % day],
                changes=_changes(current, (40, 24, 6)[: row % 4]),
                since=NOW - EVIDENCE,
            )
        )
    return made


def _changes(current: int, days: tuple[int, ...]) -> list[tuple[datetime, int | None, int]]:
    """Steps of half a dollar down to the price now, so many days ago."""
    prices = [current + 50 * (len(days) - step) for step in range(len(days) + 1)]
    return [(NOW - timedelta(days=day), *move) for day, move in zip(days, pairwise(prices), strict=True)]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def peak_gb() -> float:
    """The most this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(listings: int, few: int, some: int, seed: int) -> dict[str, Any]:
    """`few` one by one, `some` with pandas and as the agent does it."""
    with saying(f"{listings:,} listings as arrays"):
        asked = catalogue(listings, seed)
        (quotes, shown), alone = timed(lambda: repriced(asked))
        _, both = timed(lambda: in_threads(asked, 2))
        peak = peak_gb()
    with saying(f"{few:,} one by one"):
        requests = [request(asked, row) for row in range(few)]
        (best, may), scalar = timed(lambda: one_by_one(requests))
    with saying(f"{some:,} with pandas"):
        chosen, framed = timed(lambda: best_prices(asked.part(slice(0, some)), FEES, SETTINGS, NOW))
    with saying(f"{some:,} as the agent does"):
        held = rows(asked.part(slice(0, some)))
        found, agent = timed(lambda: repricing_from(held, CHOICES, NOW, Staged()))
        told, quoted = timed(lambda: quotes_from(held[:few], CHOICES, NOW, Staged()))
    moving = {each.listing_id: each.quote.best for each in told if each.quote.best != each.quote.current}
    moved = {move.listing_id: move.best for move in found.moves if move.listing_id.int < few}
    moves = int(quotes.moves[:few].sum())
    return {
        "listings": listings,
        "seconds": {"one core": alone, "two threads": both},
        "per_second": listings / alone,
        "peak_gb": peak,
        "moves": int(quotes.moves.sum()),
        "denied": int((shown == BLANK).sum()),
        "one_by_one": {"listings": few, "seconds_for_all": scalar / few * listings},
        "pandas": {"listings": some, "seconds_for_all": framed / some * listings},
        "agent": {
            "listings": some,
            "per_second": some / agent,
            "one_by_one_per_second": few / quoted,
            "moves": len(found.moves),
        },
        "differ": {
            "one by one": int((np.array(best) != quotes.best[:few]).sum()),
            "firewall one by one": int((np.array(may, dtype=np.int64) != shown[:moves]).sum()),
            "pandas": int((chosen != quotes.best[:some]).sum()),
            "agent": len(moving.items() ^ moved.items()),
        },
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--listings", type=int, default=AIM_LISTINGS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="20,000 listings: only show that it runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    report = Report("repricing")
    listings, few, some = (20_000, 500, 5_000) if options.quick else (options.listings, 10_000, 100_000)
    found = measure(listings, few, some, options.seed)
    report.result = found
    seconds = found["seconds"]
    report.row(
        f"{listings:,} listings, one core / two threads",
        f"{seconds['one core']:.1f} / {seconds['two threads']:.1f} s",
        f"aim {AIM_LISTINGS:,} in {AIM_SECONDS:.0f} s; {found['moves']:,} move, {found['denied']:,} of these denied",
    )
    report.row("most memory", f"{found['peak_gb']:.2f} GB", f"aim {AIM_GB:.0f} GB")
    for name, peer in (("listing by listing", found["one_by_one"]), ("pandas, no firewall", found["pandas"])):
        times = peer["seconds_for_all"] / seconds["one core"]
        report.row(name, f"{peer['seconds_for_all']:.0f} s", f"{times:.1f}× as long, from {peer['listings']:,}")
    agent = found["agent"]
    report.row(
        "as the agent does, from rows",
        f"{agent['per_second']:,.0f}/s",
        f"listing by listing {agent['one_by_one_per_second']:,.0f}/s, from {agent['listings']:,}",
    )
    differ = sum(found["differ"].values())
    report.row("prices that differ between them", str(differ), "0 allowed")
    report.finish(as_json=options.json)
    slow = not options.quick and (
        min(seconds.values()) * AIM_LISTINGS / listings > AIM_SECONDS or found["peak_gb"] > AIM_GB
    )
    return 1 if differ or slow else 0


if __name__ == "__main__":
    sys.exit(main())
