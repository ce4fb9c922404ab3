"""The application on Ray Serve itself, behind HAProxy: built on the replica, answering over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import secrets
from pathlib import Path

import httpx2
import pytest
from api_world import API, found_business
from websockets.asyncio.client import connect
from whole_system import WholeSystem

from flipsync.embedded.ray_head import RayFolders, head_environment
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.security.tokens import AccessTokens
from flipsync.system import keys_of, open_books
from serve.ingress import ShortWay


def test_the_installed_serve_asks_for_our_middleware_on_a_replica() -> None:
    from ray._common.utils import import_attr
    from ray.serve._private import constants, http_util, replica

    name = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    folders = RayFolders(Path("/nowhere"), Path("/nowhere"), Path("/nowhere"))
    path = head_environment(folders, None)[name]
    assert hasattr(constants, name)
    (ours,) = http_util.validate_http_proxy_callback_return(import_attr(path)())
    assert ours.cls is ShortWay
    started = inspect.getsource(replica.Replica._maybe_start_direct_ingress_servers)
    assert "configure_http_middlewares" in started and "_direct_ingress_asgi" in started


@pytest.mark.slow
@pytest.mark.whole_system(2)
async def test_the_api_on_ray_serve(whole_system: WholeSystem, passwords: Passwords) -> None:
    keys = keys_of(whole_system.home)
    box, tokens = SecretBox(parse_keys(keys.secret)), AccessTokens(base64.urlsafe_b64decode(keys.jwt))
    with open_books(whole_system.home, {}) as store:
        gamma = await found_business(store, box, passwords, tokens, f"gamma{secrets.token_hex(4)}")
        await store.aclose()
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{whole_system.port}", trust_env=False, timeout=60
    ) as client:
        ready = await client.get(f"{API}/monitoring/ready")
        assert ready.status_code == 200, ready.text
        order = await client.get(f"{API}/orders/{gamma.ids['order_id']}", headers=gamma.headers())
        assert order.json()["id"] == str(gamma.ids["order_id"])
        refused = await client.get(f"{API}/orders")
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
        for n in range(11):  # HAProxy says who calls, whatever the client writes there
            form = {"email": f"nobody@{gamma.marker}.example", "password": "a guess"}
            spoofed = {"X-Forwarded-For": f"198.51.100.{n}"}
            guess = await client.post(f"{API}/auth/login", json=form, headers=spoofed)
            assert guess.status_code == (401 if n < 10 else 429)
    token = gamma.headers()["Authorization"].removeprefix("Bearer ")
    async with connect(f"ws://127.0.0.1:{whole_system.port}{API}/ws", proxy=None) as socket_client:
        await socket_client.send(json.dumps({"type": "authenticate", "token": token}))
        async with asyncio.timeout(10):
            assert json.loads(await socket_client.recv()) == {"type": "ready"}
