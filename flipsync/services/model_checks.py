"""One check on a policy before it moves on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was seen. `still_open`: it did not fail, it cannot be told yet."""

    name: str
    passed: bool
    words: str
    still_open: bool = False
