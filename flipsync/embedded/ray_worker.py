"""What the raylet starts for a worker: hands the start over to the zygote (`zygote.py`), which has the modules already.

Run as a script with the arguments of Ray's own `setup_worker.py`, whose place it takes. Where there is no zygote, or
the worker is to run in another way than ours do (another interpreter, variables of its own), Ray's script is run
instead. It imports little: it is on the way of every start.
"""

import json
import os
import socket
import sys

SOCKET = "FLIPSYNC_ZYGOTE_SOCKET"
USUAL = "FLIPSYNC_RAY_SETUP_WORKER"
_CONTEXT, _LANGUAGE = "--serialized-runtime-env-context=", "--language="
_AS_OURS: tuple[object, ...] = (None, [], {}, sys.executable)
_PATIENCE = 30.0


def as_ours(arguments: list[str]) -> list[str] | None:
    """Words of the Python worker to run, without what Ray's script takes for itself; None where that has work to do."""
    left = []
    for word in arguments:
        if word.startswith(_CONTEXT):
            if any(value not in _AS_OURS for value in json.loads(word.removeprefix(_CONTEXT) or "{}").values()):
                return None
        elif word.startswith(_LANGUAGE):
            if word != _LANGUAGE + "PYTHON":
                return None
        else:
            left.append(word)
    return left if left and left[0].endswith(".py") else None


def hand_over(path: str, arguments: list[str]) -> bool:
    """True once the new worker itself has answered. Else none was started: it goes on only after its answer."""
    folder = os.getcwd()  # noqa: PTH109 - pathlib is dearer than all else here
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": folder}).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
            socket.send_fds(connection, [len(request).to_bytes(8)], [1, 2])
            connection.sendall(request)
            return connection.recv(1) == b"1"
    except OSError:
        return False


def main(arguments: list[str]) -> None:
    path, ours = os.environ.get(SOCKET), as_ours(arguments)
    if path and ours is not None and hand_over(path, ours):
        return
    os.execv(sys.executable, [sys.executable, os.environ[USUAL], *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
