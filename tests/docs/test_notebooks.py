"""The notebooks run from top to bottom and show what they say; none is committed with its outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count is not None] == []


@pytest.fixture(scope="module")
async def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The notebook after a run, with a last cell of ours that tells what came of it."""
    notebook = read(ROOT / "notebooks" / "01_read_a_price_decision.ipynb")
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            "import json\n"
            "told = {name: verdict.verdict for name, verdict in verdicts.items()}\n"
            "told |= {'mean gain over hold': float(gains['hold'].mean()), 'quote moves': quote.action == 'move'}\n"
            "told |= {'elasticity': beliefs[180].elasticity(), 'floor kept': bool((totals['policy'] > 0).all())}\n"
            "print(json.dumps(told))"
        )
    )
    sockets = tmp_path_factory.mktemp("kernel") / "k"
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(sockets))
    await NotebookClient(notebook, km=kernel, timeout=120).async_execute()
    return {"cells": notebook.cells}


@pytest.mark.slow
async def test_the_price_notebook_shows_what_it_says(executed: dict[str, Any]) -> None:
    cells = [cell for cell in executed["cells"] if cell.cell_type == "code"]
    told = json.loads(cells[-1].outputs[0].text)
    assert told["a penny"] == "deny" and told["cost not known"] == "deny"
    assert told["too far down"] == "clamp" and told["the quote"] == "allow"
    assert told["mean gain over hold"] > 0 and told["quote moves"]
    assert abs(told["elasticity"] - 3.0) < 1.0, "half a year of sales tells the elasticity"
    figures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 3
