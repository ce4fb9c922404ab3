"""Chats: how each is recognised by its host, and how it takes a line of text.

What came from outside stays words: it mentions nobody and is no link to elsewhere.

Sources: Slack "Formatting text for app surfaces"; Discord "Webhook resource"; Telegram Bot API `sendMessage`; ntfy
"Publish as JSON"; Gotify `POST /message`; Microsoft Teams "Create incoming webhooks with Workflows"; Google Chat "Build
as a webhook". tests/connectors/test_notice_chats.py holds them against what apprise sends to the same places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Chat = Literal["slack", "discord", "teams", "google-chat", "telegram", "ntfy", "gotify", "hook"]
#: fewer than any of them takes
_LONGEST = 1_900
_CARD: Final = "application/vnd.microsoft.card.adaptive"
#: Gotify's apps ring from 8 on; 5 is what they show by themselves
_URGENT, _USUAL = 8, 5
_BRACKETS = str.maketrans({"[": "\\[", "]": "\\]"})
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
#: it knows no way to write this sign, with which mentions and links begin
_ANGLES = str.maketrans({"<": "‹", ">": "›"})


@dataclass(frozen=True)
class Line:
    """What is said; `text` is all of it, `title` its head, and `mark` says who speaks."""

    id: str
    mark: str
    title: str
    text: str
    urgent: bool

    @property
    def below(self) -> str:
        """The text where the title stands above it by itself."""
        return self.text.removeprefix(f"{self.title}\n")


def of_hook(host: str, path: str) -> Chat:
    """Whose hook it is that is called by https."""
    if host == "hooks.slack.com":
        return "slack"
    if host in ("discord.com", "discordapp.com") and path.startswith("/api/webhooks/"):
        return "discord"
    if host == "chat.googleapis.com":
        return "google-chat"
    if host.endswith((".logic.azure.com", ".api.powerplatform.com")):
        return "teams"
    return "hook"


def _hook(line: Line, to: str) -> dict[str, Any]:
    return {"id": line.id, "title": line.title, "text": line.text}


def _slack(line: Line, to: str) -> dict[str, Any]:
    return {"text": line.text.translate(_ENTITIES)}


def _discord(line: Line, to: str) -> dict[str, Any]:
    return {"content": line.text.translate(_BRACKETS), "allowed_mentions": {"parse": []}}


def _google_chat(line: Line, to: str) -> dict[str, Any]:
    return {"text": line.text.translate(_ANGLES)}


def _teams(line: Line, to: str) -> dict[str, Any]:
    words = {"type": "TextBlock", "wrap": True}
    card = {
        "$schema": "https://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            words | {"text": f"{line.mark}{line.title}".translate(_BRACKETS), "weight": "Bolder"},
            words | {"text": line.below.translate(_BRACKETS)},
        ],
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


def _telegram(line: Line, to: str) -> dict[str, Any]:
    # without a parse_mode it is plain text
    return {"chat_id": to, "text": line.text, "link_preview_options": {"is_disabled": True}}


def _ntfy(line: Line, to: str) -> dict[str, Any]:
    return {"topic": to, "title": f"{line.mark}{line.title}", "message": line.below} | (
        {"priority": 5} if line.urgent else {}
    )


def _gotify(line: Line, to: str) -> dict[str, Any]:
    return {"title": f"{line.mark}{line.title}", "message": line.below, "priority": _URGENT if line.urgent else _USUAL}


_BODIES: Final[dict[Chat, Callable[[Line, str], dict[str, Any]]]] = {
    "slack": _slack,
    "discord": _discord,
    "teams": _teams,
    "google-chat": _google_chat,
    "telegram": _telegram,
    "ntfy": _ntfy,
    "gotify": _gotify,
    "hook": _hook,
}


def call(chat: Chat, line: Line, *, path: str, secret: str, to: str) -> tuple[str, dict[str, Any]]:
    """Path and the rest of the request; a hook of nobody we know gets `{"id", "title", "text"}`."""
    request: dict[str, Any] = {"json": _BODIES[chat](replace(line, text=line.text[:_LONGEST]), to)}
    if chat == "gotify":
        request["headers"] = {"X-Gotify-Key": secret}
    elif chat == "ntfy" and secret:
        request["headers"] = {"Authorization": f"Bearer {secret}"}
    return f"/bot{secret}/sendMessage" if chat == "telegram" else path, request
