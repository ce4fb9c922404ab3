"""P6: a repricing arena (van de Geer et al., "Dynamic pricing and learning with competition", INFORMS challenge 2017).

T = 1,000 periods. Each firm sees all past prices and its own sales. Poisson arrivals of mean λ: shoppers buy from the
cheapest firm (ties shared), loyals go to one firm at random, either only if the price is below what they would pay,
exponential with mean β. Drawn anew for each game: λ ~ round U(50,150), β_sho ~ U(5,15), β_loy = U(1.5,2)·β_sho and the
share of shoppers ~ U(.2,.8). A monopolist would ask β and earn λβ/e. Goods cost nothing; there is a floor all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flipsync.learning.simulator import Array, Ints, Simulator

FLOOR, CEILING = 0.5, 60.0


@dataclass(frozen=True)
class Game:
    """Parameters of many games, one a run: arrays (runs,)."""

    arrivals: Array
    shoppers: Array
    shopper_pays: Array
    loyal_pays: Array

    @staticmethod
    def draw(runs: int, rng: np.random.Generator) -> Game:
        pays = rng.uniform(5, 15, runs)
        return Game(
            np.rint(rng.uniform(50, 150, runs)), rng.uniform(0.2, 0.8, runs), pays, pays * rng.uniform(1.5, 2, runs)
        )

    def mean_sales(self, prices: Array) -> Array:
        """Expected sales of every firm at prices (runs, firms)."""
        cheapest = prices == prices.min(axis=1, keepdims=True)
        won = cheapest / cheapest.sum(axis=1, keepdims=True)
        shoppers = (self.arrivals * self.shoppers)[:, None] * won * np.exp(-prices / self.shopper_pays[:, None])
        loyals = (self.arrivals * (1 - self.shoppers) / prices.shape[1])[:, None]
        return np.asarray(shoppers + loyals * np.exp(-prices / self.loyal_pays[:, None]), dtype=np.float64)


class Firm:
    """One way to price, in all games at once. `history` is all firms' past prices; own column `me`."""

    name = "firm"

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        self.runs, self.firms, self.me, self.rng = runs, firms, me, rng
        self.others = [firm for firm in range(firms) if firm != me]
        self.opening = rng.uniform(8, 18, runs)

    def price(self, last: Array | None) -> Array:
        """Prices (runs,) for the coming period, given everybody's last ones (runs, firms)."""
        return self.opening

    def learn(self, prices: Array, sales: Array) -> None:
        """What all asked, (runs, firms), and what was sold here, (runs,)."""


class Arena(Simulator):
    """One seller, column 0, among `rivals`. Observation: everybody's last prices and its own last sales, zeros at
    first. Action: a price, held between `FLOOR` and `CEILING`. Reward: revenue.

    Rivals learn and begin anew with every `reset`. A seed fixes the games and what rivals draw; how many numbers sales
    take depends on prices, so that here customers are alike, not the same, for two who ask different prices.
    """

    def __init__(self, rivals: list[Firm], horizon: int = 1000) -> None:
        super().__init__()
        self.rivals, self.horizon, self.observation_size = rivals, horizon, len(rivals) + 2
        self.prices = self.sales = np.zeros((0, len(rivals) + 1))

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(1, FLOOR), np.full(1, CEILING)

    def _begin(self) -> Array:
        self.game = Game.draw(self.runs, self.rng)
        for place, firm in enumerate(self.rivals, start=1):
            firm.begin(self.runs, len(self.rivals) + 1, place, np.random.default_rng([self.seed, place]))
        self.prices = self.sales = np.zeros((self.runs, len(self.rivals) + 1))
        return np.zeros((self.runs, self.observation_size))

    def _move(self, actions: Array) -> tuple[Array, Array]:
        last = self.prices if self.period else None
        asked = np.column_stack([actions[:, 0], *(firm.price(last) for firm in self.rivals)])
        self.prices = np.clip(asked, FLOOR, CEILING)
        self.sales = self.rng.poisson(self.game.mean_sales(self.prices)).astype(np.float64)
        for place, firm in enumerate(self.rivals, start=1):
            firm.learn(self.prices, self.sales[:, place])
        return np.column_stack([self.prices, self.sales[:, 0]]), self.prices[:, 0] * self.sales[:, 0]


@dataclass
class Outcome:
    revenue: Array  # (runs, firms)
    prices: Array = field(repr=False)  # (periods, runs, firms)


def play(firms: list[Firm], *, runs: int, seed: int, periods: int = 1000) -> Outcome:
    """Let the firms meet in `runs` drawn games."""
    first, *others = firms
    world = Arena(others, periods)
    world.reset(runs, seed)
    first.begin(runs, len(firms), 0, np.random.default_rng([seed, 0]))
    revenue, asked = np.zeros((runs, len(firms))), np.empty((periods, runs, len(firms)))
    for period in range(periods):
        world.step(first.price(world.prices if period else None)[:, None])
        first.learn(world.prices, world.sales[:, 0])
        revenue += world.prices * world.sales
        asked[period] = world.prices
    return Outcome(revenue, asked)


class BayesFirm(Firm):
    """Ours: a posterior over the game's five unknowns (weighted draws of the prior) and the cheapest rival foretold.

    A period's likelihood is exact, for the prices are seen afterwards: Poisson with mean L·e^{-p/β_loy} + (p cheapest)
    S·e^{-p/β_sho}. The cheapest rival's next price is forecast from its own last moves, the latest counting most. The
    price asked has the greatest expected revenue: a price war is left when what loyals pay alone is worth more.

    Prices stay in a corridor whose top is at most `corridor` times its bottom, so that rivals that go in cycles do not
    take ours along. It moves when the best price of another one would have earned more by the share `shift`, over the
    last periods (each counting `fade` of the next).
    """

    name = "ours"

    def __init__(
        self,
        *,
        particles: int = 600,
        memory: int = 40,
        step: float = 0.03,
        floor: float = FLOOR,
        corridor: float = 1.49,
        shift: float = 0.1,
        fade: float = 0.8,
    ) -> None:
        self.particles, self.memory, self.step, self.floor = particles, memory, step, floor
        self.corridor, self.shift, self.fade = corridor, shift, fade

    def begin(self, runs: int, firms: int, me: int, rng: np.random.Generator) -> None:
        super().begin(runs, firms, me, rng)
        drawn = Game.draw(self.particles, np.random.default_rng(17))
        self.loyal = drawn.arrivals * (1 - drawn.shoppers) / firms
        self.shop = drawn.arrivals * drawn.shoppers
        self.pays = np.stack([drawn.loyal_pays, drawn.shopper_pays])
        self.logs = np.zeros((runs, self.particles))
        self.grid = np.exp(np.arange(np.log(self.floor), np.log(40.0), self.step))
        self.loyal_worth = self.grid * self.loyal[:, None] * np.exp(-self.grid / self.pays[0][:, None])
        self.shop_worth = self.grid * self.shop[:, None] * np.exp(-self.grid / self.pays[1][:, None])
        self.moves: list[Array] = []
        self.cheapest = np.zeros(runs)
        self.width = min(int(np.log(self.corridor) / self.step + 1e-9), len(self.grid) - 1) + 1
        self.bottom: Ints | None = None
        self.record = np.zeros((runs, len(self.grid) - self.width + 1))  # faded worth of every corridor

    def price(self, last: Array | None) -> Array:
        weights = np.exp(self.logs - self.logs.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        loyal, shop = weights @ self.loyal_worth, weights @ self.shop_worth
        if last is None or len(self.moves) < 3:
            return np.asarray(self.grid[(loyal + shop / self.firms).argmax(axis=1)])
        moves = np.stack(self.moves[-self.memory :], axis=1)
        weight = 0.95 ** np.arange(moves.shape[1])[::-1]
        foretold = np.log(self.cheapest)[:, None] + moves
        above = foretold[:, :, None] > np.log(self.grid)[None, None, :] + 1e-9
        wins = np.einsum("m,rmg->rg", weight / weight.sum(), above)
        worth = loyal + shop * wins
        within = np.lib.stride_tricks.sliding_window_view(worth, self.width, axis=1)
        return np.asarray(self.grid[self._in_corridor(within)])

    def _in_corridor(self, within: Array) -> Ints:
        """The best price's index, (runs,), of the corridor kept to; `within` is worth, (runs, corridors, prices)."""
        each, worth = np.arange(self.runs), within.max(axis=2)
        self.record = worth if self.bottom is None else self.fade * self.record + (1 - self.fade) * worth
        best = self.record.argmax(axis=1)
        if self.bottom is None:
            self.bottom = best
        moves = self.record[each, best] > (1 + self.shift) * self.record[each, self.bottom]
        self.bottom = np.where(moves, best, self.bottom)
        return np.asarray(self.bottom + within[each, self.bottom].argmax(axis=1))

    def learn(self, prices: Array, sales: Array) -> None:
        mine, cheapest = prices[:, self.me], prices[:, self.others].min(axis=1)
        if self.cheapest.any():
            self.moves.append(np.log(cheapest / self.cheapest))
        self.cheapest = cheapest
        won = np.where(mine < cheapest, 1.0, 0.0)
        ties = mine == cheapest
        won[ties] = 1 / (1 + (prices[:, self.others][ties] == mine[ties, None]).sum(axis=1))
        mean = self.loyal * np.exp(-mine[:, None] / self.pays[0])
        mean = mean + won[:, None] * self.shop * np.exp(-mine[:, None] / self.pays[1])
        self.logs += sales[:, None] * np.log(mean) - mean
