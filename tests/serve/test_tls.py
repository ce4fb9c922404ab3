"""The README's way to TLS: its proxy in front of the API, a certificate, and what comes through."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from api_world import API, Business
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from listening import listening
from test_api_sessions import newcomer
from websockets.asyncio.client import connect

from flipsync.domain.clock import utc_now
from flipsync.embedded.ports import choose_port
from flipsync.embedded.ray_head import haproxy_binary
from serve.api import build_app
from serve.backend import Backend
from serve.settings import ServeSettings

README = Path(__file__).resolve().parents[2] / "README.md"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Door:
    """Where the proxy listens, and whom to trust."""

    plain: int
    sealed: int
    authority: str

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.authority)


def _certificate() -> tuple[str, str]:
    """One for the address of this machine, signed by itself, as PEM: alone, and with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flipsync test")]), utc_now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    sealed = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode(), (made + sealed).decode()


def _recipe(certificate: Path, *, plain: int, sealed: int, behind: str) -> str:
    """The README's, with ports and places of this machine."""
    (text,) = re.findall(r"^```haproxy\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    for theirs, ours in (
        ("bind :80\n", f"bind {HOST}:{plain}\n"),
        ("bind :443 ", f"bind {HOST}:{sealed} "),
        ("/etc/haproxy/api.example.com.pem", str(certificate)),
        (f"{HOST}:8000", behind),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


@pytest.fixture(scope="module")
async def door(settings: ServeSettings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("no HAProxy for this machine: neither Ray's own nor one on the PATH")
    app = build_app(settings.model_copy(update={"public_url": "https://api.example.com"}))
    folder = tmp_path_factory.mktemp("tls")
    authority, pem = _certificate()
    (folder / "door.pem").write_text(pem)
    found = Door(choose_port(), choose_port(), authority)
    config = folder / "haproxy.cfg"
    async with listening(app) as behind:
        config.write_text(_recipe(folder / "door.pem", plain=found.plain, sealed=found.sealed, behind=behind))
        proxy = subprocess.Popen([binary, "-db", "-f", config])
        async with asyncio.timeout(20):
            while True:
                try:
                    (await asyncio.open_connection(HOST, found.sealed))[1].close()
                    break
                except OSError:
                    assert proxy.poll() is None, "HAProxy does not take the README's configuration"
                    await asyncio.sleep(0.05)
        yield found
        proxy.terminate()
        proxy.wait()
    await app.state.backend.aclose()


async def test_answers_come_by_tls_and_browsers_are_told_to_stay_with_it(door: Door, alpha: Business) -> None:
    async with httpx2.AsyncClient(base_url=f"https://{HOST}:{door.sealed}", verify=door.trusting()) as client:
        for path in ("/monitoring/health", "/products"):  # by FastAPI, and by the short way
            answer = await client.get(f"{API}{path}", headers=alpha.headers())
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_plain_http_is_sent_on_with_its_method(door: Door) -> None:
    async with httpx2.AsyncClient(base_url=f"http://{HOST}:{door.plain}") as client:
        answer = await client.post(f"{API}/auth/login", json={})
    assert answer.status_code == 308
    assert answer.headers["location"].startswith(f"https://{HOST}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_of_tls_are_refused(door: Door, version: ssl.TLSVersion) -> None:
    old = door.trusting()
    old.minimum_version = old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")  # else it is our side that refuses
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version"):
        await asyncio.open_connection(HOST, door.sealed, ssl=old)


async def test_who_signs_in_is_whom_the_proxy_saw_not_whom_they_claim_to_be(
    door: Door, backend: Backend, alpha: Business
) -> None:
    email, _ = await newcomer(backend, alpha)
    claim = {"X-Forwarded-For": "198.51.100.7"}
    async with httpx2.AsyncClient(base_url=f"https://{HOST}:{door.sealed}", verify=door.trusting()) as client:
        wrong = {"email": email, "password": secrets.token_hex(8)}
        assert (await client.post(f"{API}/auth/login", json=wrong, headers=claim)).status_code == 401
        told = (await client.get(f"{API}/audit", params={"limit": 5}, headers=alpha.headers())).json()["items"]
    assert "198.51.100.7" not in json.dumps(told)
    assert any(HOST in json.dumps(entry) for entry in told)


async def test_live_connections_come_through(door: Door, alpha: Business) -> None:
    token = alpha.headers()["Authorization"].removeprefix("Bearer ")
    protocols = ["flipsync.v1", f"bearer.{token}"]
    address = f"wss://{HOST}:{door.sealed}{API}/ws"
    async with connect(address, subprotocols=protocols, ssl=door.trusting()) as client:  # type: ignore[arg-type]
        assert json.loads(await client.recv())["type"] == "ready"
