"""Sharing units out: whole units, none lost, none twice, and no needless moving."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flipsync.services.partition import Claim, escrow_shares, proportional, taken_by_sale

IDS = st.lists(st.integers(1, 10**6).map(lambda number: UUID(int=number)), min_size=1, max_size=6, unique=True)
WEIGHTS = st.floats(0, 1000, allow_nan=False)


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    return [Claim(each, draw(WEIGHTS), draw(st.integers(0, 50))) for each in draw(IDS)]


@given(st.integers(-5, 500), claims())
def test_escrow_shares_are_whole_and_sum_to_what_is_there(available: int, wanted: list[Claim]) -> None:
    shares = escrow_shares(available, wanted)
    assert set(shares) == {claim.listing_id for claim in wanted}
    assert all(isinstance(units, int) and units >= 0 for units in shares.values())
    assert sum(shares.values()) == max(0, available)


@given(st.integers(0, 500), claims())
def test_new_units_take_none_from_anybody_unless_somebody_starves(extra: int, wanted: list[Claim]) -> None:
    held = sum(claim.current for claim in wanted)
    shares = escrow_shares(held + extra, wanted)
    if all(claim.current > 0 for claim in wanted):
        assert all(shares[claim.listing_id] >= claim.current for claim in wanted)


@given(claims())
def test_what_is_shared_out_stays_as_it_is_when_nobody_starves(wanted: list[Claim]) -> None:
    held = sum(claim.current for claim in wanted)
    shares = escrow_shares(held, wanted)
    if all(claim.current > 0 for claim in wanted):
        assert shares == {claim.listing_id: claim.current for claim in wanted}


@given(st.integers(1, 500), claims())
def test_sharing_again_moves_nothing(available: int, wanted: list[Claim]) -> None:
    """Equal demand: a second look at the result must not shuffle units between channels for ever."""
    level = [Claim(claim.listing_id, 1.0, claim.current) for claim in wanted]
    shares = escrow_shares(available, level)
    again = escrow_shares(available, [Claim(claim.listing_id, 1.0, shares[claim.listing_id]) for claim in level])
    assert again == shares


@given(st.integers(0, 10_000), st.dictionaries(st.integers(1, 99).map(lambda n: UUID(int=n)), WEIGHTS, min_size=1))
def test_proportional_shares_are_within_one_unit_of_the_exact_share(units: int, weights: dict[UUID, float]) -> None:
    shares = proportional(units, weights)
    total = sum(weights.values())
    assert sum(shares.values()) == units
    for key, share in shares.items():
        exact = units * weights[key] / total if total > 0 else units / len(weights)
        assert abs(share - exact) < 1.000001


def test_largest_remainders_first_and_ties_by_id() -> None:
    first, second, third = (UUID(int=number) for number in (1, 2, 3))
    assert proportional(10, {first: 5, second: 3, third: 2}) == {first: 5, second: 3, third: 2}
    assert proportional(2, {third: 1, second: 1, first: 1}) == {first: 1, second: 1, third: 0}
    assert proportional(5, {}) == {}


def test_a_channel_with_nothing_gets_something_from_one_with_plenty() -> None:
    rich, poor = UUID(int=1), UUID(int=2)
    assert escrow_shares(4, [Claim(rich, 1, 4), Claim(poor, 1, 0)]) == {rich: 2, poor: 2}
    assert escrow_shares(1, [Claim(rich, 1, 1), Claim(poor, 1, 0)]) == {rich: 1, poor: 0}, "one unit stays where it is"
    assert escrow_shares(5, []) == {}


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.sampled_from(["escrow", "pooled"]))
def test_a_sale_uses_its_listings_share_first_and_takes_no_unit_that_is_not_there(
    quantity: int, entitled: int, free: int, mode: str
) -> None:
    from_share, taken = taken_by_sale(quantity, entitled=entitled, mode=mode, free=free)
    assert from_share == min(quantity, entitled)
    there = free + from_share if mode == "escrow" else free
    assert taken == min(quantity, there)
