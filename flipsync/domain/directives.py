"""Directives: what the executive binds its agents to for a time. Agents see them; the gate enforces them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

DirectiveKind = Literal["clear-stock", "hold-prices", "cap-labels", "list-nothing"]

#: whom each binds
BINDS: Final[Mapping[DirectiveKind, tuple[str, ...]]] = {
    "clear-stock": ("pricing", "auto_pricing"),
    "hold-prices": ("pricing", "auto_pricing"),
    "cap-labels": ("fulfillment",),
    "list-nothing": ("market",),
}
#: the longest one can bind, in days, and how many may be in force at once: each is read with every decision
MOST_DAYS, MOST_IN_FORCE = 92, 20


class Terms(BaseModel):
    """What is to be done, and where: on one account, in one category, on both, or everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DirectiveKind
    account_id: UUID | None = None
    category: str | None = Field(default=None, min_length=1, max_length=200)
    patience_days: int | None = Field(
        default=None, ge=1, le=60, description="clear-stock: the time in which waiting money loses all but 1/e"
    )
    limit_minor: int | None = Field(default=None, gt=0, description="cap-labels: minor units of the order's currency")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "clear-stock") != (self.patience_days is not None):
            raise ValueError("patience_days is for clear-stock, which needs it")
        if (self.kind == "cap-labels") != (self.limit_minor is not None):
            raise ValueError("limit_minor is for cap-labels, which needs it")
        if self.category is not None and self.kind in ("cap-labels", "list-nothing"):
            raise ValueError(f"{self.kind} is for accounts, not for categories")
        return self

    def in_words(self) -> str:
        """Without the account's name, which whoever shows it knows."""
        place = f" in {self.category}" if self.category else ""
        match self.kind:
            case "clear-stock":
                return f"clear stock{place}: money is waited for {self.patience_days} days"
            case "hold-prices":
                return f"hold prices{place}"
            case "cap-labels":
                return f"buy no label above {self.limit_minor} minor units"
            case "list-nothing":
                return "list nothing new"


class Directive(Terms):
    """One in force or over. Times are business time."""

    id: UUID
    reason: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime

    def binds(self, now: datetime, kind: DirectiveKind, account_id: UUID, category: str | None = None) -> bool:
        """Whether it says this about what is on that account, now."""
        return (
            self.kind == kind
            and self.starts_at <= now < self.ends_at
            and self.account_id in (None, account_id)
            and (self.category is None or self.category == category)
        )


def bearing(
    directives: Iterable[Directive],
    now: datetime,
    kind: DirectiveKind,
    account_id: UUID,
    category: str | None = None,
) -> Directive | None:
    """The narrowest that binds, of equal ones the newest: what is said of an account outweighs what is said of all."""
    found = [each for each in directives if each.binds(now, kind, account_id, category)]
    key = lambda each: (each.account_id is not None, each.category is not None, each.starts_at, each.id)  # noqa: E731
    return max(found, key=key, default=None)
