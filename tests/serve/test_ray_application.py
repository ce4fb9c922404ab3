"""The application on Ray Serve itself: built on the replica, answering over HTTP and WebSocket, quiet about paths."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from api_world import API, Business
from websockets.asyncio.client import connect

from flipsync.embedded.ray_head import RayFolders, head_environment
from serve.ingress import ShortWay
from serve.settings import ServeSettings

ROOT = Path(__file__).resolve().parents[2]

_SERVER = """
import sys, ray
from ray import serve as ray_serve
from serve.app import bind
from serve.settings import ServeSettings
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
ray_serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
ray_serve.run(bind(ServeSettings()), name="api", route_prefix="/")
print("up", flush=True)
sys.stdin.readline()
ray_serve.shutdown()
ray.shutdown()
"""


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
async def test_the_api_on_ray_serve(settings: ServeSettings, alpha: Business, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "FLIPSYNC_APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
        "FLIPSYNC_REDIS_URL": settings.redis_url.get_secret_value(),
        "FLIPSYNC_JWT_KEY": settings.jwt_key.get_secret_value(),
        "FLIPSYNC_SECRET_KEY": settings.secret_key.get_secret_value(),
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert server.stdout is not None and server.stderr is not None
        line = await asyncio.wait_for(asyncio.to_thread(server.stdout.readline), 120)
        assert line == "up\n", server.stderr.read()
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            ready = await client.get(f"{API}/monitoring/ready")
            assert ready.status_code == 200, ready.text
            order = await client.get(f"{API}/orders/{alpha.ids['order_id']}", headers=alpha.headers())
            assert order.json()["id"] == str(alpha.ids["order_id"])
            refused = await client.get(f"{API}/orders")
            assert (refused.status_code, refused.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
        token = alpha.headers()["Authorization"].removeprefix("Bearer ")
        async with connect(f"ws://127.0.0.1:{port}{API}/ws", proxy=None) as socket_client:
            await socket_client.send(json.dumps({"type": "authenticate", "token": token}))
            async with asyncio.timeout(10):
                assert json.loads(await socket_client.recv()) == {"type": "ready"}
    finally:
        try:
            server.communicate("stop\n", timeout=40)
        except subprocess.TimeoutExpired:
            server.kill()
