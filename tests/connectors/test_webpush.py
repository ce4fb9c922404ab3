"""Web push against a push service and a browser that were written from the RFCs, and the RFCs' own examples."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from notice_servers import hook_server
from push_browser import P256, Browser, b64, point, unb64, vouched_for

from flipsync.connectors.notices import webpush
from flipsync.connectors.notices.destination import Destination, parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Message, Sender
from flipsync.connectors.notices.webpush import VapidKey
from flipsync.domain.errors import ChannelError, InvalidInput, Rejected, Retryable

MESSAGE = Message(
    id="0190aaaa-0000-7000-8000-000000000001",
    title="Order <b>1001</b> – läuft",
    text="not sent",
    html="not sent",
    short="not sent",
    detail="The ways out are with the order.",
    link="/orders/1",
    urgent=True,
)
INSIDE = Reach(["127.0.0.0/8"])
#: RFC 8291, 5 and Appendix A
RFC_8291 = {
    "plaintext": "When I grow up, I want to be a watermelon",
    "as_private": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "as_public": "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
    "ua_private": "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
    "ua_public": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "body": "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w"
    "EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
}
#: RFC 8292, 2.4
RFC_8292_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1Yi"
    "I6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9"
    "OkSSHzvoD1oA"
)
RFC_8292_KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(text)), P256)


def destination(browser: Browser, endpoint: str, key: VapidKey) -> Destination:
    given = browser.subscription(endpoint)
    return webpush.subscribed(endpoint, given["keys"]["p256dh"], given["keys"]["auth"], name="phone", vapid=key)


# -- the RFCs' own examples -------------------------------------------------------------------------------------------


def test_our_encryption_is_the_rfcs_to_the_last_bit() -> None:
    given = webpush.subscribed("https://push.example.net/push/x", RFC_8291["ua_public"], RFC_8291["auth"])
    assert given.push is not None
    ours = private(RFC_8291["as_private"])
    assert b64(point(ours.public_key())) == RFC_8291["as_public"]
    body = webpush.encrypted(RFC_8291["plaintext"].encode(), given.push, ours, unb64(RFC_8291["salt"]))
    assert b64(body) == RFC_8291["body"]


def test_the_tests_browser_reads_what_the_rfc_wrote() -> None:
    browser = Browser(private(RFC_8291["ua_private"]), unb64(RFC_8291["auth"]))
    assert browser.subscription("x")["keys"]["p256dh"] == RFC_8291["ua_public"]
    assert browser.decrypt(unb64(RFC_8291["body"])).decode() == RFC_8291["plaintext"]


def test_the_tests_push_service_knows_the_rfcs_sender_and_no_other() -> None:
    header = f"vapid t={RFC_8292_TOKEN}, k={RFC_8292_KEY}"
    vouched_for(header, "https://push.example.net", RFC_8292_KEY, now=1453523768 - 3600)
    with pytest.raises(AssertionError):
        vouched_for(header, "https://push.example.net", RFC_8292_KEY, now=1453523768 + 1)
    with pytest.raises(AssertionError):
        vouched_for(header, "https://other.example.net", RFC_8292_KEY, now=1453523768 - 3600)
    forged = header.replace("i3CYb7t4", "i3CYb7t5")
    with pytest.raises(InvalidSignature):
        vouched_for(forged, "https://push.example.net", RFC_8292_KEY, now=1453523768 - 3600)


# -- sending ----------------------------------------------------------------------------------------------------------


async def test_a_message_arrives_and_only_that_browser_reads_it() -> None:
    browser, stranger, key = Browser(), Browser(), VapidKey.new()
    async with hook_server() as server:
        service = f"http://127.0.0.1:{server.port}"
        to = destination(browser, f"{service}/push/a:b?c=d%20e", key)
        for _ in range(2):
            server.status = 201
            await Sender(INSIDE).send(to, MESSAGE)
    first, second = server.requests
    assert first[0] == "POST /push/a:b?c=d%20e HTTP/1.1"
    told = browser.read(first, service=service, public_key=key.public_text)
    assert told == {"id": MESSAGE.id, "title": MESSAGE.title, "body": MESSAGE.detail, "link": "/orders/1"}
    assert browser.read(second, service=service, public_key=key.public_text) == told
    assert first[1]["topic"] == second[1]["topic"] and first[1]["urgency"] == "high"
    assert first[2] != second[2], "another key and another salt each time"
    assert b"1001" not in first[2] and b"not sent" not in first[2]
    for wrong in (stranger, replace(browser, auth=stranger.auth), replace(stranger, auth=browser.auth)):
        with pytest.raises(InvalidTag):
            wrong.decrypt(first[2])
    with pytest.raises(AssertionError):
        browser.read(first, service=service, public_key=VapidKey.new().public_text)


async def test_a_long_title_still_fits() -> None:
    browser, key = Browser(), VapidKey.new()
    long = replace(MESSAGE, title="\U0001f600" * 5_000, detail='"\\\n' * 5_000, link="/" + "x" * 9_000)
    async with hook_server() as server:
        service = f"http://127.0.0.1:{server.port}"
        await Sender(INSIDE).send(destination(browser, f"{service}/push/1", key), long)
    told = browser.read(server.requests[0], service=service, public_key=key.public_text)
    assert told["title"] == "\U0001f600" * 240


@pytest.mark.parametrize(
    ("status", "headers", "kind", "after", "missing"),
    [
        (429, "Retry-After: 120\r\n", Retryable, 120.0, False),
        (429, "", Retryable, None, False),
        (500, "", Retryable, None, False),
        (502, "Retry-After: 7\r\n", Retryable, 7.0, False),
        (503, "Retry-After: soon\r\n", Retryable, None, False),
        (404, "", Rejected, None, True),
        (410, "", Rejected, None, True),
        (400, "", Rejected, None, False),
        (403, "", Rejected, None, False),
        (413, "", Rejected, None, False),
        (307, "Location: http://169.254.169.254/\r\n", Rejected, None, False),
    ],
)
async def test_what_a_push_service_says(
    status: int, headers: str, kind: type[ChannelError], after: float | None, missing: bool
) -> None:
    async with hook_server() as server:
        server.status, server.headers = status, headers
        to = destination(Browser(), f"http://127.0.0.1:{server.port}/push/SECRET", VapidKey.new())
        with pytest.raises(kind) as raised:
            await Sender(INSIDE).send(to, MESSAGE)
    assert getattr(raised.value, "after", None) == after and getattr(raised.value, "missing", False) is missing
    assert "SECRET" not in str(raised.value)
    assert len(server.requests) == 1


async def test_the_token_is_of_one_service_and_says_whom_to_turn_to() -> None:
    key = VapidKey.read(VapidKey.new().text, "https://app.example")
    for endpoint, origin in (
        ("https://Push.Example.net/x", "https://push.example.net"),
        ("https://push.example.net:443/x", "https://push.example.net"),
        ("https://push.example.net:8443/x", "https://push.example.net:8443"),
        ("https://[2606:4700::1]/x", "https://[2606:4700::1]"),
    ):
        _, request = webpush.call(destination(Browser(), endpoint, key), MESSAGE)
        vouched_for(request["headers"]["Authorization"], origin, key.public_text, now=time.time())
    assert key.subject == "https://app.example"
    assert VapidKey.read(key.text, "http://127.0.0.1").subject.startswith("mailto:")
    assert VapidKey.read(key.text).public_text == key.public_text
    assert key.text not in repr(key) and key.text not in repr(destination(Browser(), "https://push.example.net/x", key))


# -- what is no subscription ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        {"endpoint": "ftp://push.example.net/x"},
        {"endpoint": "mailto://push.example.net"},
        {"endpoint": "https://user:pw@push.example.net/x"},
        {"endpoint": "https:///x"},
        {"endpoint": "https://push.example.net/" + "x" * 3_000},
        {"endpoint": "https://push.example.net/\r\nHost: evil"},
        {"p256dh": ""},
        {"p256dh": "SECRET!"},
        {"p256dh": b64(b"\x04" + b"\1" * 64)},
        {"p256dh": b64(b"\x00")},
        {"p256dh": "ä"},
        {"auth": ""},
        {"auth": b64(b"1" * 15)},
        {"auth": b64(b"1" * 17)},
    ],
    ids=str,
)
def test_what_is_no_subscription_is_refused_without_a_word_of_it(broken: dict[str, str]) -> None:
    given = Browser().subscription("https://push.example.net/x")
    values: dict[str, Any] = {"endpoint": given["endpoint"], **given["keys"]} | broken
    with pytest.raises(InvalidInput) as raised:
        webpush.subscribed(values["endpoint"], values["p256dh"], values["auth"])
    assert "SECRET" not in str(raised.value) and given["keys"]["auth"] not in str(raised.value)


def test_a_compressed_point_is_none_a_browser_gives() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    browser = Browser()
    small = browser.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    with pytest.raises(InvalidInput):
        webpush.subscribed("https://push.example.net/x", b64(small), b64(browser.auth))


async def test_nothing_is_pushed_inside_whatever_the_path_says() -> None:
    key = VapidKey.new()
    async with hook_server() as server:
        for endpoint in (f"https://127.0.0.1:{server.port}/x", f"https://localhost:{server.port}/x"):
            with pytest.raises(Rejected, match="inside the installation's own network"):
                await Sender(Reach()).send(destination(Browser(), endpoint, key), MESSAGE)
        with pytest.raises(Rejected, match="https"):
            await Sender(Reach()).send(destination(Browser(), f"http://127.0.0.1:{server.port}/x", key), MESSAGE)
        assert server.requests == []
    async with hook_server() as outside, hook_server() as inside:
        inner = f"127.0.0.1:{inside.port}"
        for to in (
            destination(Browser(), f"http://127.0.0.1:{outside.port}//{inner}/x", key),
            parse(f"http://127.0.0.1:{outside.port}//{inner}/x"),
        ):
            await Sender(INSIDE).send(to, MESSAGE)
        assert inside.requests == [], "a path that begins with // names no other host"
        assert [line for line, _, _ in outside.requests] == [f"POST //{inner}/x HTTP/1.1"] * 2
