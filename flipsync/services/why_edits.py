"""What was edited on a channel, in words."""

from __future__ import annotations

from typing import Any

from flipsync.domain.channel import ListingText
from flipsync.domain.events import ListingEdited

_NAMES = {"description_html": "description", "specifics": "item specifics", "images": "pictures"}
_SHORT, _WHOLE = 60, 4000


def field_words(field: str) -> str:
    """What people call a field of a listing."""
    return _NAMES.get(field, field)


def edit_words(event: ListingEdited) -> str:
    """Each edited field with both versions, shortened to where they part."""
    parts = []
    for field in event.fields:
        if field == "price":
            parts.append(f"price {event.price_theirs} instead of {event.price_ours}")
            continue
        ours, theirs = getattr(event.ours, field), getattr(event.theirs, field)
        if field == "specifics":
            ours, theirs = _differing(ours or {}, theirs or {})
        parts.append(f"{field_words(field)} “{_short(theirs, ours)}” instead of “{_short(ours, theirs)}”")
    return "; ".join(parts)


def whole_words(text: ListingText) -> str:
    """Every known field in full, as far as anybody would read."""
    known = text.model_dump(exclude_none=True, exclude={"of_group"})
    return "; ".join(f"{field_words(name)}: {_plain(value)[:_WHOLE]}" for name, value in known.items())


def _differing(ours: dict[str, str], theirs: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return (
        {name: ours.get(name, "nothing") for name in names},
        {name: theirs.get(name, "nothing") for name in names},
    )


def _short(value: Any, other: Any) -> str:
    words, beside = _plain(value), _plain(other)
    if len(words) <= _SHORT:
        return words
    same = next(
        (at for at, (a, b) in enumerate(zip(words, beside, strict=False)) if a != b), min(len(words), len(beside))
    )
    start = max(0, min(same - 20, len(words) - _SHORT))
    return ("…" if start else "") + words[start : start + _SHORT] + ("…" if start + _SHORT < len(words) else "")


def _plain(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(value) or "none"
    return " ".join(str(value).split()) or "nothing"
