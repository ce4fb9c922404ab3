"""`flipsync agents show|pages`: what an agent watches, may do, and how far by itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markdown import Markdown

from flipsync.cli.console import AsJson, agent_graph, out, print_json
from flipsync.domain.errors import InvalidInput


def show(name: Annotated[str, typer.Argument(help="for example pricing")], as_json: AsJson = False) -> None:
    """One agent: what wakes it, what it may do, and how far by itself."""
    text = _pages().page(agent_graph(), name)
    if as_json:
        print_json({"name": name, "markdown": text})
    else:
        out.print(Markdown(text))


def pages(folder: Annotated[Path, typer.Argument(help="where the agents' ecosystems are folders")]) -> None:
    """Write the page of every agent beside its code."""
    graph = agent_graph()
    try:
        for name in graph.agents:
            place = folder / _pages().place(graph, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_pages().page(graph, name), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be written: {error.strerror}") from None
    out.print(f"{len(graph.agents)} pages in {folder}")


def _pages() -> Any:
    return importlib.import_module("flipsync.runtime.agent_page")
