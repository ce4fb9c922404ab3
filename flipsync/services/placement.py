"""Which product goes on which account: where a sale at list price earns after fees and shipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from flipsync.domain.decisions import Alternative
from flipsync.domain.money import Money
from flipsync.services.desk import Services
from flipsync.store.repositories.listings import AccountRow


@dataclass(frozen=True)
class Place:
    """An account looked at for a product; `alternative` says why it was chosen or not."""

    account_id: UUID
    alternative: Alternative

    @property
    def chosen(self) -> bool:
        return self.alternative.chosen


async def places(services: Services, product_id: UUID, accounts: Sequence[AccountRow]) -> list[Place]:
    """Every account beside what a sale there earns."""
    found = []
    margins = await services.pricing.list_margins(
        product_id, [(account.id, account.vendor, account.currency) for account in accounts]
    )
    for account in accounts:
        nets = [margin.net for margin in margins if margin.account_id == account.id]
        known = [net for net in nets if net is not None]
        earning = [net for net in known if net.amount_minor > 0]
        # asked also where nothing earns: so other choices can be tried on it later
        free = await services.listings.can_list(product_id, account.id)
        chosen = bool(earning) and free > 0
        most = float(max((net.amount_minor for net in known), default=0))
        found.append(
            Place(
                account.id,
                Alternative(
                    name=f"{product_id} on {account.name}",
                    scores={"net_minor_per_sale": most},
                    why=_why(nets, earning),
                    chosen=chosen,
                ),
            )
        )
    return found


def _why(nets: list[Money | None], earning: list[Money]) -> str:
    if not nets:
        return "the product has no variants"
    if all(net is None for net in nets):
        return "price or unit cost is not known: enter them first"
    if not earning:
        return "a sale at list price loses money after fees and shipping"
    return f"up to {max(net.amount_minor for net in earning)} minor units a sale"
