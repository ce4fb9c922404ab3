"""Rivals read from what they were seen to ask: examples, each with a twin in which nothing is to be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flipsync.services.competitors import Ours, Seen, alarms, reaction, rival_set

START = datetime(2026, 1, 5, tzinfo=UTC)


def hour(n: float) -> datetime:
    return START + timedelta(hours=n)


def moved(seller: str, prices: dict[float, int]) -> list[Seen]:
    return [Seen(seller, price, True, hour(at)) for at, price in prices.items()]


OURS = [Ours(price, hour(12 * day)) for day, price in enumerate((4000, 4100, 3900, 4050, 3950, 4150, 3850, 4000))]


@pytest.mark.parametrize(
    ("share", "kind"),
    [(1.0, "matcher"), (0.98, "undercutter")],
)
def test_a_rival_that_follows_us_is_told_by_how_far_below_it_stays_and_when(share: float, kind: str) -> None:
    seen = [Seen("them", round(own.price_minor * share), True, own.at + timedelta(hours=4)) for own in OURS]
    read = reaction("them", seen, OURS)
    assert (read.kind, read.lag_hours) == (kind, 0) or (read.kind, read.lag_hours) == (kind, 4)
    assert read.slope == pytest.approx(1.0, abs=0.02)
    assert read.gap == pytest.approx(share - 1, abs=0.002)


def test_one_who_does_not_answer_is_not_said_to() -> None:
    drift = moved("them", {6 + 12 * n: price for n, price in enumerate((4010, 4030, 4020, 4000, 4040, 4010, 4030))})
    assert reaction("them", drift, OURS).kind == "random"
    still = moved("them", {6 + 12 * n: 4000 for n in range(7)})
    assert reaction("them", still, OURS).kind == "fixed"
    assert reaction("them", drift[:3], OURS).kind == "unknown"


def test_nothing_is_said_of_answers_while_our_own_price_stood() -> None:
    drift = moved("them", {6 + 12 * n: 4000 + 90 * n for n in range(7)})
    assert reaction("them", drift, [Ours(4000, START)]).kind == "unknown"


def test_the_rival_set_is_who_can_be_bought_from_now() -> None:
    seen = [*moved("a", {0: 4000, 5: 3800}), *moved("b", {0: 3700}), Seen("b", 3700, False, hour(6))]
    seen += moved("c", {2: 3600})
    assert rival_set(seen) == ["c", "a"]


def spiral(*, answered: bool) -> tuple[list[Seen], list[Ours]]:
    seen, ours, price = moved("them", {0: 4000}), [Ours(4000, START)], 4000
    for step in range(1, 8):
        price = round(price * 0.985)
        seen.append(Seen("them", price, True, hour(100 + 5 * step)))
        if answered:
            price = round(price * 0.985)
            ours.append(Ours(price, hour(102 + 5 * step)))
    return seen, ours


def test_a_war_needs_two() -> None:
    seen, ours = spiral(answered=True)
    (war,) = alarms(seen, ours, hour(140), 3000, "USD")
    assert war.alarm == "price-war"
    assert set(war.evidence) <= set(seen) and len(war.evidence) >= 3
    assert alarms(*spiral(answered=False), hour(140), 3000, "USD") == []
    assert alarms(seen, ours, hour(110), 3000, "USD") == [], "not before it is one"
    assert alarms(seen, ours, hour(240), 3000, "USD") == [], "nor long after"


@pytest.mark.parametrize(
    ("seller", "price", "at", "raised"),
    [
        ("nobody-knew", 2100, 100, True),
        ("nobody-knew", 3700, 100, False),
        ("nobody-knew", 2100, 40, False),
        ("them", 2100, 100, False),
    ],
    ids=["new and far below cost", "new and dear", "before anybody is known", "known for long: a clearance"],
)
def test_a_hijack_is_a_new_seller_far_below_cost(seller: str, price: int, at: int, raised: bool) -> None:
    offer = Seen(seller, price, True, hour(at))
    found = alarms([*moved("them", {0: 4000}), offer], [Ours(4000, START)], hour(at + 1), 3000, "USD")
    assert [each.evidence for each in found] == ([(offer,)] if raised else [])
