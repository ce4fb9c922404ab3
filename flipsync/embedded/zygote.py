"""A process that has imported what workers need, and forks one for whoever asks: soon there, its memory shared.

Run as a script (`python zygote.py SOCKET MODULE...`); `ray_worker.py` asks, over a socket in a private folder. A
worker that it forked outlives it; without it Ray starts workers in its own way, which takes longer.

Ray is not imported here but in each worker: its native part seeds its generator of ids when it is loaded, so workers
forked after that would all make the same ids. A fork is safe while there is one thread. Both are checked.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

_LARGEST = 4 * 1024 * 1024
_PATIENCE = 10.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def listen(path: Path) -> socket.socket:
    """A socket at `path`, open to this user. Who asks before there is an answer waits."""
    making = path.with_suffix(".new")
    for left in (path, making):
        left.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(making))
    listener.listen(128)
    making.rename(path)  # whoever sees it is heard
    return listener


def share(modules: list[str]) -> None:
    """Import them for all. Raises RuntimeError when what was imported cannot be forked."""
    for module in modules:
        importlib.import_module(module)
    if "ray" in sys.modules:
        raise RuntimeError("a shared module imports Ray: workers would make the same ids")
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a shared module starts a thread: workers would be without it")
    gc.collect()
    gc.freeze()  # else the collector writes to every object it looks at, and no page stays shared


def serve(listener: socket.socket) -> NoReturn:
    """Fork a worker for every request, for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the raylet watches its workers; here they only must not stay
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                request, outputs = _receive(connection)
            except (OSError, ValueError) as error:
                print(f"a request was not understood: {error}", file=sys.stderr, flush=True)  # noqa: T201
                continue
            if os.fork() == 0:
                listener.close()
                _become(connection, request, outputs)
            for descriptor in outputs:
                os.close(descriptor)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request, and the descriptors that take its worker's output and errors. Raises OSError and ValueError."""
    connection.settimeout(_PATIENCE)
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid != os.geteuid():
        raise ValueError(f"user {uid} has no workers here")
    head, outputs, _, _ = socket.recv_fds(connection, 8, 2)
    try:
        size = int.from_bytes(head)
        if len(head) != 8 or size > _LARGEST or len(outputs) != 2:
            raise ValueError("not what a worker's script sends")
        body = bytearray()
        while len(body) < size:
            if not (more := connection.recv(size - len(body))):
                raise ValueError("it was cut off")
            body += more
        return json.loads(body), outputs
    except (OSError, ValueError):
        for descriptor in outputs:
            os.close(descriptor)
        raise


def _become(connection: socket.socket, request: dict[str, Any], outputs: list[int]) -> NoReturn:
    """In the child: be the process that was asked for."""
    try:
        os.setsid()  # its own group: whoever ends a worker's group must not end us all
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for place, descriptor in enumerate(outputs, start=1):
            os.dup2(descriptor, place)
            os.close(descriptor)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            numpy_random.seed()  # Python's own does this by itself
        connection.sendall(b"1")
        connection.close()
    except BaseException:
        os._exit(1)
    sys.argv = request["arguments"]
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what the zygote would do at its own end is not the child's business


def main(path: str, *modules: str) -> None:
    listener = listen(Path(path))
    del sys.path[0]  # the folder of this script, whose modules have names that others have too
    share(list(modules))
    serve(listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
