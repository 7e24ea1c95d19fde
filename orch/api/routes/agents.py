"""Agents: list, look, drain."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from orch.api import reads
from orch.api.bodies import read_object
from orch.api.room import Room
from orch.api.routes.common import Key, Limit, Offset, Story, TheRoom, answer, body_of
from orch.api.schemas import Agents, AgentShape, Instances
from orch.api.story import story as told
from orch.model.errors import NotFoundError
from orch.model.requests import DrainAgent, RemoveAgent

router = APIRouter(tags=["agents"])
Name = Annotated[str, Path(description="The agent's name.")]

_DRAIN: dict[str, Any] = {
    "type": "object",
    "required": ["drain"],
    "properties": {"drain": {"type": "boolean"}},
    "additionalProperties": False,
}


@router.get("/v2/agents", summary="List agents", responses={200: {"model": Agents}})
async def list_agents(room: TheRoom, limit: Limit = 1000, offset: Offset = 0) -> Response:
    """What they have, what is free, how many instances they run. `next` is the offset of the next page."""
    items, following = reads.agents(room.replica, offset, limit)
    return answer({"items": items, "next": following})


@router.get("/v2/agents/{name}", summary="One agent", responses={200: {"model": AgentShape}})
async def one(request: Request, room: TheRoom, name: Name, story: Story = False) -> Response:
    """With its attributes and what its machine really uses."""
    found = agent_or_404(room, name)
    if story:
        found = {**found, "story": await told(room, request, ("master",), name)}
    return answer(found)


@router.get("/v2/agents/{name}/instances", summary="What runs on an agent", responses={200: {"model": Instances}})
async def instances(room: TheRoom, name: Name, limit: Limit = 1000, offset: Offset = 0) -> Response:
    """Instances that were launched there and have not ended."""
    agent_or_404(room, name)
    items, following = reads.agent_instances(room.replica, name, offset, limit)
    return answer({"items": items, "next": following})


@router.post(
    "/v2/agents/{name}/drain",
    summary="Offer an agent no more, or again",
    responses={200: {"model": AgentShape}},
    openapi_extra=body_of(_DRAIN, example={"drain": True}),
)
async def drain(request: Request, room: TheRoom, name: Name, key: Key = None) -> Response:
    """What runs on it goes on."""
    body = await read_object(request, room.settings.other_bytes, {"drain": bool})
    await room.call("master", lambda stamp: DrainAgent(**stamp, agent=name, drain=body["drain"]), request)
    return answer(agent_or_404(room, name))


@router.delete("/v2/agents/{name}", summary="Give up an agent that does not come back")
async def remove(request: Request, room: TheRoom, name: Name, key: Key = None) -> Response:
    """409 while it still answers. What ran on it is LOST."""
    return answer(await room.call("master", lambda stamp: RemoveAgent(**stamp, agent=name), request))


def agent_or_404(room: Room, name: str) -> dict[str, Any]:
    """The agent. Raises NotFoundError."""
    found = reads.agent(room.replica, name)
    if found is None:
        raise NotFoundError(f"there is no agent {name!r}. `orch agents` lists them.")
    return found
