"""Ways to a person, against real servers: what is sent, what came of it, and where nothing is ever sent."""

from __future__ import annotations

import asyncio
import base64
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from notice_servers import certificate, hook_server, mail_server

from flipsync.connectors.notices import reach as reaching
from flipsync.connectors.notices.destination import parse
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Message, Sender, call, mail
from flipsync.domain.errors import ChannelError, InvalidInput, OutcomeUnknown, Rejected, Retryable

MESSAGE = Message(
    id="0190",
    title="Order <b>1001</b> – läuft",
    text="plain & äöü\n",
    html="<p>&lt;b&gt;</p>",
    short="FlipSync: order 1001 " + "x" * 500,
)
INSIDE = Reach(["127.0.0.0/8"])


def mail_to(port: int, *, scheme: str = "mailto", host: str = "127.0.0.1", user: str = "") -> str:
    return f"{scheme}://{user}{host}:{port}?from=shop@example.com&to=ada@example.com"


# -- mail -------------------------------------------------------------------------------------------------------------


async def test_a_mail_arrives_as_text_and_html_with_an_id_of_its_own() -> None:
    async with mail_server() as server:
        await Sender(INSIDE).send(parse(mail_to(server.port)), MESSAGE)
    (got,) = server.mails
    assert (got["From"], got["To"], got["X-Envelope-To"]) == ("shop@example.com", "ada@example.com", "ada@example.com")
    assert got["Subject"] == "[FlipSync] Order <b>1001</b> – läuft"
    assert got["Message-ID"] == "<0190@flipsync.invalid>" and got["Auto-Submitted"] == "auto-generated"
    plain, html = got.get_body(("plain",)), got.get_body(("html",))
    assert plain is not None and html is not None
    assert plain.get_content().strip() == "plain & äöü" and html.get_content().strip() == "<p>&lt;b&gt;</p>"
    assert max(server.raw[0]) < 128, "whatever the server can do with other bytes"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"answer": "451 later"}, Retryable),
        ({"answer": "550 spam"}, Rejected),
        ({"rcpt": "550 nobody"}, Rejected),
        ({"rcpt": "450 greylisted"}, Retryable),
        ({"hang": True}, OutcomeUnknown),
        ({"drop": True}, OutcomeUnknown),
    ],
)
async def test_what_came_of_a_mail(told: dict[str, Any], kind: type[ChannelError]) -> None:
    async with mail_server() as server:
        for name, value in told.items():
            setattr(server, name, value)
        with pytest.raises(kind):
            await Sender(INSIDE, seconds=0.6).send(parse(mail_to(server.port)), MESSAGE)


async def test_a_password_is_sent_only_under_tls_and_only_to_whom_the_certificate_names(tmp_path: Path) -> None:
    ours, trusting = certificate(tmp_path)
    named = Reach(["localhost", "127.0.0.0/8"])
    for scheme, at_once in (("mailtos", True), ("mailto", False)):
        async with mail_server(ours, at_once=at_once) as server:
            right = mail_to(server.port, scheme=scheme, host="localhost", user="ada:right@")
            await Sender(named, tls=trusting).send(parse(right), MESSAGE)
            assert server.logins == [(b"ada", b"right")]
            wrong = mail_to(server.port, scheme=scheme, host="localhost", user="ada:wrong@")
            with pytest.raises(Rejected, match="let us in"):
                await Sender(named, tls=trusting).send(parse(wrong), MESSAGE)
            with pytest.raises(Rejected, match="certificate"):
                await Sender(named).send(parse(right), MESSAGE)
            assert len(server.mails) == 1 and [each for _, each in server.logins].count(b"right") == 1


def test_nobody_pays_for_mail_or_encryption_who_sends_none() -> None:
    loaded = "[each for each in ('aiosmtplib', 'http_ece') if each in sys.modules]"
    script = f"import sys, flipsync.runtime.notifier, serve.routes.notifications; print({loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


async def test_a_server_without_tls_gets_no_password_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """STARTTLS is not asked for but required: whoever stands in between cannot take it away."""
    monkeypatch.setattr(reaching, "is_outside", lambda address: True)
    async with mail_server() as server:
        with pytest.raises(Rejected, match="no TLS"):
            await Sender(Reach()).send(parse(mail_to(server.port, user="ada:right@")), MESSAGE)
    assert server.logins == [] and server.mails == []


async def test_a_server_that_says_nothing_holds_up_only_its_own_message() -> None:
    silent = await asyncio.start_server(lambda r, w: asyncio.sleep(30), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Retryable):
        await Sender(INSIDE, seconds=0.4).send(parse(mail_to(port)), MESSAGE)
    with pytest.raises(OutcomeUnknown):
        await Sender(INSIDE, seconds=0.4).send(parse(f"http://127.0.0.1:{port}/"), MESSAGE)
    assert time.monotonic() - began < 5
    silent.close()


@pytest.mark.parametrize("hostile", ["a\r\nBcc: all@x.example", "a\nb", "a\rb"])
def test_no_line_break_gets_into_a_header(hostile: str) -> None:
    message = Message("1", hostile, "t", "h", "s")
    with pytest.raises(ValueError):
        mail(parse(mail_to(25)), message)


# -- over HTTP --------------------------------------------------------------------------------------------------------


async def test_a_hook_gets_json_and_its_own_name_over_tls(tmp_path: Path) -> None:
    ours, trusting = certificate(tmp_path)
    async with hook_server(ours) as server:
        hook = parse(f"https://localhost:{server.port}/deep/hook?room=1")
        await Sender(Reach(["localhost"]), tls=trusting).send(hook, MESSAGE)
        with pytest.raises(Rejected, match="certificate"):
            await Sender(Reach(["localhost"])).send(hook, MESSAGE)
    ((line, headers, _),) = server.requests
    assert (line, headers["host"]) == ("POST /deep/hook?room=1 HTTP/1.1", f"localhost:{server.port}")
    assert server.bodies() == [{"id": "0190", "title": MESSAGE.title, "text": MESSAGE.text}]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"status": 200, "endless": True}, None),
        ({"status": 400}, Rejected),
        ({"status": 404}, Rejected),
        ({"status": 302, "headers": "Location: http://169.254.169.254/latest/\r\n"}, Rejected),
        ({"status": 307, "headers": "Location: http://127.0.0.1:1/\r\n"}, Rejected),
        ({"status": 429}, Retryable),
        ({"status": 503}, Retryable),
        ({"status": 500}, OutcomeUnknown),
        ({"garbage": b"what?"}, OutcomeUnknown),
        ({"hang": 5.0}, OutcomeUnknown),
    ],
)
async def test_what_came_of_a_call(told: dict[str, Any], kind: type[ChannelError] | None) -> None:
    async with hook_server() as server:
        for name, value in told.items():
            setattr(server, name, value)
        sending = Sender(INSIDE, seconds=0.6).send(parse(f"http://127.0.0.1:{server.port}/"), MESSAGE)
        if kind is None:
            await sending
        else:
            with pytest.raises(kind):
                await sending
        assert len(server.requests) == 1


async def test_nobody_at_home_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (mail_to(port), f"http://127.0.0.1:{port}/"):
        with pytest.raises(Retryable):
            await Sender(INSIDE).send(parse(url), MESSAGE)


@pytest.mark.parametrize(
    ("url", "path", "held"),
    [
        ("sendgrid://SG.key:shop@example.com/ada@example.com", "/v3/mail/send", "ada@example.com"),
        ("mailgun://shop@mg.example.com/key-1/ada@example.com", "/v3/mg.example.com/messages", "ada%40example.com"),
        ("twilio://AC1:token@+15550001111/+15552223333", "/2010-04-01/Accounts/AC1/Messages.json", "%2B15552223333"),
    ],
)
async def test_services_are_called_as_they_document(url: str, path: str, held: str) -> None:
    to = parse(url)
    async with hook_server() as server:
        server.status = 201
        await Sender(INSIDE, bases={to.service: f"http://127.0.0.1:{server.port}"}).send(to, MESSAGE)
    ((line, headers, body),) = server.requests
    assert line == f"POST {path} HTTP/1.1" and held in body.decode()
    secret = headers["authorization"].split()[1]
    assert secret == "SG.key" or base64.b64decode(secret) in (b"api:key-1", b"AC1:token")


def test_chats_show_what_came_from_outside_as_words() -> None:
    loud = Message("1", "t", "<!channel> @everyone <http://x|y>", "h", "s")
    _, slack = call(parse("https://hooks.slack.com/services/T/B/x"), loud)
    assert slack["json"]["text"] == "&lt;!channel&gt; @everyone &lt;http://x|y&gt;"
    _, discord = call(parse("https://discord.com/api/webhooks/1/x"), loud)
    assert discord["json"]["allowed_mentions"] == {"parse": []}
    _, discord = call(parse("https://discord.com/api/webhooks/1/x"), Message("1", "t", "[bank](https://x)", "h", "s"))
    assert discord["json"]["content"] == "\\[bank\\](https://x)"
    _, sms = call(parse("twilio://AC1:token@+15550001111/+15552223333"), MESSAGE)
    assert len(sms["data"]["Body"]) <= 320


# -- where nothing is sent --------------------------------------------------------------------------------------------

HERE = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "localhost"),
    *("169.254.169.254", "2852039166", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "224.0.0.1"),
    *("255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[fe80::1]"),
    *("[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "[2001:0:7f00:1::80ff:fffe]", "198.18.0.1"),
)


@pytest.mark.parametrize("host", HERE)
async def test_nothing_is_sent_inside(host: str) -> None:
    for url in (f"https://{host}/", mail_to(25, host=host)):
        with pytest.raises((Rejected, Retryable, InvalidInput)) as refused:
            await Sender(Reach(), seconds=3).send(parse(url), MESSAGE)
        # glibc may not take the stranger spellings for addresses: then the name leads nowhere
        assert refused.type is not Retryable or "leads nowhere" in refused.value.message, refused.value.message


async def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: judged at one address, connected to at another. It is asked once, and that is where we go."""
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(reaching, "_resolve", resolve)
    monkeypatch.setattr(reaching, "_SECONDS_TO_CONNECT", 0.2)
    async with hook_server() as hooks, mail_server() as mails:
        for url in (f"https://rebind.example:{hooks.port}/", mail_to(mails.port, host="rebind.example")):
            asked.clear()
            with pytest.raises(ChannelError):
                await Sender(Reach(), seconds=0.8).send(parse(url), MESSAGE)
            assert asked == ["rebind.example"]
            with pytest.raises(Rejected, match="inside"):
                await Sender(Reach(), seconds=0.8).send(parse(url), MESSAGE)
    assert hooks.requests == [] and mails.mails == []


async def test_one_address_inside_among_many_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_resolve", lambda host, port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(Rejected, match="inside"):
        await Reach().addresses("both.example", 443)


async def test_our_own_address_is_inside_though_it_is_on_the_open_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_meant", lambda address: ())  # as if loopback were an address of the internet
    with pytest.raises(Rejected, match="inside"):
        await Reach().addresses("127.0.0.1", 443)


async def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_resolve", lambda host, port: time.sleep(1.5) or [])
    monkeypatch.setattr(reaching, "_SECONDS_TO_RESOLVE", 0.1)
    with pytest.raises(Retryable, match="leads nowhere"):
        await Reach().addresses("slow.example", 443)


def test_the_operator_allows_hosts_and_networks_by_name() -> None:
    reach = Reach(["mail.lan", "10.1.0.0/16", "::1"])
    assert all(reach.is_inside(each) for each in ("MAIL.lan.", "10.1.2.3", "::1"))
    assert not any(reach.is_inside(each) for each in ("10.2.0.1", "lan", "mail.lan.example"))
    with pytest.raises(InvalidInput):
        Reach(["10.1.0.0/99"])


# -- how they are written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "mailtos://u:SECRET@smtp.example.com?from=a@b.example&to=ada@example.com",
            "a…@example.com by smtp.example.com",
        ),
        ("sendgrid://SECRET:shop@example.com/ada@example.com", "a…@example.com by SendGrid"),
        ("mailgun://shop@mg.example.com/SECRET/ada@example.com", "a…@example.com by Mailgun"),
        ("twilio://AC1:SECRET@+15550001111/+15552223333", "+15…33 by Twilio"),
        ("https://hooks.slack.com/services/T/B/SECRET", "https://hooks.slack.com/…"),
        ("https://example.com/SECRET?SECRET=1", "https://example.com/…"),
    ],
)
def test_no_more_of_a_destination_is_seen_than_may_be(url: str, shown: str) -> None:
    found = parse(url)
    assert found.shown == shown and "SECRET" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "dict://127.0.0.1:11211/stats",
        "gopher://127.0.0.1/",
        "unix:///tmp/x",
        "https:///nowhere",
        "https://user:SECRET@example.com/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/\u2028",
        "https://[::1",
        "mailtos://SECRET@smtp.example.com?to=ada@example.com,bob@example.com&from=a@b.example",
        "mailtos://u:SECRET@smtp.example.com?to=ada@example.com%0d%0aBcc:x@y.example&from=a@b.example",
        "mailtos://u:SECRET@smtp.example.com?to=Ada%20%3Cada@example.com%3E&from=a@b.example",
        "mailtos://u:SECRET@smtp.example.com?from=a@b.example",
        "mailtos://u:SECRET@smtp.example.com?from=a@b.example&to=c@d.example&cc=e@f.example",
        "sendgrid://SECRET/ada@example.com",
        "sendgrid://SEC%0d%0aRET:shop@example.com/ada@example.com",
        "mailgun://shop@mg.example.com/ada@example.com",
        "mailgun://shop@mg.example.com/SEC%2FRET/ada@example.com",
        "twilio://AC1:SECRET@+15550001111/ada",
        "twilio://AC1%2f..%2f..:SECRET@+15550001111/+15552223333",
        "https://" + "SECRET" * 500,
    ],
)
def test_what_is_no_destination(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(url)
    assert "SECRET" not in str(refused.value)
