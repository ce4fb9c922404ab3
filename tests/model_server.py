"""A small real server that speaks the chat-completions protocol, and fails in the ways providers fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answering = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append({"path": self.path, "headers": headers, "body": body})
        self.server.answering(self, body)

    def send(self, status: int, body: bytes | str, **headers: str) -> None:
        told = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(told)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: Any) -> None:
        return None


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[dict[str, Any]]
    answering: Answering


def completion(content: str | None, *, finish: str = "stop", refusal: str | None = None, used: bool = True) -> str:
    """A chat completion as providers write it."""
    whole: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
    }
    if used:
        whole["usage"] = {"prompt_tokens": 210, "completion_tokens": 40, "total_tokens": 250}
    return json.dumps(whole)


def says(content: str | None, **more: Any) -> Answering:
    return lambda handler, _: handler.send(200, completion(content, **more))


def refuses(status: int, **headers: str) -> Answering:
    return lambda handler, _: handler.send(status, '{"error": {"message": "no", "code": "x"}}', **headers)


def sleeps(seconds: float) -> Answering:
    def answering(handler: Handler, _: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.send(200, completion("{}"))

    return answering


def hangs_up(handler: Handler, _: dict[str, Any]) -> None:
    """Half an answer, then nothing."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True


def never_ends(handler: Handler, _: dict[str, Any]) -> None:
    """More than anybody would read."""
    handler.send(200, b" " * (2 * 1024 * 1024))


@contextmanager
def model_server(answering: Answering) -> Iterator[tuple[str, ModelServer]]:
    """Its address, and itself."""
    server = ModelServer(("127.0.0.1", 0), Handler)
    server.asked, server.answering = [], answering
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server
    finally:
        server.shutdown()
        server.server_close()
