"""Chats, held against apprise: the same destination as one writes it there, called in the same way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import apprise
import pytest
import requests
from notice_servers import hook_server

from flipsync.connectors.notices.destination import parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Message, Sender, call
from flipsync.domain.errors import InvalidInput

TOKEN = "123456789:AAF0abcdefghij-klmnopqrstuvwxyz0123"
MESSAGE = Message(
    "0190", "Order 1001", "Order 1001\nis oversold\nhttps://app.example/o", "h", "s", mark="", urgent=True
)
CHATS = {
    f"tgram://{TOKEN}/12345": f"tgram://{TOKEN}/12345/?preview=no",
    "ntfys://ntfy.example.com/shop-x7": "ntfys://ntfy.example.com/shop-x7/?priority=max",
    "ntfys://tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2@ntfy.example.com/shop-x7": (
        "ntfys://tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2@ntfy.example.com/shop-x7/?auth=token&priority=max"
    ),
    "gotifys://gotify.example.com/AbCdEf0123456.": "gotifys://gotify.example.com/AbCdEf0123456./?priority=high",
    "https://chat.googleapis.com/v1/spaces/AAA/messages?key=k1&token=t1": "gchat://AAA/k1/t1",
    "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js": (
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
    ),
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ": (
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    ),
    "https://prod-04.westus.logic.azure.com/workflows/643e/triggers/manual/paths/invoke?api-version=2016-06-01": (
        "workflows://prod-04.westus.logic.azure.com:443/643e/S1"
    ),
}
#: of what both say, whatever says how they look and who they are
ITS_OWN = {"disable_notification", "disable_web_page_preview", "parse_mode", "tts", "wait", "avatar_url", "attachments"}
ITS_OWN |= {"username", "icon_url", "summary", "themeColor", "mrkdwn"}


def as_apprise_sends(url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Where to, with which headers and with what."""
    sent: list[tuple[str, dict[str, str], Any]] = []

    def post(to: str, *, data: Any = None, headers: Any = None, params: Any = None, **_: Any) -> Any:
        sent.append((f"{to}?{urlencode(params)}" if params else to, dict(headers or {}), data))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "request", lambda _, to, **more: post(to, **more))
    made = apprise.Apprise.instantiate(url)
    assert made is not None, url
    assert made.send(body="is oversold\nhttps://app.example/o", title="Order 1001")
    to, headers, data = sent[-1]
    return to, headers, json.loads(data)


@pytest.mark.parametrize("url", CHATS)
def test_a_chat_is_called_as_apprise_calls_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, headers, body = as_apprise_sends(CHATS[url], monkeypatch)
    there, to = urlsplit(theirs), parse(url)
    path, request = call(to, MESSAGE)
    ours = urlsplit(path)
    assert (to.host, ours.path) == (there.hostname, there.path or "/")
    assert parse_qs(ours.query).items() <= parse_qs(there.query).items()
    for name, value in request.get("headers", {}).items():
        assert headers[name] == value
    assert body.keys() - ITS_OWN <= request["json"].keys(), "all that it takes to be heard"
    for name in ("topic", "title", "message", "priority"):
        assert str(request["json"].get(name)) == str(body.get(name, request["json"].get(name))), name
    assert "Ada" not in to.shown and TOKEN not in repr(to)


def test_what_came_from_outside_mentions_nobody_and_links_nowhere() -> None:
    loud = replace(MESSAGE, title="[t](x)", text="[t](x)\n<users/all> [bank](https://evil.example)")
    told = {parse(url).service: call(parse(url), loud)[1]["json"] for url in CHATS}
    assert told["google-chat"] == {"text": "[t](x)\n‹users/all› [bank](https://evil.example)"}
    (card,) = told["teams"]["attachments"]
    title, text = (block["text"] for block in card["content"]["body"])
    assert (title, text) == ("\\[t\\](x)", "<users/all> \\[bank\\](https://evil.example)")
    assert "parse_mode" not in told["telegram"], "plain text"


async def test_a_server_of_ones_own_is_reached_as_it_is_named() -> None:
    async with hook_server() as server:
        for url in ("ntfys://ntfy.example.com/shop-x7", "gotifys://gotify.example.com/deep/down/T0ken."):
            to = parse(url)
            await Sender(Reach(["127.0.0.0/8"]), bases={to.service: f"http://127.0.0.1:{server.port}"}).send(
                to, MESSAGE
            )
    assert [line for line, _, _ in server.requests] == ["POST / HTTP/1.1", "POST /deep/down/message HTTP/1.1"]
    assert [each["message"] for each in server.bodies()] == ["is oversold\nhttps://app.example/o"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "tgram://123456789:short/1",
        f"tgram://{TOKEN}",
        f"tgram://{TOKEN}/../getUpdates",
        f"tgram://{TOKEN}/1?x=1",
        "ntfys://ntfy.example.com/",
        "ntfys://ntfy.example.com/a/b",
        "ntfys://user:SECRET@ntfy.example.com/topic",
        "gotifys://gotify.example.com/",
        "gotifys://gotify.example.com/a%0d%0ab",
    ],
)
def test_what_is_no_chat(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(url)
    assert "SECRET" not in str(refused.value) and TOKEN not in str(refused.value)
