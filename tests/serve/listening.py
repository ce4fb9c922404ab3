"""An application that listens on a port of its own, for clients that open connections themselves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Where, as "127.0.0.1:port"."""
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", proxy_headers=False))
    task = asyncio.create_task(server.serve(sockets=[held]))
    yield f"127.0.0.1:{held.getsockname()[1]}"
    server.should_exit = True
    await task
