"""A seller with a browser, between an API that really listens and a sandbox's consent pages."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2
import uvicorn
from api_world import API, Business
from fastapi import FastAPI

from flipsync.connectors.base import AccountConfig
from flipsync.domain.ids import new_id

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The application on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def form_of(told: dict[str, Any], vendor: str, **changes: Any) -> dict[str, Any]:
    """A request that connects the sandbox's channel of that vendor, with what is known before anybody consented."""
    where = {name: value for name, value in told.items() if name in AccountConfig.model_fields}
    options = {**where.pop("options", {})}
    options.pop("seller_id", None)
    pages = {"amazon": "/apps/authorize/consent", "ebay": "/oauth2/authorize"}
    if vendor in pages:
        options["authorize_url"] = told["base_url"] + pages[vendor]
    known = ("application_id", "client_id", "client_secret", "redirect_name")
    form = {
        "vendor": vendor,
        "name": f"{vendor} {new_id().hex}",
        "currency": "USD",
        **where,
        "options": options,
        "credentials": {name: told[name] for name in known if name in told},
    }
    return form | changes


def with_query(url: str, **changes: str | None) -> str:
    """The address with parameters changed; None takes one away."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in changes]
    query += [(name, value) for name, value in changes.items() if value is not None]
    return urlunsplit(parts._replace(query=urlencode(query)))


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@dataclass
class Seller:
    """`api` talks to FlipSync as the business does; `http` is the seller's browser."""

    api_url: str
    http: httpx2.AsyncClient
    business: Business

    async def start(self, form: dict[str, Any], key: str = "") -> dict[str, Any]:
        answer = await self.ask(form, key)
        assert answer.status_code == 201, answer.text
        started: dict[str, Any] = answer.json()
        return started

    async def ask(self, form: dict[str, Any], key: str = "") -> httpx2.Response:
        headers = self.business.headers(**{"Idempotency-Key": key or new_id().hex})
        return await self.http.post(f"{self.api_url}{API}/oauth/consents", headers=headers, json=form)

    async def status(self, consent_id: str) -> dict[str, Any]:
        answer = await self.http.get(
            f"{self.api_url}{API}/oauth/consents/{consent_id}", headers=self.business.headers()
        )
        found: dict[str, Any] = answer.json()
        return found

    async def account(self, account_id: str) -> dict[str, Any]:
        answer = await self.http.get(
            f"{self.api_url}{API}/marketplace/accounts/{account_id}", headers=self.business.headers()
        )
        found: dict[str, Any] = answer.json()
        return found

    async def decide(self, url: str, decision: str, **more: str) -> str:
        """Open the vendor's page, fill in its form, press the button: where the browser is sent then."""
        page = await self.http.get(url, headers=BROWSER)
        assert page.status_code == 200 and "<form" in page.text, page.text
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
        fields = {unescape(name): unescape(value) for name, value in hidden}
        action = urlunsplit(urlsplit(url)._replace(query=""))
        sent = await self.http.post(action, data={**fields, "decision": decision, **more}, headers=BROWSER)
        assert sent.status_code == 302, sent.text
        return sent.headers["Location"]

    async def land(self, url: str, **headers: str) -> httpx2.Response:
        return await self.http.get(url, headers=BROWSER | headers)

    async def consent(self, form: dict[str, Any], **more: str) -> tuple[dict[str, Any], httpx2.Response]:
        """From the start to the page the seller ends on."""
        started = await self.start(form)
        return started, await self.land(await self.decide(started["url"], "grant", **more))
