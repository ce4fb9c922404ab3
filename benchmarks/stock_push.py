"""A full stock push: every listing of a channel gets another quantity, inside the channel's documented limits.

    python -m benchmarks.stock_push [--quick] [--json] [--listings 10000] [--vendor amazon …] [--sample 25]

Ours is the effect worker, from the outbox to the receipts, against the served sandbox with the vendors' limits in
force; nothing is scaled, a second is a second. Three times: by a worker when nobody has ever learnt anything of the
listings, again by the same worker, and by another that has just started and finds in the books what was learnt. The
minimum is what the documented limits allow for the fewest documented calls that write and read back every listing, from
full buckets. One by one, in the same run, is a sample of single writes through the same connector; its calls are
multiplied, its time is what the same limits would take for all.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks.installation import temporary_home
from benchmarks.measuring import Report, saying
from benchmarks.stocked import VENDORS, CountingLimits, Reseller, reseller
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.marketplaces.amazon.operations import OPERATIONS
from flipsync.connectors.marketplaces.ebay import limits as ebay_limits
from flipsync.connectors.marketplaces.shopify import api as shopify_api
from flipsync.connectors.marketplaces.shopify.documents import SET_QUANTITIES
from flipsync.connectors.request import Limit
from flipsync.domain.channel import Vendor
from flipsync.domain.errors import OutcomeUnknown, Retryable
from flipsync.services import accounts

AIM = 1.05


@dataclass(frozen=True)
class Least:
    """The fewest tokens of one documented bucket that a push of many listings takes, and why."""

    limit: Limit
    tokens: float
    why: str

    def seconds(self, tokens: float | None = None) -> float:
        """What the bucket makes a caller wait, from full."""
        asked = self.tokens if tokens is None else tokens
        return max(0.0, (asked - self.limit.burst) / self.limit.rate_per_second)


def least(vendor: Vendor, listings: int) -> Least:
    """Of the bucket that binds. Rates and sizes are the vendors' own, as the connectors cite them."""
    if vendor == "amazon":
        reads = math.ceil(listings / 20)
        return Least(OPERATIONS["searchListingsItems"].limit, reads, "one feed; 20 listings are read back a call")
    if vendor == "ebay":
        calls = 2 * math.ceil(listings / 25)
        return Least(ebay_limits.INVENTORY, calls, "25 listings are written a call, and read back in another")
    if vendor == "shopify":
        points = SET_QUANTITIES.cost * math.ceil(listings / 250)
        limit = Limit("graphql", shopify_api.RESTORE_RATE, shopify_api.BUCKET_SIZE)
        return Least(limit, points, "250 listings a call, whose answer tells the quantity after the change")
    return Least(Limit("http", 25.0, 25), math.ceil(listings / 100), "100 listings a call, whose answer shows each")


async def _push(made: Reseller, limits: CountingLimits, vendor: Vendor, units: int, bucket: str) -> dict[str, Any]:
    """One push by the worker at work: seconds from the commit of the last update to the last receipt, those between the
    first and the last token of the bucket; tokens taken."""
    account = str(made.accounts[vendor])
    taken, moments = limits.taken[account], limits.moments[account]
    taken.clear()
    moments.clear()
    await asyncio.to_thread(made.want, vendor, units)
    began = time.monotonic()
    await _wake(made)
    await made.until_done(vendor)
    seconds = time.monotonic() - began
    shown = made.one(
        "SELECT count(*) AS n FROM listing WHERE account_id = %(a)s AND quantity_shown = %(u)s",
        a=made.accounts[vendor],
        u=units,
    )["n"]
    if shown != made.listings:
        raise RuntimeError(f"{vendor} shows {shown} of {made.listings} listings as they should be")
    first, last = moments[bucket]
    return {
        "seconds": seconds,
        "before": first - began,
        "within_limit": last - first,
        "tokens": dict(taken),
        "listings_per_second": made.listings / seconds,
    }


async def _wake(made: Reseller) -> None:
    """Tell the worker, as a commit through the store would have."""
    await made.store.waker.wake(frozenset({"effects"}), made.tenant_id, [])


async def _one_by_one(made: Reseller, limits: CountingLimits, vendor: Vendor, sample: int) -> Counter[str]:
    """Tokens of so many single writes with their read-back, as the worker makes them alone."""
    async with made.store.reader(made.tenant_id) as session:
        account = await accounts.load_account(session, made.box, made.accounts[vendor])
    rows = made.owner.execute(
        b"SELECT external_id FROM listing WHERE account_id = %s ORDER BY sku LIMIT %s", (account.id, sample)
    ).fetchall()
    key = f"{account.id}-alone"
    async with connect(account.config, account.credentials, limits, key) as connector:
        for number, row in enumerate(rows):
            try:
                await connector.set_quantity(row["external_id"], 3, f"alone:{number}")
            except (Retryable, OutcomeUnknown):  # paced as tightly as the vendor counts: a call too early now and then
                await asyncio.sleep(1.0)
    return limits.taken[key]


async def _measure(made: Reseller, vendor: Vendor, sample: int) -> dict[str, Any]:
    limits = CountingLimits(made.redis_url)
    minimum = least(vendor, made.listings)
    bucket = minimum.limit.bucket
    async with made.working(limits):
        with saying(f"{vendor}: {made.listings} listings, the first time ever"):
            first = await _push(made, limits, vendor, 7, bucket)
        with saying(f"{vendor}: again"):
            again = await _push(made, limits, vendor, 9, bucket)
    async with made.working(limits):
        with saying(f"{vendor}: by a worker that has just started"):
            fresh = await _push(made, limits, vendor, 11, bucket)
    with saying(f"{vendor}: {sample} one by one"):
        alone = {
            name: each * made.listings / sample
            for name, each in (await _one_by_one(made, limits, vendor, sample)).items()
        }
    await limits.aclose()
    slowest = max(alone, key=lambda name: _limit(vendor, name, minimum).seconds(alone[name]))
    return {
        "listings": made.listings,
        "bucket": bucket,
        "why": minimum.why,
        "minimum": {"tokens": minimum.tokens, "seconds": minimum.seconds()},
        "first": first | {"ratio_tokens": first["tokens"][bucket] / minimum.tokens},
        "fresh": fresh | {"ratio_tokens": fresh["tokens"][bucket] / minimum.tokens},
        "again": again | {"ratio_tokens": again["tokens"][bucket] / minimum.tokens},
        "ratio_seconds": fresh["seconds"] / minimum.seconds() if minimum.seconds() >= 1 else None,
        "one_by_one": {
            "sample": sample,
            "tokens": alone,
            "bucket": slowest,
            "seconds": _limit(vendor, slowest, minimum).seconds(alone[slowest]),
        },
    }


def _limit(vendor: Vendor, name: str, minimum: Least) -> Least:
    limit = OPERATIONS[name].limit if vendor == "amazon" and name in OPERATIONS else minimum.limit
    return Least(limit, minimum.tokens, "")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    with temporary_home() as home:
        async with reseller(home.parent, options.listings) as made:
            return {vendor: await _measure(made, vendor, options.sample) for vendor in options.vendor}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--listings", type=int, default=10_000, help="on each channel")
    parser.add_argument("--vendor", choices=VENDORS, action="append")
    parser.add_argument("--sample", type=int, default=25, help="single writes that stand for all")
    options = parser.parse_args(argv)
    options.vendor = options.vendor or list(VENDORS)
    if options.quick:
        options.listings, options.sample = 200, 3
    return options


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    report = Report("stock_push")
    channels = asyncio.run(measure(options))
    report.result = {"aim": AIM, "channels": channels}
    for vendor, told in channels.items():
        minimum, fresh = told["minimum"], told["fresh"]
        report.row(
            f"{vendor}: least",
            f"{minimum['seconds']:.1f} s",
            f"{minimum['tokens']:,} of {told['bucket']}: {told['why']}",
        )
        for name, run in (("first ever", told["first"]), ("again", told["again"]), ("by a fresh worker", fresh)):
            tokens = run["tokens"][told["bucket"]]
            parts = f"{run['before']:.1f} s until the first call of the limit, {run['within_limit']:.1f} s to its last"
            report.row(
                f"{vendor}: {name}",
                f"{run['seconds']:.1f} s",
                f"{tokens:,.0f} ({run['ratio_tokens']:.3f}×); {parts}",
            )
        ratio = told["ratio_seconds"]
        against = fresh["ratio_tokens"] if ratio is None else ratio
        of_what = "of the limit's tokens: it makes nobody wait" if ratio is None else "of the least time"
        report.row(f"{vendor}: aim ≤ {AIM}×", "met" if against <= AIM else "missed", f"{against:.2f}× {of_what}")
        alone = told["one_by_one"]
        report.row(
            f"{vendor}: one by one",
            f"{alone['seconds']:,.0f} s",
            f"{alone['tokens'][alone['bucket']]:,.0f} of {alone['bucket']}, from {alone['sample']}",
        )
    report.notes = [
        "nothing is scaled: the sandbox enforces Amazon's usage plans, eBay's quotas and Shopify's points in real time",
        "WooCommerce documents no limit: its least is the pace an account is given by default, 25 requests a second",
        "a feed is worked off by the sandbox in about a millisecond a listing; Amazon takes minutes, which no limit"
        " documents, and nothing can be read back before",
    ]
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
