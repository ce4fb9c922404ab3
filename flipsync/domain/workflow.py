"""What an automation is: data, never code. A trigger, conditions, and steps; checked when it is written down.

    {"name": "end-when-sold-out",
     "trigger": {"event": "StockMoved", "where": {"all": [{"field": "on_hand", "op": "eq", "value": 0}]}},
     "steps": [{"do": "ask", "question": "Sold out. Take it off sale?"},
               {"do": "end-listing", "reason": "sold out"}]}

Conditions compare fields of the fact (and of what it is about, see `flipsync.domain.workflow_fields`) with constants.
Text is shown as it is: nothing in it is ever filled in or run.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.domain.text import storable
from flipsync.domain.workflow_fields import ABOUT, TRIGGERS, Kind, fields_of, subject_of

MOST_STEPS, MOST_COMPARISONS = 20, 20
#: runs within an hour before it is stopped, unless the owner says otherwise
DEFAULT_PER_HOUR = 100
_LONGEST_WAIT = 24.0 * 90

Op = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "known"]
Value = bool | Annotated[int, Field(ge=-(10**15), le=10**15)] | float | Annotated[str, Field(max_length=200)] | None
_ORDERED: Final = frozenset({"lt", "le", "gt", "ge"})


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _can_be_stored(cls, values: Any) -> Any:
        return storable(values)


class Comparison(Part):
    """One field against a constant. `known`: whether it has a value at all (true or false)."""

    field: str = Field(min_length=1, max_length=60, examples=["on_hand"])
    op: Op
    value: Value | tuple[Value, ...] = Field(description="of the field's own kind; with `in` a list of at most 50")

    def fault(self, kinds: dict[str, Kind]) -> str:
        """Why it cannot be asked of these fields; "" when it can."""
        kind = kinds.get(self.field)
        if kind is None:
            return f"there is no field {self.field!r} here; there are {', '.join(sorted(kinds))}"
        if self.op == "known":
            return "" if isinstance(self.value, bool) else "`known` is true or false"
        if self.op in _ORDERED and kind != "number":
            return f"{self.field} is a {kind}: it has no order"
        if (self.op == "in") != isinstance(self.value, tuple):
            return "`in` takes a list, everything else one value"
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        if not 1 <= len(values) <= 50:
            return "a list has 1 to 50 values"
        wrong = next((each for each in values if not _fits(each, kind)), _NONE)
        return "" if wrong is _NONE else f"{self.field} is a {kind}, {wrong!r} is none"

    def holds(self, known: dict[str, Any]) -> bool:
        found = known.get(self.field)
        match self.op:
            case "known":
                return (found is not None) == self.value
            case "eq":
                return bool(found == self.value)
            case "ne":
                return bool(found != self.value)
            case "in":
                return isinstance(self.value, tuple) and found in self.value
        if found is None:  # what is not known is neither more nor less
            return False
        assert not isinstance(self.value, tuple | None), "checked when it was written"
        ordered: dict[str, bool] = {
            "lt": found < self.value,
            "le": found <= self.value,
            "gt": found > self.value,
            "ge": found >= self.value,
        }
        return ordered[self.op]

    def in_words(self) -> str:
        if self.op == "known":
            return f"{self.field} is {'' if self.value else 'not '}known"
        signs = {"eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "in": "one of"}
        told = ", ".join(map(str, self.value)) if isinstance(self.value, tuple) else str(self.value)
        return f"{self.field} {signs[self.op]} {told}"


class Condition(Part):
    """Every one of `all`, and at least one of `any` where that has some."""

    all: tuple[Comparison, ...] = Field(default=(), max_length=MOST_COMPARISONS)
    any: tuple[Comparison, ...] = Field(default=(), max_length=MOST_COMPARISONS)

    def holds(self, known: dict[str, Any]) -> bool:
        return all(each.holds(known) for each in self.all) and (
            not self.any or any(each.holds(known) for each in self.any)
        )

    def asks(self) -> set[str]:
        return {each.field for each in (*self.all, *self.any)}

    def faults(self, kinds: dict[str, Kind]) -> list[str]:
        return [fault for each in (*self.all, *self.any) if (fault := each.fault(kinds))]

    def in_words(self) -> str:
        parts = [each.in_words() for each in self.all]
        if self.any:
            parts.append(" or ".join(each.in_words() for each in self.any))
        return " and ".join(parts) or "always"


class Trigger(Part):
    event: str = Field(description="a kind of fact", examples=["StockMoved"])
    where: Condition = Condition()


class StepPart(Part):
    when: Condition | None = Field(default=None, description="the step is left out where this does not hold then")


class Wait(StepPart):
    """Go on after so many hours of business time."""

    do: Literal["wait"]
    hours: float = Field(gt=0, le=_LONGEST_WAIT)

    def in_words(self) -> str:
        return f"wait {self.hours:g} h"


class Await(StepPart):
    """Go on when a fact about the same thing comes."""

    do: Literal["await"]
    event: str
    where: Condition = Condition()
    within_hours: float = Field(gt=0, le=_LONGEST_WAIT)
    otherwise: Literal["go-on", "stop"] = Field(default="stop", description="when it does not come in time")

    def in_words(self) -> str:
        return (
            f"wait for {self.event} ({self.where.in_words()}), at most {self.within_hours:g} h, else {self.otherwise}"
        )


class Ask(StepPart):
    """Go on when a person says yes; with no, or no answer in time, it ends."""

    do: Literal["ask"]
    question: str = Field(min_length=3, max_length=300)

    def in_words(self) -> str:
        return f"ask “{self.question}”"


class Tell(StepPart):
    """Tell whoever may see the agents."""

    do: Literal["tell"]
    message: str = Field(min_length=3, max_length=300)

    def in_words(self) -> str:
        return f"tell “{self.message}”"


class EndListing(StepPart):
    """Take it off sale: the listing, or all (at most 20) of the goods."""

    do: Literal["end-listing"]
    reason: str = Field(min_length=3, max_length=200)

    def in_words(self) -> str:
        return f"take off sale: {self.reason}"


class Relist(StepPart):
    """Put what had ended on sale again."""

    do: Literal["relist"]

    def in_words(self) -> str:
        return "put on sale again"


class SetPrice(StepPart):
    """Wish a price; the price firewall has the last word. `change_bps`: by so many hundredths of a percent."""

    do: Literal["set-price"]
    price: Money | None = None
    change_bps: int | None = Field(default=None, ge=-5_000, le=5_000)

    @model_validator(mode="after")
    def _one(self) -> SetPrice:
        if (self.price is None) == (self.change_bps is None):
            raise ValueError("give either price or change_bps")
        if self.price is not None and self.price.amount_minor <= 0:
            raise ValueError("a price is more than nothing")
        return self

    def in_words(self) -> str:
        return (
            f"set the price to {self.price}" if self.price else f"move the price by {(self.change_bps or 0) / 100:g} %"
        )


class CheckChannel(StepPart):
    """Look at the channel at once: its orders, and what it shows."""

    do: Literal["check-channel"]

    def in_words(self) -> str:
        return "look at the channel"


class ListingWork(StepPart):
    """A part of listing new stock, decided by AutoListingAgent. Only in what comes with FlipSync."""

    do: Literal["list-stock"]
    part: Literal["identify", "content", "price", "publish", "read-back"]

    def in_words(self) -> str:
        return {
            "identify": "make sure what it is, else ask",
            "content": "write title and description where they are missing",
            "price": "find a list price where there is none",
            "publish": "put it on the channels where it earns most",
            "read-back": "see that the channels show it",
        }[self.part]


Step = Annotated[
    Wait | Await | Ask | Tell | EndListing | Relist | SetPrice | CheckChannel | ListingWork,
    Field(discriminator="do"),
]
#: steps about listings, and the kinds of things that have some
_OF_LISTINGS = (EndListing, Relist, SetPrice)
_WITH_LISTINGS = ("listing", "stock_item", "product")
#: what a step brings about, by kind of fact: an automation triggered by one of these may trigger itself
BRINGS: Final[dict[str, frozenset[str]]] = {
    "set-price": frozenset({"PriceSet", "OfferChanged"}),
    "relist": frozenset({"ListingPublished", "ListingRefused"}),
    "check-channel": frozenset({"OrderReceived", "OrderChanged", "ListingVanished"}),
}


class Definition(Part):
    """An automation. Whoever may change settings writes it; every version is kept."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{2,59}$", examples=["end-when-sold-out"])
    trigger: Trigger
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MOST_STEPS)
    per_hour: int = Field(
        default=DEFAULT_PER_HOUR, ge=1, le=5_000, description="it is stopped when it would run more often"
    )
    quiet_hours_per_thing: float = Field(
        default=0.0, ge=0, le=_LONGEST_WAIT, description="about one thing it runs once in so many hours"
    )
    on_failure: Literal["stop", "undo"] = Field(
        default="stop", description="undo: what was done before the step that failed is taken back, where it can be"
    )

    @property
    def subject(self) -> str:
        """What kind of thing a run is about."""
        return subject_of(self.trigger.event)

    def faults(self, *, built_in: bool = False) -> list[str]:
        """Everything that is wrong with it, each with its place."""
        if self.trigger.event not in TRIGGERS:
            return [f"trigger.event: {self.trigger.event!r} triggers nothing; what does: {', '.join(sorted(TRIGGERS))}"]
        kinds = fields_of(self.trigger.event) | ABOUT.get(self.subject, {})
        faults = [f"trigger.where: {fault}" for fault in self.trigger.where.faults(kinds)]
        for number, step in enumerate(self.steps):
            place = f"steps[{number}]"
            faults += [f"{place}.when: {fault}" for fault in step.when.faults(kinds)] if step.when else []
            if isinstance(step, ListingWork) and not built_in:
                faults.append(f"{place}: list-stock is part of what comes with FlipSync")
            if isinstance(step, _OF_LISTINGS) and self.subject not in _WITH_LISTINGS:
                faults.append(f"{place}: {step.do} is about listings, {self.trigger.event} about a {self.subject}")
            if isinstance(step, CheckChannel) and "account_id" not in TRIGGERS[self.trigger.event].model_fields:
                faults.append(f"{place}: {self.trigger.event} is not about one channel")
            if isinstance(step, Await):
                faults += [f"{place}.{fault}" for fault in self._faults_of_await(step)]
        return faults

    def _faults_of_await(self, step: Await) -> list[str]:
        if step.event not in TRIGGERS:
            return [f"event: {step.event!r} cannot be waited for; what can: {', '.join(sorted(TRIGGERS))}"]
        if subject_of(step.event) != self.subject:
            return [f"event: {step.event} is about a {subject_of(step.event)}, {self.trigger.event} a {self.subject}"]
        return [f"where: {fault}" for fault in step.where.faults(fields_of(step.event) | ABOUT.get(self.subject, {}))]

    def may_trigger_itself(self) -> bool:
        return any(self.trigger.event in BRINGS.get(step.do, ()) for step in self.steps)

    def in_words(self) -> str:
        steps = "; ".join(step.in_words() for step in self.steps)
        return f"on {self.trigger.event} ({self.trigger.where.in_words()}): {steps}"


def read_definition(written: Any, *, built_in: bool = False) -> Definition:
    """What somebody wrote. Raises InvalidInput that names every fault with its place."""
    try:
        found = written if isinstance(written, Definition) else Definition.model_validate(written)
        faults = found.faults(built_in=built_in)
    except ValidationError as error:
        faults = [f"{'.'.join(str(each) for each in each['loc'])}: {each['msg']}" for each in error.errors()[:10]]
    except RecursionError:
        faults = ["it is nested too deep"]
    if faults:
        raise InvalidInput("; ".join(faults)[:2_000], hint="`flipsync workflows fields` names what can be asked")
    return found


_NONE: Final = object()


def _fits(value: Any, kind: Kind) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)
