import json
import socket
from pathlib import Path

import pytest

from flipsync.doctor import Check, MigrationState, checks
from flipsync.domain.clock import utc_now
from flipsync.embedded.instance import UNFINISHED_RESTORE, Instance, PartState
from flipsync.embedded.wal_stream import Continuous, write_setting

UNUSED = {"DATABASE_URL": "postgresql://user:hidden@127.0.0.1:1/x", "REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_before_the_first_start_it_says_what_is_installed_and_what_to_do(home: Path):
    found = by_name(checks(home / "new", environ={}))
    assert found["python"].ok and found["python"].version.startswith("3.11")
    assert found["postgres programs"].version.startswith("18.") and found["redis program"].version.startswith("6.2")
    assert found["ray"].version and found["haproxy"].ok
    for name in ("data folder", "postgres", "redis", "ray", "api"):
        assert found[name].status == "not-running" and "flipsync up" in found[name].hint, found[name]
    assert not (home / "new").exists(), "the doctor changed something"
    assert found["memory"].ok and "no index yet" in found["memory"].detail and "language model" not in found


def test_a_running_instance_is_found_well(home: Path):
    asked: list[str] = []

    def migrations(url: str) -> MigrationState:
        asked.append(url)
        return MigrationState(head="0007", current="0006")

    with Instance(home, environ={}) as instance:
        parts = instance.start_parts()
        found = by_name(checks(home, environ={}, migrations=migrations))
        assert asked == [parts.database_admin_url]
        passwords = [parts.database.password, instance.redis.address.password]
    for name in ("data folder", "postgres", "redis", "open ports", "secrets", "disk"):
        assert found[name].ok, found[name]
    assert found["postgres"].version.startswith("18.") and found["redis"].version.startswith("6.2")
    assert found["migrations"].status == "warning" and "0006" in found["migrations"].detail
    told = json.dumps([check.as_dict() for check in found.values()])
    assert not any(password in told for password in passwords)


def test_unreachable_servers_are_named_without_their_passwords(home: Path):
    environ = {**UNUSED, "QDRANT_URL": "http://127.0.0.1:1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    found = by_name(checks(home, environ=environ))
    for name in ("postgres", "redis", "memory", "language model"):
        assert found[name].status == "unreachable" and found[name].hint, found[name]
    assert "found by their words" in found["memory"].hint
    assert found["language model"].detail.endswith("FLIPSYNC_LANGUAGE_MODEL names no model")
    assert "hidden" not in json.dumps([check.as_dict() for check in found.values()])


def test_what_no_agent_uses_is_said_even_when_it_answers(home: Path, httpd: str):
    found = by_name(checks(home, environ={**UNUSED, "QDRANT_URL": httpd, "OPENAI_BASE_URL": httpd}))
    assert found["memory"].ok and found["memory"].detail.endswith("accepts connections")
    assert found["language model"].ok and "not used" in found["language model"].detail


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"FLIPSYNC_LANGUAGE_PRICES": "small-1=0/0"}, "ok", "accepts connections"),
        ({}, "warning", "no price is known of small-1"),
        ({"FLIPSYNC_LANGUAGE_PRICES": "small-1=0/0", "FLIPSYNC_LANGUAGE_SECONDS": "soon"}, "warning", "SECONDS"),
        ({"FLIPSYNC_LANGUAGE_PRICES": "small-1=0/0", "OPENAI_BASE_URL": "http://k:hidden@h/"}, "warning", "password"),
    ],
)
def test_a_language_model_is_there_and_priced_or_its_line_says_what_lacks(
    home: Path, httpd: str, more: dict[str, str], status: str, words: str
):
    environ = {**UNUSED, "OPENAI_BASE_URL": httpd, "FLIPSYNC_LANGUAGE_MODEL": "small-1", **more}
    found = by_name(checks(home, environ=environ | {"OPENAI_API_KEY": "hidden"}))["language model"]
    assert (found.status, words in found.detail) == (status, True), found
    assert "hidden" not in json.dumps(found.as_dict())


def test_an_api_that_answers_is_ok_and_a_silent_one_is_not(home: Path, httpd: str):
    with Instance(home, environ=UNUSED) as instance:
        instance.record("api", PartState(url=httpd, embedded=True))
        assert by_name(checks(home, environ=UNUSED))["api"].ok
        instance.record("api", PartState(url="http://127.0.0.1:1", embedded=True))
        assert by_name(checks(home, environ=UNUSED))["api"].status == "unreachable"


@pytest.fixture
def httpd():
    import http.server
    import threading

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_secret_others_can_read_is_reported(home: Path):
    with Instance(home, environ=UNUSED):
        (home / "instance.json").chmod(0o644)
        check = by_name(checks(home, environ=UNUSED))["secrets"]
    assert check.status == "warning" and check.hint == f"chmod 600 {home / 'instance.json'}"


def test_a_port_open_to_the_outside_is_reported(home: Path):
    with Instance(home, environ=UNUSED), socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        found = [check for check in checks(home, environ=UNUSED) if check.name == "open ports"]
    assert any(check.status == "warning" and f":{port}," in check.detail for check in found)


def test_migrations_that_cannot_be_asked_are_reported(home: Path):
    def broken(url: str) -> MigrationState:
        raise ConnectionError("no route")

    check = by_name(checks(home, environ=UNUSED, migrations=broken))["migrations"]
    assert (check.status, check.detail) == ("unreachable", "no route")
    even = by_name(checks(home, environ=UNUSED, migrations=lambda url: MigrationState("1", "1")))["migrations"]
    assert even.ok


def test_a_continuous_backup_that_cannot_be_written_is_told(home: Path):
    assert "continuous backup" not in by_name(checks(home, environ={}))
    folder = home / "elsewhere"
    write_setting(home, Continuous(folder=folder, slot="flipsync_1", since=utc_now()))
    away = by_name(checks(home, environ={}))["continuous backup"]
    assert away.status == "warning" and str(folder) in away.detail and "8 GB" in away.hint
    (folder / "wal").mkdir(parents=True)
    assert by_name(checks(home, environ={}))["continuous backup"].ok
    (home / UNFINISHED_RESTORE).touch()
    assert "restore" in by_name(checks(home, environ={}))["restore"].hint
