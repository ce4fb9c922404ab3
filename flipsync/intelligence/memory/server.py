"""Vectors on a Qdrant server, named by its URL: for installations on several machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from flipsync.domain.errors import Unavailable
from flipsync.intelligence.memory.port import COLLECTION, EPISODE, TENANT, Near, Vector, point_id

P = ParamSpec("P")
T = TypeVar("T")
_PAGE = 1_000
_MOST_TENANTS = 1_000_000
#: seconds a call may take
_PATIENCE = 10


def connect(url: str, api_key: str, model: str, size: int) -> ServerVectors:
    """Raises Unavailable where nothing answers there."""
    from qdrant_client import QdrantClient

    # no note about versions on somebody's screen: what does not fit fails by itself
    client = QdrantClient(url=url, api_key=api_key or None, timeout=_PATIENCE, check_compatibility=False)
    return ServerVectors(client, model, size)


def _answered(work: Callable[P, T]) -> Callable[P, T]:
    """Whatever the client raises, the server is away or refuses: its words may hold what was sent, and stay here."""

    @wraps(work)
    def asked(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return work(*arguments, **named)
        except Unavailable:
            raise
        except Exception as error:
            status = getattr(error, "status_code", None)
            told = f"{type(error).__name__}{f' {status}' if status else ''}"
            raise Unavailable(f"the Qdrant server does not answer: {told}", hint="check QDRANT_URL") from None

    return asked


class ServerVectors:
    """One collection for all businesses, each point with its own; `client` is qdrant-client's."""

    @_answered
    def __init__(self, client: Any, model: str, size: int) -> None:
        from qdrant_client import models

        self._client, self._models = client, models
        self._name = f"flipsync-{COLLECTION}-{model}"
        self._size = size
        self._make()

    def _make(self) -> None:
        models = self._models
        if self._client.collection_exists(self._name):
            return
        shape = models.VectorParams(size=self._size, distance=models.Distance.COSINE)
        self._client.create_collection(self._name, vectors_config=shape)
        whose = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        self._client.create_payload_index(self._name, field_name=TENANT, field_schema=whose)

    def _of(self, tenant_id: UUID, among: Collection[UUID] | None = None) -> Any:
        """The one filter there is: nothing is asked without it."""
        models = self._models
        must: list[Any] = [models.FieldCondition(key=TENANT, match=models.MatchValue(value=str(tenant_id)))]
        if among is not None:
            must.append(models.HasIdCondition(has_id=[str(point_id(tenant_id, each)) for each in among]))
        return models.Filter(must=must)

    @_answered
    def put(self, tenant_id: UUID, vectors: Sequence[tuple[UUID, Vector]]) -> None:
        points = [
            self._models.PointStruct(
                id=str(point_id(tenant_id, episode)),
                vector=list(vector),
                payload={TENANT: str(tenant_id), EPISODE: str(episode)},
            )
            for episode, vector in vectors
        ]
        if points:
            self._client.upsert(self._name, points=points, wait=True)

    @_answered
    def nearest(self, tenant_id: UUID, vector: Vector, k: int, among: Collection[UUID] | None = None) -> list[Near]:
        found = self._client.query_points(
            self._name, query=list(vector), query_filter=self._of(tenant_id, among), limit=k, with_payload=True
        )
        return [Near(UUID(each.payload[EPISODE]), float(each.score)) for each in found.points]

    @_answered
    def count(self, tenant_id: UUID) -> int:
        return int(self._client.count(self._name, count_filter=self._of(tenant_id), exact=True).count)

    def episodes(self, tenant_id: UUID) -> Iterator[list[UUID]]:
        after: Any = None
        while True:
            found, after = self._page(tenant_id, after)
            if found:
                yield [UUID(each.payload[EPISODE]) for each in found]
            if after is None:
                return

    @_answered
    def _page(self, tenant_id: UUID, after: Any) -> tuple[Any, Any]:
        page: tuple[Any, Any] = self._client.scroll(
            self._name, scroll_filter=self._of(tenant_id), limit=_PAGE, offset=after, with_payload=True
        )
        return page

    @_answered
    def forget(self, tenant_id: UUID, episode_ids: Collection[UUID]) -> None:
        if episode_ids:
            points = [str(point_id(tenant_id, each)) for each in episode_ids]
            self._client.delete(self._name, points_selector=self._models.PointIdsList(points=points), wait=True)

    @_answered
    def forget_all(self, tenant_id: UUID) -> None:
        chosen = self._models.FilterSelector(filter=self._of(tenant_id))
        self._client.delete(self._name, points_selector=chosen, wait=True)

    @_answered
    def tenants(self) -> set[UUID]:
        answer = self._client.facet(self._name, key=TENANT, limit=_MOST_TENANTS, exact=True)
        return {UUID(str(each.value)) for each in answer.hits}

    @_answered
    def clear(self) -> None:
        self._client.delete_collection(self._name)
        self._make()

    def close(self) -> None:
        self._client.close()
