"""What a device may have done on its own, and how each is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flipsync.domain.money import Money
from flipsync.security.roles import Permission
from flipsync.services.product_edits import ProductEdit
from flipsync.services.reading_page import Moment, View
from flipsync.services.stock import MAX_UNITS

MAX_PUSHED = 200
Outcome = Literal["accepted", "merged", "conflict", "rejected", "deferred"]


class Done(BaseModel):
    """`id` is the device's own and never used again, whatever becomes of it. `seq` counts its mutations from 1."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    seq: int = Field(ge=1, lt=2**53)
    at: AwareDatetime = Field(description="what the device's clock said when it was done")


class Receive(Done):
    """Goods came onto the shelf."""

    kind: Literal["stock.receive"]
    variant_id: UUID
    quantity: int = Field(ge=1, le=MAX_UNITS)
    note: str = Field(default="", max_length=500)


class Count(Done):
    """Somebody looked at the shelf: what lay there at that moment. What is told late is put where it belongs."""

    kind: Literal["stock.count"]
    variant_id: UUID
    counted: int = Field(ge=0, le=MAX_UNITS)
    note: str = Field(default="", max_length=500)


class Edit(Done):
    """Words of a product were written over, as they were in `base_version` of it. Each field for itself."""

    kind: Literal["product.edit"]
    product_id: UUID
    base_version: int = Field(ge=0, lt=2**53, description="the product's version when it was edited")
    set: ProductEdit


class WishPrice(Done):
    """A listing is to cost something else. Only a wish: an agent proposes it, gate and price firewall decide."""

    kind: Literal["listing.price"]
    listing_id: UUID
    price: Money
    seen: Money = Field(description="what it cost when this was wished")


class Unreadable(Done):
    """What is none of the others, or not as it should be: answered `rejected`, so that it does not stop the others."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(max_length=100)


Mutation = Annotated[Receive | Count | Edit | WishPrice, Field(discriminator="kind")]
#: as it is read: one that is not as it should be must not stop the others
Told = Annotated[Mutation | Unreadable, Field(union_mode="left_to_right")]
_READ: TypeAdapter[Receive | Count | Edit | WishPrice] = TypeAdapter(Mutation)


def why_unreadable(told: Unreadable) -> str:
    """What is wrong with it, in one line."""
    try:
        _READ.validate_python(told.model_dump())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return "it cannot be read"


#: what a person has to be allowed to do
NEEDED: dict[str, Permission] = {
    "stock.receive": "inventory:write",
    "stock.count": "inventory:write",
    "product.edit": "catalogue:write",
    "listing.price": "pricing:write",
}


class Lost(View):
    """A field whose words are somebody else's, later ones."""

    field: str
    stands: Any


class Answer(View):
    """`accepted`: as it was meant. `merged`: together with what others did. `conflict`: not done, for others did what
    it did not know of. `rejected`: never. These are final: the same id gets the same answer. `deferred`: not looked
    at yet; push it again, after what is missing."""

    id: UUID
    seq: int
    outcome: Outcome
    reason: str = Field(default="", description="a word for programs", examples=["newer-words"])
    message: str = Field(default="", description="the same for people")
    lost: list[Lost] = Field(default_factory=list)
    event_id: UUID | None = Field(default=None, description="the fact a wish became")


class Answers(View):
    """In the order of `seq`."""

    answers: list[Answer]
    last_seq: int = Field(description="the last mutation of the device that has a final answer")
    server_time: Moment


class MutationView(View):
    """A mutation's answer, and what became of a wish since: `decision` is how an agent decided, `verdict` the gate's
    word, `effect` how far the channel is; each null while it is not known."""

    device: str
    kind: str
    answer: Answer
    happened_at: Moment = Field(description="on the server's time")
    received_at: Moment
    decision: str | None
    verdict: str | None
    why: str | None
    effect: str | None
