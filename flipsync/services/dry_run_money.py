"""What a change that is not made would have meant: prices, expected sales, floors, questions, units shown, odds.

Two sides are counted of everything, as it was and as it would have been, by the same functions. Each figure says what
it is and where it ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from flipsync.domain.money import Money
from flipsync.services.desk import StockPicture
from flipsync.services.dry_run import Priced
from flipsync.services.pricing.firewall import judge
from flipsync.services.pricing.rules import FirewallLimits
from flipsync.services.quotes import lowest_price, proposal_for, request_for
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.price_brakes import CatalogueSize, HourOfMoves
from flipsync.store.repositories.pricing import PriceRow

_DAY = timedelta(days=1)
_LIMITS = FirewallLimits()
_NOTHING_MOVED = HourOfMoves(CatalogueSize(1, 0), 0, 0)
_ESTIMATE = (
    "An estimate of the price rule's demand model, not a fact: what buyers do at a price that was never shown cannot "
    "be known. Each price counts until the listing was decided on next; what it would have changed after that is not "
    "followed."
)
_DEMAND = "by the demand model at the two prices, for the time they would have stood, at most the units on offer"
_FIREWALL = (
    "Judged by every rule of the firewall but the brakes on the whole catalogue and on how often. A decision that is "
    "sent up counts as if it were let go ahead; first prices of new listings, and prices a person takes back, do not "
    "count."
)
_NEXT_SALE = "Each decision speaks of the next sale alone; the sums compare two settings, they foretell no month."

#: name: (what it is, where it ends)
MEANS: Mapping[str, tuple[str, str]] = {
    "price changes": ("prices that would have been sent to a channel", _FIREWALL),
    "below the floor": (
        "listings whose price, once decided, earns less than the changed settings ask",
        "Floors by the costs and fees that were known then.",
    ),
    "expected sales": (f"units of listings whose price would have differed, {_DEMAND}", _ESTIMATE),
    "expected revenue": ("price times expected sales, of listings whose price would have differed", _ESTIMATE),
    "expected profit": (
        "what a sale leaves after fees, shipping and cost by the changed settings, times expected sales",
        _ESTIMATE + " Listings without a known cost or fee are left out of it.",
    ),
    "goods ordered": (
        "what goods that agents order, or ask you to order, cost",
        "Each decision by the shelf and the cash of then: what an order less or more would have left for the next ones "
        "is not followed, nor who would have been bought from where nobody was.",
    ),
    "goods to buy": (
        "lines of goods that were asked about and are advised to be bought",
        "Each decision by what was known then: a line that is judged again when a catalogue answers counts each time.",
    ),
    "questions unanswered": (
        "questions to persons that ended without an answer, or were answered later than the hours asked",
        "One that ended counts as ended however long it would have stayed open.",
    ),
    "refunds to approve": (
        "wishes to give money back above the limit, and what they are together: each waits for a yes",
        "By the limit as it is and as it would be; in which way an earlier limit was passed is not looked at.",
    ),
    "labels above the limit": (
        "labels that cost more than the limit, and what they cost together: each needs a limit of its own to be bought",
        "By the limit as it is and as it would be, also where whoever bought it had named another.",
    ),
    "labels not bought": (
        "labels that cost more than the directive allows, and what they cost together",
        "As if it had bound all the time. Whether another service would have been cheap enough is not looked at, nor "
        "what a directive that is ended kept from being bought.",
    ),
    "changes put off": (
        "changes of prices, words and listings beyond what may be changed within an hour, in all and by channel",
        "By hours of the clock, where budgets look at the last sixty minutes. What is put off is decided on anew, so "
        "one change may count in several hours; what persons changed counts as well.",
    ),
    "stake put off": (
        "what was staked on such changes beyond what may be staked within an hour, in any currency's minor units",
        "As with changes put off.",
    ),
    "sent up": (
        "decisions above their agent's authority",
        "By the authority agents declare, less what outcomes had taken away of it then. What the one above would have "
        "said is not known where nobody was asked.",
    ),
    "questions": (
        "decisions that ask the owner, or may not be carried out without",
        "Questions that follow from a decision sent up are not foreseen.",
    ),
    "units shown": (
        "units that shared shelves show on the channel, summed over the decisions on them",
        "Partitioned goods are counted apart, unless they are tried as shared: then by the delays of channels as they "
        "are now.",
    ),
    "units shared out": (
        "units of partitioned goods that a channel may sell, summed over the decisions on them",
        "Each decision by the shelf of then: that a channel would have sold more or less of it since is not followed.",
    ),
    "orders on another day": (
        "orders that would be counted on another day, and what they are together",
        "What agents decided by sales of days is counted apart, as not to be told.",
    ),
    "sold twice": ("expected number of next sales that are one too many, over decisions on shared shelves", _NEXT_SALE),
    "sales not seen": ("expected number of next sales lost as the buyer's channel shows nothing", _NEXT_SALE),
}


@dataclass(frozen=True)
class Figure:
    """`unit` is a currency (minor units), a count, or units; `of` a channel's vendor where it is about one."""

    name: str
    of: str
    unit: str
    then: float
    now: float
    difference: float
    means: str
    limit: str


@dataclass(frozen=True)
class _Stretch:
    since: datetime
    priced: Priced
    then: int
    now: int


def permitted(row: PriceRow, price: Money, choices: PricingChoices, at: datetime) -> int | None:
    """What the firewall lets through of a price, in minor units; None where nothing."""
    return judge(proposal_for(row, price, choices, at, _NOTHING_MOVED, released=True), _LIMITS, at)[0]


class Ledger:
    """Both sides of every figure."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open: dict[UUID, _Stretch] = {}

    def count(self, name: str, then: float, now: float, *, of: str = "", unit: str = "count") -> None:
        sides = self._sums[name, of, unit]
        sides[0] += then
        sides[1] += now

    def price(self, priced: Priced, then: int, now: int, at: datetime) -> float:
        """A listing's price once decided, on both sides; the difference in expected profit a day, in minor units."""
        row = priced.row
        self._close(row.listing_id, at)
        self.count("price changes", then != row.current_minor, now != row.current_minor)
        lowest = lowest_price(priced.would, priced.now, at)
        self.count("below the floor", then < lowest, now < lowest)
        if then == now:
            return 0.0
        self._open[row.listing_id] = stretch = _Stretch(at, priced, then, now)
        sold = _sold(stretch, at + _DAY)
        net = _nets(stretch)
        return 0.0 if net is None else sold[1] * net[1] - sold[0] * net[0]

    def shelf(self, then: StockPicture, now: StockPicture) -> None:
        """An item's shelf, on both sides. What partitioned goods lose by showing less is not worked out."""
        modes = {then.item.mode, now.item.mode}
        for row in then.listings:
            if row.listing_status == "active":
                shares = then.shares[row.listing_id], now.shares[row.listing_id]
                name = "units shown" if "pooled" in modes else "units shared out"
                self.count(name, *shares, of=row.vendor, unit="units")
        if "pooled" not in modes:
            return
        for name, what in (("sold twice", "shown"), ("sales not seen", "unseen")):
            sides = [getattr(each.odds, what) if each.odds is not None else 0.0 for each in (then, now)]
            if name == "sales not seen" and "escrow" in modes:
                continue
            self.count(name, *sides, unit="units")

    def figures(self, until: datetime) -> list[Figure]:
        """All that was counted; prices that stand count until then."""
        for listing_id in list(self._open):
            self._close(listing_id, until)
        order = list(MEANS)
        found = []
        for (name, of, unit), (then, now) in sorted(
            self._sums.items(), key=lambda each: (order.index(each[0][0]), each)
        ):
            places = None if name in ("price changes", "expected revenue", "expected profit") else 6
            before, after = round(then, places), round(now, places)
            means, limit = MEANS[name]
            found.append(Figure(name, of, unit, before, after, round(after - before, places), means, limit))
        return found

    def _close(self, listing_id: UUID, at: datetime) -> None:
        stretch = self._open.pop(listing_id, None)
        if stretch is None:
            return
        currency = stretch.priced.row.currency
        sold = _sold(stretch, at)
        self.count("expected sales", *sold, unit="units")
        self.count("expected revenue", sold[0] * stretch.then, sold[1] * stretch.now, unit=currency)
        if (net := _nets(stretch)) is not None:
            self.count("expected profit", sold[0] * net[0], sold[1] * net[1], unit=currency)


def _sold(stretch: _Stretch, until: datetime) -> tuple[float, float]:
    """Units expected at the two prices from the stretch's beginning on."""
    days = max(0.0, (until - stretch.since) / _DAY)
    request = request_for(stretch.priced.would, stretch.priced.now, stretch.since)
    if request is None:
        return 0.0, 0.0
    most = float(max(0, stretch.priced.row.entitled))
    rates = [stretch.priced.rule.rate_at(request, price) for price in (stretch.then, stretch.now)]
    return min(rates[0] * days, most), min(rates[1] * days, most)


def _nets(stretch: _Stretch) -> tuple[int, int] | None:
    """What one sale leaves at the two prices, by the changed settings; None where cost or fees are not known."""
    row, choices = stretch.priced.would, stretch.priced.now
    price = Money(amount_minor=stretch.now, currency=row.currency)
    proposal = proposal_for(row, price, choices, stretch.since, _NOTHING_MOVED)
    if proposal.fees is None or not row.cost_minor or row.variant_currency != row.currency:
        return None
    economics = proposal.economics(proposal.fees.terms(stretch.since))
    return economics.net(stretch.then), economics.net(stretch.now)
