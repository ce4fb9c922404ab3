import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from embedded_waiting import wait_until
from redis import Redis
from redis.exceptions import AuthenticationError

from flipsync.domain.errors import Conflict, Unavailable
from flipsync.embedded.placement import server_account
from flipsync.embedded.ports import listeners
from flipsync.embedded.process import ProcessIdentity, processes_in
from flipsync.embedded.redis import EmbeddedRedis

OWNER = (
    "import sys, pathlib\n"
    "from flipsync.embedded.redis import EmbeddedRedis\n"
    "server = EmbeddedRedis(pathlib.Path(sys.argv[1]))\n"
    "address = server.start()\n"
    "print(server.pid, address.url(), flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def server(home: Path):
    server = EmbeddedRedis(home / "redis")
    yield server
    server.stop()


def test_it_is_set_up_as_promised(server: EmbeddedRedis):
    address = server.start()
    with Redis.from_url(address.url(), decode_responses=True) as client:
        names = ("appendonly", "appendfsync", "maxmemory-policy", "bind", "save")
        assert {name: client.config_get(name)[name] for name in names} == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
            "save": "",
        }
        assert client.info("server")["redis_version"] == server.version()
    mine = [one for one in listeners() if one.pid == server.pid]
    assert [(one.address, one.port) for one in mine] == [("127.0.0.1", address.port)]
    with pytest.raises(AuthenticationError), Redis(address.host, address.port) as stranger:
        stranger.ping()


def test_secrets_and_data_are_private(server: EmbeddedRedis):
    address = server.start()
    data = server.directory / "data"
    for file in (server.directory / "password", data / "redis.conf", data / "appendonly.aof"):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert Path(f"/proc/{server.pid}").stat().st_uid == server_account().uid != 0
    assert address.password not in repr(address)
    words = Path(f"/proc/{server.pid}/cmdline").read_bytes() + Path(f"/proc/{server.pid}/environ").read_bytes()
    assert address.password.encode() not in words


def test_data_and_port_outlive_a_stop(server: EmbeddedRedis):
    address = server.start()
    with Redis.from_url(address.url()) as client:
        client.xadd("stream", {"a": 1})
    server.stop()
    assert server.start() == address
    with Redis.from_url(address.url()) as client:
        assert client.xlen("stream") == 1


def test_a_killed_server_is_back_with_what_it_answered(server: EmbeddedRedis):
    address = server.start()
    first = server.pid
    with Redis.from_url(address.url()) as client:
        client.set("kept", "yes")
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: server.pid not in (None, first)) and server.await_running()
    with Redis.from_url(address.url()) as client:
        assert client.get("kept") == b"yes"


def test_kill_9_of_the_owner_takes_the_server_along_and_loses_nothing(server: EmbeddedRedis, python):
    owner = python(OWNER, str(server.directory))
    pid, url = owner.stdout.readline().split()
    with Redis.from_url(url) as client:
        client.set("kept", "42")
    identity = ProcessIdentity.of(int(pid))
    owner.kill()
    owner.wait()
    assert wait_until(lambda: not identity.is_alive(), 10.0), "it outlived its owner"
    with Redis.from_url(server.start().url()) as client:
        assert client.get("kept") == b"42"


def test_an_orphaned_server_is_ended_before_ours_starts(server: EmbeddedRedis):
    server.start()
    server.stop()
    data = (server.directory / "data").resolve()
    account = server_account()
    orphan = subprocess.Popen(
        [server._placed.programs / "redis-server", data / "redis.conf"],
        user=account.uid if os.geteuid() == 0 else None,
        cwd=data,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: any(one.pid == orphan.pid for one in listeners()))
        assert processes_in(data, "redis-server") == [orphan.pid]
        server.start()
        assert orphan.wait(10) == 0
        assert server.pid != orphan.pid
    finally:
        if orphan.poll() is None:
            orphan.kill()


def test_a_taken_port_is_replaced_and_a_second_owner_refused(server: EmbeddedRedis):
    port = server.start().port
    with pytest.raises(Conflict, match=f"process {os.getpid()} "):
        EmbeddedRedis(server.directory).start()
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert server.start().port != port


def test_a_torn_tail_of_the_file_is_dropped(server: EmbeddedRedis):
    address = server.start()
    with Redis.from_url(address.url()) as client:
        client.set("kept", "yes")
    server.stop()
    with (server.directory / "data" / "appendonly.aof").open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    with Redis.from_url(server.start().url()) as client:
        assert client.get("kept") == b"yes"


def test_a_spoiled_file_tells_the_servers_own_words(server: EmbeddedRedis):
    address = server.start()
    with Redis.from_url(address.url()) as client:
        client.set("kept", "yes")
    server.stop()
    file = server.directory / "data" / "appendonly.aof"
    file.write_bytes(b"rubbish\r\n" + file.read_bytes())
    with pytest.raises(Unavailable, match="Bad file format"):
        server.start()


def test_it_runs_for_an_ordinary_user(ordinary_user):
    answer = ordinary_user.run(
        "import pathlib\n"
        "from flipsync.embedded.redis import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path('redis'))\n"
        "server.start()\n"
        "print(server.is_running(), pathlib.Path(f'/proc/{server.pid}').stat().st_uid)\n"
        "server.stop()\n"
    )
    assert answer.stdout.split() == ["True", str(ordinary_user.uid)], answer.stderr
