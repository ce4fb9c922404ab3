"""Suppliers and what they ask: made, changed, and put in place of what they asked before."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from flipsync.connectors.notices.destination import mail_address
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.money import Currency
from flipsync.services.catalogue.sanitise import plain
from flipsync.services.stock import MAX_UNITS
from flipsync.store.models import Supplier
from flipsync.store.repositories import suppliers as rows
from flipsync.store.unit_of_work import UnitOfWork

MAX_COST_MINOR = 10**12
#: offers written at once
MOST_OFFERS = 500
#: calendars end, and what is meant is "always"
_LAST = datetime(9000, 1, 1, tzinfo=UTC)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @field_validator("name", "note", "supplier_sku", check_fields=False)
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        return None if value is None else plain(value)

    @field_validator("email", check_fields=False)
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return mail_address(value)
        except InvalidInput as error:
            raise ValueError(error.message) from None


class SupplierForm(_Form):
    """`lead_mean_days` and `lead_spread_days` are what you expect; deliveries correct them."""

    name: str = Field(min_length=1, max_length=200, examples=["Teapots wholesale"])
    currency: Currency = "USD"
    email: str | None = Field(
        default=None, max_length=320, description="where orders are mailed to; without one you place them yourself"
    )
    lead_mean_days: float = Field(default=10.0, ge=0.1, le=365, description="days from order to delivery")
    lead_spread_days: float = Field(default=4.0, ge=0, le=180, description="standard deviation of those, in days")
    least_order_minor: int = Field(default=0, ge=0, le=MAX_COST_MINOR, description="they take no smaller order")
    note: str = Field(default="", max_length=1_000)


class SupplierEdit(_Form):
    """What is given is changed, what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    email: str | None = Field(default=None, max_length=320)
    lead_mean_days: float | None = Field(default=None, ge=0.1, le=365)
    lead_spread_days: float | None = Field(default=None, ge=0, le=180)
    least_order_minor: int | None = Field(default=None, ge=0, le=MAX_COST_MINOR)
    active: bool | None = Field(default=None, description="false: nothing is bought there any more")
    note: str | None = Field(default=None, max_length=1_000)


class OfferForm(_Form):
    """What a supplier asks for goods: so much for one pack, in the supplier's currency."""

    pack_cost_minor: int = Field(gt=0, le=MAX_COST_MINOR, description="of one pack, in minor units", examples=[4800])
    pack_units: int = Field(default=1, ge=1, le=MAX_UNITS, description="units in a pack; orders are whole packs")
    least_units: int = Field(default=0, ge=0, le=MAX_UNITS, description="they sell no fewer units of it at once")
    supplier_sku: str = Field(default="", max_length=100, description="what they call it")
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None


async def create(unit: UnitOfWork, form: SupplierForm) -> Supplier:
    """Raises Conflict when there is one of that name."""
    if not form.name:
        raise InvalidInput("a supplier needs a name")
    if await rows.named(unit.session, form.name) is not None:
        raise Conflict(f"there is a supplier {form.name!r} already")
    row = await rows.add(unit, active=True, **form.model_dump())
    unit.audit("suppliers.made", "supplier", row.id, name=row.name, email=row.email)
    return row


async def edit(unit: UnitOfWork, supplier_id: UUID, change: SupplierEdit, expected_version: int) -> Supplier:
    """Raises NotFound, VersionMismatch, and Conflict when another has the name."""
    row = await locked(unit, supplier_id)
    VersionMismatch.check("the supplier", row.version, expected_version)
    given = change.model_dump(include=change.model_fields_set)
    for name in set(given) - {"email"}:
        if given[name] is None or (given[name] == "" and name == "name"):
            raise InvalidInput(f"{name} cannot be nothing")
    taken = await rows.named(unit.session, given["name"]) if "name" in given else None
    if taken is not None and taken.id != row.id:
        raise Conflict(f"there is a supplier {given['name']!r} already")
    changed = {name: value for name, value in given.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.version += 1
        unit.audit("suppliers.changed", "supplier", row.id, name=row.name, changed=sorted(changed), email=row.email)
        await unit.session.flush()
    return row


async def put_offer(unit: UnitOfWork, supplier_id: UUID, variant_id: UUID, form: OfferForm) -> None:
    """What they ask for it from now on. Raises NotFound, InvalidInput."""
    supplier = await locked(unit, supplier_id)
    found = (await rows.goods(unit.session, [variant_id])).get(variant_id)
    if found is None:
        raise NotFound(f"no variant {variant_id}")
    if found[1] != supplier.currency:
        raise InvalidInput(
            f"{found[0]} is kept in {found[1]} and {supplier.name} asks {supplier.currency}",
            hint="FlipSync keeps no exchange rates: add the supplier in the currency you keep the goods in",
        )
    await put_offers(unit, supplier_id, {variant_id: form})


async def put_offers(unit: UnitOfWork, supplier_id: UUID, forms: dict[UUID, OfferForm]) -> None:
    """For goods in the supplier's currency, `MOST_OFFERS` at a time."""
    offers = []
    for variant_id, form in sorted(forms.items()):
        since, until = form.valid_from, form.valid_until
        if since is not None and until is not None and until <= since:
            raise InvalidInput("an offer ends after it begins")
        if max(since or unit.now, until or unit.now) > _LAST:
            raise InvalidInput("an offer that never ends has no valid_until")
        offers.append({"variant_id": variant_id, **form.model_dump()})
    for at in range(0, len(offers), MOST_OFFERS):
        await rows.put_offers(unit, supplier_id, offers[at : at + MOST_OFFERS])
    if offers:
        unit.audit("suppliers.offers", "supplier", supplier_id, offers=len(offers))


async def remove_offer(unit: UnitOfWork, supplier_id: UUID, variant_id: UUID) -> None:
    """They do not sell it any more. Raises NotFound."""
    await locked(unit, supplier_id)
    if not await rows.remove_offer(unit.session, supplier_id, variant_id):
        raise NotFound("the supplier offers no such goods")
    unit.audit("suppliers.offer-removed", "supplier", supplier_id, variant_id=str(variant_id))


async def locked(unit: UnitOfWork, supplier_id: UUID) -> Supplier:
    """Nobody else changes it meanwhile. Raises NotFound."""
    row = await rows.lock(unit.session, supplier_id)
    if row is None:
        raise NotFound(f"no supplier {supplier_id}")
    return row
