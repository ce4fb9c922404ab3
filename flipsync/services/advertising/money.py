"""What money for ads brings by account, so that a month's can be divided among them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flipsync.intelligence.sharing import Step, best_first
from flipsync.services.advertising.choosing import Choice

ADS = "ads"
#: steps of one account
MOST_STEPS = 32


def ad_steps(choices: Sequence[Choice]) -> list[Step]:
    """Of one account: what ads are expected to bring a day after all fees, for what they cost a day (minor units)."""
    steps = [Step(1.0, each.profit - each.idle, {ADS: each.fees}) for each in choices if each.rate_bps]
    return best_first(steps, ADS, MOST_STEPS)
