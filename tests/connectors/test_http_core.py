"""Failures of the outside world become exactly three errors; over real sockets where it matters."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.http import HttpCore, current_traceparent
from flipsync.connectors.request import VendorError, retry_after
from flipsync.domain.errors import ChannelError, InvalidInput, OutcomeUnknown, Rejected, Retryable, Unreadable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Recorder(Unlimited):
    """Notes what the core asked of its limiter."""

    def __init__(self) -> None:
        self.acquired: list[tuple[str, float, int]] = []
        self.paused: list[tuple[str, float]] = []

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        self.acquired.append((bucket, rate_per_second, burst))

    async def pause(self, bucket: str, seconds: float) -> None:
        self.paused.append((bucket, seconds))


def read_error(status: int, body: Any) -> VendorError:
    return VendorError(code=body["code"], message=body["message"]) if body else VendorError()


def core(
    url: str = "http://shop.test", transport: httpx2.AsyncBaseTransport | None = None, **options: Any
) -> tuple[HttpCore, Recorder]:
    recorder = Recorder()
    traceparent = options.pop("traceparent", current_traceparent)
    config = AccountConfig(vendor="custom", base_url=url, currency="USD", **options)  # type: ignore[arg-type]
    made = HttpCore(
        config,
        recorder,
        "acc",
        sign=lambda method, url, params: ({"Authorization": "Bearer hush-hush"}, [("sig", "hush-hush")]),
        read_error=read_error,
        transport=transport,
        traceparent=traceparent,
    )
    return made, recorder


def answering(status: int, content: bytes = b"{}", headers: dict[str, str] | None = None) -> httpx2.MockTransport:
    return httpx2.MockTransport(lambda request: httpx2.Response(status, content=content, headers=headers))


def needs_object(data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError("an object was expected")
    return data


async def failure(made: HttpCore, method: str, url: str = "http://shop.test/x") -> ChannelError:
    async with contextlib.aclosing(made):
        with pytest.raises(ChannelError) as caught:
            await made.request(method, url, decode=needs_object, body=None if method == "GET" else {})
    return caught.value


VENDOR = b'{"code":"c1","message":"why not"}'


@pytest.mark.parametrize(
    ("status", "headers", "on_read", "on_write"),
    [
        (301, {"Location": "http://new.test/x?sig=hush-hush"}, Rejected, Rejected),
        (400, {}, Rejected, Rejected),
        (401, {}, Rejected, Rejected),
        (403, {}, Rejected, Rejected),
        (404, {}, Rejected, Rejected),
        (408, {}, Retryable, Retryable),
        (409, {}, Rejected, Rejected),
        (422, {}, Rejected, Rejected),
        (425, {}, Retryable, Retryable),
        (429, {"Retry-After": "3"}, Retryable, Retryable),
        (500, {}, Retryable, OutcomeUnknown),
        (502, {}, Retryable, OutcomeUnknown),
        (503, {}, Retryable, OutcomeUnknown),
        (503, {"Retry-After": "600"}, Retryable, Retryable),
        (521, {}, Retryable, OutcomeUnknown),
    ],
)
async def test_statuses(status: int, headers: dict[str, str], on_read: Any, on_write: Any) -> None:
    for method, expected in (("GET", on_read), ("POST", on_write), ("PUT", on_write), ("DELETE", on_write)):
        made, recorder = core(transport=answering(status, VENDOR, headers))
        error = await failure(made, method)
        assert type(error) is expected, method
        assert (error.vendor_code, error.vendor_status) == ("c1", status)
        assert "why not" in error.message
        assert "hush-hush" not in f"{error.message} {error.hint}"
        after = float(headers["Retry-After"]) if "Retry-After" in headers else None
        if isinstance(error, Retryable):
            assert error.after == after
        assert recorder.paused == ([("acc:http", after)] if after else [])
        if isinstance(error, Rejected):
            assert (error.auth, error.missing) == (status in (401, 403), status == 404)


async def test_a_429_without_advice_still_pauses_the_account() -> None:
    made, recorder = core(transport=answering(429))
    error = await failure(made, "GET")
    assert isinstance(error, Retryable) and error.after is None
    assert len(recorder.paused) == 1 and recorder.paused[0][1] > 0


@pytest.mark.parametrize("content", [b"<html>critical error</html>", b'{"cut": ', b"[]", b"", b"\xff\xfe", b"[" * 9999])
async def test_bodies_that_cannot_be_used(content: bytes) -> None:
    whole = content == b"[]"  # it came as it was sent, and is not what was asked for
    assert type(await failure(core(transport=answering(200, content))[0], "GET")) is (
        Unreadable if whole else Retryable
    )
    assert type(await failure(core(transport=answering(200, content))[0], "PUT")) is OutcomeUnknown


@pytest.mark.parametrize(
    ("raised", "on_read", "on_write"),
    [
        (httpx2.ConnectError("refused"), Retryable, Retryable),
        (httpx2.ConnectTimeout("slow"), Retryable, Retryable),
        (httpx2.PoolTimeout("full"), Retryable, Retryable),
        (httpx2.ProxyError("no"), Retryable, Retryable),
        (httpx2.LocalProtocolError("bad header"), Rejected, Rejected),
        (httpx2.UnsupportedProtocol("ftp"), Rejected, Rejected),
        (httpx2.ReadTimeout("slow"), Retryable, OutcomeUnknown),
        (httpx2.WriteTimeout("slow"), Retryable, OutcomeUnknown),
        (httpx2.ReadError("reset"), Retryable, OutcomeUnknown),
        (httpx2.WriteError("reset"), Retryable, OutcomeUnknown),
        (httpx2.RemoteProtocolError("closed"), Retryable, OutcomeUnknown),
        (httpx2.DecodingError("gzip"), Retryable, OutcomeUnknown),
    ],
)
async def test_broken_transports(raised: Exception, on_read: Any, on_write: Any) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise raised

    for method, expected in (("GET", on_read), ("POST", on_write)):
        error = await failure(core(transport=httpx2.MockTransport(fail))[0], method)
        assert type(error) is expected, method


async def test_limits_signature_and_trace_context_go_with_each_request() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=b"{}")

    trace: ContextVar[str | None] = ContextVar("trace", default=None)
    made, recorder = core(transport=httpx2.MockTransport(answer), requests_per_second=3, burst=4, traceparent=trace)
    await made.request("GET", "http://shop.test/x", decode=needs_object, params=[("a", "1 2"), ("a", "ü")])
    trace.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await made.request("PUT", "http://shop.test/x", decode=needs_object, body={"n": "é"}, headers={"X-Own": "1"})
    await made.request("GET", "http://shop.test/x", decode=needs_object, signed=False)
    await made.aclose()
    assert recorder.acquired == [("acc:http", 3.0, 4)] * 3
    assert seen[0].url.params.get_list("a") == ["1 2", "ü"]
    assert seen[0].url.params["sig"] == "hush-hush" and "traceparent" not in seen[0].headers
    assert seen[1].headers["authorization"] == "Bearer hush-hush" and seen[1].headers["x-own"] == "1"
    assert seen[1].headers["traceparent"].startswith("00-0af7")
    assert seen[1].content == '{"n":"é"}'.encode() and seen[1].headers["content-type"] == "application/json"
    assert "authorization" not in seen[2].headers and not seen[2].url.params


async def test_no_log_line_carries_the_signed_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        made, _ = core(transport=answering(200))
        await made.request("GET", "http://shop.test/x", decode=needs_object)
        await made.aclose()
    assert "hush-hush" not in caplog.text


def test_retry_after_in_both_forms() -> None:
    now = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)
    assert retry_after("120", now) == 120.0
    assert retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert retry_after("soon", now) is None
    assert retry_after("-5", now) is None
    assert retry_after(None, now) is None


@contextlib.asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def replying(reply: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    return handle


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"not http at all\r\n\r\n",
    ],
    ids=["closed", "cut short", "cut chunk", "bad gzip", "not http"],
)
async def test_answers_that_break_off_on_the_wire(reply: bytes) -> None:
    async with listening(replying(reply)) as port:
        url = f"http://127.0.0.1:{port}"
        assert type(await failure(core(url)[0], "GET", url)) is Retryable
        assert type(await failure(core(url)[0], "POST", url)) is OutcomeUnknown


def old(status: str, body: bytes, media_type: str = "application/json; charset=utf-8") -> bytes:
    """An answer that ends with its connection."""
    return f"HTTP/1.0 {status}\r\nContent-Type: {media_type}\r\n\r\n".encode() + body


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
@pytest.mark.parametrize("body", [b"", b'{"items": [', b'[{"id": 1}, {"i'])
async def test_json_that_ends_with_its_connection_and_not_with_itself_is_not_whole(status: str, body: bytes) -> None:
    async with listening(replying(old(status, body))) as port:
        url = f"http://127.0.0.1:{port}"
        assert type(await failure(core(url)[0], "GET", url)) is Retryable
        assert type(await failure(core(url)[0], "POST", url)) is OutcomeUnknown


async def test_what_ends_with_its_connection_and_is_whole_is_taken() -> None:
    for reply, value in ((old("200 OK", b'{"a": 1}'), {"a": 1}), (old("204 No Content", b""), None)):
        async with listening(replying(reply)) as port:
            url = f"http://127.0.0.1:{port}"
            assert (await core(url)[0].request("GET", url, decode=lambda data: data)).value == value
    for reply in (old("404 Not Found", b'{"code": "none", "message": "none"}'), old("400 Bad Request", b'{"mess')):
        async with listening(replying(reply)) as port:
            url = f"http://127.0.0.1:{port}"
            refused = await failure(core(url)[0], "POST", url)
            assert type(refused) is Rejected and refused.missing == (b"404" in reply)


async def test_a_silent_and_a_dripping_server_run_into_the_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    for handler in (silent, dripping):
        async with listening(handler) as port:
            url = f"http://127.0.0.1:{port}"
            async with asyncio.timeout(3):
                assert type(await failure(core(url, timeout_seconds=0.2)[0], "GET", url)) is Retryable
                assert type(await failure(core(url, timeout_seconds=0.2)[0], "POST", url)) is OutcomeUnknown


async def test_nobody_listening_and_unknown_hosts_are_retryable_even_for_writes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for url in (closed, "http://no-such-host.invalid"):
        error = await failure(core(url)[0], "POST", url)
        assert type(error) is Retryable, url


async def test_redirects_are_not_followed() -> None:
    reply = b"HTTP/1.1 307 Moved\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with listening(replying(reply)) as port:
        url = f"http://127.0.0.1:{port}"
        for method in ("GET", "POST"):
            error = await failure(core(url)[0], method, url)
            assert type(error) is Rejected and "elsewhere.test" in error.hint


def private_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority's PEM file, and a server context for 127.0.0.1 signed by it."""
    now = dt.datetime.now(dt.UTC)

    def build(name: str, issuer: str, public: Any, signer: Any, *, authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = build("Our own authority", "Our own authority", root_key.public_key(), root_key, authority=True)
    leaf = build("shop", "Our own authority", key.public_key(), root_key, authority=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    (folder / "shop.pem").write_bytes(
        leaf.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "shop.pem")
    return folder / "ca.pem", context


async def test_a_private_authority_is_trusted_only_when_given(tmp_path: Path) -> None:
    ca_file, context = private_authority(tmp_path)
    async with listening(replying(OK), context) as port:
        url = f"https://127.0.0.1:{port}"
        made, _ = core(url, ca_file=str(ca_file))
        assert (await made.request("GET", url, decode=needs_object)).value == {}
        await made.aclose()
        error = await failure(core(url)[0], "POST", url)
        assert type(error) is Retryable and "ca_file" in error.hint


def test_an_unreadable_authority_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("nothing")
    for path in (broken, tmp_path / "absent.pem"):
        with pytest.raises(InvalidInput, match="certificate authority"):
            core("https://shop.test", ca_file=str(path))


@pytest.mark.parametrize(
    ("status", "meaning", "on_read", "on_write"),
    [
        (500, "refused", Rejected, Rejected),
        (400, "broken", Retryable, OutcomeUnknown),
        (500, "broken", Retryable, OutcomeUnknown),
        (500, "later", Retryable, Retryable),
        (409, "later", Retryable, Retryable),
        (500, "as the status", Retryable, OutcomeUnknown),
    ],
)
async def test_an_error_body_that_says_what_happened_overrules_the_status(
    status: int, meaning: Any, on_read: Any, on_write: Any
) -> None:
    told = VendorError(code="c1", message="why not", meaning=meaning)
    for method, expected in (("GET", on_read), ("PUT", on_write)):
        config = AccountConfig(vendor="custom", base_url="http://shop.test", currency="USD")  # type: ignore[arg-type]
        made = HttpCore(config, Recorder(), "acc", read_error=lambda *_: told, transport=answering(status))
        error = await failure(made, method)
        assert type(error) is expected and error.vendor_code == "c1"
