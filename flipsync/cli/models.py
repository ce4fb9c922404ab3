"""`flipsync train` and `flipsync models`: search for policies, look at them, move them on, take them back."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.cli.dry_run import Limit, Since, try_on_past
from flipsync.embedded.instance import home_folder

models_app = typer.Typer(no_args_is_help=True, help="Policies in the registry, and which of them decides.")
Tenant = Annotated[str | None, typer.Option("--tenant", help="business (default: the newest)")]
Reason = Annotated[str, typer.Option(help="for the record")]


def _books() -> Any:
    return importlib.import_module("flipsync.training_on_books")


def _routing() -> Any:
    graph = importlib.import_module("flipsync.runtime.graph")
    return graph.Graph(importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")).routing()


def train(
    name: Annotated[
        str,
        typer.Argument(
            help="shop-price, shop-order, shop-market, season-price, moving-demand, smooth-order or fading-demand"
        ),
    ],
    samples: Annotated[int, typer.Option(min=2, help="trials; the first has the baseline's parameters")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="of the search; the judge has its own")] = 11,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster; auto: the running system's (default: a Ray of two cores)")
    ] = None,
    judged: Annotated[int, typer.Option(min=10, help="runs in which policy and baseline are compared")] = 200,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search for a policy with Ray Tune, compare it with its baseline, and keep what is better.

    Killed at any moment, the same command goes on where it was.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[best]}"), TimeElapsedColumn())
    hidden = as_json or not err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=hidden) as progress:
        bar = progress.add_task(name, total=samples, best="starting Ray")
        told = -1

        def report(so_far: Any) -> None:
            nonlocal told
            best = f"{so_far.ended}/{so_far.trials} trials, best {so_far.best:.5g} (trial {so_far.number})"
            if so_far.judging:
                best = f"judging trial {so_far.number} and the baseline on {so_far.judging} runs"
            progress.update(bar, completed=so_far.ended, best=best)
            if hidden and (so_far.ended > told or so_far.judging):
                told = so_far.ended
                err.print(f"[dim]{name}: {best}[/]")

        outcome = _books().train(
            home_folder(home),
            name,
            samples=samples,
            seed=seed,
            address=address,
            judged=judged,
            tenant=tenant,
            report=report,
        )
    if as_json:
        print_json(outcome.as_dict())
        return
    compared = outcome.comparison
    out.print(
        f"{name}: {outcome.trials} trials, {outcome.steps_now} steps computed"
        + (f", {outcome.steps_before} found from before" if outcome.steps_before else "")
    )
    out.print(f"  policy    {_interval(compared.worth)} {compared.unit}")
    out.print(f"  baseline  {_interval(compared.baseline)}")
    out.print(f"  paired    {_interval(compared.difference)} over {compared.runs} runs (95 %)")
    if outcome.learned:
        out.print(f"[green]better[/]: policy [bold]{outcome.policy.version}[/] is a candidate in the registry")
    else:
        out.print(f"[yellow]not better[/]: the baseline ships, kept as {outcome.policy.version}")


def _interval(told: Any) -> str:
    return f"{told[0]:.5g} [{told[1]:.5g}, {told[2]:.5g}]"


@models_app.command("list")
def list_models(
    name: Annotated[str | None, typer.Option(help="only of this name")] = None,
    stage: Annotated[str | None, typer.Option(help="only in this stage")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """All policies, newest first."""
    found = _books().list_models(home_folder(home), name=name, stage=stage, tenant=tenant)
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
        return
    table = Table(box=None, pad_edge=False)
    for title in ("version", "name", "stage", "better by", "kept"):
        table.add_column(title)
    for model in found:
        gain = model.scores.get("difference")
        shown = _interval(gain) if gain and model.scores.get("learned") else "baseline"
        table.add_row(model.version, model.name, model.stage, escape(shown), f"{model.created_at:%Y-%m-%d %H:%M}")
    out.print(table if found else "no policies yet; `flipsync train shop-price` searches for one")


@models_app.command()
def show(version: str, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """One policy: content, data, seeds, scores, how it moved, what came of its choices."""
    model = _books().show_model(home_folder(home), version, tenant)
    if as_json:
        print_json(model.model_dump(mode="json"))
        return
    _tell(model)


def _tell(model: Any) -> None:
    out.print(f"[bold]{model.version}[/] {model.name}, {model.stage}; SHA-256 {model.digest[:16]}…")
    out.print(f"  code {model.code_version}, seeds {escape(str(model.seeds))}, data {model.data.get('digest', '')}")
    for figure, value in model.artefact["figures"].items():
        out.print(f"  {figure:<20} {escape(str(value))}")
    if gain := model.scores.get("difference"):
        out.print(escape(f"  better by {_interval(gain)} {model.scores['unit']}, {model.scores['runs']} runs"))
    for stage in model.stages:
        out.print(f"  {stage.at:%Y-%m-%d %H:%M} {stage.was} → {stage.becomes}: {escape(stage.reason)}")
        for check in stage.checks:
            out.print(f"      {'✓' if check['passed'] else '…'} {check['name']}: {escape(check['words'])}")
    if model.off_policy is not None:
        told = model.off_policy
        value = _interval((told.doubly_robust.mean, told.doubly_robust.low, told.doubly_robust.high))
        out.print(escape(f"  off-policy {value} a listing and hour, {told.acted.mean:.4g} earned, {told.rows} rows"))
    if model.canary is not None:
        out.print(f"  canary: {model.canary.verdict} after {model.canary.blocks} blocks")
        if model.canary.budget is not None:
            out.print(escape(f"  budget: {model.canary.budget.words}"))


@models_app.command()
def experiment(
    experiment_id: Annotated[UUID, typer.Argument(help="as `models show` and `train --json` tell it")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One search with every trial: parameters, scores, and whether it was stopped early."""
    told = _books().show_experiment(home_folder(home), experiment_id, tenant)
    if as_json:
        print_json(told.model_dump(mode="json"))
        return
    out.print(f"{told.problem}, seed {told.seed}, code {told.code_version}: {told.state} {escape(told.error)}")
    for trial in told.trials:
        scores = " ".join(f"{score:.5g}" for score in trial.scores)
        out.print(f"  {trial.number:>3} {trial.state:<9} {scores}  [dim]{escape(str(trial.params))}[/]")


@models_app.command()
def promote(
    version: str,
    to: Annotated[str | None, typer.Option(help="the stage it should be in afterwards, to be sure")] = None,
    on_my_word: Annotated[
        bool, typer.Option("--on-my-word", help="where evidence is still open, not where a check failed")
    ] = False,
    reason: Reason = "",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One stage on: candidate → shadow → canary → live, after checks."""
    _promote(version, to, reason, on_my_word, tenant, home, as_json)


@models_app.command()
def shadow(
    version: str, reason: Reason = "", tenant: Tenant = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Let a candidate look on: its choices are recorded beside what is done."""
    _promote(version, "shadow", reason, False, tenant, home, as_json)


def _promote(
    version: str, to: str | None, reason: str, on_my_word: bool, tenant: str | None, home: Any, as_json: bool
) -> None:
    model = _books().promote_model(
        home_folder(home), version, to=to, reason=reason, on_my_word=on_my_word, tenant=tenant, routing=_routing()
    )
    if as_json:
        print_json(model.model_dump(mode="json"))
    else:
        _tell(model)


@models_app.command("dry-run")
def dry_run(
    version: str,
    buying: Annotated[bool, typer.Option("--buying", help="it is a policy that buys (shop-order)")] = False,
    since: Since = "90d",
    limit: Limit = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What would have been decided with this policy live, of prices or (--buying) of orders. Changes nothing."""
    key = "purchasing.policy" if buying else "pricing.policy"
    try_on_past({key: version}, since=since, limit=limit, tenant=tenant, home=home, as_json=as_json)


@models_app.command()
def rollback(
    name: str, reason: Reason = "rolled back by hand", tenant: Tenant = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Take back the canary, else the live policy: what was live before decides again."""
    back, now = _books().roll_back_model(home_folder(home), name, reason, tenant, _routing())
    if as_json:
        print_json({"rolled_back": back, "live": now})
    else:
        out.print(f"{back} is retired; {now or 'the rule as shipped'} decides")
