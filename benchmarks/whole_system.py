"""The whole system as a process of its own, for benchmarks that look at it from outside.

python -m benchmarks.whole_system --home FOLDER   # prints one JSON line when each stage is reached; ends on EOF
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.bare_ray import tell
from benchmarks.installation import QUIET, UNPACED, wait_for_agents
from flipsync.domain.clock import utc_now
from flipsync.embedded.ports import choose_port
from flipsync.system import System


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--quiet", action="store_true", help="without the scheduler's usual cadence")
    options = parser.parse_args(argv)
    began, since = time.monotonic(), utc_now()
    extra = QUIET if options.quiet else UNPACED
    with System(options.home, port=choose_port(), extra_environment=extra) as system:
        system.start()
        tell("api", began)
        wait_for_agents(options.home, since=since)
        tell("agents", began)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
