"""The `flipsync` command without its start: forked from a process that has imported everything already.

python warm_command.py SOCKET            serves
python -SE warm_command.py SOCKET WORDS  is the command WORDS, here and now
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

#: what the README's commands come to import
_WARM = ("flipsync.cli", "flipsync.commands_on_books", "flipsync.runtime.assembly", "agents", "flipsync.mcp_server")


def serve(address: str) -> None:
    for each in _WARM:
        importlib.import_module(each)
    importlib.import_module("flipsync.cli").command()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{address}.new")
        listening.listen()
        Path(f"{address}.new").rename(address)  # whoever sees it is heard
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(asked)
            asked.close()


def _answer(asked: socket.socket) -> None:
    """In a process of its own: runs the command in another, and tells its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told, files, _, _ = socket.recv_fds(asked, 4, 3)
    length = int.from_bytes(told, "big")
    with asked.makefile("rb") as stream:
        words, folder, environment = json.loads(stream.read(length))
    child = os.fork()
    if child == 0:
        importlib.import_module("forked_command").become(words, folder, environment, files)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    asked.sendall(bytes([code % 256]))
    os._exit(0)


def ask(address: str, words: list[str]) -> int:
    told = json.dumps([words, str(Path.cwd()), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(told).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(told)
        return server.recv(1)[0]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
