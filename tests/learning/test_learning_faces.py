"""The twelve problems as environments: Gymnasium's own checks, one story a seed, rewards that are the objective."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from flipsync.learning.faces import SIMULATORS, face
from flipsync.learning.forecast.intermittent import HORIZON, imapa, newsvendor_cost
from flipsync.learning.forecast.weekly_stock import WeeklyStock
from flipsync.learning.fulfilment import cartons, loading, packing, sourcing, tours, warehouse
from flipsync.learning.inventory.reorder_point import ReorderPoint, ReorderWorld
from flipsync.learning.pricing import arena, arena_rivals, duopoly
from flipsync.learning.simulator import Array, GymFace, Simulator

#: runs side by side: a number that no other axis of a draw has
RUNS = 13
ALL = pytest.mark.parametrize("name", SIMULATORS)


def test_all_twelve_are_there() -> None:
    assert {name.split()[0] for name in SIMULATORS} == {*(f"P{number}" for number in range(1, 13)), "P2b"}


@ALL
def test_gymnasium_accepts_it_and_a_seed_tells_one_story(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(symmetric and normalized|infinity).*")  # bounds are the field's
        check_env(face(name), skip_render_check=True)

    def story(seed: int) -> list[float]:
        env = face(name)
        told, _ = env.reset(seed=seed)
        env.action_space.seed(1)
        rewards, over = [*told.tolist()], False
        for _ in range(60):
            if not over:
                told, reward, over, cut, _ = env.step(env.action_space.sample())
                assert not cut and np.isfinite(reward) and env.observation_space.contains(told)
                rewards += [reward, *told.tolist()]
        return rewards

    assert story(5) == story(5)
    if name not in ("P1", "P12 loading"):  # nobody pays what is asked at random; nothing is drawn
        assert story(5) != story(6)


@ALL
def test_runs_side_by_side_are_each_what_the_face_plays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many, one = SIMULATORS[name](), GymFace(SIMULATORS[name]())
    tapes: dict[str, list[Any]] = {}
    fresh = np.random.default_rng
    steps = min(many.horizon, 25)
    low, high = many.action_bounds()
    actions = fresh(3).uniform(low, np.minimum(high, 100.0), (steps, RUNS, many.action_size))
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed: _Recording(fresh(seed), tapes.setdefault(repr(seed), []))
    )
    seen = [many.reset(RUNS, 9)]
    rewards = []
    for acted in actions:
        told, reward, _ = many.step(acted)
        seen.append(told)
        rewards.append(reward)
    for run in (0, 7, 12):
        monkeypatch.setattr(
            np.random, "default_rng", lambda seed, run=run: _Replaying(list(tapes.get(repr(seed), [])), run)
        )
        np.testing.assert_allclose(one.reset(seed=9)[0], seen[0][run], rtol=1e-12)
        for step, acted in enumerate(actions):
            told, reward, over, _, _ = one.step(acted[run])
            np.testing.assert_allclose(told, seen[step + 1][run], rtol=1e-12)
            assert reward == pytest.approx(rewards[step][run], rel=1e-12)
            assert over == (step + 1 == many.horizon)


class _Recording:
    """A generator that keeps what it drew."""

    def __init__(self, rng: np.random.Generator, tape: list[Any]) -> None:
        self.rng, self.tape = rng, tape

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def drawn(*args: Any, **named: Any) -> Any:
            self.tape.append(getattr(self.rng, method)(*args, **named))
            return self.tape[-1]

        return drawn


class _Replaying:
    """Gives what was drawn for all runs again, of one run alone."""

    def __init__(self, tape: list[Any], run: int) -> None:
        self.tape, self.run = tape, run

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def drawn(*args: Any, **named: Any) -> Any:
            whole = self.tape.pop(0)
            for axis, size in enumerate(np.shape(whole)):
                if size == RUNS:
                    return np.take(whole, [self.run], axis=axis)
            return whole

        return drawn


def test_after_the_end_and_before_the_beginning_nobody_acts() -> None:
    env = face("P12 picking")
    with pytest.raises(ValueError, match="call reset"):
        env.step(np.zeros(1))
    env.reset(seed=1)
    while not env.step(np.zeros(1))[2]:
        pass
    with pytest.raises(ValueError, match="call reset"):
        env.step(np.zeros(1))


# -- rewards add up to what the solvers compute -----------------------------------------------------------------------


def total(world: Simulator, choose: Callable[[Array], Array], *, runs: int, seed: int, fade: float = 1.0) -> Array:
    """Sum of the rewards of an episode, each period counting `fade` of the one before; (runs,)."""
    seen, over, earned, weight = world.reset(runs, seed), False, np.zeros(runs), 1.0
    while not over:
        seen, reward, over = world.step(choose(seen))
        earned += weight * reward
        weight *= fade
    return earned


@pytest.mark.parametrize("mind", ["matches", "punishes", "random"])
def test_duopoly_earns_the_exact_worth_of_a_best_response(mind: str) -> None:
    rival = duopoly.frozen_rivals(3)[mind]
    worth, policy = duopoly.best_response(rival.reaction())
    world = duopoly.Duopoly(rival, horizon=600)
    begun = world.reset(40, 2).astype(int)

    def respond(seen: Array) -> Array:
        return policy[seen[:, 0].astype(int), seen[:, 1].astype(int)][:, None]

    earned = total(world, respond, runs=40, seed=2, fade=duopoly.DISCOUNT)
    assert earned == pytest.approx(worth[begun[:, 0], begun[:, 1]], abs=1e-6)
    assert earned == pytest.approx(duopoly.worth_against(rival.reaction(), policy)[begun[:, 0], begun[:, 1]], abs=1e-9)


def test_arena_pays_what_the_match_of_the_firms_pays() -> None:
    match = arena.play([arena_rivals.Fixed(), *arena_rivals.rivals()], runs=3, seed=8, periods=50)
    asked = match.prices[0, :, :1]
    earned = total(arena.Arena(arena_rivals.rivals(), 50), lambda seen: asked, runs=3, seed=8)
    assert earned == pytest.approx(match.revenue[:, 0])


def test_alone_in_the_arena_the_best_price_is_a_monopolists() -> None:
    world = arena.Arena([], horizon=400)
    world.reset(60, 1)
    game = world.game
    pays = game.shoppers * game.shopper_pays + (1 - game.shoppers) * game.loyal_pays
    earned = {
        factor: total(world, lambda seen, factor=factor: factor * pays[:, None], runs=60, seed=1).mean()
        for factor in (0.7, 1.0, 1.4)
    }
    assert earned[1.0] == max(earned.values())
    expected = (pays * game.mean_sales(pays[:, None])[:, 0]).mean() * 400
    assert earned[1.0] == pytest.approx(expected, rel=0.005)


def test_reorder_points_cost_what_renewal_theory_says() -> None:
    problem = ReorderPoint(10)
    reorder, up_to, cost = problem.solve()

    def means(low: int, high: int) -> Array:
        world = ReorderWorld(problem, 600)
        return -total(world, lambda at: np.where(at <= low, high - at, 0.0), runs=300, seed=4) / 600

    best = means(reorder, up_to)
    assert abs(best.mean() - cost) < 4 * best.std() / np.sqrt(len(best)) + 0.1  # the first cycle begins with nothing
    assert best.mean() == pytest.approx(cost, rel=0.005)
    for other in ((reorder - 4, up_to), (reorder, up_to + 15), (reorder + 5, up_to)):
        assert means(*other).mean() - best.mean() == pytest.approx(problem.cost(*other) - cost, abs=0.15)


def test_weekly_stock_costs_what_the_newsvendor_counts() -> None:
    world = WeeklyStock(service=0.9)
    past = world.reset(20, 5)
    sold = world.sold[:, -HORIZON:].copy()
    stock = np.ceil(2 * imapa(past))
    assert total(world, lambda seen: stock[:, None], runs=20, seed=5) == pytest.approx(
        -newsvendor_cost(stock, sold, 0.9)
    )
    with pytest.raises(ValueError, match="52 weeks, expected 30"):
        WeeklyStock(seen=30).reset(1, 1)


@pytest.mark.parametrize("name", ["P12 tours", "P12 picking"])
def test_a_tour_walked_stop_by_stop_is_as_long_as_the_solvers(name: str) -> None:
    world = SIMULATORS[name]()
    assert isinstance(world, tours.RoundTrip)
    world.reset(4, 3)
    walks = np.stack([tours.walk(d, seed=1, kicks=20) for d in world.d])
    walks = np.stack([np.roll(walk, -int(np.argmax(walk == 0))) for walk in walks])
    stops = iter(walks.T[1:])
    lengths = [tours.length(walk, d) for walk, d in zip(walks, world.d, strict=True)]
    assert -total(world, lambda seen: next(stops)[:, None], runs=4, seed=3) == pytest.approx(lengths)


def test_the_shortest_picking_walk_is_the_most_that_the_face_can_earn() -> None:
    block = warehouse.Block.draw(4, 5, np.random.default_rng(2))
    world = tours.RoundTrip(6, lambda seed: block.distances())
    every = np.stack(np.meshgrid(*[np.arange(6.0)] * 5, indexing="ij")).reshape(5, -1)  # all there is to do
    stops = iter(every)
    earned = total(world, lambda seen: next(stops)[:, None], runs=every.shape[1], seed=1)
    assert -earned.max() == pytest.approx(warehouse.shortest(block))


def test_boxes_filled_item_by_item_are_as_many_as_the_solvers() -> None:
    world = packing.Packer(60)
    world.reset(3, 7)
    found = [packing.fill(sizes, seed=1) for sizes in world.sizes]
    numbers = iter(
        np.array([_numbers(sizes.tolist(), boxes) for sizes, boxes in zip(world.sizes, found, strict=True)]).T
    )
    earned = total(world, lambda seen: next(numbers)[:, None], runs=3, seed=7)
    assert earned.tolist() == [-len(boxes) for boxes in found]
    assert np.sort(world.room[0, : len(found[0])]).tolist() == sorted(packing.BOX - sum(box) for box in found[0])
    assert total(world, lambda seen: np.full((3, 1), 59.0), runs=3, seed=7).tolist() == [-60.0] * 3


def _numbers(sizes: list[int], boxes: list[list[int]]) -> list[int]:
    """The box of each item in turn, boxes numbered as they are opened."""
    left, opened, told = [list(box) for box in boxes], [], []
    for size in sizes:
        at = next(box for box in range(len(left)) if size in left[box])
        left[at].remove(size)
        if at not in opened:
            opened.append(at)
        told.append(opened.index(at))
    return told


def test_orders_sent_one_by_one_cost_what_the_assignment_costs() -> None:
    world = sourcing.Sourcing(60, 4)
    world.reset(3, 2)
    days = list(world.days)
    found = np.stack([sourcing.assign(day) for day in days])
    houses = iter(found.T)
    earned = total(world, lambda seen: next(houses)[:, None], runs=3, seed=2)
    assert -earned == pytest.approx([day.total(chosen) for day, chosen in zip(days, found, strict=True)])
    cheapest = total(world, lambda seen: seen[:, :4].argmin(axis=1)[:, None], runs=3, seed=2)
    assert -cheapest == pytest.approx([day.total(sourcing.nearest(day)) for day in days])
    assert np.isfinite(total(world, lambda seen: np.zeros((3, 1)), runs=3, seed=2)).all() and (world.left >= 0).all()


def test_a_container_filled_carton_by_carton_is_as_full_as_the_solvers() -> None:
    cargo = cartons.draw("BR2", 1)
    world = cartons.Filling(cargo)
    ours = loading.load(cargo, seed=1, rounds=2)
    rows = ours[np.argsort(ours[:, 3], kind="stable")]  # from the floor up
    ways = [int(np.flatnonzero((world.kinds == row[0]) & (world.ways == row[4:]).all(axis=1))[0]) for row in rows]
    acts = np.column_stack([ways, rows[:, 1:4]])
    again = np.tile(acts[-1:], (world.horizon - len(acts), 1))  # its place is taken: stays outside
    turns = iter(np.concatenate([acts, again]))
    earned = total(world, lambda seen: np.stack([next(turns)] * 2), runs=2, seed=1)
    assert earned == pytest.approx([cargo.filled(ours)] * 2)
    assert sorted(world.placed(1).tolist()) == sorted(ours.tolist())


def test_whatever_is_tried_in_the_container_the_loading_is_valid() -> None:
    cargo = cartons.draw("BR1", 2)
    world = cartons.Filling(cargo)
    rng = np.random.default_rng(4)
    low, high = world.action_bounds()

    def anywhere(seen: Array) -> Array:
        drawn = rng.uniform(low, high, (5, 4))
        corners = np.concatenate([world.low[:, :5, :2], world.high[:, :5]], axis=2)  # on top of what stands there, too
        drawn[1:, 1:3], drawn[1:, 3] = corners[1:, world.period % 5, :2], corners[1:, world.period % 5, 4]
        return drawn

    earned = total(world, anywhere, runs=5, seed=1)
    for run in range(5):
        placed = world.placed(run)
        assert not cartons.faults(cargo, placed)
        assert earned[run] == pytest.approx(cargo.filled(placed))
    assert any((world.placed(run)[:, 3] > 0).any() for run in range(5)), "some stand on others"
