"""Ray Tune searches: ASHA stops trials that fall behind, PBT lets a population move with a world that moves.

Tune computes; what was computed is in our books (`study`). Ray Tune 2.60: a trainable class with `reuse_actors`, or
every trial pays a second for a process of its own; loggers off, or each writes TensorBoard and CSV files; searching is
left to us (`Problem.draw`), so that a resumed study has the same trials.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

from flipsync.training.catalogue import problem as problem_named
from flipsync.training.study import Report, Study

#: ASHA keeps this share of the trials at each rung, one in two
_REDUCTION = 2
_MEMORY = "memory.json"


class Member(tune.Trainable):  # type: ignore[misc]
    """A trial. What an earlier driver computed of it is told again, not computed."""

    def setup(self, config: dict[str, Any]) -> None:
        self.problem = problem_named(config["problem"])
        self.seed, self.number = int(config["seed"]), int(config["number"])
        self.known: list[float] = list(config["known"])
        self.memory: dict[str, Any] = dict(config["memory"])
        self.closed = bool(config["closed"])
        # a population goes on where it stood: telling it again would make it move again
        self.at = len(self.known) if self.problem.scheduler == "pbt" else 0

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Another trial in the same process; or, in a population, this one with other parameters."""
        same = config["number"] == self.number
        at, memory = self.at, self.memory
        self.setup(config)
        if same and self.problem.scheduler == "pbt":
            self.at, self.memory = at, memory
        return True

    def step(self) -> dict[str, Any]:
        computed = self.at >= len(self.known) and not (self.closed and self.known)
        if computed:
            params = {name: self.problem.space[name].hold(self.config["params"][name]) for name in self.problem.space}
            done = self.problem.advance(params, self.seed, self.at, self.memory)
            score, self.memory = done.score, done.memory
        else:
            params, score = dict(self.config["params"]), self.known[min(self.at, len(self.known) - 1)]
        self.at += 1
        over = self.at >= (len(self.known) if self.closed and self.known else self.problem.steps)
        return {
            "score": score,
            "at": self.at,
            "number": self.number,
            "computed": computed,
            "params": params,
            "memory": self.memory,
            "done": over,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, _MEMORY).write_text(json.dumps({"at": self.at, "memory": self.memory}), encoding="utf-8")

    def load_checkpoint(self, checkpoint: str) -> None:
        told = json.loads(Path(checkpoint, _MEMORY).read_text(encoding="utf-8"))
        self.at, self.memory = int(told["at"]), told["memory"]


class _Scribe(tune.Callback):  # type: ignore[misc]
    """Writes what trials tell into the books, before the scheduler acts on it."""

    def __init__(self, study: Study, report: Report) -> None:
        self.study, self.report = study, report

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it runs with; the books stay with the driver."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if result["computed"]:
            self.study.add_step(result["number"], result["params"], float(result["score"]), result["memory"])
            self.report(self.study.progress())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        number = int(trial.config["number"])
        whole = len(self.study.trials[number].scores) >= self.study.problem.steps
        self.study.end_trial(number, "finished" if whole else "stopped")
        self.report(self.study.progress())

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.study.end_trial(int(trial.config["number"]), "failed")
        self.report(self.study.progress())


def search(study: Study, report: Report, *, folder: Path, at_once: int | None = None) -> None:
    """Compute what is missing of the study, on the Ray this process is connected to. `folder` is Tune's own.

    On several machines a population needs a `folder` that all of them see, for its members hand checkpoints on.
    """
    problem = study.problem
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    random.seed(study.seed)  # Tune's schedulers draw from these
    np.random.seed(study.seed % 2**32)
    pbt = problem.scheduler == "pbt"
    todo = [trial for trial in study.wanted() if not (pbt and trial.ended)]
    if not todo:
        return
    points = [
        {
            "problem": problem.name,
            "seed": study.seed,
            "number": trial.number,
            "params": trial.params,
            "known": trial.scores,
            "memory": trial.memory,
            "closed": bool(trial.ended),
        }
        for trial in todo
    ]
    space: dict[str, Any] = {name: tune.grid_search([point[name] for point in points]) for name in ("number",)}
    by_number = {point["number"]: point for point in points}
    for name in ("problem", "seed", "params", "known", "memory", "closed"):
        space[name] = tune.sample_from(_of(by_number, name))
    tuner = tune.Tuner(
        tune.with_resources(Member, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=_population(study) if pbt else _asha(study),
            reuse_actors=True,
            max_concurrent_trials=at_once,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=str(study.experiment_id),
            storage_path=str(folder),
            verbose=0,
            callbacks=[_Scribe(study, report)],
            failure_config=tune.FailureConfig(max_failures=2),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
        ),
    )
    tuner.fit()


def _of(points: dict[int, dict[str, Any]], name: str) -> Any:
    return lambda spec: points[spec.config.number][name]


def _name(trial: Any) -> str:
    return f"trial-{trial.config['number']}-{trial.trial_id}"


def _asha(study: Study) -> Any:
    return ASHAScheduler(time_attr="at", max_t=study.problem.steps, grace_period=1, reduction_factor=_REDUCTION)


def _population(study: Study) -> Any:
    """The worse quarter takes over the better quarter's memory, and parameters near its."""
    space = study.problem.space
    return PopulationBasedTraining(
        time_attr="at",
        perturbation_interval=1,
        quantile_fraction=0.25,
        resample_probability=0.2,
        hyperparam_mutations={"params": {name: _draws(each) for name, each in space.items()}},
        synch=True,
    )


def _draws(each: Any) -> Any:
    return lambda: each.at(random.random())  # noqa: S311 - a parameter, no secret
