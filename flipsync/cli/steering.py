"""`flipsync plan`, `advertising` and `directives`: what the business means to reach, its ads, and what binds agents."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.cli.dry_run import Limit, Since, Tenant, try_on_past
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.embedded.instance import home_folder

directives_app = typer.Typer(no_args_is_help=True, help="What agents are bound to for a time: shown, given, ended.")
_KINDS = "clear-stock, hold-prices, cap-labels or list-nothing"
Kind = Annotated[str, typer.Argument(help=_KINDS)]
Account = Annotated[str | None, typer.Option(help="only on the account of this name")]
Category = Annotated[str | None, typer.Option(help="only goods of this category")]
Patience = Annotated[int | None, typer.Option(help="clear-stock: how long money is waited for")]
Most = Annotated[int | None, typer.Option(help="cap-labels: the most one may cost, in minor units")]


def plan(
    last: Annotated[int, typer.Option(min=1, max=50, help="so many plans, newest first")] = 1,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The plan of four weeks: targets, how likely each was when it was set, and what is reached by now."""
    found = _books().plans(home_folder(home), last, tenant)
    if as_json:
        print_json({"plans": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        out.print("no plan yet: the first one is made from the first forecasts, within a day of them")
    for each in found:
        over = f", replaced {each.replaced_at:%Y-%m-%d}" if each.replaced_at else ""
        out.print(f"[bold]{each.starts_at:%Y-%m-%d} to {each.ends_at:%Y-%m-%d}[/]{over}: {escape(each.why)}")
        table = Table("target", "whose", "likely", "so far", "expected by now", "before", "met")
        for target in each.initiatives:
            figures = (target.so_far, target.expected_so_far, target.base)
            told = [_figure(figure, target.currency) for figure in figures]
            met = {None: "", True: "yes", False: "no"}[target.met]
            table.add_row(escape(target.title), target.owner, f"{target.probability:.0%}", *told, met)
        out.print(table)


def advertising(
    limit: Annotated[int, typer.Option(min=1, max=200, help="so many listings, last found first")] = 50,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Ads paid by the sale: your limits, and each listing's rate with what 30 days of it brought and cost."""
    limits, found = _books().ads(home_folder(home), limit, tenant)
    if as_json:
        print_json({"limits": limits.model_dump(mode="json"), "ads": [each.model_dump(mode="json") for each in found]})
        return
    chosen = limits.limits
    spent = ", ".join(str(each.fees) for each in limits.spent) or "nothing"
    budget = "no budget" if chosen.monthly_budget_minor is None else f"budget {chosen.monthly_budget_minor} minor units"
    if chosen.total_budget_minor is not None:
        budget += f", {chosen.total_budget_minor} for all accounts together"
    out.print(
        f"mode [bold]{chosen.mode}[/], rates up to {chosen.max_rate_bps / 100:.1f} %, {budget} a month; {spent} spent"
        " this month (`flipsync settings set advertising.mode=ask` changes it)"
    )
    if not found:
        out.print("nothing was advertised yet")
        return
    table = Table("listing", "rate", "since", "units", "by ads", "brought", "cost")
    for each in found:
        rate = f"{each.rate_bps / 100:.1f} %" if each.rate_bps else "none"
        if each.resume_bps:
            rate += f" ({each.resume_bps / 100:.1f} % with units)"
        days = each.last_30_days
        figures = (str(days.units), str(days.ad_units), str(days.ad_sales), str(days.ad_fees))
        table.add_row(escape(f"{each.sku} {each.title}"), rate, f"{each.rate_since:%Y-%m-%d}", *figures)
    out.print(table)


@directives_app.command("list")
def list_directives(
    everything: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What binds agents now."""
    found = _books().directives_of(home_folder(home), tenant, all_of_them=everything)
    if as_json:
        print_json({"directives": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        out.print("no directive binds anybody")
    for each in found:
        _tell(each)


@directives_app.command("give")
def give(
    kind: Kind,
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    days: Annotated[int, typer.Option(help="how long it binds")] = 7,
    account: Account = None,
    category: Category = None,
    patience_days: Patience = None,
    limit_minor: Most = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bind agents by your own word, from the next decision on; `flipsync directives dry-run` tries it first."""
    form = importlib.import_module("flipsync.services.directives").DirectiveForm
    terms = {"kind": kind, "category": category, "patience_days": patience_days, "limit_minor": limit_minor}
    try:
        wanted = form.model_validate({"terms": terms, "days": days, "reason": reason})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "terms")
        raise InvalidInput(f"{where}: {first['msg']}".lstrip(": ")) from None
    _show(_books().give_directive(home_folder(home), wanted, account, tenant), as_json)


@directives_app.command("end")
def end(
    directive_id: Annotated[UUID, typer.Argument(help="from `flipsync directives list`")],
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """It binds nobody from the next decision on."""
    if not reason.strip():
        raise InvalidInput("say why it ends")
    _show(_books().end_directive(home_folder(home), directive_id, reason[:500], tenant), as_json)


@directives_app.command("dry-run")
def dry_run(
    kind: Annotated[str | None, typer.Argument(help=_KINDS)] = None,
    account: Account = None,
    category: Category = None,
    patience_days: Patience = None,
    limit_minor: Most = None,
    without: Annotated[UUID | None, typer.Option("--end", help="as if this one had not bound anybody")] = None,
    since: Since = "90d",
    limit: Limit = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What agents would have decided had it bound them, and what that means in money. Changes nothing."""
    if kind is None and without is None:
        raise InvalidInput("no directive is given", hint="for example: flipsync directives dry-run hold-prices")
    terms = {"kind": kind, "category": category, "patience_days": patience_days, "limit_minor": limit_minor}
    if account is not None:
        terms["account_id"] = _books().account_named(home_folder(home), account, tenant)
    change: dict[str, Any] = {} if without is None else {"directives.end": without}
    if kind is not None:
        change["directives.give"] = {key: each for key, each in terms.items() if each is not None}
    try_on_past(change, since=since, limit=limit, tenant=tenant, home=home, as_json=as_json)


def _books() -> Any:
    return importlib.import_module("flipsync.changes_on_books")


def _show(view: Any, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        _tell(view)


def _tell(view: Any) -> None:
    where = f" on {view.account}" if view.account else ""
    until = (
        f"over since {view.ended_at:%Y-%m-%d}: {view.ended_why}" if view.ended_at else f"until {view.ends_at:%Y-%m-%d}"
    )
    binds = ", ".join(view.binds)
    out.print(
        f"[dim]{view.id}[/] [bold]{escape(view.words)}{escape(where)}[/], {escape(until)} ({binds}): "
        f"{escape(view.reason)}"
    )


def _figure(figure: float, currency: str | None) -> str:
    if currency is None:
        return f"{figure:,.0f}"
    return str(Money(amount_minor=round(figure), currency=currency))
