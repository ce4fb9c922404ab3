"""The project's rules, one small check each, over every file the repository holds."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flipsync", "agents", "serve")
TOP_LEVEL = {
    *(
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "agents",
        "benchmarks",
    ),
    *("cluster.yaml", "constraints.txt", "flipsync", "notebooks", "pyproject.toml", "serve", "tests"),
}
LONGEST_MODULE, WATCHED_MODULE = 500, 300
#: what a file may not name: where it was made, and where packages came from
#: (people who do not exist, in examples, have homes too)
MACHINE = re.compile(r"(?<![\w.])/(?:home/(?!ada\b|ana\b)|root/|Users/|work/|mnt/|workspace/)[\w.-]+")
REGISTRY = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|test\.pypi|registry\.npmjs|registry\.yarnpkg|conda\.anaconda|artifactory|"
    r"index-url|extra-index|find-links|trusted-host|file://|git\+https)",
    re.IGNORECASE,
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|NotImplementedError|not implemented|coming soon", re.IGNORECASE)
GRAB_BAGS = re.compile(r"(?:^|_)(?:utils?|helpers?|managers?|misc|common|v2)(?:_|$)")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that are or would be committed; without git, everything that is not a well-known by-product."""
    names: Iterable[Path]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True) if shutil.which("git") else None
    if told is not None and told.returncode == 0:
        names = (ROOT / line for line in told.stdout.splitlines())
    else:  # an unpacked archive, or a checkout that belongs to somebody else
        byproducts = re.compile(
            r"^(?:\.git|\.venv|build|.*\.egg-info|\.\w+_cache|\.hypothesis|\.flipsync)(?:/|$)|__pycache__"
        )
        names = (path for path in ROOT.rglob("*") if not byproducts.search(path.relative_to(ROOT).as_posix()))
    return tuple(sorted({path for path in names if path.is_file()}))


@cache
def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def modules(*folders: str) -> list[Path]:
    wanted = folders or PACKAGES
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def hits(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{name(path)}:{number}: {found[0]}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), 1)
        if (found := pattern.search(line))
    ]


# -- the house --------------------------------------------------------------------------------------------------------


def test_the_top_level_is_what_the_owner_fixed() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == TOP_LEVEL


def test_no_module_is_longer_than_the_limit() -> None:
    read = [path for path in modules(*PACKAGES, "benchmarks") if "migrations/versions" not in name(path)]  # history
    lengths = {name(path): len(text(path).splitlines()) for path in read}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_modules_above_the_review_size_are_few(record_property: pytest.RecordProperty) -> None:
    long = {name(p): n for p in modules() if (n := len(text(p).splitlines())) > WATCHED_MODULE}
    record_property("modules to review", json.dumps(long))
    assert len(long) <= len(modules()) // 10, f"one module in ten is too many: {sorted(long)}"


def test_every_module_says_what_it_is_for() -> None:
    empty_is_fine = [path for path in modules() if text(path).strip()]
    silent = [name(path) for path in empty_is_fine if not ast.get_docstring(ast.parse(text(path)))]
    assert silent == []


def test_no_grab_bags() -> None:
    folders_and_files = {part for path in modules() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert sorted(part for part in folders_and_files if GRAB_BAGS.search(part)) == []


def test_test_files_have_names_of_their_own() -> None:
    paths = [path for path in modules("tests") if path.name != "conftest.py"]
    assert not [name(path) for path in paths if path.name == "__init__.py"], "test folders are not packages"
    stems = [path.stem for path in paths]
    assert sorted({stem for stem in stems if stems.count(stem) > 1}) == []


# -- what no committed file holds -------------------------------------------------------------------------------------


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert hits(MACHINE, [path for path in tracked() if path != Path(__file__) and path.name != "LICENSE"]) == []


def test_no_file_names_a_package_registry() -> None:
    assert hits(REGISTRY, [path for path in tracked() if path != Path(__file__)]) == []


def test_nothing_is_left_for_later() -> None:
    code = [path for path in tracked() if path.suffix in (".py", ".sql", ".toml", ".yaml", ".md", ".ipynb")]
    assert hits(UNFINISHED, [path for path in code if path != Path(__file__)]) == []


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (MACHINE, "see /home/jane/flipsync", "in /home/ada or ~/.local/share/flipsync or /var/lib/flipsync"),
        (MACHINE, "see /mnt/disk/x.py", "https://shop.example/mnt/orders"),
        (REGISTRY, "pip install --index-url x", "pip install flipsync"),
        (UNFINISHED, "# TODO: later", "the method of todos"),
        (GRAB_BAGS, "string_utils", "utilisation"),
    ],
)
def test_the_patterns_see_what_they_should(pattern: re.Pattern[str], bad: str, good: str) -> None:
    assert pattern.search(bad) and not pattern.search(good)


# -- packages ---------------------------------------------------------------------------------------------------------


def requirement(line: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]).lower()


def pinned() -> dict[str, str]:
    lines = [line for line in text(ROOT / "constraints.txt").splitlines() if line and not line.startswith("#")]
    return {requirement(line): line for line in lines}


def test_constraints_are_versions_only() -> None:
    form = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+(?:; python_full_version < \"[0-9.]+\")?")
    assert [line for line in pinned().values() if not form.fullmatch(line)] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    asked = {requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    assert sorted(asked - set(pinned())) == []
    assert "async-timeout" in pinned(), "redis needs it on Debian's own Python, 3.11.2"


def test_every_import_of_the_product_is_declared() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    declared = {requirement(line).replace("-", "_") for line in project["dependencies"]}
    known_as = {"jwt": "pyjwt", "argon2": "argon2_cffi", "starlette": "fastapi", "multipart": "python_multipart"}
    known_as |= {"graphql": "graphql_core", "fpdf": "fpdf2", "qdrant_edge": "qdrant_edge_py"}
    missing = {
        f"{name(path)} imports {top}"
        for path in modules()
        for top in {module.partition(".")[0] for module, _ in imports(path)}
        if top not in {*sys.stdlib_module_names, *PACKAGES} and known_as.get(top, top) not in declared
    }
    assert sorted(missing) == []


# -- the code ---------------------------------------------------------------------------------------------------------


@cache
def imports(path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(module, names) of each absolute import in a file, wherever it stands."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            found += [(each.name, ()) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, tuple(each.name for each in node.names)))
    return tuple(found)


#: where SQL is written outside the store today; a name leaves this list and never comes back
SQL_ELSEWHERE = {
    "flipsync/demo/reconcile.py",
    "flipsync/demo/run.py",
    "flipsync/services/tenant_settings.py",
    "flipsync/starting.py",
}


def test_sql_is_written_in_the_store() -> None:
    """Outside it, sessions may be named as a type and database errors caught; nothing is selected or changed."""
    elsewhere = {
        name(path)
        for path in modules()
        if "store" not in path.relative_to(ROOT).parts
        for module, names in imports(path)
        if module.partition(".")[0] == "sqlalchemy" and module != "sqlalchemy.exc" and set(names) - {"AsyncSession"}
    }
    assert elsewhere == SQL_ELSEWHERE


def test_every_agent_has_its_file_and_its_class() -> None:
    roster = importlib.import_module("agents").ROSTER
    files = {path for path in modules("agents") if path.name != "__init__.py"}
    homes = {ROOT.joinpath(*agent.__module__.split(".")).with_suffix(".py") for agent in roster}
    assert homes == files, "one agent a file, one file an agent; in the roster when it does its job"
    for agent in roster:
        assert agent.__name__.endswith("Agent") and agent.__doc__
        assert agent.__module__.split(".")[1:] == [agent.spec.ecosystem, agent.spec.name], agent.__module__


def test_every_route_module_is_served() -> None:
    routes = importlib.import_module("serve.routes")
    files = {path.stem for path in modules("serve") if path.parent.name == "routes" and path.name != "__init__.py"}
    assert all(path.parent.name == "routes" or path.parent == ROOT / "serve" for path in modules("serve")), "flat"
    served = {id(router) for router in routes.ROUTERS}
    missing = [stem for stem in files if id(importlib.import_module(f"serve.routes.{stem}").router) not in served]
    assert missing == []
    assert len(routes.ROUTERS) == len(files)


def test_every_connector_has_its_three_files() -> None:
    folder = ROOT / "flipsync/connectors/marketplaces"
    vendors = importlib.import_module("flipsync.connectors.marketplaces").CONNECTORS
    assert {path.parent.name for path in folder.glob("*/client.py")} == set(vendors)
    for vendor in vendors:
        assert {"client.py", "mapping.py", "wire.py"} <= {path.name for path in (folder / vendor).iterdir()}


def test_routes_hold_no_try() -> None:
    """A route is pydantic in, service call, pydantic out; errors are mapped once, in serve/errors.py."""
    routes = [path for path in modules("serve") if path.parent.name == "routes"]
    caught = [name(path) for path in routes for node in ast.walk(ast.parse(text(path))) if isinstance(node, ast.Try)]
    assert caught == []


def test_ray_serve_is_imported_under_its_own_name() -> None:
    """`serve` is our package: `from ray import serve` would hide it."""
    wrong = [
        name(path)
        for path in modules(*PACKAGES, "benchmarks", "tests")
        if "from ray import" in text(path)
        for node in ast.walk(ast.parse(text(path)))
        if isinstance(node, ast.ImportFrom) and node.module == "ray"
        for each in node.names
        if each.name == "serve" and each.asname != "ray_serve"
    ]
    assert wrong == []


def test_nobody_waits_in_a_way_that_forgets_who_was_cancelled() -> None:
    """`asyncio.wait_for` returns what came in the moment it was cancelled, until 3.12: a worker told to stop goes on.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout is the way that does not."""
    assert hits(re.compile(r"asyncio\.wait_for\("), list(modules(*PACKAGES))) == []


def _within_parentheses(text: str, opened: int) -> str:
    """From the parenthesis at `opened` to the one that closes it."""
    depth = 0
    for place in range(opened, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return text[opened : place + 1]
    return text[opened:]


def test_no_subquery_of_a_condition_locks_rows() -> None:
    """A plan may ask it again for each row, and it locks and answers with others each time: more than its LIMIT. Rows
    are locked in a CTE, which is asked once: https://www.postgresql.org/docs/18/queries-with.html"""
    asks = re.compile(r"\b(?:IN|ANY|EXISTS) (\()SELECT\b")
    assert asks.search("WHERE id IN (SELECT id FROM t LIMIT 1 FOR UPDATE SKIP LOCKED)")
    found = []
    for path in modules(*PACKAGES):
        text = re.sub(r'"\s*f?"', "", path.read_text(encoding="utf-8"))
        asked = [_within_parentheses(text, match.start(1)) for match in asks.finditer(text)]
        found += [f"{path}: {each}" for each in asked if "FOR UPDATE" in each]
    assert found == []


def test_every_skipped_test_says_why() -> None:
    silent = re.compile(
        r"pytest\.skip\(\s*\)|mark\.skip(?:\(\s*\))?\s*$|mark\.skipif\((?!.*reason)[^)]*\)\s*$|mark\.xfail"
    )
    assert hits(silent, [path for path in modules("tests") if path != Path(__file__)]) == []
