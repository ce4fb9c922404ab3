"""TCP ports of this machine: which are free, who listens where, what is reachable from outside."""

from __future__ import annotations

import ipaddress
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from flipsync.domain.errors import Conflict, Unavailable
from flipsync.embedded.process import process_name

#: Below Linux' ephemeral range (32768–60999) and outside what Ray's workers (10000–19999) and Serve's replicas
#: (30000–31000) take, so a port chosen once is still free at the next start.
CHOSEN_RANGE = range(20000, 29999)
_LISTEN = "0A"
#: given out by this process, each with what tells others so: who is to listen there may do it seconds later
_given: dict[int, socket.socket] = {}


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket. `pid` is None when it belongs to a process we may not look into."""

    address: str
    port: int
    pid: int | None
    process: str

    @property
    def loopback(self) -> bool:
        ip = ipaddress.ip_address(self.address)
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return (mapped or ip).is_loopback

    def __str__(self) -> str:
        who = f"process {self.pid} ({self.process})" if self.pid else "a process of another user"
        return f"{self.address}:{self.port}, {who}"


def listeners() -> list[Listener]:
    """Every listening TCP socket of this machine, from /proc/net/tcp and tcp6."""
    sockets: dict[str, tuple[str, int]] = {}
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        if not path.exists():  # a kernel without IPv6
            continue
        for line in path.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, port = fields[1].split(":")
                sockets[fields[9]] = (_address(address), int(port, 16))
    owners = _owners(set(sockets))
    return [
        Listener(address, port, owners.get(inode), process_name(owners[inode]) if inode in owners else "")
        for inode, (address, port) in sockets.items()
    ]


def _address(text: str) -> str:
    """The kernel prints 32-bit words in host (little-endian) order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def _owners(inodes: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            for descriptor in (entry / "fd").iterdir():
                target = str(descriptor.readlink())
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    found[target[8:-1]] = int(entry.name)
        except OSError:
            continue
    return found


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections in TIME_WAIT do not make a port busy; another listener still does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def check_port_free(port: int, host: str = "127.0.0.1", *, purpose: str = "") -> None:
    """Raises Conflict, naming the program that holds the port where /proc tells."""
    if is_port_free(port, host):
        return
    holders = [one for one in listeners() if one.port == port]
    who = "; ".join(str(one) for one in holders) or "another program"
    raise Conflict(
        f"port {port}{f' ({purpose})' if purpose else ''} is busy: {who}",
        hint="stop that program or choose another port",
    )


def choose_port(host: str = "127.0.0.1") -> int:
    """A free port likely to stay free, another one each time. Raises Unavailable when none is found."""
    for port in random.sample(CHOSEN_RANGE, 200):
        if is_port_free(port, host) and _reserve(port):
            return port
    raise Unavailable(f"no free port between {CHOSEN_RANGE.start} and {CHOSEN_RANGE.stop} on {host}")


def _reserve(port: int) -> bool:
    """Keep other processes of ours from being given it while this one lives: an abstract name, gone with its holder."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0flipsync port {port}")
    except OSError:
        held.close()
        return False
    _given[port] = held
    return True


def remembered_port(path: Path, host: str = "127.0.0.1") -> int:
    """The port written in `path` if it is free, else a new one, written there."""
    try:
        port = int(path.read_text())
    except (FileNotFoundError, ValueError):
        port = 0
    if port and is_port_free(port, host):
        return port
    port = choose_port(host)
    path.write_text(str(port))
    return port
