"""`flipsync agents list|drain|resume|restart`: who is at work, who takes nothing new, who begins anew."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, agent_graph, out, print_json
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="for example pricing")]
All = Annotated[bool, typer.Option("--all", help="every agent")]
Seconds = Annotated[float, typer.Option(min=1, help="how long each may take")]


_LIMITS = {"auto_above": "decides by itself when as sure as", "max_stake_minor": "has to ask with more at stake than"}


def agents_list(home: Home = None, as_json: AsJson = False) -> None:
    """Who there is, what wakes them, what they may propose; of a running system, how each replica is and what outcomes
    took from them."""
    told = agent_graph().as_dict()
    running = _of_running(home_folder(home))
    if running is not None:
        standings, replicas, limits = running
        for agent in told["agents"]:
            agent["standings"] = [each for each in standings if each["agent"] == agent["name"]]
            agent["replicas"] = replicas.get(agent["name"], [])
            agent["limits"] = limits.get(agent["name"], {})
    if as_json:
        print_json(told)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("agent", *["state"] * (running is not None), "reports to", "woken by", "proposes", "job"):
        table.add_column(title, overflow="fold")
    for agent in told["agents"]:
        table.add_row(
            agent["name"],
            *([", ".join(map(_state, agent["replicas"])) or "absent"] if running is not None else []),
            agent["reports_to"] or "the owner",
            ", ".join(agent["handles"]),
            ", ".join(agent["proposes"]),
            agent["summary"],
        )
    out.print(table)
    for agent in told["agents"]:
        for key, value in agent.get("limits", {}).items():
            if value is not None:
                out.print(f"[yellow]{agent['name']}[/] {_LIMITS[key]} {value}: the owner's limit")
        for each in agent.get("standings", ()):
            if each["level"] != "full":
                out.print(f"[yellow]{agent['name']}[/] has {each['level']} authority over {each['kind']}")
                out.print(f"  {escape(each['reason'])}")


def limit(
    agent: Annotated[str, typer.Argument(help="for example pricing")],
    auto_above: Annotated[
        float | None, typer.Option(min=0, max=1, help="as sure as that it decides by itself; what is less goes up")
    ] = None,
    max_stake_minor: Annotated[
        int | None, typer.Option(min=0, help="with more minor units at stake the owner is asked")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="as the agent declares, for what is not given")] = False,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How far one agent may go by itself, by the owner's word; without options, how far that is. What outcomes
    take away comes off it."""
    (name,), graph = _named([agent], False), agent_graph()
    given = {"auto_above": auto_above, "max_stake_minor": max_stake_minor}
    change = {f"agents.{name}.{key}": value for key, value in given.items() if none or value is not None}
    books = importlib.import_module("flipsync.changes_on_books")
    found = books.settings(home_folder(home), change or None, tenant, graph.routing())["agents"].get(name, {})
    (declares,) = [each["declares"] for each in graph.as_dict()["agents"] if each["name"] == name]
    if as_json:
        print_json({"agent": name, "declares": declares, "limits": {key: found.get(key) for key in given}})
        return
    for key, words in _LIMITS.items():
        if found.get(key) is not None:
            out.print(f"[bold]{name}[/] {words} {found[key]}: the owner's limit")
        else:
            asks = "sends up what has more at stake than" if key == "max_stake_minor" else words
            out.print(f"[bold]{name}[/] {asks} {declares[key]}, as it declares")


def drain(
    names: Names = None, every: All = False, seconds: Seconds = 60.0, home: Home = None, as_json: AsJson = False
) -> None:
    """Have agents finish what they hold and take nothing new until they are resumed. Their work waits, others go on."""
    agents = _named(names, every)
    _roll(home, seconds, lambda rolling: rolling.drain(agents))
    _say({"drained": agents}, as_json, f"{', '.join(agents)}: drained, until `flipsync agents resume`")


def resume(
    names: Names = None, every: All = False, seconds: Seconds = 60.0, home: Home = None, as_json: AsJson = False
) -> None:
    """Have drained agents go on, with what waits first."""
    agents = _named(names, every)
    _roll(home, seconds, lambda rolling: rolling.resume(agents))
    _say({"resumed": agents}, as_json, f"{', '.join(agents)}: at work again")


def restart(
    names: Names = None, every: All = False, seconds: Seconds = 60.0, home: Home = None, as_json: AsJson = False
) -> None:
    """Have agents begin anew, each in a new process, one after another: the next once the one before is ready again."""
    agents = _named(names, every)
    done: list[dict[str, Any]] = []

    def told(each: Any) -> None:
        done.append({"agent": each.agent, "replica": each.replica, "seconds": round(each.seconds, 3)})
        if not as_json:
            which = f" replica {each.replica + 1} of {each.replicas}" if each.replicas > 1 else ""
            out.print(f"{len(done):>3}  {each.agent}{which}: ready again after {each.seconds:.1f} s")

    _roll(home, seconds, lambda rolling: rolling.restart(agents, told))
    _say({"restarted": done}, as_json, f"{len(done)} restarted")


def _named(names: list[str] | None, every: bool) -> list[str]:
    known = sorted(agent_graph().agents)
    if every == bool(names):
        raise InvalidInput("name agents, or give --all", hint="flipsync agents list")
    for name in names or ():
        if name not in known:
            raise NotFound(f"no agent {name}", hint="flipsync agents list")
    return known if every else list(dict.fromkeys(names or ()))


def _roll(home: Path | None, seconds: float, work: Any) -> None:
    importlib.import_module("flipsync.commands_on_books").with_agents(home_folder(home), seconds, work)


def _say(told: dict[str, Any], as_json: bool, words: str) -> None:
    if as_json:
        print_json(told)
    else:
        out.print(words)


def _state(replica: dict[str, Any]) -> str:
    if replica["restarting"]:
        return "restarting"
    return "draining" if replica["draining"] and replica["state"] == "ready" else str(replica["state"])


_Running = tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]


def _of_running(home: Path) -> _Running | None:
    """The newest business's standings, its replicas and the owner's limits by agent; None where no system runs, which
    is not started for this."""
    state = importlib.import_module("flipsync.embedded.instance").read_state(home)
    if state is None or not state.is_live():
        return None
    desk = importlib.import_module("flipsync.services.standing_desk")
    reading = importlib.import_module("flipsync.services.reading_decisions")
    settings = importlib.import_module("flipsync.services.tenant_settings")

    async def work(store: Any, tenant_id: UUID) -> _Running:
        async with store.reader(tenant_id) as session:
            found = await desk.look(session, tenant_id)
            replicas = {each.agent: each.replicas for each in await reading.list_agents(session)}
            limits = (await settings.profile(session, tenant_id)).settings.agents
        return (
            [each.model_dump(mode="json") for each in found.standings],
            {agent: [each.model_dump(mode="json") for each in several] for agent, several in replicas.items()},
            {agent: each.model_dump(mode="json") for agent, each in limits.items()},
        )

    books = importlib.import_module("flipsync.commands_on_books")
    try:
        told: _Running = books.in_books(home, {}, None, work)
    except NotFound:  # there is no business yet
        return [], {}, {}
    return told
