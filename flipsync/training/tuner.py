"""Ray Tune searches: ASHA stops trials that fall behind, PBT lets a population move with a world that moves.

Tune computes; what was computed is in our books (`study`). Ray Tune 2.60: a trainable class with `reuse_actors`, or
every trial pays a second for a process of its own; of the loggers only JSON, or each trial writes TensorBoard and CSV
too; drawing is left to us (`Problem.draw`), so that a resumed study has the same trials.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

from flipsync.training.catalogue import problem as problem_named
from flipsync.training.study import Report, Study

#: ASHA keeps this share of the trials at each rung, one in two
_REDUCTION = 2
_MEMORY = "memory.json"
#: how far a trial steps back for the system that it may run beside (nice(2))
_NICE = 15


class Member(tune.Trainable):
    """A trial. What an earlier driver computed of it is told again, not computed."""

    def setup(self, config: dict[str, Any]) -> None:
        if ray.is_initialized():
            os.nice(max(0, _NICE - os.nice(0)))
        point = config["point"]
        self.problem, self.seed = problem_named(point["problem"]), int(point["seed"])
        self.known: list[float] = list(point["known"])
        self.memory: dict[str, Any] = dict(point["memory"])
        self.closed = bool(point["closed"]) and bool(self.known)
        # a population goes on where it stood: telling it again would make it move again
        self.at = len(self.known) if self.problem.scheduler == "pbt" else 0

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Another trial in the same process; a member that takes over another's memory is given it afterwards."""
        self.setup(config)
        return True

    def step(self) -> dict[str, Any]:
        computed = self.at >= len(self.known)
        params = dict(self.config["point"]["params"])
        if computed:
            params = {name: each.hold(params[name]) for name, each in self.problem.space.items()}
            done = self.problem.advance(params, self.seed, self.at, self.memory)
            score, self.memory = done.score, done.memory
        else:
            score = self.known[self.at]
        self.at += 1
        return {
            "score": score,
            "at": self.at,
            "computed": computed,
            "params": params,
            "memory": self.memory,
            "done": self.at >= (len(self.known) if self.closed else self.problem.steps),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, _MEMORY).write_text(json.dumps({"at": self.at, "memory": self.memory}), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """`checkpoint` is the folder that `save_checkpoint` wrote to."""
        told = json.loads(Path(checkpoint, _MEMORY).read_text(encoding="utf-8"))
        self.at, self.memory = int(told["at"]), told["memory"]


class _Scribe(tune.Callback):
    """Writes what trials tell into the books, before the scheduler acts on it."""

    def __init__(self, study: Study, report: Report) -> None:
        self.study, self.report = study, report

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it runs with; the books stay with the driver."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if result["computed"]:
            self.study.add_step(_number(trial), result["params"], float(result["score"]), result["memory"])
            self.report(self.study.progress())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        number = _number(trial)
        whole = len(self.study.trials[number].scores) >= self.study.problem.steps
        self.study.end_trial(number, "finished" if whole else "stopped")
        self.report(self.study.progress())

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.study.end_trial(_number(trial), "failed")
        self.report(self.study.progress())


def _name(trial: Any) -> str:
    return f"trial-{trial.config['point']['number']}-{trial.trial_id}"


def _number(trial: Any) -> int:
    """From the name it was given: a member of a population that takes over from another takes over its config too."""
    return int(str(trial).split("-")[1])


def search(study: Study, report: Report, *, folder: Path, at_once: int | None = None) -> None:
    """Compute what is missing of the study, on the Ray this process is connected to. `folder` is Tune's own.

    On several machines a population needs a `folder` that all of them see, for its members hand checkpoints on.
    """
    problem = study.problem
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # which prints, however quiet it is told to be
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    random.seed(study.seed)  # Tune's schedulers draw from these
    np.random.seed(study.seed % 2**32)
    pbt = problem.scheduler == "pbt"
    unended = [trial for trial in study.wanted() if not (pbt and trial.ended)]
    if not unended:
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
        for trial in unended
    ]
    json_log: Any = JsonLoggerCallback  # untyped
    tuner = tune.Tuner(
        tune.with_resources(Member, {"cpu": 1}),
        param_space={"point": tune.grid_search(points)},
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=_population(study) if pbt else _asha(study),
            reuse_actors=True,
            # members take turns on the cores there are: with a limit Tune would make only so many, and they would wait
            # for ever for the others
            max_concurrent_trials=None if pbt else at_once,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=f"{study.experiment_id}-{study.steps_before}",
            storage_path=str(folder),
            verbose=0,
            callbacks=[_Scribe(study, report), json_log()],
            failure_config=tune.FailureConfig(max_failures=2),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=4),
        ),
    )
    with contextlib.redirect_stdout(sys.stderr):  # what Tune prints is no answer of ours
        tuner.fit()


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
        hyperparam_mutations={"point": {"params": {name: _draws(each) for name, each in space.items()}}},
        synch=True,
    )


def _draws(each: Any) -> Any:
    return lambda: each.at(random.random())  # noqa: S311 - a parameter, no secret
