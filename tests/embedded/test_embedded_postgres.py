import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from embedded_waiting import wait_until

from flipsync.domain.errors import Conflict, Unavailable
from flipsync.embedded import postgres
from flipsync.embedded.keeper import PartEvent
from flipsync.embedded.placement import server_account
from flipsync.embedded.ports import listeners
from flipsync.embedded.postgres import DatabaseAddress, EmbeddedPostgres
from flipsync.embedded.process import ProcessIdentity, processes_in

OWNER = (
    "import sys, pathlib\n"
    "from flipsync.embedded.postgres import EmbeddedPostgres\n"
    "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))\n"
    "address = server.start()\n"
    "print(server.pid, address.url(), flush=True)\n"
    "sys.stdin.read()\n"
    "server.stop()\n"
)


@pytest.fixture(scope="module")
def running(module_home: Path):
    server = EmbeddedPostgres(module_home / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def created(module_home: Path) -> Path:
    """The folder of a server that ran once and was stopped: what `initdb` makes, made once."""
    server = EmbeddedPostgres(module_home / "created")
    server.start()
    server.stop()
    return server.directory


@pytest.fixture
def server(home: Path, created: Path):
    subprocess.run(["cp", "-a", str(created), str(home / "postgres")], check=True)
    server = EmbeddedPostgres(home / "postgres")
    yield server
    server.stop()


@pytest.fixture
def uncreated(home: Path):
    server = EmbeddedPostgres(home / "postgres")
    yield server
    server.stop()


def ask(address: DatabaseAddress, query: str) -> object:
    with psycopg.connect(address.url()) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row and len(row) == 1 else row


def write(address: DatabaseAddress, value: int) -> None:
    with psycopg.connect(address.url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def test_it_is_set_up_as_promised(running: EmbeddedPostgres):
    settings = (
        "data_checksums",
        "max_connections",
        "shared_buffers",
        "synchronous_commit",
        "password_encryption",
        "server_encoding",
        "TimeZone",
        "listen_addresses",
        "unix_socket_directories",
    )
    found = {name: ask(running.address, f"SELECT current_setting('{name}')") for name in settings}
    assert found == {
        "data_checksums": "on",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "synchronous_commit": "on",
        "password_encryption": "scram-sha-256",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
    }
    locale = ask(
        running.address,
        "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'template1'",
    )
    assert locale == "b C.UTF-8"
    assert str(ask(running.address, "SHOW server_version")).split()[0] == running.version()


def test_it_listens_on_loopback_only(running: EmbeddedPostgres):
    mine = [one for one in listeners() if one.pid == running.pid]
    assert [(one.address, one.port) for one in mine] == [("127.0.0.1", running.address.port)]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_enters_without_the_password(running: EmbeddedPostgres, password: str):
    address = running.address
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(address.url(address.superuser, password), connect_timeout=5)


def test_no_rule_trusts_anybody(running: EmbeddedPostgres):
    with psycopg.connect(running.address.url()) as connection:
        rules = connection.execute("SELECT type, address, auth_method FROM pg_hba_file_rules").fetchall()
    assert set(rules) == {("host", "127.0.0.1", "scram-sha-256")}


def test_secrets_and_data_are_private(running: EmbeddedPostgres):
    assert (running.directory / "password").stat().st_mode & 0o777 == 0o600
    data = running.directory / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    assert data.stat().st_uid == server_account().uid != 0
    assert running.address.password not in repr(running.address)
    words = Path(f"/proc/{running.pid}/cmdline").read_bytes() + Path(f"/proc/{running.pid}/environ").read_bytes()
    assert running.address.password.encode() not in words
    assert running.address.password not in running.log.read_text()


def test_urls_quote_what_needs_it():
    address = DatabaseAddress("127.0.0.1", 5, "admin", "p@ss/word")
    assert address.url() == "postgresql://admin:p%40ss%2Fword@127.0.0.1:5/postgres"
    assert address.url("app", "x", "shop", "postgresql+psycopg") == "postgresql+psycopg://app:x@127.0.0.1:5/shop"


def test_a_second_owner_is_told_who_has_it(running: EmbeddedPostgres):
    with pytest.raises(Conflict, match=f"process {os.getpid()} "):
        EmbeddedPostgres(running.directory).start()


def test_data_port_and_password_outlive_a_stop(server: EmbeddedPostgres):
    address = server.start()
    write(address, 1)
    identity = ProcessIdentity.of(server.pid)
    server.stop()
    assert not identity.is_alive() and not server.is_running()
    assert server.start() == address
    assert ask(address, "SELECT value FROM kept") == 1


def test_a_killed_server_is_back_on_the_same_port(home: Path):
    events: list[PartEvent] = []
    server = EmbeddedPostgres(home / "postgres", events.append)
    try:
        address = server.start()
        write(address, 7)
        first = server.pid
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: server.pid not in (None, first))
        assert server.await_running()
        assert ask(address, "SELECT value FROM kept") == 7
        assert [event.kind for event in events] == ["preparing", "started", "died", "restarted"]
    finally:
        server.stop()


def test_kill_9_of_the_owner_takes_the_server_along_and_loses_nothing(server: EmbeddedPostgres, python):
    owner = python(OWNER, str(server.directory))
    pid, url = owner.stdout.readline().split()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")
        connection.commit()
        identity = ProcessIdentity.of(int(pid))
        owner.kill()
        owner.wait()
        assert wait_until(lambda: not identity.is_alive(), 10.0), "it outlived its owner"
    assert ask(server.start(), "SELECT value FROM kept") == 42


def test_the_next_start_need_not_wait_for_the_old_one_to_go(server: EmbeddedPostgres, python):
    owner = python(OWNER, str(server.directory))
    owner.stdout.readline()
    owner.kill()
    owner.wait()
    assert ask(server.start(), "SELECT 1") == 1


def test_an_orphaned_server_is_ended_before_ours_starts(server: EmbeddedPostgres):
    """As after a death the kernel did not pass on: the postmaster lives, nobody owns it."""
    server.start()
    server.stop()
    data = (server.directory / "data").resolve()
    account = server_account()
    programs = server._placed.programs
    orphan = subprocess.Popen(
        [programs / "postgres", "-D", data],
        user=account.uid if os.geteuid() == 0 else None,
        group=account.gid if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        cwd=data,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: len(processes_in(data, "postgres")) > 3)
        assert ask(server.start(), "SELECT 1") == 1
        assert orphan.wait(10) == 0, "ended politely"
        assert server.pid != orphan.pid
    finally:
        if orphan.poll() is None:
            orphan.kill()


def test_a_stale_pid_file_naming_a_stranger_does_not_matter(server: EmbeddedPostgres):
    server.start()
    server.stop()
    data = server.directory / "data"
    account = server_account()
    stranger = subprocess.Popen(["sleep", "60"], user=account.uid if os.geteuid() == 0 else None)
    try:
        stale = data / "postmaster.pid"
        stale.write_text(f"{stranger.pid}\n{data}\n1700000000\n{server.address.port}\n\n127.0.0.1\n 1 1\nready\n")
        stale.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(stale, account.uid, account.gid)
        assert ask(server.start(), "SELECT 1") == 1
        assert stranger.poll() is None, "a stranger was harmed"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_taken_port_is_replaced(server: EmbeddedPostgres):
    port = server.start().port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        address = server.start()
        assert address.port != port
        assert ask(address, "SELECT 1") == 1


def test_a_creation_cut_short_is_begun_anew(uncreated: EmbeddedPostgres):
    half = uncreated.directory / "data.new" / "cluster"
    half.mkdir(parents=True)
    uncreated.directory.chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    assert ask(uncreated.start(), "SELECT 1") == 1
    assert not half.parent.exists()


def test_a_lost_password_is_said_not_replaced(server: EmbeddedPostgres):
    (server.directory / "password").unlink()
    with pytest.raises(Unavailable, match="password is missing"):
        server.start()
    assert not (server.directory / "password").exists()


def test_data_of_another_major_version_is_refused(server: EmbeddedPostgres):
    (server.directory / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(Unavailable, match="made by PostgreSQL 17"):
        server.start()


def test_a_broken_configuration_tells_the_servers_own_words(server: EmbeddedPostgres):
    (server.directory / "data" / "custom.conf").write_text("no_such_setting = 1\n")
    (server.directory / "data" / "custom.conf").chmod(0o644)
    with pytest.raises(Unavailable, match="no_such_setting"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server has to run as another account")
def test_root_is_served_from_closed_folders_which_stay_closed(home: Path, monkeypatch: pytest.MonkeyPatch):
    """As with everything under /root: neither the data folder nor the programs can be reached by the account."""
    installed = postgres.installed_programs()
    assert installed is not None
    for folder in installed.folders:
        shutil.copytree(installed.root / folder, home / folder, ignore=shutil.ignore_patterns("include", "*.a"))
    home.chmod(0o700)
    monkeypatch.setattr(postgres, "installed_programs", lambda: replace(installed, root=home))
    monkeypatch.setattr(tempfile, "tempdir", str(home.parent / f"{home.name}-passage"))
    passage = Path(tempfile.gettempdir())
    passage.mkdir(mode=0o711)
    closed = passage / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres")
    try:
        address = server.start()
        write(address, 3)
        assert closed.stat().st_mode & 0o777 == home.stat().st_mode & 0o777 == 0o700
        assert Path(f"/proc/{server.pid}").stat().st_uid == server_account().uid != 0
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(passage)
        server.stop()
        assert server.start() == address
        assert ask(address, "SELECT value FROM kept") == 3
    finally:
        server.stop()
        shutil.rmtree(passage)


def test_it_runs_for_an_ordinary_user(ordinary_user):
    answer = ordinary_user.run(
        "import pathlib, os, psycopg\n"
        "from flipsync.embedded.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path('postgres'))\n"
        "with psycopg.connect(server.start().url()) as connection:\n"
        "    print(os.geteuid(), pathlib.Path(f'/proc/{server.pid}').stat().st_uid, *connection.execute('SELECT 1'))\n"
        "server.stop()\n"
    )
    assert answer.stdout.split() == [str(ordinary_user.uid), str(ordinary_user.uid), "(1,)"], answer.stderr
    assert (ordinary_user.folder / "postgres" / "data").stat().st_uid == ordinary_user.uid
