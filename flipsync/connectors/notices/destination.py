"""Where a person is told, as one URL each; the whole of it is a secret, `shown` is what may be seen.

mailtos://user:password@smtp.example.com:465?from=shop@example.com&to=ada@example.com     TLS from the first byte
mailto://user:password@smtp.example.com:587?from=shop@example.com&to=ada@example.com      STARTTLS, required
sendgrid://API-KEY:shop@example.com/ada@example.com
mailgun://shop@mg.example.com/API-KEY/ada@example.com
twilio://ACCOUNT:TOKEN@+15550001111/+15552223333
tgram://123456789:BOT-TOKEN/CHAT      ntfys://ntfy.sh/TOPIC      ntfys://TOKEN@ntfy.example.com/TOPIC
gotifys://gotify.example.com/TOKEN
https://hooks.slack.com/services/…      https://discord.com/api/webhooks/…      https://anything.example.com/hook

Chats are written as apprise writes them. What a browser subscribed to (connectors.notices.webpush) is no URL alone and
is not written by people.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.headerregistry import Address
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from flipsync.connectors.notices import chats
from flipsync.connectors.notices.chats import Chat
from flipsync.domain.errors import InvalidInput

if TYPE_CHECKING:
    from flipsync.connectors.notices.webpush import Subscription

Channel = Literal["email", "sms", "chat", "push"]
Service = Literal["smtp", "sendgrid", "mailgun", "twilio", "webpush"] | Chat
LONGEST = 2_000
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_BOT = re.compile(r"(\d{5,20}:[A-Za-z0-9_\-]{20,100})/(-?\d{1,20}|@[A-Za-z0-9_]{4,64})/?")
_TOPIC = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,256}")
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@[A-Za-z0-9.\-]{1,253}")


@dataclass(frozen=True)
class Destination:
    """`to` and `sender` are addresses, numbers or the name of a chat; `secret` is what nobody sees; `url` is where
    hooks are called."""

    service: Service
    channel: Channel
    host: str
    port: int
    shown: str
    to: str = ""
    sender: str = ""
    user: str = ""
    secret: str = ""
    url: str = ""
    #: the connection is TLS from its first byte
    tls: bool = True
    #: how a browser is pushed to
    push: Subscription | None = None

    def __repr__(self) -> str:
        return f"Destination({self.shown})"


def parse(url: str) -> Destination:
    """Raises InvalidInput, without the URL in it: it is a secret."""
    if len(url) > LONGEST or not url.isascii() or any(ord(each) <= 32 or ord(each) == 127 for each in url):
        raise _wrong("it is too long, or has other signs in it than a URL has")
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "tgram":  # its token reads as a host and a port that is none
        return _telegram(rest)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("it cannot be read as a URL") from None
    make = _MAKERS.get(parts.scheme.lower())
    if make is None:
        raise _wrong(f"its scheme is none of {', '.join([*_MAKERS, 'tgram'])}")
    return make(parts, port)


def _smtp(parts: SplitResult, port: int | None) -> Destination:
    tls = parts.scheme.lower() == "mailtos"
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.path not in ("", "/") or not set(query) <= {"from", "to"}:
        raise _wrong("a mail server is written as mailtos://user:password@server:465?from=…&to=…")
    user, host = unquote(parts.username or ""), _host(parts)
    to, sender = mail_address(query.get("to", "")), mail_address(query.get("from") or user)
    return Destination(
        "smtp",
        "email",
        host,
        port or (465 if tls else 587),
        f"{_hidden(to)} by {host}",
        to=to,
        sender=sender,
        user=user,
        secret=unquote(parts.password or ""),
        tls=tls,
    )


def _sendgrid(parts: SplitResult, port: int | None) -> Destination:
    key, sender = unquote(parts.username or ""), mail_address(f"{unquote(parts.password or '')}@{_host(parts)}")
    to = mail_address(_single(parts.path))
    return Destination(
        "sendgrid", "email", "api.sendgrid.com", 443, f"{_hidden(to)} by SendGrid", to, sender, secret=_word(key)
    )


def _mailgun(parts: SplitResult, port: int | None) -> Destination:
    domain = _host(parts)
    key, _, to = parts.path.lstrip("/").partition("/")
    to, sender = mail_address(unquote(to)), mail_address(f"{unquote(parts.username or '')}@{domain}")
    shown = f"{_hidden(to)} by Mailgun"
    return Destination("mailgun", "email", "api.mailgun.net", 443, shown, to, sender, domain, _word(unquote(key)))


def _twilio(parts: SplitResult, port: int | None) -> Destination:
    sender, to = _phone(parts.hostname or ""), _phone(_single(parts.path))
    user, token = _word(unquote(parts.username or "")), _word(unquote(parts.password or ""))
    return Destination("twilio", "sms", "api.twilio.com", 443, f"{to[:3]}…{to[-2:]} by Twilio", to, sender, user, token)


def _hook(parts: SplitResult, port: int | None) -> Destination:
    host = _host(parts)
    if parts.username or parts.password or parts.fragment:
        raise _wrong("a hook has no user name in it")
    return Destination(
        chats.of_hook(host, parts.path),
        "chat",
        host,
        port or (443 if parts.scheme.lower() == "https" else 80),
        f"{parts.scheme.lower()}://{host}/…",
        url=f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}",
        tls=parts.scheme.lower() == "https",
    )


def _telegram(rest: str) -> Destination:
    found = _BOT.fullmatch(rest)
    if found is None:
        raise _wrong("a chat of Telegram's is written as tgram://123456789:BOT-TOKEN/CHAT")
    token, chat = found.groups()
    return Destination("telegram", "chat", "api.telegram.org", 443, f"{chat[:3]}… by Telegram", chat, secret=token)


def _ntfy(parts: SplitResult, port: int | None) -> Destination:
    host, topic, token = _host(parts), _single(parts.path), unquote(parts.username or "")
    if not _TOPIC.fullmatch(topic) or parts.password:
        raise _wrong("a topic of ntfy's is written as ntfys://ntfy.sh/TOPIC or ntfys://TOKEN@host/TOPIC")
    shown = f"{topic[:2]}… by {host}"  # whoever knows a topic reads what is told there
    secret = _word(token) if token else ""
    return Destination("ntfy", "chat", host, port or 443, shown, topic, secret=secret, url="/")


def _gotify(parts: SplitResult, port: int | None) -> Destination:
    host = _host(parts)
    folder, _, token = parts.path.rstrip("/").rpartition("/")
    if parts.username or parts.password:
        raise _wrong("a server of Gotify's is written as gotifys://host/TOKEN")
    url = f"{folder}/message"
    return Destination("gotify", "chat", host, port or 443, f"Gotify at {host}", secret=_word(token), url=url)


#: http is for hooks inside the house, which the operator has to allow by name (connectors.notices.reach)
_MAKERS: dict[str, Callable[[SplitResult, int | None], Destination]] = {
    "mailtos": _smtp,
    "mailto": _smtp,
    "sendgrid": _sendgrid,
    "mailgun": _mailgun,
    "twilio": _twilio,
    "ntfys": _ntfy,
    "gotifys": _gotify,
    "https": _hook,
    "http": _hook,
}


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".").lower()
    if not host or len(host) > 253 or not re.fullmatch(r"[a-z0-9.\-_:]+", host):
        raise _wrong("it names no server")
    if re.fullmatch(r"[0-9.]+|.*:.*", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise _wrong("an address is written as 192.0.2.1 or [2001:db8::1]") from None
    return host


def _single(path: str) -> str:
    return unquote(path.strip("/"))


def mail_address(text: str) -> str:
    """One address, which is nothing but an address."""
    try:
        if not _MAIL.fullmatch(text):
            raise ValueError
        return Address(addr_spec=text).addr_spec
    except (ValueError, IndexError, AttributeError):
        raise _wrong("it has no mail address (or more than one) where one belongs") from None


def _phone(text: str) -> str:
    number = text if text.startswith("+") else f"+{text}"
    if not _PHONE.fullmatch(number):
        raise _wrong("a number is written as +15552223333")
    return number


def _word(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _wrong("it has no key where one belongs")
    return text


def _hidden(address: str) -> str:
    name, _, domain = address.partition("@")
    return f"{name[:1]}…@{domain}"


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(f"this is no destination: {why}", hint="see the README, Notifications, for how each is written")
