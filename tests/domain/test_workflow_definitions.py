"""Automations are data: what is wrong with one is said with its place, and nothing in it is ever run."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipsync.domain.errors import InvalidInput
from flipsync.domain.workflow import Comparison, Condition, read_definition
from flipsync.domain.workflow_fields import ABOUT, TRIGGERS, fields_of, plain_fields, subject_of


def written(**changes: Any) -> dict[str, Any]:
    return {
        "name": "sold-out",
        "trigger": {"event": "StockMoved", "where": {"all": [{"field": "on_hand", "op": "le", "value": 0}]}},
        "steps": [{"do": "end-listing", "reason": "sold out"}],
    } | changes


def where(**comparison: Any) -> dict[str, Any]:
    return {"event": "StockMoved", "where": {"all": [comparison]}}


def test_a_good_one_is_told_in_words() -> None:
    found = read_definition(written())
    assert found.in_words() == "on StockMoved (on_hand ≤ 0): take off sale: sold out"
    assert found.subject == "stock_item" and found.per_hour == 100


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "Sold Out"}, "name: String should match"),
        ({"trigger": {"event": "PasswordChanged"}}, "'PasswordChanged' triggers nothing"),
        ({"trigger": where(field="buyer", op="eq", value="x")}, "there is no field 'buyer'"),
        ({"trigger": where(field="on_hand", op="eq", value="three")}, "on_hand is a number, 'three' is none"),
        ({"trigger": where(field="on_hand", op="eq", value=True)}, "on_hand is a number, True is none"),
        ({"trigger": where(field="kind", op="lt", value="a")}, "kind is a text: it has no order"),
        ({"trigger": where(field="kind", op="in", value="a")}, "`in` takes a list"),
        ({"trigger": where(field="kind", op="matches", value="(a+)+")}, "Input should be 'eq'"),
        ({"steps": []}, "steps: Tuple should have at least 1 item"),
        ({"steps": [{"do": "wait", "hours": 1}] * 21}, "at most 20 items"),
        ({"steps": [{"do": "run-python", "code": "import os"}]}, "does not match any of the expected tags"),
        ({"steps": [{"do": "wait", "hours": -1}]}, "greater than 0"),
        ({"steps": [{"do": "set-price"}]}, "give either price or change_bps"),
        ({"steps": [{"do": "list-stock", "part": "price"}]}, "part of what comes with FlipSync"),
        ({"steps": [{"do": "check-channel"}]}, "StockMoved is not about one channel"),
        (
            {"steps": [{"do": "await", "event": "OrderReceived", "within_hours": 1}]},
            "OrderReceived is about a order, StockMoved a stock_item",
        ),
        ({"trigger": {"event": "OrderReceived"}}, "end-listing is about listings, OrderReceived about a order"),
        ({"trigger": where(field="on_hand", op="lt", value=float("nan"))}, "finite number"),
        ({"steps": [{"do": "wait", "hours": float("inf")}]}, "finite number"),
        ({"shell": "rm -rf /"}, "shell: Extra inputs are not permitted"),
        ({"per_hour": 10**9}, "per_hour: Input should be less than or equal to 5000"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_definition(written(**change))
    assert says in refused.value.message


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_definition(written(trigger=where(field="nothing", op="eq", value=1), steps=[{"do": "check-channel"}]))
    assert "trigger.where" in refused.value.message and "steps[0]" in refused.value.message


def test_words_are_shown_as_they_are() -> None:
    hostile = "{run.__class__} ${HOME} {{7*7}} %s \x00"
    step = read_definition(written(steps=[{"do": "tell", "message": hostile}])).steps[0]
    assert hostile.replace("\x00", "") in step.in_words()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_anything_else_is_refused_and_nothing_breaks(anything: Any) -> None:
    with pytest.raises(InvalidInput):
        read_definition(anything)
    with pytest.raises(InvalidInput):
        read_definition(written(trigger=anything))


def test_conditions_on_what_is_not_known() -> None:
    cost = Comparison(field="variant.cost_minor", op="lt", value=100)
    assert not cost.holds({}) and not cost.holds({"variant.cost_minor": None})
    assert cost.holds({"variant.cost_minor": 99})
    assert Comparison(field="variant.cost_minor", op="known", value=False).holds({})
    assert Condition().holds({}) and not Condition(any=(cost,)).holds({})


def test_only_ids_figures_and_words_of_ours_can_be_asked() -> None:
    for name in TRIGGERS:
        fields = fields_of(name) | ABOUT.get(subject_of(name), {})
        assert fields, name
        assert not {"ship_to", "buyer", "buyer_id", "buyer_note", "tracking_number"} & set(fields)
    assert plain_fields("PriceSet", {"price": {"amount_minor": 5, "currency": "USD"}})["price.amount_minor"] == 5


def test_what_is_nested_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        read_definition(written(trigger=deep))


def test_a_figure_beyond_all_figures_can_be_stored() -> None:
    found = read_definition(written(trigger=where(field="on_hand", op="lt", value=10**20)))
    assert orjson.loads(orjson.dumps(found.model_dump(mode="json"))) is not None
