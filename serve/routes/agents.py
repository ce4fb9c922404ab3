"""The agents: how they are, how they report to each other, what one of them decided."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import NotFound, Unavailable
from flipsync.runtime.graph import Graph
from flipsync.security.tokens import Claims
from flipsync.services import reading_decisions as reading
from flipsync.services import set_aside
from flipsync.services.reading_page import Moment, Page, PageRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/agents", tags=["agents"])

Name = Annotated[str, Path(max_length=100, examples=["pricing"])]
User = Annotated[Claims, may("agents:read")]
#: an error may quote what it stumbled over, a buyer's words among it
Mender = Annotated[Claims, may("agents:write")]


class AgentView(BaseModel):
    """An agent of this installation. Waiting and failed are tasks of your business; state "absent": never reported."""

    name: str
    summary: str
    ecosystem: str
    reports_to: str | None
    handles: list[str]
    proposes: list[str]
    vendors: list[str] | None
    state: str = "absent"
    restarts: int = 0
    last_error: str = ""
    ready_at: Moment | None = None
    waiting: int = 0
    failed: int = 0


class AgentList(BaseModel):
    items: list[AgentView]


class Edge(BaseModel):
    """`reports_to`: from an agent to its superior. `wakes`: from a fact to an agent."""

    kind: Literal["reports_to", "wakes"]
    source: str
    target: str


class AgentGraph(BaseModel):
    """Who reports to whom and what wakes whom: as edges to draw, and as a Mermaid flowchart."""

    agents: list[str]
    edges: list[Edge]
    mermaid: str


class AgentDecisionQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")

    state: reading.DecisionState | None = Field(default=None)


class SetAsideQuery(PageRequest, set_aside.SetAsideFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List agents with their status", responses=problems(401, 403))
async def list_agents(user: User, backend: BackendDep) -> AgentList:
    async with backend.store.reader(user.tenant_id) as session:
        statuses = {status.agent: status for status in await reading.list_agents(session)}
    return AgentList(
        items=[_view(agent, statuses.get(agent["name"])) for agent in _graph(backend.graph).as_dict()["agents"]]
    )


@router.get("/graph", summary="Draw the executive graph", responses=problems(401, 403))
async def graph(user: User, backend: BackendDep) -> AgentGraph:
    known = _graph(backend.graph)
    edges = [Edge.model_validate(edge) for edge in known.edges()]
    return AgentGraph(agents=sorted(known.agents), edges=edges, mermaid=known.mermaid())


@router.get("/set-aside", summary="Work that failed every time", responses=problems(401, 403))
async def list_set_aside(
    query: Annotated[SetAsideQuery, Query()], user: Mender, backend: BackendDep
) -> Page[set_aside.SetAsideView]:
    """Newest first: what an agent could not deal with, and why. It goes on with everything else."""
    async with backend.store.reader(user.tenant_id) as session:
        return await set_aside.list_set_aside(session, query, query)


@router.post(
    "/set-aside/{task_id}/release",
    summary="Try set-aside work again",
    response_model=set_aside.Released,
    responses=problems(401, 403, 404, 409),
)
async def release(task_id: UUID, user: Mender, once: OnlyOnceDep) -> Response:
    """The agent tries it as if for the first time. 404 for what is not set aside any more."""

    async def work(unit: UnitOfWork) -> set_aside.Released:
        return await set_aside.release(unit, task_id)

    return await once.run(user, work)


@router.get("/{name}", summary="One agent with its status", responses=problems(401, 403, 404))
async def get_agent(name: Name, user: User, backend: BackendDep) -> AgentView:
    for agent in (await list_agents(user, backend)).items:
        if agent.name == name:
            return agent
    raise NotFound(f"no agent {name}")


@router.get("/{name}/decisions", summary="What one agent decided", responses=problems(401, 403, 404))
async def list_agent_decisions(
    name: Name,
    query: Annotated[AgentDecisionQuery, Query()],
    user: Annotated[Claims, may("decisions:read")],
    backend: BackendDep,
) -> Page[reading.DecisionSummary]:
    if name not in _graph(backend.graph).agents:
        raise NotFound(f"no agent {name}")
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_decisions(session, query, reading.DecisionFilter(agent=name, state=query.state))


def _graph(graph: Graph | None) -> Graph:
    if graph is None:
        raise Unavailable("this process knows no agents", hint="set FLIPSYNC_ROSTER")
    return graph


def _view(agent: dict[str, Any], status: reading.AgentStatusView | None) -> AgentView:
    known = {} if status is None else status.model_dump(exclude={"agent", "updated_at"})
    return AgentView.model_validate({name: agent[name] for name in agent if name != "class"} | known)
