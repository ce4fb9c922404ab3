"""Fulfilment problems: every answer checked by a second method that knows nothing of the first."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from flipsync.learning.fulfilment import packing, sourcing, tours, warehouse


@pytest.mark.slow
def test_berlin52_is_proven_and_found_from_every_seed() -> None:
    d = tours.distances(tours.BERLIN52)
    assert tours.prove(d) == pytest.approx(7542)
    for seed in (1, 2):
        tour = tours.walk(d, seed=seed, kicks=150)
        assert sorted(tour.tolist()) == list(range(52))
        assert 7542 <= tours.length(tour, d) <= 1.02 * 7542


def test_small_tours_by_trying_every_order() -> None:
    rng = np.random.default_rng(4)
    for _ in range(4):
        d = tours.distances(rng.uniform(0, 100, (7, 2)))
        best = min(tours.length(np.array([0, *order]), d) for order in permutations(range(1, 7)))
        assert tours.held_karp(d) == pytest.approx(best) == pytest.approx(tours.prove(d))
        assert tours.length(tours.walk(d, seed=1), d) >= best - 1e-9
    with pytest.raises(ValueError, match="at most 15"):
        tours.held_karp(np.zeros((16, 16)))


def test_picking_walks_equal_held_and_karp_on_a_spread_of_blocks() -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        block = warehouse.Block.draw(int(rng.integers(1, 7)), int(rng.integers(1, 9)), rng)
        exact = tours.held_karp(block.distances())
        assert warehouse.shortest(block) == pytest.approx(exact), block
        assert warehouse.s_shape(block) >= exact - 1e-9
    assert warehouse.shortest(warehouse.Block(((), ()), 20.0, 3.0)) == 0.0


def test_packings_are_valid_and_meet_the_bound() -> None:
    for seed, count in ((1, 120), (2, 60)):
        sizes = packing.draw(seed, count)
        boxes = packing.fill(sizes, seed=seed)
        assert sorted(size for box in boxes for size in box) == sorted(sizes.tolist())
        assert max(map(sum, boxes)) <= packing.BOX
        assert len(boxes) == np.ceil(packing.bound(sizes) - 1e-6) <= len(packing.best_fit(sizes))


def test_the_packing_bound_is_below_the_best_of_all_packings() -> None:
    rng = np.random.default_rng(2)
    for _ in range(3):
        sizes = rng.integers(20, 101, 7)
        fewest = min(
            len(set(places))
            for places in product(range(4), repeat=7)
            if (np.bincount(places, sizes, 4) <= packing.BOX).all()
        )
        assert np.ceil(packing.bound(sizes) - 1e-6) <= fewest == len(packing.fill(sizes, seed=1))


def test_assignments_by_trying_all_and_close_to_the_optimum_at_size() -> None:
    small = sourcing.Orders.draw(7, 3, 1, slack=1.3)
    best = min(small.total(np.array(chosen)) for chosen in product(range(3), repeat=7))
    assert sourcing.exact(small) == pytest.approx(best)
    for seed in (1, 2, 3):
        orders = sourcing.Orders.draw(120, 4, seed)
        optimum = sourcing.exact(orders)
        assert optimum - 1e-6 <= orders.total(sourcing.assign(orders)) <= 1.01 * optimum
