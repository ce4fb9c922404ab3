"""What a file format must say about itself: its header, which rows belong together, and what one row means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import ClassVar, Self

from flipsync.services.catalogue.columns import Header, Layout
from flipsync.services.catalogue.model import FormatName
from flipsync.services.catalogue.rows import OpenProduct, RowReader


class Format(ABC):
    """One file of one format. `scan` sees every row once before `read` does, so that products can be given out as soon
    as their last row has been read."""

    name: ClassVar[FormatName]
    expects: ClassVar[str]

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rows_of: Counter[str] = Counter()

    @classmethod
    @abstractmethod
    def recognise(cls, header: Header) -> Self | None:
        """The format bound to this header, or None when the header is not of this format. Raises InvalidInput."""

    def scan(self, row: list[str]) -> None:
        """Note which product the row belongs to."""
        self.rows_of[self.product_of(row)] += 1

    def scanned(self) -> None:
        """All rows have been seen."""
        return

    @abstractmethod
    def product_of(self, row: list[str]) -> str:
        """What rows of the same product have in common; empty when the row names no product."""

    def unnamed(self, row: list[str]) -> tuple[str, str]:
        """Which role's blank cell keeps the row from naming its product, and how to say so."""
        return "key", "the row names no product: handle and title are blank"

    @abstractmethod
    def read(self, row: list[str], line: int, product: OpenProduct, reader: RowReader) -> None:
        """Add what the row says. Raises RowRefusedError when its variant cannot be imported."""
