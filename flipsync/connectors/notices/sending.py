"""Sends one message to one destination and says what came of it: sent, refused, to be tried again, or nobody knows.

Raises Rejected, Retryable or OutcomeUnknown (domain.errors). What they say holds no secret and nothing the other side
wrote: only what kind of thing happened.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cached_property
from typing import Any

import httpx2

from flipsync.connectors.notices import chats, webpush
from flipsync.connectors.notices.destination import Channel, Destination
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.request import retry_after
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

# The URL of a hook is its key, and the client would write each URL to the log.
logging.getLogger("httpx2").setLevel(logging.WARNING)
_SECONDS = 20.0
#: whatever the server can do with other bytes
_POLICY = SMTP.clone(cte_type="7bit")
_LONGEST_SMS = 320


@dataclass(frozen=True)
class Attached:
    """A file that goes along; `name` is of nothing that anybody wrote."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Message:
    """`id` is the same at every try, so that a doubled one can be told. `title` is one line; `html` is escaped.

    `mark` stands before the title: people know by it who tells them. `detail` and `link` (below the app's address) are
    of the one matter it tells of.
    """

    id: str
    title: str
    text: str
    html: str
    short: str
    mark: str = "[FlipSync] "
    detail: str = ""
    link: str = ""
    urgent: bool = False
    #: by mail only: what else there is has no room for them
    files: tuple[Attached, ...] = ()


class Sender:
    """`bases` puts another address in the place of a service's own; `tls` is whom to trust (the system's roots)."""

    def __init__(
        self,
        reach: Reach,
        *,
        seconds: float = _SECONDS,
        bases: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reach = reach
        self._given_tls = tls
        self._seconds = seconds
        self._bases = dict(bases or {})

    async def send(self, to: Destination, message: Message) -> None:
        """Returns when the other side has taken it. Raises Rejected, Retryable, OutcomeUnknown."""
        began = _Began()
        _ = self._tls  # before the clock runs: to read the system's roots takes long on a busy machine
        try:
            async with asyncio.timeout(self._seconds):
                if to.service == "smtp":
                    await self._mail(to, message, began)
                else:
                    await self._post(to, message, began)
        except TimeoutError:
            raise began.failed("it took too long") from None

    # -- mail ---------------------------------------------------------------------------------------------------------

    async def _mail(self, to: Destination, message: Message, began: _Began) -> None:
        import aiosmtplib  # only where mail is sent: no process pays for it at its start

        content = mail(to, message)
        connected = await self.reach.connect(to.host, to.port)
        plain = not to.tls and self.reach.is_inside(to.host)  # in the house a server without TLS may be the only one
        client = aiosmtplib.SMTP(
            hostname=to.host,
            sock=connected,
            use_tls=to.tls,
            start_tls=None if plain else not to.tls,
            tls_context=self._tls,
            username=to.user if to.secret else None,
            password=to.secret or None,
            local_hostname="flipsync.invalid",
            timeout=self._seconds,
        )
        try:
            await client.connect()
            await client.mail(to.sender)
            await client.rcpt(to.to)
            began.sending = True
            await client.data(content.as_bytes())
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):  # it is taken, however they part
                await client.quit(timeout=2.0)
        except aiosmtplib.SMTPAuthenticationError as error:
            raise Rejected(f"the mail server does not let us in ({error.code})") from None
        except aiosmtplib.SMTPNotSupported:
            raise Rejected("the mail server has no TLS, or no way to sign in") from None
        except aiosmtplib.SMTPResponseException as error:
            kind = Retryable if 400 <= error.code < 500 else Rejected if error.code >= 500 else None
            raise (kind or Retryable)(f"the mail server answered {error.code}") from None
        except ssl.SSLCertVerificationError:
            raise Rejected("the mail server's certificate is not one to trust") from None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise Rejected("the mail server's certificate is not one to trust") from None
            if type(error) is aiosmtplib.SMTPException:  # what it says it cannot do, we cannot do without
                raise Rejected("the mail server has no TLS, or no way to sign in") from None
            raise began.failed(f"the mail server broke off ({type(error).__name__})") from None
        finally:
            if isinstance(client.transport, asyncio.WriteTransport):
                client.transport.abort()  # a goodbye under TLS may be waited for for ever
            client.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    # -- over HTTP ----------------------------------------------------------------------------------------------------

    async def _post(self, to: Destination, message: Message, began: _Began) -> None:
        base = httpx2.URL(self._bases.get(to.service) or f"{'https' if to.tls else 'http'}://{_bracketed(to)}")
        if base.scheme == "http" and not self.reach.is_inside(base.host):
            raise Rejected("a hook on the open internet is called by https")
        path, request = call(to, message)
        port = base.port or (443 if base.scheme == "https" else 80)
        addresses = await self.reach.addresses(base.host, port)
        headers = {"Host": base.netloc.decode(), "User-Agent": "FlipSync", **request.pop("headers", {})}
        limits = httpx2.Timeout(self._seconds, connect=self._seconds / 2)
        async with httpx2.AsyncClient(verify=self._tls, trust_env=False, timeout=limits) as client:
            for left, address in enumerate(addresses, 1 - len(addresses)):
                # never joined: a path that begins with // would name another host
                url = base.copy_with(host=address, raw_path=path.encode())
                prepared = client.build_request("POST", url, headers=headers, **request)
                prepared.extensions["sni_hostname"] = base.host  # the certificate is the name's, not the address's
                began.sending = True
                try:
                    answer = await client.send(prepared, stream=True, follow_redirects=False)
                except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                    began.sending = False
                    if left:
                        continue
                    if "CERTIFICATE" in str(error).upper():
                        raise Rejected("the certificate there is not one to trust") from None
                    raise Retryable("nobody answers there") from None
                except httpx2.HTTPError as error:
                    raise OutcomeUnknown(f"the answer broke off ({type(error).__name__})") from None
                status, after = answer.status_code, answer.headers.get("Retry-After")
                await answer.aclose()  # what it says is of no use to us, and may be without an end
                raise_for(status, to.channel, retry_after(after, utc_now()))
                return


def mail(to: Destination, message: Message) -> EmailMessage:
    """The mail as it goes out; a header can hold no line break."""
    content = EmailMessage(policy=_POLICY)
    content["From"], content["To"], content["Subject"] = to.sender, to.to, f"{message.mark}{message.title}"
    content["Date"], content["Message-ID"] = format_datetime(utc_now()), f"<{message.id}@flipsync.invalid>"
    content["Auto-Submitted"] = "auto-generated"
    content.set_content(message.text)
    content.add_alternative(message.html, subtype="html")
    for each in message.files:
        maintype, subtype = each.media_type.partition(";")[0].split("/")
        content.add_attachment(each.content, maintype=maintype, subtype=subtype, filename=each.name)
    return content


def call(to: Destination, message: Message) -> tuple[str, dict[str, Any]]:
    """Path and the rest of the request by which this service takes a message."""
    title = f"{message.mark}{message.title}"
    match to.service:
        case "sendgrid":
            attached = [
                {
                    "content": base64.b64encode(each.content).decode(),
                    "type": each.media_type.partition(";")[0],
                    "filename": each.name,
                }
                for each in message.files
            ]
            return "/v3/mail/send", {
                "headers": {"Authorization": f"Bearer {to.secret}"},
                "json": ({"attachments": attached} if attached else {})
                | {
                    "personalizations": [{"to": [{"email": to.to}]}],
                    "from": {"email": to.sender},
                    "subject": title,
                    "content": [
                        {"type": "text/plain", "value": message.text},
                        {"type": "text/html", "value": message.html},
                    ],
                },
            }
        case "mailgun":
            form = {"from": to.sender, "to": to.to, "subject": title, "text": message.text, "html": message.html}
            files = [("attachment", (each.name, each.content, each.media_type)) for each in message.files]
            more = {"files": files} if files else {}
            return f"/v3/{to.user}/messages", {"headers": _basic("api", to.secret), "data": form, **more}
        case "twilio":
            form = {"From": to.sender, "To": to.to, "Body": message.short[:_LONGEST_SMS]}
            path = f"/2010-04-01/Accounts/{to.user}/Messages.json"
            return path, {"headers": _basic(to.user, to.secret), "data": form}
        case "webpush":
            return webpush.call(to, message)
        case "smtp":
            raise AssertionError("mail is sent by SMTP")
        case chat:
            line = chats.Line(message.id, message.mark, message.title, message.text, message.urgent)
            return chats.call(chat, line, path=to.url, secret=to.secret, to=to.to)


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def raise_for(status: int, channel: Channel = "chat", after: float | None = None) -> None:
    """Raises what a status that is not 2xx means for a message that was sent; `after` seconds they want to be asked
    again. A push service that fails is asked again, as a message that comes twice replaces itself (`Topic`); one that
    does not know the subscription never will again (RFC 8030, 7.3)."""
    if 200 <= status < 300:
        return
    push = channel == "push"
    if push and status in (404, 410):
        raise Rejected("the browser is subscribed no more", missing=True)
    if status in (408, 425, 429, 503) or (push and status >= 500):
        raise Retryable(f"they answered {status}", after=after)
    if status >= 500:
        raise OutcomeUnknown(f"they answered {status}")
    if 300 <= status < 400:
        raise Rejected(f"they send us elsewhere ({status}), which is not followed")
    raise Rejected(f"they answered {status}")


class _Began:
    """Whether anything of the message may have arrived."""

    sending = False

    def failed(self, why: str) -> ChannelError:
        return OutcomeUnknown(why) if self.sending else Retryable(why)


def _bracketed(to: Destination) -> str:
    host = f"[{to.host}]" if ":" in to.host else to.host
    return f"{host}:{to.port}"
