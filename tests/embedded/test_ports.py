import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flipsync.domain.errors import Conflict
from flipsync.embedded import ports
from flipsync.embedded.ports import Listener, check_port_free, choose_port, is_port_free, listeners, remembered_port


def listener(address: str, port: int) -> Listener:
    """The one there; another process may listen on the same port of another address."""
    (found,) = [each for each in listeners() if (each.address, each.port) == (address, port)]
    return found


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_our_own_listener_is_found_with_its_process(taken: int):
    mine = listener("127.0.0.1", taken)
    assert (mine.pid, mine.loopback) == (os.getpid(), True)


def test_a_listener_on_every_address_is_not_loopback():
    with socket.create_server(("0.0.0.0", 0)) as server:
        mine = listener("0.0.0.0", server.getsockname()[1])
    assert not mine.loopback


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="this kernel has no IPv6")
def test_ipv6_addresses_are_read():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        mine = listener("::1", server.getsockname()[1])
    assert mine.loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("::ffff:127.0.0.1", True), ("::ffff:10.0.0.1", False), ("::", False), ("127.9.9.9", True), ("192.0.2.1", False)],
)
def test_loopback(address: str, loopback: bool):
    assert Listener(address, 1, None, "").loopback is loopback


def test_a_busy_port_says_which_and_whose(taken: int):
    assert not is_port_free(taken)
    with pytest.raises(Conflict, match=rf"port {taken} \(the API\) is busy: .*process {os.getpid()} "):
        check_port_free(taken, purpose="the API")


def test_a_free_port_passes():
    port = choose_port()
    check_port_free(port)
    assert 20000 <= port < 30000


def test_no_port_is_given_out_twice_though_nobody_listens_there_yet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ports, "CHOSEN_RANGE", range(20000, 20300))
    given = [choose_port() for _ in range(40)]
    told = "import sys; from flipsync.embedded import ports; ports.CHOSEN_RANGE = range(20000, 20300);"
    told += " print(*[ports.choose_port() for _ in range(40)])"
    given += [int(each) for each in subprocess.run([sys.executable, "-c", told], stdout=subprocess.PIPE).stdout.split()]
    assert len(set(given)) == len(given) == 80


def test_a_port_is_remembered_until_it_is_taken(tmp_path: Path):
    file = tmp_path / "port"
    port = remembered_port(file)
    assert remembered_port(file) == port
    with socket.create_server(("127.0.0.1", port)):
        other = remembered_port(file)
        assert other != port
    assert remembered_port(file) == other


def test_a_spoiled_port_file_is_replaced(tmp_path: Path):
    (tmp_path / "port").write_text("not a port")
    assert remembered_port(tmp_path / "port") == int((tmp_path / "port").read_text())
