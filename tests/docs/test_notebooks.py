"""The notebooks run from top to bottom and show what they say; none is committed with its outputs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

pytestmark = pytest.mark.starts_ray  # the second trains

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_SECONDS = 120

#: what each notebook found, told by a last cell of ours
TOLD = {
    "01_explore_demand": "{**spreads, **totals, 'memory': best_memory, 'alarms': len(alarms)}",
    "02_train_a_pricing_policy": (
        "{'trials': outcome['trials'], 'steps': outcome['steps_computed'], 'learned': outcome['learned'], 'low': low}"
    ),
    "03_evaluate_and_ship_a_policy": (
        "{'low': final.low, 'high': final.high, 'better': verdicts[9.0][0], 'worse': verdicts[-9.0][0], "
        "'stages': stages, 'refused': refused, 'before': before.policy_version, 'after': after.policy_version}"
    ),
    "04_inventory_under_uncertainty": "{**costs, 'saved': gain.low, 'cheaper': float(saving.mean())}",
    "05_read_a_price_decision": (
        "{**{name: verdict.verdict for name, verdict in verdicts.items()}, 'mean gain over hold': "
        "float(gains['hold'].mean()), 'quote moves': quote.action == 'move', 'elasticity': beliefs[180].elasticity(), "
        "'floor kept': bool((totals['policy'] > 0).all()), 'prices': len({q.best for q in replayed.values()})}"
    ),
}
FIGURES = dict(zip(TOLD, (3, 2, 2, 3, 4), strict=True))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    assert path.stem in TOLD, "say here what it shows"
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count is not None] == []


async def run(name: str, folder: Path) -> dict[str, Any]:
    """What the notebook found; it shows as many pictures as it says."""
    notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({TOLD[name]}))"))
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
    began = time.monotonic()
    await NotebookClient(notebook, km=kernel, timeout=LONGEST_SECONDS).async_execute()
    assert time.monotonic() - began < LONGEST_SECONDS
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    figures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(figures) == FIGURES[name]
    told: dict[str, Any] = json.loads(cells[-1].outputs[-1].text.splitlines()[-1])
    return told


@pytest.mark.slow
async def test_demand_is_explored(tmp_path: Path) -> None:
    told = await run("01_explore_demand", tmp_path)
    assert told["moved"] < 0.5 * told["before"] and told["held"] > 0.95 * told["before"], "one price tells nothing"
    assert told["ours"] < told["ts"] < told["greedy"]
    assert 0.8 < told["memory"] < 1.0 and told["alarms"]


@pytest.mark.slow
async def test_a_policy_is_trained(tmp_path: Path) -> None:
    told = await run("02_train_a_pricing_policy", tmp_path)
    assert told["trials"] == 10 and 10 <= told["steps"] < 10 * 6, "ASHA stopped some"
    assert told["learned"] == (told["low"] > 0)


@pytest.mark.slow
async def test_a_policy_is_judged_and_shipped(tmp_path: Path) -> None:
    told = await run("03_evaluate_and_ship_a_policy", tmp_path)
    assert told["low"] < 112 < told["high"] and told["low"] > 101, "the log tells who is better"
    assert (told["better"], told["worse"]) == ("challenger", "incumbent")
    assert told["stages"] == ["shadow", "canary", "live"], told["refused"]
    assert told["before"] == told["after"] == "as shipped"


@pytest.mark.slow
async def test_inventory_is_decided_under_uncertainty(tmp_path: Path) -> None:
    told = await run("04_inventory_under_uncertainty", tmp_path)
    assert told["optimum"] == pytest.approx(told["published"], abs=1e-3)
    assert told["optimum"] <= told["learned"] < told["best base stock"] and told["saved"] > 0
    assert told["cheaper"] > 0


@pytest.mark.slow
async def test_a_price_decision_is_read_and_replayed(tmp_path: Path) -> None:
    told = await run("05_read_a_price_decision", tmp_path)
    assert told["a penny"] == "deny" and told["cost not known"] == "deny"
    assert told["too far down"] == "clamp" and told["the quote"] == "allow"
    assert told["mean gain over hold"] > 0 and told["quote moves"]
    assert abs(told["elasticity"] - 3.0) < 1.0, "half a year of sales tells the elasticity"
    assert told["prices"] > 1, "another policy would have decided otherwise"
