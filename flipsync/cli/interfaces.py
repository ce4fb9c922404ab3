"""`flipsync openapi` and `flipsync mcp`: the API for programs, as a document and as tools for assistants."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, out, print_json
from flipsync.domain.errors import InvalidInput

_KEY = "FLIPSYNC_API_KEY"


def openapi(
    file: Annotated[Path | None, typer.Option("--out", help="write it there instead of printing it")] = None,
) -> None:
    """The OpenAPI 3.1 document of the API, as JSON; nothing has to run for it."""
    text = json.dumps(importlib.import_module("serve.api").document(), indent=1, ensure_ascii=False)
    if file is None:
        typer.echo(text)
        return
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
    out.print(f"written to {file}")


def mcp(
    url: Annotated[str, typer.Option(help="of the API")] = "http://127.0.0.1:8000",
    read_only: Annotated[bool, typer.Option("--read-only", help="no tool that changes something")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="show the tools and end")] = False,
    as_json: AsJson = False,
) -> None:
    """Tools for an assistant, over standard input and output (Model Context Protocol).

    What they may is what the API key in FLIPSYNC_API_KEY may. No tool answers approvals.
    """
    key = os.environ.get(_KEY, "").strip()
    if not key:
        raise InvalidInput(f"{_KEY} is not set", hint="make a key with POST /api/v1/api-keys and put it there")
    server = importlib.import_module("flipsync.mcp_server")
    if not only_list:
        asyncio.run(server.serve_stdio(url, key, read_only=read_only))
        return
    found = asyncio.run(server.offered(url, key, read_only=read_only))
    if as_json:
        print_json([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found])
        return
    table = Table("tool", "does", "what", box=None)
    for tool in found:
        table.add_row(tool.name, "reads" if tool.annotations.read_only_hint else "changes", escape(tool.description))
    out.print(table)
