"""Facts and commands of automations, and of listing new stock, which is one of them."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.commands import InternalCommand
from flipsync.domain.events import Event
from flipsync.domain.money import Money

ListingPart = Literal["identify", "content", "price", "publish"]

# -- facts ------------------------------------------------------------------------------------------------------------


class WorkflowRunEvent(Event):
    """A fact about one run of an automation."""

    run_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("workflow_run", self.run_id)


class WorkflowBegan(WorkflowRunEvent):
    """A run begins. The engine's task for this fact is the run's place in the queue, and its alarm clock."""

    workflow_id: UUID


class WorkflowUnwanted(WorkflowRunEvent):
    """A person wants a run to end; `undo`: what it did is taken back, where that can be."""

    undo: bool = False


class WorkflowAsked(WorkflowRunEvent):
    """An automation has come to a step that the owner wants to be asked about."""

    name: str
    question: str


class WorkflowEnded(WorkflowRunEvent):
    """A run is over."""

    workflow_id: UUID
    outcome: Literal["done", "failed", "cancelled"]
    why: str


class WorkflowStopped(Event):
    """An automation was stopped: it triggered itself, or would have run more often than it may."""

    workflow_id: UUID
    name: str
    why: str

    def subject(self) -> tuple[str, UUID]:
        return ("workflow", self.workflow_id)


class StockToList(Event):
    """It is time for a part of the work of listing new stock."""

    product_id: UUID
    run_id: UUID
    part: ListingPart

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


# -- commands ---------------------------------------------------------------------------------------------------------


class ContinueWorkflow(InternalCommand):
    """Go on with a run that asks first."""

    owner_decides: ClassVar[str] = "the automation says to ask first"

    run_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("workflow_run", self.run_id)


class ProductCommand(InternalCommand):
    product_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class ConfirmIdentity(ProductCommand):
    """The product is what our books say it is."""

    owner_decides: ClassVar[str] = "only somebody who holds it in their hands can tell what it is"

    doubts: tuple[str, ...]


class WriteContent(ProductCommand):
    """Fill in words that are missing; what is there stays as it is."""

    title: str | None = Field(default=None, min_length=1, max_length=500)
    description_html: str | None = Field(default=None, max_length=20_000)


class SetListPrice(ProductCommand):
    """Give a variant that has no list price one."""

    variant_id: UUID
    price: Money
    why: str
