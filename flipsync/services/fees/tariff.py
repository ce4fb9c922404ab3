"""The tables of fees: one row a fee, its source, and how sure we are of the figure.

Columns of `tariffs/*.csv`: `scope` is the category, plan or size the row is for (empty: all; "most": all that have no
row of their own), `when` the conditions it needs. `rate` is percent of `basis`, `fixed`, `least` and `most` are major
units. Brackets: "8<=10;15" is 8 % of all of it up to 10, 15 % of all of it above; "15<=200+10" is 15 % of the portion
up to 200 and 10 % of the rest. `per` is unit, line, order or refund for what an order costs by itself, and month,
event, payout or parcel for the rest; the limits of a refund_line are for a line, not for each unit of it.
`confidence`: confirmed (read on the vendor's page), secondary (read on another's page that quotes it), recalled (as
published, but no page was at hand to check it against). A row begins at the latest on the day its source was read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, cast, get_args

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money, minor_digits
from flipsync.services.pricing.fees import PPM, Rounding, divide

Basis = Literal["item", "item+shipping", "total", "referral", "fees"]
Confidence = Literal["confirmed", "secondary", "recalled"]
#: a fee that comes back only with the whole price is kept where a part of it is refunded
OnRefund = Literal["returned", "returned_in_full", "kept"]
#: what an order costs by itself; everything else is charged when something happens
BY_ORDER = ("unit", "line", "order")
#: kinds without which the fees of an account that sells so are not known
NEEDED_BY_FLAG = {"fba": "fba_fulfilment"}
_AD_RATE = "ad_rate"


@dataclass(frozen=True, slots=True)
class Ladder:
    """A value that depends on the base: (base up to and with in minor units, value), the last without end."""

    steps: tuple[tuple[int | None, int], ...]
    portions: bool = False

    def at(self, base: int) -> int:
        """The value of the step the base falls into."""
        return next(value for upto, value in self.steps if upto is None or base <= upto)

    def times(self, base: int) -> int:
        """The base times the value; each portion of it times its own, with `portions`."""
        if not self.portions:
            return base * self.at(base)
        total, begin = 0, 0
        for upto, value in self.steps:
            total += (base - begin if upto is None else max(0, min(base, upto) - begin)) * value
            begin = min(base, base if upto is None else upto)
        return total


@dataclass(frozen=True, slots=True)
class Tariff:
    """One fee. Rates are parts per million; `fixed` is millionths of a minor unit, so that half a cent can be told."""

    vendor: str
    country: str
    currency: str
    kind: str
    scope: str
    when: frozenset[str]
    rate: Ladder
    fixed: Ladder
    least: int | None
    most: int | None
    basis: str
    per: str
    rounding: Rounding
    on_refund: OnRefund
    since: datetime
    until: datetime | None
    confidence: Confidence
    source: str
    #: the rate is the campaign's and not the table's
    by_ad_rate: bool = False

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)

    def fee(self, base: int, *, share_of: int = 1, ad_rate_ppm: int = 0) -> int:
        """The fee in minor units of one thing of which `share_of` have this base together. Rounded once."""
        each = base // share_of if share_of > 1 else base
        share = base * ad_rate_ppm if self.by_ad_rate else self._share(base, share_of)
        amount = divide(share + self.fixed.at(each) * share_of, PPM * share_of, self.rounding)
        if self.least is not None:
            amount = max(amount, self.least)
        return amount if self.most is None else min(amount, self.most)

    def _share(self, base: int, share_of: int) -> int:
        if share_of == 1:
            return self.rate.times(base)
        # limits of brackets are for one thing: scale them instead of rounding the base
        scaled = Ladder(
            tuple((None if upto is None else upto * share_of, value) for upto, value in self.rate.steps),
            self.rate.portions,
        )
        return scaled.times(base)


@lru_cache(maxsize=1)
def tariffs() -> tuple[Tariff, ...]:
    """All rows of all tables."""
    folder = resources.files("flipsync.services.fees") / "tariffs"
    found: list[Tariff] = []
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".csv"):
            rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
            found += [_row(row, f"{file.name}:{number}") for number, row in enumerate(rows, 2)]
    return tuple(found)


def fee_types() -> set[tuple[str, str]]:
    """Every (vendor, kind) the tables know."""
    return {(row.vendor, row.kind) for row in tariffs()}


@lru_cache(maxsize=64)
def rows_of(vendor: str, country: str) -> tuple[Tariff, ...]:
    return tuple(row for row in tariffs() if (row.vendor, row.country) == (vendor, country))


def choose(rows: Iterable[Tariff], flags: frozenset[str], scopes: tuple[str, ...]) -> dict[str, Tariff]:
    """The row that holds for each kind: with its conditions met, and the most particular scope; newest wins."""
    chosen: dict[str, tuple[tuple[int, int, datetime], Tariff]] = {}
    for row in rows:
        if not row.when <= flags:
            continue
        if row.scope and row.scope != "most" and row.scope not in scopes:
            continue
        rank = (2 if row.scope in scopes and row.scope not in ("", "most") else 1, len(row.when), row.since)
        if row.kind not in chosen or rank > chosen[row.kind][0]:
            chosen[row.kind] = (rank, row)
    return {kind: row for kind, (_, row) in chosen.items()}


def charge(
    vendor: str,
    country: str,
    kind: str,
    at: datetime,
    *,
    scope: str = "",
    base: Money | None = None,
    count: int = 1,
) -> tuple[Money, Tariff]:
    """What something beside an order costs (a dispute, a month of storage, a label's surcharge), and by which row.

    `base` is the amount a rate is taken from, `count` the things charged for (cubic feet, parcels, listings). Raises
    InvalidInput when no row holds.
    """
    rows = [row for row in rows_of(vendor, country) if row.kind == kind and row.holds(at) and scope in ("", row.scope)]
    if not rows:
        raise InvalidInput(
            f"no {kind} of {vendor} ({country}, {scope or 'any scope'}) is known on {at:%Y-%m-%d}",
            hint="Look at the kinds and scopes in services/fees/tariffs.",
        )
    row = max(rows, key=lambda each: each.since)
    minor = base.amount_minor if base else 0
    amount = divide(row.rate.times(minor) + row.fixed.at(minor) * count, PPM, row.rounding)
    if row.least is not None:
        amount = max(amount, row.least)
    if row.most is not None:
        amount = min(amount, row.most)
    return Money(amount_minor=amount, currency=row.currency), row


# -- reading the tables -----------------------------------------------------------------------------------------------


def missing(chosen: Iterable[str], flags: frozenset[str]) -> list[str]:
    """Kinds that must be charged where these flags are set, and that no row tells: unknown is not zero."""
    there = set(chosen)
    return [kind for flag, kind in NEEDED_BY_FLAG.items() if flag in flags and kind not in there]


def _row(row: dict[str, str], where: str) -> Tariff:
    currency = row["currency"]
    scale = Decimal(10) ** minor_digits(currency)

    def minor(text: str) -> int | None:
        return int(Decimal(text) * scale) if text else None

    def ladder(text: str, factor: Decimal) -> Ladder:
        portions = "+" in text
        steps: list[tuple[int | None, int]] = []
        for part in text.replace("+", ";").split(";") if text else ["0"]:
            value, _, upto = part.partition("<=")
            steps.append((minor(upto), int(Decimal(value) * factor)))
        if steps[-1][0] is not None or any(upto is None for upto, _ in steps[:-1]):
            raise ValueError(f"{where}: the last bracket of {text!r}, and only the last, has no end")
        return Ladder(tuple(steps), portions)

    def one_of(name: str, literal: Any) -> Any:
        if row[name] not in get_args(literal):
            raise ValueError(f"{where}: {name} is {row[name]!r}, not one of {get_args(literal)}")
        return row[name]

    def day(text: str) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    by_ad_rate = row["rate"] == _AD_RATE
    return Tariff(
        vendor=row["vendor"],
        country=row["country"],
        currency=currency,
        kind=row["kind"],
        scope=row["scope"],
        when=frozenset(row["when"].split()),
        rate=ladder("" if by_ad_rate else row["rate"], Decimal(PPM) / 100),
        fixed=ladder(row["fixed"], scale * PPM),
        least=minor(row["least"]),
        most=minor(row["most"]),
        basis=row["basis"],
        per=row["per"],
        rounding=one_of("rounding", Rounding),
        on_refund=one_of("on_refund", OnRefund),
        since=cast(datetime, day(row["since"])),
        until=day(row["until"]),
        confidence=one_of("confidence", Confidence),
        source=row["source"],
        by_ad_rate=by_ad_rate,
    )
