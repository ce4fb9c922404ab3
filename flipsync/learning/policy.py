"""Policies as they are kept: plain data with a version, which act the same after a round trip and say why they act."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from flipsync.learning.inventory.lost_sales import LostSales, orders_of
from flipsync.learning.pricing.finite_stock import RATE

#: of the form on disk; a policy of another form is refused, not guessed at
FORM = 1


@dataclass(frozen=True)
class Origin:
    """Where a policy comes from: problem, learner, seed, and what it was worth when it was judged."""

    problem: str
    learner: str
    seed: int
    worth: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Advice:
    """What to do, and why, in words and in the figures that led there."""

    action: float
    why: str
    because: dict[str, float] = field(default_factory=dict)


class Policy(ABC):
    """A decision rule. Subclasses are frozen dataclasses of plain figures, so that equality and JSON come with them."""

    kind: ClassVar[str]
    KINDS: ClassVar[dict[str, type[Policy]]] = {}
    origin: Origin

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Policy.KINDS[cls.kind] = cls

    @abstractmethod
    def advise(self, state: tuple[float, ...]) -> Advice:
        """What to do in `state`. Raises ValueError for a state of the wrong length."""

    @property
    def version(self) -> str:
        """Twelve hex digits of its content: two policies that act alike for the same reasons have the same."""
        return hashlib.sha256(self._content().encode()).hexdigest()[:12]

    def _content(self) -> str:
        whole: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        figures = {name: value for name, value in whole.items() if name != "origin"}
        return json.dumps({"form": FORM, "kind": self.kind, "figures": figures}, sort_keys=True)

    def to_json(self) -> str:
        whole = {**json.loads(self._content()), "origin": asdict(self.origin), "version": self.version}
        return json.dumps(whole, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Policy:
        """The policy that `to_json` wrote. Raises ValueError when form or kind is unknown or the content changed."""
        told: dict[str, Any] = json.loads(text)
        if told.get("form") != FORM:
            raise ValueError(f"policy of form {told.get('form')!r}; this version reads form {FORM}")
        if told.get("kind") not in Policy.KINDS:
            raise ValueError(f"no policy of kind {told.get('kind')!r}; known: {', '.join(sorted(Policy.KINDS))}")
        figures = {name: _plain(value) for name, value in told["figures"].items()}
        make: Any = Policy.KINDS[told["kind"]]
        policy: Policy = make(**figures, origin=Origin(**told["origin"]))
        if policy.version != told["version"]:
            raise ValueError(f"content of policy {told['version']} was changed: it now reads {policy.version}")
        return policy


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class SeasonPrice(Policy):
    """Price of the last items of a season: the rule of `pricing.finite_stock`, state (items, share of time left)."""

    kind: ClassVar[str] = "season-price"
    rule: tuple[float, ...]
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != 2:
            raise ValueError(f"expected (items left, share of the season left), got {len(state)} figures")
        items, time = max(state[0], 1.0), min(max(state[1], 0.0), 1.0)
        x, log_n = float(np.log1p(RATE * time / (np.e * items))), float(np.log(items))
        parts = np.array([1.0, x, x**2, log_n, x * log_n, x / items]) * self.rule
        names = ("base", "buyers to come", "many buyers to come", "stock", "stock against buyers", "few items")
        price = max(float(parts.sum()), 0.5)
        each = RATE * time / np.e / items
        why = f"{state[0]:g} left with {time:.0%} of the season to go: about {each:.1f} buyers an item"
        return Advice(price, why, dict(zip(names, np.round(parts, 6).tolist(), strict=True)))


@dataclass(frozen=True)
class SmoothOrder(Policy):
    """How much to order when sales are lost: the rule of `inventory.lost_sales`, state (on hand, then what comes)."""

    kind: ClassVar[str] = "smooth-order"
    weights: tuple[float, ...]
    penalty: float
    lead: int
    mean: float
    origin: Origin

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != self.lead:
            raise ValueError(f"expected stock and {self.lead - 1} orders on their way, got {len(state)} figures")
        cap = LostSales(self.penalty, self.lead, self.mean).order_cap
        at = np.array(state, dtype=np.float64)
        order = float(orders_of(np.array(self.weights), at[:, None], cap)[0])
        coming = float(at[1:].sum())
        why = f"{at[0]:g} on hand and {coming:g} on the way, for {self.mean:g} a period over {self.lead} periods"
        return Advice(order, why, {"on hand": float(at[0]), "on the way": coming, "most": float(cap)})
