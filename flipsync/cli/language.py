"""`flipsync language`: the installation's language model tried, what it has cost, and what it has read."""

from __future__ import annotations

import asyncio
import importlib
import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.embedded.instance import home_folder

language_app = typer.Typer(no_args_is_help=True, help="The language model: tried, what it costs, what it has read.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


@language_app.command("probe")
def probe(as_json: AsJson = False) -> None:
    """Ask the configured model one small question: whether it answers, in time, in shape, and what that costs."""
    found = asyncio.run(_probe())
    if as_json:
        print_json(found)
        return
    out.print(f"[bold]{escape(found['model'])}[/] answered in {found['seconds']:.1f} s, as it was asked to")
    out.print(f"{found['tokens']} tokens, {found['usd']:.6f} US dollars")


async def _probe() -> dict[str, Any]:
    asking = importlib.import_module("flipsync.runtime.asking")
    model, price = asking.configured(asking.settings())
    began = time.monotonic()
    try:
        reply = await model.ask(importlib.import_module("flipsync.intelligence.language.probe").question())
    finally:
        await model.aclose()
    return {
        "model": model.name,
        "seconds": round(time.monotonic() - began, 3),
        "tokens": reply.usage.tokens,
        "usd": price.micros(reply.usage) / 1_000_000,
    }


@language_app.command("spent")
def spent(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """What a business had the model do within 24 hours, beside what it may."""

    async def work(store: Any, tenant_id: Any) -> Any:
        services = importlib.import_module("flipsync.services.language_desk")
        async with store.reader(tenant_id) as session:
            return await services.spending(session, tenant_id)

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json(found.as_dict())
        return
    state = "reads along" if found.enabled else "does not read along (language.enabled)"
    out.print(f"the language model {state}: {found.tokens:,} of {found.tokens_per_day:,} tokens,")
    out.print(f"{found.cost_micros / 1_000_000:.4f} of {found.usd_cents_per_day / 100:.2f} US dollars in 24 hours")
    for each in found.calls:
        out.print(f"  {each.prompt} by {escape(each.model)}: {each.calls} {each.state}, {each.tokens:,} tokens")


@language_app.command("readings")
def readings(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What was read about goods of new categories, newest first; each attribute and risk with its words."""

    async def work(store: Any, tenant_id: Any) -> Any:
        services = importlib.import_module("flipsync.services.readings")
        async with store.reader(tenant_id) as session:
            return await services.newest(session, limit)

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        told = ({"product_id": each.product_id, "title": each.title, "read_at": each.read_at} for each in found)
        print_json({"items": [about | each.value for about, each in zip(told, found, strict=True)]})
        return
    if not found:
        out.print("nothing was read yet")
    for each in found:
        out.print(f"[bold]{escape(each.title)}[/]")
        for one in each.value["attributes"]:
            out.print(f"  {escape(one['name'])}: {escape(one['value'])}  [dim]“{escape(one['quote'])}”[/]")
        for one in each.value["risks"]:
            out.print(f"  risk, {one['kind']}: “{escape(one['quote'])}”")
        for words in each.value["positioning"]:
            out.print(f"  {escape(words)}")
