import json
import os
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from flipsync.domain.errors import Conflict, NotFound, Unavailable
from flipsync.embedded.instance import (
    Instance,
    PartState,
    home_folder,
    live_state,
    read_state,
)

HOLDER = (
    "import sys, pathlib\n"
    "from flipsync.embedded.instance import Instance\n"
    "instance = Instance(pathlib.Path(sys.argv[1]), environ={})\n"
    "instance.acquire()\n"
    "print('held', flush=True); sys.stdin.read()\n"
)
MANAGED = {"DATABASE_URL": "postgresql://u:p@db.example/x", "REDIS_URL": "redis://cache.example/0"}


def test_the_data_folder_follows_argument_variable_and_xdg(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert home_folder(environ={}) == Path("/home/ada/.local/share/flipsync")
    assert home_folder(environ={"XDG_DATA_HOME": "/data"}) == Path("/data/flipsync")
    assert home_folder(environ={"XDG_DATA_HOME": "relative"}) == Path("/home/ada/.local/share/flipsync")
    assert home_folder(environ={"XDG_DATA_HOME": "/data", "FLIPSYNC_HOME": "~/shop"}) == Path("/home/ada/shop")
    assert home_folder(Path("~/other"), environ={"FLIPSYNC_HOME": "/shop"}) == Path("/home/ada/other")


def test_both_servers_come_up_and_others_can_find_them(home: Path):
    with Instance(home, environ={}) as instance:
        parts = instance.start_parts()
        assert parts.embedded == {"postgres", "redis"}
        assert parts.database is not None and parts.database.url() == parts.database_admin_url
        state = live_state(home)
        assert state.process.pid == os.getpid()
        with psycopg.connect(state.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with Redis.from_url(state.url("redis")) as client:
            assert client.ping()
        assert state.parts["postgres"].version.startswith("18.")
        assert (home / "instance.json").stat().st_mode & 0o777 == 0o600
        assert parts.database.password not in repr(parts)
        servers = [instance.postgres, instance.redis]
    assert not any(server.is_running() for server in servers)
    assert read_state(home) is None


def test_urls_replace_embedded_servers(home: Path):
    environ = {**MANAGED, "QDRANT_URL": "http://q.example:6333", "OPENAI_BASE_URL": "http://m.example/v1"}
    with Instance(home, environ=environ) as instance:
        parts = instance.start_parts()
        assert (parts.database_admin_url, parts.redis_url) == (MANAGED["DATABASE_URL"], MANAGED["REDIS_URL"])
        assert (parts.qdrant_url, parts.model_url) == ("http://q.example:6333", "http://m.example/v1")
        assert parts.embedded == frozenset() and parts.database is None
        assert not (home / "postgres").exists() and not (home / "redis").exists()
        assert {name for name, part in live_state(home).parts.items() if part.embedded} == set()


def test_a_second_one_on_the_same_folder_is_told_who_holds_it(home: Path, python):
    holder = python(HOLDER, str(home))
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Conflict, match=f"in use by process {holder.pid} .* since 20"):
        Instance(home, environ={}).acquire()
    assert live_state(home).process.pid == holder.pid, "the refused one left the holder's state alone"


def test_the_state_of_a_killed_one_is_recognised_as_stale(home: Path, python):
    holder = python(HOLDER, str(home))
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    state = read_state(home)
    assert state is not None and not state.is_live()
    with pytest.raises(Unavailable, match="no FlipSync runs"):
        live_state(home)
    with Instance(home, environ=MANAGED):
        assert live_state(home).process.pid == os.getpid()


def test_parts_can_be_recorded_and_forgotten(home: Path):
    with Instance(home, environ=MANAGED) as instance:
        instance.record("api", PartState(url="http://127.0.0.1:8000", embedded=True))
        assert live_state(home).url("api") == "http://127.0.0.1:8000"
        instance.forget("api")
        with pytest.raises(NotFound, match="api is not up"):
            live_state(home).url("api")


def test_an_unreadable_state_counts_as_none(home: Path):
    (home / "instance.json").write_text(json.dumps({"process": 1}))
    assert read_state(home) is None
    assert read_state(home / "nowhere") is None


def test_a_folder_that_cannot_be_made_is_explained(home: Path):
    (home / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be used") as refused:
        Instance(home / "file" / "below", environ={}).acquire()
    assert "FLIPSYNC_HOME" in refused.value.hint
