"""What can be set of the rule that says how much to buy (`services.buying`), apart from the owner's terms."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flipsync.services.buying import Array, Bools


@dataclass(frozen=True)
class Rule:
    """Knobs of the levels s and S: one of each for all goods, or (goods,). As shipped all but the last are 1.

    `review` is how much of the time between orders s covers; `spread`, `doubt` and `lead` weigh the standard deviations
    of a week's demand, of the forecast's level, and of the lead time; `holding` weighs what keeping goods costs when
    the chance that s covers is chosen; `batch` the units by which S is above what is needed. A supplier who takes no
    order so small is asked for more at once only where the margin that waiting would miss is at least `patience` times
    what keeping the rest costs; as shipped that is 0, and nobody waits who need not.
    """

    review: float | Array = 1.0
    spread: float | Array = 1.0
    doubt: float | Array = 1.0
    lead: float | Array = 1.0
    holding: float | Array = 1.0
    batch: float | Array = 1.0
    patience: float | Array = 0.0

    def of(self, which: Bools) -> Rule:
        """The rule of some of the goods alone; `which` is (goods,)."""
        own = {name: knob[which] for name, knob in vars(self).items() if not isinstance(knob, int | float)}
        return replace(self, **own) if own else self


SHIPPED = Rule()
KNOBS = tuple(each.name for each in fields(Rule))
