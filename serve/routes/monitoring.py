"""Monitoring: alive, ready, and figures. Open to all: says nothing about any business."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

import flipsync
from flipsync.services.readiness import check_parts
from serve.deps import BackendDep
from serve.errors import problems
from serve.pacing import OPEN
from serve.telemetry import METRICS_TYPE

router = APIRouter(prefix="/api/v1/monitoring", tags=["monitoring"])


class Health(BaseModel):
    status: Literal["alive"] = "alive"
    version: str


class Part(BaseModel):
    name: str
    ready: bool
    detail: str


class Readiness(BaseModel):
    ready: bool
    parts: list[Part]


@router.get("/health", summary="Is the process alive?", responses=problems(), dependencies=OPEN)
async def health() -> Health:
    return Health(version=flipsync.__version__)


@router.get(
    "/ready",
    summary="Can it work?",
    responses={**problems(), 503: {"model": Readiness, "description": "a part is missing, or migrations are behind"}},
    dependencies=OPEN,
)
async def ready(backend: BackendDep, response: Response) -> Readiness:
    """The database with the newest schema, and Redis."""
    parts = await check_parts(backend.database, backend.redis)
    every = all(part.ready for part in parts)
    response.status_code = 200 if every else 503
    return Readiness(ready=every, parts=[Part(name=p.name, ready=p.ready, detail=p.detail) for p in parts])


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**problems(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=OPEN,
)
async def metrics(backend: BackendDep) -> Response:
    """Prometheus text format, of the process that answers."""
    return Response(backend.metrics.text(), media_type=METRICS_TYPE)
