"""`flipsync bench`: benchmarks that prove something, each one command. They come with the source, not the package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flipsync.cli import learning_bench
from flipsync.domain.errors import NotFound

bench_app = typer.Typer(no_args_is_help=True, help="Benchmarks with seeds and intervals; JSON on demand.")
Quick = Annotated[bool, typer.Option("--quick", help="only show that it runs")]
Json = Annotated[bool, typer.Option("--json", help="print the JSON")]


def run_benchmark(name: str, *options: str) -> None:
    """Run `benchmarks.NAME` with these options; its exit code is ours."""
    source = Path(__file__).resolve().parents[2]
    if (source / "benchmarks").is_dir() and str(source) not in sys.path:
        sys.path.insert(0, str(source))  # a command of the environment does not look where it is called
    try:
        module: Any = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        raise NotFound(
            f"the benchmark {name} is not here", hint="Benchmarks come with the source: run it in a checkout."
        ) from error
    raise typer.Exit(module.main(list(options)))


@bench_app.command()
def firewall(quick: Quick = False, as_json: Json = False) -> None:
    """Hostile prices by the million, famous failures replayed, legitimate moves, speed."""
    run_benchmark("firewall", *["--quick"] * quick, *["--json"] * as_json)


@bench_app.command()
def repricing(quick: Quick = False, as_json: Json = False, listings: int = 1_000_000, seed: int = 1) -> None:
    """A whole catalogue repriced and judged by the firewall: arrays, listing by listing, and with pandas."""
    chosen = ["--listings", str(listings), "--seed", str(seed)]
    run_benchmark("repricing", *["--quick"] * quick, *["--json"] * as_json, *chosen)


@bench_app.command()
def fees(quick: Quick = False, as_json: Json = False) -> None:
    """Predicted payouts against settlements written by somebody else; faults found by name."""
    run_benchmark("fees", *["--quick"] * quick, *["--json"] * as_json)


@bench_app.command()
def faults(
    quick: Quick = False,
    as_json: Json = False,
    only: Annotated[list[str] | None, typer.Option(help="FAULT or FAULT@CHANNEL; repeat it")] = None,
    seeds: Annotated[int, typer.Option(help="runs of each fault on each channel (0: the usual)")] = 0,
    calm_days: Annotated[float | None, typer.Option(help="simulated days without faults (default: the usual)")] = None,
    resume: Annotated[bool, typer.Option(help="go on with the last run, which was broken off")] = False,
) -> None:
    """Named faults injected into channels: how soon they are found, whether they are named right, false alarms."""
    chosen = [option for name in only or () for option in ("--only", name)]
    chosen += [] if calm_days is None else ["--calm-days", str(calm_days)]
    chosen += ["--resume"] * resume
    run_benchmark("faults", *["--quick"] * quick, *["--json"] * as_json, *chosen, "--seeds", str(seeds))


@bench_app.command()
def chaos(
    quick: Quick = False,
    as_json: Json = False,
    runs: Annotated[int, typer.Option(help="processes killed, each at a step of its own")] = 1000,
    seed: int = 1,
    lanes: Annotated[int, typer.Option(min=1, help="so many at a time, each on books of its own")] = 1,
    resume: Annotated[bool, typer.Option(help="go on with what was broken off, or with more runs")] = False,
    system: Annotated[int, typer.Option(help="kill so many processes of a whole running system instead")] = 0,
    minutes: Annotated[float, typer.Option(help="with --system: at most so long")] = 60.0,
) -> None:
    """The runtime killed at every step between database and channels: nothing done twice, nothing lost."""
    how = ["--runs", str(runs), "--seed", str(seed), "--lanes", str(lanes), *["--resume"] * resume]
    whole = ["--system", str(system), "--minutes", str(minutes)]
    run_benchmark("chaos", *["--quick"] * quick, *["--json"] * as_json, *how, *whole)


@bench_app.command()
def load(
    quick: Quick = False,
    as_json: Json = False,
    devices: Annotated[int, typer.Option(help="phones with the app open")] = 1000,
    minutes: Annotated[float, typer.Option(help="30: a soak")] = 5.0,
    replicas: Annotated[int, typer.Option(min=1, help="processes of the API")] = 1,
    kill_every: Annotated[float, typer.Option(help="seconds between two kills of a replica; 0: none")] = 0.0,
) -> None:
    """A thousand people with the app open: how long they wait, what fails, how memory grows."""
    chosen = ["--devices", str(devices), "--minutes", str(minutes)]
    chosen += ["--replicas", str(replicas), "--kill-every", str(kill_every)]
    run_benchmark("api_load", *["--quick"] * quick, *["--json"] * as_json, *chosen)


@bench_app.command()
def api(
    quick: Quick = False,
    as_json: Json = False,
    soak: Annotated[bool, typer.Option("--soak", help="half an hour more: memory")] = False,
) -> None:
    """What the API promises, in one table: load, reads, dashboard, live connections, killed replicas."""
    run_benchmark("api", *["--quick"] * quick, *["--json"] * as_json, *["--soak"] * soak)


@bench_app.command()
def endurance(
    quick: Quick = False,
    as_json: Json = False,
    minutes: Annotated[float, typer.Option(help="of trading")] = 10.0,
    per_day: Annotated[float, typer.Option(help="facts a day the journal is to get")] = 1_000_000,
    burst_seconds: Annotated[float, typer.Option(help="of a burst after it; 0: none")] = 30.0,
    seed: int = 1,
) -> None:
    """A million facts a day through the whole system: open work, latency, memory and books stay as they are."""
    chosen = ["--minutes", str(minutes), "--per-day", str(per_day), "--seed", str(seed)]
    chosen += ["--burst-seconds", str(burst_seconds)]
    run_benchmark("endurance", *["--quick"] * quick, *["--json"] * as_json, *chosen)


@bench_app.command()
def hop(
    quick: Quick = False,
    as_json: Json = False,
    hops: Annotated[int, typer.Option(help="of each kind, each time")] = 300,
    width: Annotated[int, typer.Option(help="under way at once in the second part")] = 64,
    repeats: int = 3,
    kills: Annotated[int, typer.Option(help="how often the agent's process is killed")] = 5,
) -> None:
    """From a fact to a decision on record, held and proposed, beside bare actor calls; and after `kill -9`."""
    chosen = ["--hops", str(hops), "--width", str(width), "--repeats", str(repeats), "--kills", str(kills)]
    run_benchmark("agent_hop", *["--quick"] * quick, *["--json"] * as_json, *chosen)


@bench_app.command("cold-start")
def cold_start(
    quick: Quick = False,
    as_json: Json = False,
    repeats: int = 3,
    agents: Annotated[int, typer.Option(help="processes of agents, at least as many as there are")] = 39,
) -> None:
    """Start, memory and idleness of the whole system, beside bare Ray with as many empty actors."""
    chosen = ["--repeats", str(repeats), "--agents", str(agents)]
    run_benchmark("cold_start", *["--quick"] * quick, *["--json"] * as_json, *chosen)


@bench_app.command()
def restore(quick: Quick = False, as_json: Json = False, seed: int = 5) -> None:
    """Backed up while it sells, sold on, lost, restored: the books against the channels' own."""
    run_benchmark("restore", *["--quick"] * quick, *["--json"] * as_json, "--seed", str(seed))


@bench_app.command()
def oversell(
    quick: Quick = False,
    as_json: Json = False,
    seed: int = 1,
    picture: Annotated[Path | None, typer.Option(help="where the frontier goes, as SVG")] = None,
) -> None:
    """Units sold twice: never under escrow; pooled, as often as stated, and with the fewest sales lost for it."""
    where = [] if picture is None else ["--picture", str(picture)]
    run_benchmark("oversell", *["--quick"] * quick, *["--json"] * as_json, "--seed", str(seed), *where)


@bench_app.command()
def replay(
    quick: Quick = False,
    as_json: Json = False,
    rounds: Annotated[int, typer.Option(min=1, help="with notes, and as many without")] = 8,
) -> None:
    """Decisions made again from what they read: how many come out alike, how fast, what keeping the reads costs."""
    run_benchmark("replay", *["--quick"] * quick, *["--json"] * as_json, "--rounds", str(rounds))


@bench_app.command()
def sync(quick: Quick = False, as_json: Json = False, seed: int = 1) -> None:
    """Devices a week apart, together again over a bad network: nothing lost, nothing counted twice, all equal."""
    run_benchmark("sync", *["--quick"] * quick, *["--json"] * as_json, "--seed", str(seed))


@bench_app.command()
def agents(quick: Quick = False, as_json: Json = False) -> None:
    """Agents' methods against stated baselines on simulated markets, with intervals."""
    run_benchmark("agents", *["--quick"] * quick, *["--json"] * as_json)


@bench_app.command("served-forecast")
def served_forecast(quick: Quick = False, as_json: Json = False) -> None:
    """The forecast in service on markets with empty shelves: against its baselines, and against counting zeros."""
    run_benchmark("served_forecast", *["--quick"] * quick, *["--json"] * as_json)


@bench_app.command()
def dashboard(quick: Quick = False, as_json: Json = False) -> None:
    """The dashboard and analytics over a million orders: p95, and the figures against a slow recount to the cent."""
    run_benchmark("dashboard", *["--quick"] * quick, *["--json"] * as_json)


@bench_app.command("live-sockets")
def live_sockets(
    quick: Quick = False,
    as_json: Json = False,
    connections: Annotated[int, typer.Option(help="how many watch at once")] = 5_000,
) -> None:
    """Thousands who watch live at once: memory of each, fan-out, nothing missed over a killed replica, slow clients."""
    count = ["--connections", str(connections)]
    run_benchmark("live_sockets", *["--quick"] * quick, *["--json"] * as_json, *count)


@bench_app.command()
def why(
    quick: Quick = False,
    as_json: Json = False,
    events: Annotated[int, typer.Option(help="so many in the journal")] = 1_000_000,
    seed: int = 1,
) -> None:
    """`flipsync why` on a journal of a million events: seconds an answer, beside those of a short journal."""
    run_benchmark("why", *["--quick"] * quick, *["--json"] * as_json, "--events", str(events), "--seed", str(seed))


@bench_app.command()
def memory(quick: Quick = False, as_json: Json = False, seed: int = 1) -> None:
    """Whether memory finds the right attempt when asked in other words: against trigrams, stems and the newest."""
    run_benchmark("memory", *["--quick"] * quick, *["--json"] * as_json, "--seed", str(seed))


learning_bench.add_to(bench_app)
