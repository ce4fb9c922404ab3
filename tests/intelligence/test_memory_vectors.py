"""One contract for both keepers of vectors: nearest first, one business at a time, and nothing lost by a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest

from flipsync.domain.errors import Unavailable
from flipsync.domain.ids import new_id
from flipsync.intelligence.memory.edge import EdgeVectors
from flipsync.intelligence.memory.embedding import StaticEmbedder
from flipsync.intelligence.memory.port import Vectors, point_id
from flipsync.intelligence.memory.server import ServerVectors, connect

SIZE = 4
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
BETWEEN = [0.8, 0.6, 0.0, 0.0]


@pytest.fixture(params=["edge", "server"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vectors]:
    """The server's adapter is on qdrant-client's own engine in memory: the same client, without a server."""
    made: Vectors
    if request.param == "edge":
        made = EdgeVectors(tmp_path, "m", SIZE)
    else:
        from qdrant_client import QdrantClient

        made = ServerVectors(QdrantClient(":memory:"), "m", SIZE)
    yield made
    made.close()


def test_the_nearest_come_first_with_their_cosine(vectors: Vectors) -> None:
    ours, (east, north, between) = new_id(), (new_id(), new_id(), new_id())
    vectors.put(ours, [(east, EAST), (north, NORTH), (between, BETWEEN)])
    found = vectors.nearest(ours, EAST, 2)
    assert [each.id for each in found] == [east, between]
    assert [each.similarity for each in found] == pytest.approx([1.0, 0.8], abs=1e-5)
    assert [each.id for each in vectors.nearest(ours, EAST, 9, [north, between, new_id()])] == [between, north]
    assert vectors.nearest(ours, EAST, 9, []) == []
    vectors.put(ours, [(east, NORTH)])
    assert vectors.count(ours) == 3, "the same episode is written over"
    assert vectors.nearest(ours, EAST, 1)[0].id == between
    vectors.put(ours, [])
    vectors.forget(ours, [])


def test_nothing_of_another_business_is_read_written_over_or_forgotten(vectors: Vectors) -> None:
    ours, theirs, episode, other = new_id(), new_id(), new_id(), new_id()
    vectors.put(theirs, [(episode, EAST), (other, NORTH)])
    assert vectors.nearest(ours, EAST, 10) == [] and vectors.count(ours) == 0
    assert vectors.nearest(ours, EAST, 10, [episode, other]) == []
    assert list(vectors.episodes(ours)) == []
    vectors.put(ours, [(episode, NORTH)])  # an id of theirs, said to be ours
    vectors.forget(ours, [episode, other])
    vectors.forget_all(ours)
    found = vectors.nearest(theirs, EAST, 10)
    assert [each.id for each in found] == [episode, other] and found[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert vectors.tenants() == {theirs}


def test_all_of_a_business_can_be_listed_and_forgotten(vectors: Vectors) -> None:
    ours, theirs = new_id(), new_id()
    episodes = {new_id() for _ in range(1_100)}
    vectors.put(ours, [(each, EAST) for each in episodes])
    vectors.put(theirs, [(new_id(), EAST)])
    assert {each for page in vectors.episodes(ours) for each in page} == episodes
    gone = set(list(episodes)[:10])
    vectors.forget(ours, gone)
    assert vectors.count(ours) == 1_090
    assert not gone & {each.id for each in vectors.nearest(ours, EAST, 1_100)}
    vectors.forget_all(ours)
    assert (vectors.count(ours), vectors.count(theirs)) == (0, 1)
    vectors.clear()
    assert vectors.tenants() == set()
    vectors.put(ours, [(new_id(), EAST)])
    assert vectors.count(ours) == 1


_WRITER = """
import sys, os
from pathlib import Path
from uuid import UUID
from flipsync.intelligence.memory.edge import EdgeVectors
vectors = EdgeVectors(Path(sys.argv[1]), "m", 4)
tenant, at = UUID(int=1), 0
while True:
    vectors.put(tenant, [(UUID(int=1000 + at * 10 + each), [1.0, 0.0, 0.0, at / 100]) for each in range(10)])
    at += 1
    os.write(1, b"%d\\n" % (at * 10))
"""


def test_what_was_kept_is_there_after_kill_9(tmp_path: Path) -> None:
    tenant = UUID(int=1)
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(9):
        told = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    vectors = EdgeVectors(tmp_path, "m", SIZE)
    assert vectors.count(tenant) >= told and len(vectors.nearest(tenant, EAST, 5)) == 5
    vectors.close()


def test_one_process_has_a_folder_open_and_what_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    first = EdgeVectors(tmp_path, "m", SIZE)
    with pytest.raises(Unavailable, match="another process"):
        EdgeVectors(tmp_path, "m", SIZE)
    first.put(new_id(), [(new_id(), EAST)])
    first.close()
    for file in (tmp_path / "episodes-1-m").rglob("*.json"):
        file.write_text("{")
    again = EdgeVectors(tmp_path, "m", SIZE)
    assert again.tenants() == set()
    again.close()


class _Qdrant(BaseHTTPRequestHandler):
    """Answers as Qdrant's REST interface is documented to, with one point that it says is of the business asked for."""

    asked: ClassVar[list[tuple[str, str, Any]]] = []

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        self.asked.append((self.command, self.path, body))
        what = self.path.partition("?")[0].removeprefix("/collections/flipsync-episodes-1-m")
        point = {
            "id": str(UUID(int=7)),
            "version": 1,
            "score": 0.5,
            "payload": {"tenant": "t", "episode": str(UUID(int=8))},
        }
        updated = {"operation_id": 1, "status": "completed"}
        result = {
            "/exists": {"exists": False},
            "": True,
            "/index": updated,
            "/points": updated,
            "/points/delete": updated,
            "/points/query": {"points": [point]},
            "/points/count": {"count": 3},
            "/points/scroll": {"points": [point], "next_page_offset": None},
            "/facet": {"hits": [{"value": str(UUID(int=1)), "count": 3}]},
        }[what]
        told = json.dumps({"result": result, "status": "ok", "time": 0.1}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None: ...


def test_what_a_server_is_asked_names_the_business_every_time() -> None:
    """Over a socket, in the words of the REST interface; no Qdrant server is at hand where this was written."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _Qdrant)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    ours, episode = new_id(), new_id()
    try:
        vectors = connect(f"http://127.0.0.1:{listener.server_port}", "", "m", SIZE)
        _Qdrant.asked.clear()
        vectors.put(ours, [(episode, EAST)])
        assert [(each.id, each.similarity) for each in vectors.nearest(ours, EAST, 3, [episode])] == [
            (UUID(int=8), 0.5)
        ]
        assert vectors.count(ours) == 3 and list(vectors.episodes(ours)) == [[UUID(int=8)]]
        vectors.forget_all(ours)
        vectors.forget(ours, [episode])
        assert vectors.tenants() == {UUID(int=1)}
    finally:
        listener.shutdown()
        listener.server_close()
    put, nearest, count, scroll, delete, forget, _ = _Qdrant.asked
    of_ours = {"key": "tenant", "match": {"value": str(ours)}}
    assert put[0] == "PUT" and "wait=true" in put[1]
    assert put[2]["points"][0]["payload"] == {"tenant": str(ours), "episode": str(episode)}
    for _, path, body in (nearest, count, scroll, delete):
        assert body["filter"]["must"][0] == of_ours, path
    assert nearest[2]["filter"]["must"][1] == {"has_id": [str(point_id(ours, episode))]}
    assert forget[2]["points"] == [str(point_id(ours, episode))] != [str(point_id(new_id(), episode))]


def test_a_server_that_is_away_is_no_error_of_ours() -> None:
    with pytest.raises(Unavailable, match="does not answer") as raised:
        connect("http://127.0.0.1:9", "a-secret-key", "m", SIZE)
    assert "a-secret-key" not in str(raised.value)


def test_words_that_mean_the_same_lie_near_each_other() -> None:
    model = StaticEmbedder()
    said, same, other = model.embed(
        ["lowering the price of the jacket", "a price cut of the coat", "the parcel was handed to the carrier"]
    )

    def cosine(one: list[float], two: list[float]) -> float:
        return sum(a * b for a, b in zip(one, two, strict=True))

    assert len(said) == model.size and cosine(said, said) == pytest.approx(1.0, abs=1e-4)
    assert cosine(said, same) > cosine(said, other) + 0.1
    assert model.embed([]) == [] and not any(model.embed([""])[0])
