"""Vectors in a folder of this machine: one process has them open (Qdrant's embedded engine, without a server).

Its write-ahead log survives kill -9. It is never optimised: that freezes the process, and a hundred thousand vectors
are looked through in some twenty milliseconds without.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from flipsync.domain.errors import Unavailable
from flipsync.intelligence.memory.port import COLLECTION, EPISODE, TENANT, Near, Vector, point_id

log = structlog.get_logger()
_PAGE = 1_000
#: more businesses than an installation has
_MOST_TENANTS = 1_000_000


class EdgeVectors:
    """`model` and its `size` name the folder within `home`: vectors of another model are not compared with these."""

    def __init__(self, home: Path, model: str, size: int) -> None:
        """Raises Unavailable where another process has them open."""
        import qdrant_edge

        self._edge = qdrant_edge
        self._folder = home / f"{COLLECTION}-{model}"
        self._size = size
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Unavailable("another process has the index of meanings open") from None
        self._shard = self._open()

    def _open(self) -> Any:
        edge = self._edge
        kept = edge.EdgeVectorParams(size=self._size, distance=edge.Distance.Cosine, memory=edge.Memory.Cold)
        shape = edge.EdgeConfig(vectors=kept, max_search_threads=1)
        if any(self._folder.iterdir()):
            try:
                return edge.EdgeShard.load(str(self._folder), shape)
            except Exception as error:  # the engine's own; what it cannot read is made again from the books
                log.warning("the index of meanings cannot be read and begins anew", error=str(error).splitlines()[0])
                shutil.rmtree(self._folder)
                self._folder.mkdir(mode=0o700)
        shard = edge.EdgeShard.create(str(self._folder), shape)
        shard.update(edge.UpdateOperation.create_field_index(TENANT, edge.PayloadSchemaType.Keyword))
        return shard

    def _of(self, tenant_id: UUID, among: Collection[UUID] | None = None) -> Any:
        """The one filter there is: nothing is asked without it."""
        edge = self._edge
        must: list[Any] = [edge.FieldCondition(key=TENANT, match=edge.MatchValue(value=str(tenant_id)))]
        if among is not None:
            must.append(edge.HasIdCondition({point_id(tenant_id, each) for each in among}))
        return edge.Filter(must=must)

    def put(self, tenant_id: UUID, vectors: Sequence[tuple[UUID, Vector]]) -> None:
        edge = self._edge
        points = [
            edge.Point(point_id(tenant_id, episode), list(vector), {TENANT: str(tenant_id), EPISODE: str(episode)})
            for episode, vector in vectors
        ]
        if points:
            self._shard.update(edge.UpdateOperation.upsert_points(points))
            self._shard.flush()

    def nearest(self, tenant_id: UUID, vector: Vector, k: int, among: Collection[UUID] | None = None) -> list[Near]:
        edge = self._edge
        asked = edge.QueryRequest(
            query=edge.Query.Nearest(list(vector)), limit=k, filter=self._of(tenant_id, among), with_payload=True
        )
        return [Near(UUID(each.payload[EPISODE]), float(each.score)) for each in self._shard.query(asked)]

    def count(self, tenant_id: UUID) -> int:
        return int(self._shard.count(self._edge.CountRequest(filter=self._of(tenant_id), exact=True)))

    def episodes(self, tenant_id: UUID) -> Iterator[list[UUID]]:
        after: Any = None
        while True:
            asked = self._edge.ScrollRequest(
                offset=after, limit=_PAGE, filter=self._of(tenant_id), with_payload=True, with_vector=False
            )
            found, after = self._shard.scroll(asked)
            if found:
                yield [UUID(each.payload[EPISODE]) for each in found]
            if after is None:
                return

    def forget(self, tenant_id: UUID, episode_ids: Collection[UUID]) -> None:
        if episode_ids:
            points: list[int | UUID | str] = [point_id(tenant_id, each) for each in episode_ids]
            self._shard.update(self._edge.UpdateOperation.delete_points(points))
            self._shard.flush()

    def forget_all(self, tenant_id: UUID) -> None:
        self._shard.update(self._edge.UpdateOperation.delete_points_by_filter(self._of(tenant_id)))
        self._shard.flush()

    def tenants(self) -> set[UUID]:
        answer = self._shard.facet(self._edge.FacetRequest(key=TENANT, limit=_MOST_TENANTS, exact=True))
        told = {UUID(str(each.value)) for each in answer.hits}
        return {each for each in told if self.count(each)}  # it tells of those that were forgotten as well

    def clear(self) -> None:
        self._shard.close()
        shutil.rmtree(self._folder)
        self._folder.mkdir(mode=0o700)
        self._shard = self._open()

    def close(self) -> None:
        self._shard.close()
        os.close(self._lock)
