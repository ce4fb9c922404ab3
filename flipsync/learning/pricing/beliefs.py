"""What is believed of demand: exact posteriors on a grid, with the one thing all sellers know, that demand falls."""

from __future__ import annotations

import numpy as np

from flipsync.learning.simulator import Array, Ints


class PurchaseBelief:
    """Beliefs about the purchase chance at each of a few rising prices, in many runs at once.

    Two models are kept side by side: chances fall with price (a uniform prior on falling sequences) and chances that
    have nothing to do with one another (uniform each). The first is a Markov chain along the prices, so its posterior
    is exact by a forward and a backward pass over the grid. Bayes' rule weighs the two models by how well each foretold
    what was seen; `prior` is the weight of falling demand before anything was.
    """

    def __init__(self, runs: int, prices: int, *, prior: float = 0.95, grid: int = 128) -> None:
        self.grid = (np.arange(grid) + 0.5) / grid
        self.sold = np.zeros((runs, prices))
        self.refused = np.zeros((runs, prices))
        self.prior = prior

    def learn(self, price: Ints, sold: np.ndarray, seen: np.ndarray) -> None:
        """Count one buyer a run: index of the price he saw, whether he bought, and whether there was one at all."""
        which = np.flatnonzero(seen)
        self.sold[which, price[which]] += sold[which]
        self.refused[which, price[which]] += ~sold[which]

    def separate_mean(self) -> Array:
        return (self.sold + 1) / (self.sold + self.refused + 2)

    def draw(self, rng: np.random.Generator) -> Array:
        """One sample of the separate Beta posteriors (Thompson sampling)."""
        return rng.beta(self.sold + 1, self.refused + 1)

    def falling(self) -> tuple[Array, Array]:
        """Posterior mean under falling demand, (runs, prices), and the probability of that model, (runs,)."""
        prices = self.sold.shape[1]
        size = len(self.grid)
        logs = self.sold[..., None] * np.log(self.grid) + self.refused[..., None] * np.log1p(-self.grid)
        likely = np.exp(logs - logs.max(axis=-1, keepdims=True))
        forward, backward = np.empty_like(likely), np.empty_like(likely)
        forward[:, 0], backward[:, -1] = likely[:, 0], 1.0
        for i in range(1, prices):
            above = np.cumsum(forward[:, i - 1, ::-1], axis=1)[:, ::-1]
            forward[:, i] = likely[:, i] * above
        for i in range(prices - 2, -1, -1):
            backward[:, i] = np.cumsum(likely[:, i + 1] * backward[:, i + 1], axis=1)
        joint = forward * backward
        mean = joint @ self.grid / joint.sum(axis=-1)
        sequences = np.prod([(size + i) / (i + 1) for i in range(prices)])
        for_falling = self.prior * forward[:, -1].sum(axis=1) / sequences
        for_separate = (1 - self.prior) * likely.mean(axis=-1).prod(axis=1)
        return mean, for_falling / (for_falling + for_separate)

    def structured(self, rng: np.random.Generator) -> Array:
        """The chances to act on: the mean where demand looks falling, elsewhere a draw of the separate beliefs."""
        mean, weight = self.falling()
        return np.where(weight[:, None] > 0.5, mean, self.draw(rng))
