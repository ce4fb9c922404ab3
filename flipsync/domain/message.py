"""What events and commands have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Message(BaseModel, ABC):
    """Base of everything typed that travels: events and commands. The class name is the type's name on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def type_name(cls) -> str:
        return cls.__name__

    @abstractmethod
    def subject(self) -> tuple[str, UUID]:
        """What this is about: (kind, id)."""
