"""Loading of cartons: the paper's instances, a checker that finds every fault, and loads that have none."""

from __future__ import annotations

import numpy as np
import pytest

from flipsync.learning.fulfilment import cartons, loading

#: first kinds and counts of OR-Library's own files: thpack1 and thpack2, problem 1, and thpack2, problem 2
PUBLISHED = {
    ("BR1", 1): [(108, 76, 30, 40), (110, 43, 25, 33), (92, 81, 55, 39)],
    ("BR2", 1): [(108, 76, 30, 24), (110, 43, 25, 7), (92, 81, 55, 22), (81, 33, 28, 13), (120, 99, 73, 15)],
    ("BR2", 2): [(49, 25, 21, 22), (60, 51, 41, 22), (103, 76, 64, 28), (95, 70, 62, 25), (111, 49, 26, 17)],
}


@pytest.mark.parametrize(("name", "problem"), PUBLISHED)
def test_instances_are_those_of_or_library(name: str, problem: int) -> None:
    cargo = cartons.draw(name, problem)
    rows = [
        (*sorted(sizes.tolist(), reverse=True), int(count))
        for sizes, count in zip(cargo.sizes, cargo.counts, strict=True)
    ]
    assert rows == PUBLISHED[name, problem]


def test_what_may_stand_upright_is_what_or_library_says() -> None:
    cargo = cartons.draw("BR1", 1)  # 108 0 76 0 30 1; 110 0 43 1 25 1; 92 1 81 1 55 1
    upright = [
        {int(size) for size, may in zip(*each, strict=True) if may}
        for each in zip(cargo.sizes, cargo.upright, strict=True)
    ]
    assert upright == [{30}, {43, 25}, {92, 81, 55}]
    with pytest.raises(KeyError):
        cartons.draw("BR99", 1)


def test_cargo_nearly_fills_the_container_and_never_more() -> None:
    for name, kinds in cartons.KINDS.items():
        for problem in (1, 50, 100):
            cargo = cartons.draw(name, problem)
            assert len(cargo.counts) == kinds
            assert 0.9 < cargo.bound <= 1.0
            assert cargo.bound == pytest.approx(float(cargo.sizes.prod(axis=1) @ cargo.counts) / cargo.room)


def small() -> cartons.Cargo:
    return cartons.Cargo(np.array([[4, 3, 2]]), np.array([[False, True, True]]), np.array([3]), container=(8, 4, 4))


def test_the_checker_finds_each_fault() -> None:
    cargo = small()
    good = np.array([[0, 0, 0, 0, 4, 3, 2], [0, 4, 0, 0, 4, 3, 2], [0, 2, 0, 2, 4, 3, 2]])
    assert cartons.faults(cargo, good) == []
    assert cargo.filled(good) == pytest.approx(72 / 128)
    assert "4 of 3" in cartons.faults(cargo, np.vstack([good, [0, 0, 0, 0, 4, 3, 2]]))[0]

    def broken(row: int, *values: int) -> str:
        changed = good.copy()
        changed[row, 1:] = values
        return " ".join(cartons.faults(cargo, changed))

    assert "may not" in broken(0, 0, 0, 0, 3, 2, 4), "its longest side is upright"
    assert "may not" in broken(0, 0, 0, 0, 4, 3, 1), "it is no carton of that kind"
    assert "sticks out" in broken(1, 5, 0, 0, 4, 3, 2) and "sticks out" in broken(0, -1, 0, 0, 4, 3, 2)
    assert "overlap" in broken(1, 3, 0, 0, 4, 3, 2)
    assert "not wholly supported" in broken(2, 2, 1, 2, 4, 3, 2), "a third of its base hangs over"
    assert "not wholly supported" in broken(2, 2, 0, 1, 4, 3, 2)


def test_loads_have_no_fault_stay_under_the_bound_and_beat_the_rule_of_thumb_on_a_spread_of_problems() -> None:
    ours, thumb = [], []
    for name in ("BR1", "BR4", "BR7"):
        for problem in (3, 4):
            cargo = cartons.draw(name, problem)
            placed, plain = loading.load(cargo, seed=problem, rounds=3), cartons.one_by_one(cargo)
            assert cartons.faults(cargo, placed) == [] and cartons.faults(cargo, plain) == []
            assert cargo.filled(placed) <= cargo.bound + 1e-12
            ours.append(cargo.filled(placed))
            thumb.append(cargo.filled(plain))
    assert np.mean(ours) > np.mean(thumb) + 0.03 and min(ours) > 0.75


def test_more_rounds_never_load_less_and_the_same_seed_loads_the_same() -> None:
    cargo = cartons.draw("BR3", 7)
    few, more = (loading.load(cargo, seed=1, rounds=rounds) for rounds in (1, 8))
    assert cargo.filled(more) >= cargo.filled(few)
    assert (loading.load(cargo, seed=1, rounds=1) == few).all()


def test_a_cargo_that_fits_exactly_is_loaded_to_the_bound() -> None:
    cargo = cartons.Cargo(
        np.array([[50, 40, 20], [100, 40, 20]]), np.full((2, 3), True), np.array([8, 4]), container=(100, 80, 80)
    )
    placed = loading.load(cargo, seed=1, rounds=200)
    assert cargo.bound == pytest.approx(1.0) and cargo.filled(placed) == pytest.approx(1.0)
    assert cartons.faults(cargo, placed) == []


def test_a_carton_too_large_for_the_container_stays_out() -> None:
    cargo = cartons.Cargo(
        np.array([[9, 9, 9], [2, 2, 2]]), np.full((2, 3), True), np.array([1, 3]), container=(8, 4, 4)
    )
    placed = loading.load(cargo, seed=1, rounds=2)
    assert placed[:, 0].tolist() == [1, 1, 1] and cartons.faults(cargo, placed) == []
    alone = cartons.Cargo(cargo.sizes[:1], cargo.upright[:1], cargo.counts[:1], container=(8, 4, 4))
    assert len(loading.load(alone, seed=1, rounds=2)) == len(cartons.one_by_one(alone)) == 0
    assert cartons.faults(alone, loading.load(alone, seed=1)) == []
