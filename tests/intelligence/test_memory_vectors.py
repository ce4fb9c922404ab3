"""One contract for both keepers of vectors: nearest first, one business at a time, and nothing lost by a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from flipsync.domain.errors import Unavailable
from flipsync.domain.ids import new_id
from flipsync.intelligence.memory.edge import EdgeVectors
from flipsync.intelligence.memory.embedding import StaticEmbedder
from flipsync.intelligence.memory.port import Vectors
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
    episodes = {new_id() for _ in range(2_500)}
    vectors.put(ours, [(each, EAST) for each in episodes])
    vectors.put(theirs, [(new_id(), EAST)])
    assert {each for page in vectors.episodes(ours) for each in page} == episodes
    gone = set(list(episodes)[:10])
    vectors.forget(ours, gone)
    assert vectors.count(ours) == 2_490
    assert not gone & {each.id for each in vectors.nearest(ours, EAST, 2_500)}
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
    for life in range(2):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(8 + life):
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
