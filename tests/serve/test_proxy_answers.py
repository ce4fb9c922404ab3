"""What a proxy of Serve's tells whoever asked a replica that died over it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve import ingress
from serve.errors import MEDIA_TYPE, Problem
from serve.ingress import ShortWay


class Died(Exception):
    """As Ray says of a replica whose process was killed."""


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Ends without an answer: Serve's proxy does, once the replica is gone."""


async def raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Died("the actor died unexpectedly")


async def cut_short(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise Died("the actor died unexpectedly")


async def ask(app: ASGIApp) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=ShortWay(app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        return await client.post("/api/v1/inventory/receipts")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has built no application."""
    monkeypatch.setattr(ingress, "_here", None)


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("app", [silent, raising])
async def test_a_request_whose_replica_died_is_to_be_sent_again(app: ASGIApp) -> None:
    answer = await ask(app)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json() == Problem(**answer.json()).model_dump(), "a problem as all others are"
    assert "may or may not be done" in answer.json()["detail"]


@pytest.mark.usefixtures("proxy")
async def test_an_answer_is_left_as_it_is() -> None:
    assert (await ask(PlainTextResponse("there", 500))).text == "there"
    with pytest.raises(Died):  # the connection is cut: half of an answer must not look like one
        await ask(cut_short)


async def test_a_replica_tells_its_own_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    class Long:
        def short_way(self, scope: Scope) -> Any:
            return None

    monkeypatch.setattr(ingress, "_here", Long())
    with pytest.raises(Died):
        await ask(raising)
