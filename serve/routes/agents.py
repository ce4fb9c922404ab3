"""The agents: how they are, how they report to each other, what one of them decided."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import NotFound, Unavailable
from flipsync.runtime.graph import Graph
from flipsync.security.tokens import Claims
from flipsync.services import calibration, held_orders, set_aside, standing_desk
from flipsync.services import reading_decisions as reading
from flipsync.services.reading_page import Moment, Page, PageRequest, SortedRequest
from flipsync.services.standing_desk import StandingView
from flipsync.services.tenant_settings import AgentLimits, profile
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/agents", tags=["agents"])

Name = Annotated[str, Path(max_length=100, examples=["pricing"])]
User = Annotated[Claims, may("agents:read")]
#: an error may quote what it stumbled over, a buyer's words among it
Mender = Annotated[Claims, may("agents:write")]


class DeclaredView(BaseModel):
    """How far an agent decides by itself where nobody says otherwise."""

    auto_above: float = Field(description="as sure as that")
    max_stake_minor: int = Field(description="with at most so much at stake, in whatever currency")


class AgentView(BaseModel):
    """An agent of this installation. Waiting and failed are tasks of your business; state "absent": never reported."""

    name: str
    summary: str
    ecosystem: str
    reports_to: str | None
    declares: DeclaredView
    handles: list[str]
    proposes: list[str]
    vendors: list[str] | None
    state: str = "absent"
    restarts: int = 0
    last_error: str = ""
    ready_at: Moment | None = None
    waiting: int = 0
    failed: int = 0
    replicas: list[reading.ReplicaView] = Field(default=[], description="the actors that share its businesses out")
    limits: AgentLimits = Field(
        default=AgentLimits(), description="your limits (settings agents.NAME.*); null: as it declares"
    )
    standings: list[StandingView] = Field(default=[], description="authority of your business that outcomes changed")


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


class AgentDecisionQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: reading.DecisionSort = None
    state: reading.DecisionState | None = Field(default=None)


class CalibrationQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: str | None = Field(default=None, max_length=100)


class SetAsideQuery(PageRequest, set_aside.SetAsideFilter):
    model_config = ConfigDict(extra="forbid")


class HeldOrderQuery(PageRequest, held_orders.HeldOrderFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List agents with their status", responses=problems(401, 403))
async def list_agents(user: User, backend: BackendDep) -> AgentList:
    async with backend.store.reader(user.tenant_id) as session:
        statuses = {status.agent: status for status in await reading.list_agents(session)}
        standings = (await standing_desk.look(session, user.tenant_id)).standings
        settings = (await profile(session, user.tenant_id)).settings
    items = []
    for agent in _graph(backend.graph).as_dict()["agents"]:
        theirs: dict[str, Any] = {"standings": [each for each in standings if each.agent == agent["name"]]}
        theirs["limits"] = settings.limits_of(agent["name"], agent["wraps"])
        items.append(_view(agent, statuses.get(agent["name"]), theirs))
    return AgentList(items=items)


@router.get("/graph", summary="Draw the executive graph", responses=problems(401, 403))
async def graph(user: User, backend: BackendDep) -> AgentGraph:
    known = _graph(backend.graph)
    edges = [Edge.model_validate(edge) for edge in known.edges()]
    return AgentGraph(agents=sorted(known.agents), edges=edges, mermaid=known.mermaid())


@router.get("/calibration", summary="How right the agents were", responses=problems(401, 403, 404))
async def get_calibration(
    query: Annotated[CalibrationQuery, Query()], user: User, backend: BackendDep
) -> calibration.CalibrationView:
    """Confidence beside what came of it, by agent and kind of decision; what cannot be known is counted."""
    if query.agent is not None and query.agent not in _graph(backend.graph).agents:
        raise NotFound(f"no agent {query.agent}")
    async with backend.store.reader(user.tenant_id) as session:
        return await calibration.of_agents(session, user.tenant_id, query.agent)


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


@router.get("/set-aside/orders", summary="Orders that cannot be read", responses=problems(401, 403))
async def list_held_orders(
    query: Annotated[HeldOrderQuery, Query()], user: Mender, backend: BackendDep
) -> Page[held_orders.HeldOrderView]:
    """Newest first: orders a channel told that could not be read or booked, and why. All others are booked."""
    async with backend.store.reader(user.tenant_id) as session:
        return await held_orders.list_held(session, query, query)


@router.post(
    "/set-aside/orders/{held_order_id}/answer",
    summary="Try an unread order again, or say it was booked by hand",
    response_model=held_orders.HeldOrderAnswered,
    responses=problems(401, 403, 404, 409),
)
async def answer_held_order(
    held_order_id: UUID, body: held_orders.HeldOrderAnswer, user: Mender, once: OnlyOnceDep
) -> Response:
    """By hand: it is never booked, whatever the channel says of it later. 404 for what is not set aside any more."""

    async def work(unit: UnitOfWork) -> held_orders.HeldOrderAnswered:
        return await held_orders.answer(unit, held_order_id, body)

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
    reader: ReaderDep,
) -> Page[reading.DecisionSummary]:
    if name not in _graph(backend.graph).agents:
        raise NotFound(f"no agent {name}")
    return await reading.list_decisions(reader, query, reading.DecisionFilter(agent=name, state=query.state))


def _graph(graph: Graph | None) -> Graph:
    if graph is None:
        raise Unavailable("this process knows no agents", hint="set FLIPSYNC_ROSTER")
    return graph


def _view(agent: dict[str, Any], status: reading.AgentStatusView | None, known: dict[str, Any]) -> AgentView:
    known |= {} if status is None else status.model_dump(exclude={"agent", "updated_at"})
    return AgentView.model_validate({name: agent[name] for name in agent if name not in ("class", "wraps")} | known)
