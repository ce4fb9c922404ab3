"""Foreign text made storable: PostgreSQL takes no NUL, and half of a surrogate pair is no character in any encoding."""

from __future__ import annotations

from typing import Any


def storable(value: Any) -> Any:
    """The same without NULs, halves of pairs joined or replaced by U+FFFD; inside mappings and lists too."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _mended(value)
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [storable(each) for each in value]
    if type(value) is tuple:
        return tuple(storable(each) for each in value)
    return value


def _mended(text: str) -> str:
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
