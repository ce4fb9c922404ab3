"""`flipsync pricing`: the next price of goods in full, and what to answer a buyer who bids."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.embedded.instance import home_folder

pricing_app = typer.Typer(no_args_is_help=True, help="What goods should cost, and why.")

Sku = Annotated[str, typer.Argument(help="as in the catalogue")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="business (default: the newest)")]


@pricing_app.command()
def explain(sku: Sku, tenant: TenantOption = None, home: Home = None, as_json: AsJson = False) -> None:
    """The next price on each channel: demand, rivals, fees, bounds, and why not 5 % more or less."""
    explaining = importlib.import_module("flipsync.services.pricing.explanation")
    told = [
        (each.listing, explaining.explain(each.request, each.listing.quote, each.rule))
        for each in _asked(sku, tenant, home)
    ]
    if as_json:
        shown = [
            {
                "listing_id": str(listing.listing_id),
                "vendor": listing.vendor,
                "quote": listing.quote.model_dump(mode="json"),
                "explanation": explanation.model_dump(mode="json"),
            }
            for listing, explanation in told
        ]
        print_json({"items": shown})
        return
    for listing, explanation in told:
        _show(listing, explanation)
    if not told:
        out.print("no listing of it is on sale with a confirmed price that we choose")


@pricing_app.command()
def offer(
    sku: Sku,
    amount: Annotated[str, typer.Argument(help="the bid for a unit, e.g. 41.00")],
    quantity: Annotated[int, typer.Option(min=1, help="units that are bid for")] = 1,
    tenant: TenantOption = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What to answer a buyer who bids below the price: accept, counter or decline. Nothing is sent."""
    haggling = importlib.import_module("flipsync.services.pricing.haggling")
    told: list[tuple[Any, Any, str]] = []
    for each in _asked(sku, tenant, home):
        bid = _amount(amount, each.request.current.currency)
        try:
            told.append((each.listing, haggling.answer_offer(each.request, each.rule, bid, quantity), ""))
        except InvalidInput as error:  # one account may have none left; the others are asked all the same
            told.append((each.listing, None, str(error)))
    if told and all(answer is None for _, answer, _ in told):
        raise InvalidInput(told[0][2])
    if as_json:
        shown = [
            {
                "listing_id": str(listing.listing_id),
                "vendor": listing.vendor,
                "answer": answer and answer.model_dump(mode="json"),
                "why_not": why,
            }
            for listing, answer, why in told
        ]
        print_json({"items": shown})
        return
    for listing, answer, why in told:
        if answer is None:
            out.print(f"{escape(listing.vendor)}: {escape(why)}")
            continue
        limits = f"accept from {answer.accept_from}" if answer.accept_from else "accept none below the price"
        counter = f" at [bold]{answer.counter}[/]" if answer.counter else ""
        out.print(f"{escape(listing.vendor)}, listed at {answer.listed}: [bold]{answer.answer}[/]{counter}")
        out.print(f"  {escape(answer.reason)} [dim]{limits}, {answer.otherwise} the rest[/]")
    if not told:
        out.print("no listing of it is on sale with a confirmed price that we choose")


@pricing_app.command()
def bundle(
    skus: Annotated[list[str], typer.Argument(help="as in the catalogue; SKU*3 for three of one")],
    shipping: Annotated[str | None, typer.Option(help="what their one parcel costs, e.g. 4.50")] = None,
    tenant: TenantOption = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What goods should cost sold together, on each account that has all of them, and whether a discount pays."""
    wanted: dict[str, int] = {}
    for each in skus:
        sku, star, count = each.rpartition("*")
        if not star or not count.isdigit():
            sku, count = each, "1"
        wanted[sku] = wanted.get(sku, 0) + int(count)
    desk = importlib.import_module("flipsync.services.desk")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            pricing = desk.Services(session, tenant_id, store.clock.now()).pricing
            by_account: dict[UUID, dict[str, Any]] = {}
            for sku in wanted:
                for asked in await pricing.asked_sku(sku):
                    by_account.setdefault(asked.listing.account_id, {})[sku] = asked
            told: list[tuple[str, Any, str]] = []
            for found in by_account.values():
                if found.keys() != wanted.keys():
                    continue
                first = next(iter(found.values()))
                parcel = None if shipping is None else _amount(shipping, first.request.current.currency).amount_minor
                quantities = {asked.listing.listing_id: wanted[sku] for sku, asked in found.items()}
                try:
                    told.append((first.listing.vendor, await pricing.bundle(quantities, parcel), ""))
                except InvalidInput as error:  # one account may have too few left; the others are asked all the same
                    told.append((first.listing.vendor, None, str(error)))
            return told

    books = importlib.import_module("flipsync.commands_on_books")
    found = books.in_books(home_folder(home), {}, tenant, work)
    if found and all(quote is None for _, quote, _ in found):
        raise InvalidInput(found[0][2])
    if as_json:
        shown = [
            {"vendor": vendor, "bundle": quote and quote.model_dump(mode="json"), "why_not": why}
            for vendor, quote, why in found
        ]
        print_json({"items": shown})
        return
    for vendor, quote, why in found:
        if quote is None:
            out.print(f"{escape(vendor)}: {escape(why)}")
            continue
        verdict = f"[bold]{quote.price}[/], {quote.discount_bps / 100:.1f} % off" if quote.pays else "[bold]apart[/]"
        out.print(f"{escape(vendor)}: {verdict}; one by one {quote.apart}, never below {quote.lowest}")
        out.print(f"  {escape(quote.reason)}")
        gain = f"; {quote.gain_per_day} a day more" if quote.pays else ""
        out.print(
            f"  [dim]{quote.orders_together} of {quote.orders_seen} orders with {escape(quote.base)} had all of it; "
            f"one order saves {quote.one_order_saves}; {quote.units} can be made{gain}[/]"
        )
    if not found:
        out.print("no account has all of them on sale with confirmed prices that we choose")


def _amount(text: str, currency: str) -> Money:
    try:
        return Money.parse(text, currency)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _asked(sku: str, tenant: str | None, home: Any) -> list[Any]:
    desk = importlib.import_module("flipsync.services.desk")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await desk.Services(session, tenant_id, store.clock.now()).pricing.asked_sku(sku)

    books = importlib.import_module("flipsync.commands_on_books")
    found: list[Any] = books.in_books(home_folder(home), {}, tenant, work)
    return found


def _show(listing: Any, explanation: Any) -> None:
    quote = listing.quote
    out.print(f"[bold]{escape(listing.vendor)}[/] {escape(listing.sku)}: {quote.current} → [bold]{quote.best}[/]")
    out.print(f"  {escape(quote.reason)} [dim]{quote.confidence:.0%} sure, by the policy {listing.policy_version}[/]")
    if explanation.sale is None:
        return
    fees = ", ".join(f"{line.kind} {line.amount}" for line in explanation.sale.fees.lines)
    out.print(f"  a sale leaves {explanation.sale.net} after fees ({escape(fees)}) and costs")
    binding = "; ".join(f"{each.name} {each.price}" for each in explanation.bounds if each.binds)
    out.print(f"  between {escape(binding)}")
    if explanation.rivals:
        cheapest = explanation.rivals[0].price
        count = len(explanation.rivals)
        out.print(f"  {count} rivals can deliver, from {cheapest}; {explanation.cheaper_rivals} below our price")
    if explanation.featured is not None:
        first = explanation.featured
        needed = (
            "no number of sales pays" if first.sales_needed is None else f"pays from {first.sales_needed:.2f} times"
        )
        out.print(
            f"  {escape(first.seller)} is put first at {first.theirs}; ours could be from {first.ours_from}, where a "
            f"sale leaves {first.margin}: {needed} the sales of now, {first.sales_expected:.2f} are expected by price"
        )
    for each in explanation.instead:
        out.print(f"  not {each.price} ({each.change_bps / 100:+.0f} %): {escape(each.why_not)}")
    table = Table("price", "sold a day", "80 % of the belief", "profit a day")
    for point in explanation.demand:
        band = f"{point.low:.3g} to {point.high:.3g}"
        table.add_row(str(point.price), f"{point.sold_per_day:.3g}", band, str(point.expected_profit_per_day))
    out.print(table)
