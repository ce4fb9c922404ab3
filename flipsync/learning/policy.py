"""Policies as they are kept: plain data with a version, which act the same after a round trip and say why they act.

Those of the learning core are in `policies`, where numpy is; an agent that asks a price rule need not load it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

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
            importlib.import_module("flipsync.learning.policies")
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
