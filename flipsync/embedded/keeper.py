"""Keeps one child process alive: starts it, waits on it, restarts it at once when it dies, backs off when it loops."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unavailable
from flipsync.embedded.process import ProcessIdentity, end_processes

#: A child that lived this long is healthy: its next death is answered at once again. Seconds.
HEALTHY_AFTER = 60.0
LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class PartEvent:
    """Something happened to an embedded part; meant for a person and for the log."""

    part: str
    kind: Literal["preparing", "started", "died", "restarted", "restart-failed", "stopped"]
    detail: str
    at: datetime

    @classmethod
    def now(
        cls,
        part: str,
        kind: Literal["preparing", "started", "died", "restarted", "restart-failed", "stopped"],
        detail: str = "",
    ) -> PartEvent:
        return cls(part, kind, detail, utc_now())


Report = Callable[[PartEvent], None]


def ignore(_event: PartEvent) -> None:
    """A report nobody reads."""


def wait_before_restart(deaths_in_a_row: int) -> float:
    """Seconds: none after the first death, then 0.25 doubling up to LONGEST_WAIT."""
    return 0.0 if deaths_in_a_row <= 1 else min(LONGEST_WAIT, 0.25 * 2 ** min(deaths_in_a_row - 2, 10))


class KeptProcess:
    """One child and the thread that owns it.

    The thread both starts the child and waits on it, so the kernel's parent-death signal (bound to the starting
    thread) means "our process died" and nothing else. `prepare` runs before each launch and cleans what a crash left.
    """

    def __init__(
        self,
        name: str,
        *,
        prepare: Callable[[], None],
        launch: Callable[[], subprocess.Popen[bytes]],
        await_ready: Callable[[subprocess.Popen[bytes]], None],
        stop_steps: Sequence[tuple[signal.Signals, float]],
        report: Report = ignore,
    ) -> None:
        self.name = name
        self._prepare = prepare
        self._launch = launch
        self._await_ready = await_ready
        self._stop_steps = stop_steps
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._serving = threading.Event()
        self._first_try_over = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keeper-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the child that serves now; None while there is none."""
        return self._process.pid if self._process is not None and self._serving.is_set() else None

    def is_running(self) -> bool:
        # Not poll(): it says None while the keeper waits, even for a child that is dead and not yet collected.
        return (pid := self.pid) is not None and ProcessIdentity.of(pid) is not None

    def start(self) -> None:
        """Start and wait until it serves. Raises what `prepare`, `launch` or `await_ready` raised."""
        self._thread.start()
        self._first_try_over.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End the child, politely first, and wait for it."""
        self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            end_processes([self._process.pid], self._stop_steps)
        if self._thread.is_alive():
            self._thread.join()

    def await_serving(self, timeout: float) -> bool:
        """Wait until the child serves (again); for callers that met it dead."""
        deadline = time.monotonic() + timeout
        while not self.is_running():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)  # only while the death of a child is being noticed
            self._serving.wait(max(0.0, deadline - time.monotonic()))
        return True

    def _keep(self) -> None:
        deaths = 0
        first = True
        while not self._stopping.is_set():
            try:
                process = self._bring_up()
            except BaseException as error:
                if first:
                    self._failure = error
                    self._first_try_over.set()
                    return
                deaths += 1
                self._tell("restart-failed", str(error))
                self._stopping.wait(wait_before_restart(deaths + 1))
                continue
            served_from = time.monotonic()
            self._serving.set()
            self._tell("started" if first else "restarted", f"pid {process.pid}")
            first = False
            self._first_try_over.set()
            code = process.wait()
            self._serving.clear()
            if self._stopping.is_set():
                break
            deaths = 1 if time.monotonic() - served_from > HEALTHY_AFTER else deaths + 1
            self._tell("died", f"pid {process.pid}, {_how(code)}")
            self._stopping.wait(wait_before_restart(deaths))
        self._first_try_over.set()
        self._tell("stopped", "")

    def _bring_up(self) -> subprocess.Popen[bytes]:
        self._prepare()
        process = self._process = self._launch()
        try:
            if self._stopping.is_set():
                raise Unavailable(f"{self.name} was stopped while it started")
            self._await_ready(process)
        except BaseException:
            end_processes([process.pid], self._stop_steps)
            process.wait()
            raise
        return process

    def _tell(self, kind: Literal["started", "died", "restarted", "restart-failed", "stopped"], detail: str) -> None:
        self._report(PartEvent.now(self.name, kind, detail))


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
