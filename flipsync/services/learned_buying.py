"""The buying rule with learned knobs, as a policy that is kept, staged and rolled back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import ClassVar

from flipsync.learning.policy import Advice, Origin, Policy
from flipsync.services.buying_rule import KNOBS, SHIPPED, Rule

#: what a knob may be at most; as shipped each is 1
_MOST = 5.0


@dataclass(frozen=True)
class ShopOrder(Policy):
    """`services.buying` with these knobs (`Rule`); state (units sold a week, standard deviation of a week, weeks on the
    shelf, position, unit cost, margin, lead time in days and its standard deviation), amounts in minor units.

    The running system asks `rule` and plans with everything it knows; `advise` says how many units of one good the rule
    would buy, at the owner's terms as they come and within `step` of the rule as shipped. Raises ValueError for knobs
    that are no finite numbers from 0 to 5.
    """

    kind: ClassVar[str] = "shop-order"
    review: float
    spread: float
    doubt: float
    lead: float
    holding: float
    batch: float
    patience: float
    origin: Origin

    def __post_init__(self) -> None:
        for name in KNOBS:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not isfinite(value) or not 0 <= value <= _MOST:
                raise ValueError(f"{name} of {value!r} is no number from 0 to {_MOST:g}")

    @property
    def rule(self) -> Rule:
        return Rule(**{name: float(getattr(self, name)) for name in KNOBS})

    @classmethod
    def of(cls, knobs: dict[str, float], origin: Origin) -> ShopOrder:
        return cls(**{name: knobs[name] for name in KNOBS}, origin=origin)

    @classmethod
    def as_shipped(cls, origin: Origin) -> ShopOrder:
        """The knobs the rule has by itself."""
        return cls.of(shipped_knobs(), origin)

    def advise(self, state: tuple[float, ...]) -> Advice:
        if len(state) != 8:
            raise ValueError(f"expected eight figures of a good, got {len(state)}")
        import numpy as np  # not in every process

        from flipsync.services import buying

        weekly, deviation, shelf, position, cost, margin, lead, spread = (np.array([each]) for each in state)
        goods = buying.goods_of(
            weekly=weekly,
            variance=deviation**2,
            weeks_on_shelf=shelf,
            position=position,
            margin=margin,
            pack_units=np.ones(1),
            pack_cost=cost,
            least_units=np.zeros(1),
            lead_days=lead,
            lead_spread=spread,
            supplier=np.zeros(1, dtype=np.int64),
        )
        made = buying.plan(goods, buying.Terms(), least_order=np.zeros(1), rule=self.rule, step=STEP)
        level, up_to = float(made.level[0]), float(made.up_to[0])
        why = f"{state[3]:g} there or coming, {state[0]:.1f} sell a week: below {level:g} it is raised to {up_to:g}"
        return Advice(float(made.units[0]), why, {"level": level, "up to": up_to, "service": float(made.service[0])})


#: how far the levels of a learned rule may be from those of the rule as shipped, unless the owner says otherwise
STEP = 0.5


def shipped_knobs() -> dict[str, float]:
    """What `Rule()` says, by the names of `ShopOrder`."""
    return {name: float(value) for name, value in asdict(SHIPPED).items()}
