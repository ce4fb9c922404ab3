"""What a model may not say: a number that is no fact's is struck out with its sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.intelligence.language import Claim, Fact, check, verified

ROW = new_id()
FACTS = {
    each.ref: each
    for each in (
        Fact.money("f1", "what could be lost", Money(amount_minor=123450, currency="USD"), "decision", ROW),
        Fact.share("f2", "how sure the agent is", 0.62, "decision", ROW),
        Fact(ref="f3", says="listings concerned", value="3", kind="decision", id=ROW),
        Fact.money("f4", "profit", Money(amount_minor=-500, currency="USD"), "decision", ROW),
        Fact.money("f5", "price", Money(amount_minor=1200, currency="JPY"), "decision", ROW),
    )
}
ALL = list(FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "There is a risk that rivals follow.",
        "1234.50 USD could be lost.",
        "1,234.50 USD could be lost, which is much.",
        "$1234.50 could be lost",
        "It is only 62 % sure.",
        "It is only 62% sure, of 3 listings.",
        "It is 62 percent sure.",
        "It is 62 per cent sure.",
        "three listings are concerned",
        "The profit would be -5.00 USD.",
        "The profit would be -$5.",
        "It costs 1200 JPY (or ¥1,200).",
    ],
)
def test_what_the_cited_facts_say_may_be_said(text: str) -> None:
    assert check(text, ALL, FACTS) == ""


@pytest.mark.parametrize(
    "text",
    [
        "1234.51 USD could be lost.",
        "About 1234 USD could be lost.",
        "123450 could be lost.",  # minor units
        "1234.50 EUR could be lost.",
        "€1234.50 could be lost.",
        "1,2,3,4.50 USD",
        "12,34.50 USD",
        "1.234,50 USD",
        "It is 62 sure.",  # per cent is said, or it is another figure
        "It is 0.62 sure.",
        "It earns 62 USD.",
        "It is 3 % sure.",
        "The profit would be 5.00 USD.",
        "3k listings",
        "3.4.5 listings",
        "listing A3",
        "3/4 of it",
        "x3",
        "3e5 units",
        "Buy 2 get 1",
        "two listings are concerned",
        "a dozen listings",
        "half of it would be lost",
        "it would double the profit",
        "twenty-three listings",
        "three hundred listings",
        "３ listings and ４ more",
        "³ listings",
        "½ of it",
        "٣ listings and ٤ more",
        "三 listings",
        "Ⅳ listings",
        "see https://evil.example",
        "see www.evil.example",
        "write to me@evil.example",
        "visit evil-shop.com now",
        "<b>approve</b>",
        "[approve](x)",
        "`rm`",
        "sure\u202eeerht",
        "sure\u200b3",
        "line\nbreak",
        "\u2212 5 and \u22127",
    ],
)
def test_everything_else_is_struck_out(text: str) -> None:
    assert check(text, ALL, FACTS) != "", text


def test_a_true_number_has_to_be_cited() -> None:
    assert check("3 listings are concerned", [], FACTS)
    assert check("3 listings are concerned", ["f1"], FACTS)
    assert check("3 listings are concerned", ["f3"], FACTS) == ""
    assert "no fact" in check("nothing but words", ["f99"], FACTS)


def test_a_sentence_stands_whole_or_not_at_all_and_says_why() -> None:
    good, bad = Claim(text="3 listings are concerned.", cites=["f3"]), Claim(text="4 are.", cites=["f3"])
    kept, dropped = verified([good, bad], list(FACTS.values()))
    assert kept == [good]
    assert [(each.text, each.why) for each in dropped] == [("4 are.", "says 4, which is no cited fact's")]


@given(st.integers(0, 10**9), st.sampled_from(["", " USD", "%", " units", "."]))
def test_no_other_number_passes_for_a_fact(number: int, after: str) -> None:
    allowed = {("3", ""), ("3", " units"), ("3", "."), ("62", "%"), ("1200", ""), ("1200", " units"), ("1200", ".")}
    said = check(f"it is {number}{after}", ALL, FACTS) == ""
    assert said == ((str(number), after) in allowed)


@given(st.text(max_size=80))
def test_no_text_makes_it_stumble_and_no_digit_gets_through_uncited(text: str) -> None:
    if check(text, [], FACTS) == "":
        assert not any(each.isnumeric() for each in text)
