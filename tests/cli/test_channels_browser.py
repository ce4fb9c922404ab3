"""Connecting a channel from the command line by the seller's consent: the command waits, a browser answers."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from command import ROOT, Flipsync

from flipsync.sandbox.client import SandboxClient
from flipsync.store import bootstrap
from flipsync.store.database import driver_url
from flipsync.system import keys_of
from serve.api import build_app
from serve.settings import ServeSettings


@pytest.fixture
async def api_url(home: Path, books: dict[str, str], roles: tuple[str, str]) -> AsyncIterator[str]:
    """The API on the command's own books."""
    url = bootstrap.role_url(driver_url(books["DATABASE_URL"]), bootstrap.APP_ROLE, roles[0])
    app = build_app(
        ServeSettings(
            app_database_url=url.render_as_string(hide_password=False),
            redis_url=books["REDIS_URL"],
            jwt_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            secret_key=keys_of(home).secret,
        )
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


class Waiting:
    """The command while it waits: what it has said so far, and how it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        return await asyncio.to_thread(self._process.stdout.readline)

    async def end(self) -> tuple[int, str, str]:
        out, err = await asyncio.to_thread(self._process.communicate, None, 60)
        return self._process.returncode, out, err


Start = Callable[..., Any]


@pytest.fixture
def start(flipsync: Flipsync, api_url: str) -> Start:
    @asynccontextmanager
    async def begin(*words: str, **credentials: str) -> AsyncIterator[Waiting]:
        given = {f"FLIPSYNC_CHANNEL_{name.upper()}": value for name, value in credentials.items()}
        environment = os.environ | flipsync.environment | given
        environment |= {"FLIPSYNC_HOME": str(flipsync.home), "FLIPSYNC_PUBLIC_URL": api_url, "COLUMNS": "200"}
        process = subprocess.Popen(
            [sys.executable, "-m", "flipsync.cli", "channels", *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Waiting(process)
        finally:
            process.kill()
            process.wait(10)

    return begin


async def _answer(url: str, decision: str) -> str:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=True, timeout=60) as browser:
        page = await browser.get(f"{url}&decision={decision}", headers={"Accept": "text/html"})
    return page.text


async def test_a_channel_is_connected_in_a_browser_and_again(
    start: Start, start_sandbox: Any, api_url: str, flipsync: Flipsync
) -> None:
    market = await start_sandbox()
    told = market.channels["ebay"]
    async with SandboxClient(market.base_url, market.control_token) as control:
        await control.register("ebay", f"{api_url}/api/v1/oauth/callback/ebay")
    keys = {name: told[name] for name in ("client_id", "client_secret", "redirect_name")}
    page = f"authorize_url={told['base_url']}/oauth2/authorize"
    words = ("connect", "ebay", "--browser", "--name", "My eBay", "--base-url", told["base_url"], "--option", page)
    async with start(*words, "--json", **keys) as command:
        asked = json.loads(await command.line())
        assert asked["status"] == "waiting" and asked["redirect_uri"] == f"{api_url}/api/v1/oauth/callback/ebay"
        assert "My eBay is connected" in await _answer(asked["url"], "grant")
        code, out, err = await command.end()
    assert code == 0, err
    done = json.loads(out)
    assert done["status"] == "connected" and done["consent_id"] == asked["consent_id"]
    listed = json.loads(flipsync("channels", "list", "--json").stdout)["channels"]
    (channel,) = [each for each in listed if each["id"] == done["account_id"]]
    assert [end["what"] for end in channel["ends"]] == ["consent"]
    shown = flipsync("channels", "list").stdout
    assert f"consent ends {channel['ends'][0]['ends_at'][:10]}" in shown

    async with start("reconnect", "My eBay") as command:
        said = [await command.line() for _ in range(3)]
        assert said[0].startswith("Open this address") and "must know" in said[2]
        await _answer(said[1].strip(), "deny")
        code, out, err = await command.end()
    assert code == 1 and "My eBay is not connected (denied): the access was not granted" in out
    for output in (out, err, shown, *said):
        assert told["client_secret"] not in output
    assert json.loads(flipsync("channels", "probe", "My eBay", "--json").stdout)["healthy"], "it works as before"


def test_without_an_api_nobody_is_sent_anywhere(flipsync: Flipsync) -> None:
    done = flipsync(
        *("channels", "connect", "ebay", "--browser", "--name", "x"),
        **{f"FLIPSYNC_CHANNEL_{name}": "x" for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_NAME")},
    )
    assert done.returncode == 1 and "flipsync up" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("connect", "myspace", "--name", "x"), "is not a vendor"),
        (("connect", "custom", "--name", "x", "--base-url", "http://127.0.0.1:9"), "has no consent page"),
        (("connect", "ebay", "--name", "x"), "FLIPSYNC_EBAY_CLIENT_ID"),
        (("connect", "shopify", "--name", "x"), "address of the shop is missing"),
        (("connect", "amazon", "--name", "x"), "marketplace_id"),
        (("reconnect", "nobody"), "no channel is called"),
    ],
)
def test_what_is_missing_is_said_before_anybody_waits(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    more = ("--browser",) if words[0] == "connect" else ()
    done = flipsync("channels", *words, *more, FLIPSYNC_PUBLIC_URL="http://127.0.0.1:8000")
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
