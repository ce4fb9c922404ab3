"""Which column of a file plays which role, whatever its header is spelled like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flipsync.domain.errors import InvalidInput
from flipsync.services.catalogue.model import FormatName
from flipsync.services.catalogue.units import weight_unit

_SEPARATORS = re.compile(r"[\s_\-\u00a0]+")
_SUFFIX = re.compile(r"(?P<base>.+?)\s*[(\[](?P<inside>[^()\[\]]*)[)\]]")
_SHOWN_HEADERS = 40

AMOUNT_ROLES = ("price", "sale_price", "compare_at", "cost", "floor", "ceiling")
#: A row too short to hold one of these is not padded: the missing cell would change what is sold, at what price.
VITAL_ROLES = ("key", "title", "sku", *AMOUNT_ROLES, "quantity", "vat", "currency", "type", "parent")


@dataclass(frozen=True, slots=True)
class OptionColumn:
    """An option's value column, and either the column of its name or a fixed name."""

    value: int
    name: int = -1
    fixed_name: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The header of one file, understood. Role indices absent from `roles` are -1, where every row has a blank cell."""

    format: FormatName
    header: tuple[str, ...]
    roles: Mapping[str, int]
    options: tuple[OptionColumn, ...] = ()
    images: tuple[int, ...] = ()
    default_weight_unit: str | None = None
    used: frozenset[int] = field(default_factory=frozenset)

    def at(self, role: str) -> int:
        return self.roles.get(role, -1)

    def name(self, role: str) -> str:
        """The header of a role as the file writes it; the role's own name where it has no column."""
        index = self.at(role)
        return self.header[index] if index >= 0 else role.replace("_", " ")

    @property
    def ignored(self) -> tuple[str, ...]:
        return tuple(h for i, h in enumerate(self.header) if i not in self.used and h.strip())

    @property
    def required_width(self) -> int:
        """Cells a row must have before it may be padded."""
        return 1 + max((self.at(role) for role in VITAL_ROLES), default=-1)


@dataclass(frozen=True, slots=True)
class Header:
    """A header row with its names normalised for comparison."""

    names: tuple[str, ...]
    normal: tuple[str, ...]

    @classmethod
    def of(cls, cells: Iterable[str]) -> Header:
        names = tuple(cells)
        return cls(names, tuple(normalise(name) for name in names))

    def has(self, *normal_names: str) -> bool:
        return all(name in self.normal for name in normal_names)

    def assign(self, aliases: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
        """Role → column, an earlier alias winning over a later one.

        Raises InvalidInput when one alias heads two columns: which one is meant would be a guess.
        """
        roles: dict[str, int] = {}
        for role, spellings in aliases.items():
            for spelling in spellings:
                found = [i for i, name in enumerate(self.normal) if name == spelling]
                if len(found) > 1:
                    where = " and ".join(str(i + 1) for i in found)
                    raise InvalidInput(
                        f"the column {self.names[found[0]]!r} appears more than once (columns {where})",
                        hint="remove or rename the ones that are not meant",
                    )
                if found:
                    roles[role] = found[0]
                    break
        return roles

    def weight_unit(self, role_column: int) -> str | None:
        """The unit a header like "Weight (lbs)" or "weight_kg" states."""
        if role_column < 0:
            return None
        name = self.names[role_column]
        inside = _SUFFIX.fullmatch(name.strip())
        if inside:
            return weight_unit(inside["inside"])
        return weight_unit(normalise(name).rpartition(" ")[2])


def normalise(name: str) -> str:
    """Lower case, one space between words, no decoration: "Compare-At  Price*" → "compare at price"."""
    text = unicodedata.normalize("NFKC", name).replace("\ufeff", "").strip().rstrip("*:").strip().casefold()
    return _SEPARATORS.sub(" ", text)


def base_and_suffix(normal: str) -> tuple[str, str]:
    """ "price (eur)" → ("price", "eur"); without brackets the suffix is empty."""
    match = _SUFFIX.fullmatch(normal)
    return (match["base"], match["inside"].strip()) if match else (normal, "")


def shown(names: Iterable[str]) -> str:
    """Header names for an error message, bounded."""
    listed = [name[:60] for name in names if name.strip()]
    more = f" and {len(listed) - _SHOWN_HEADERS} more" if len(listed) > _SHOWN_HEADERS else ""
    return (", ".join(repr(name) for name in listed[:_SHOWN_HEADERS]) or "nothing") + more
