"""What goes out: plain text and HTML made of the same words, everything escaped, with links to the app."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any
from uuid import UUID

from flipsync.connectors.notices.sending import Attached, Message
from flipsync.services.notices import wording
from flipsync.services.notices.kinds import as_kind
from flipsync.store.models import Notification

#: of a digest, so many are named; the rest is counted
_NAMED = 30
_FOOT = "You get this because you asked FlipSync for it. What goes where, and when, is in your preferences."


def message(
    delivery_id: UUID, purpose: str, told: Sequence[Notification], base: str, files: tuple[Attached, ...] = ()
) -> Message:
    """Of what is the matter, newest first. `base` is where the app is; "" leaves links out."""
    if purpose == "test":
        items = [("This is how FlipSync will tell you", "Nothing is the matter: this was a test.", "/notifications")]
    else:
        items = [_item(row) for row in told]
    title = items[0][0] if len(items) == 1 else f"{len(items)} matters: {items[0][0]}"
    named, more = items[:_NAMED], len(items) - _NAMED
    rest = f"and {more} more" if more > 0 else ""
    return Message(
        id=str(delivery_id),
        title=wording.clean(title, 200),
        text="\n\n".join([*(_plain(each, base) for each in named), *([rest] if rest else []), _FOOT]) + "\n",
        html=_page([*(_marked_up(each, base) for each in named), *([f"<p>{rest}</p>"] if rest else [])]),
        short=f"FlipSync: {wording.clean(title, 150)} {_address(items[0][2], base)}".strip(),
        detail=items[0][1] if len(items) == 1 else "",
        link=items[0][2] if len(items) == 1 else "/notifications",
        urgent=any(row.severity == "urgent" for row in told),
        files=files,
    )


def _item(row: Notification) -> tuple[str, str, str]:
    kind = as_kind(row.kind)
    facts: dict[str, Any] = row.facts
    return wording.title(kind, facts), wording.detail(kind, facts), wording.path(row.subject_kind, row.subject_id)


def _address(path: str, base: str) -> str:
    return f"{base.rstrip('/')}{path}" if base else ""


def _plain(item: tuple[str, str, str], base: str) -> str:
    title, detail, path = item
    return "\n".join(filter(None, (title, detail, _address(path, base))))


def _marked_up(item: tuple[str, str, str], base: str) -> str:
    title, detail = (escape(each, quote=True) for each in item[:2])
    address = escape(_address(item[2], base), quote=True)
    head = f'<a href="{address}">{title}</a>' if address else title
    return f"<p><strong>{head}</strong><br>{detail}</p>"


def _page(parts: Sequence[str]) -> str:
    return f'<!doctype html><html><head><meta charset="utf-8"></head><body>{"".join(parts)}<p>{_FOOT}</p></body></html>'
