"""Foreign text made safe to store and to show: plain text, HTML bodies, image addresses, stable identifiers."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

import nh3

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_WHITESPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"[<>&]")
_IMAGE = re.compile(r"https?://[^\s/?#@\\\"<>]+(?:[/?#][^\s\"<>\\]*)?", re.IGNORECASE)
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_SPREADSHEET_QUOTED = ("'=", "'+", "'-", "'@")
_MAX_IMAGE_CHARS = 2048

#: What a product description may contain; everything else loses its tags, scripts and styles their content too.
_TAGS = {
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style"},
    attributes={"a": {"href", "title"}, "img": {"src", "alt", "width", "height"}, "td": {"colspan", "rowspan"}},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
    strip_comments=True,
)


def plain(text: str) -> str:
    """One line of text without control characters. Formulas stay text: escaping is for who writes spreadsheets."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _WHITESPACE.sub(" ", _CONTROL.sub("", text)).strip()


def safe_html(body: str) -> str:
    """A description with only harmless markup: no scripts, styles, frames, forms, event handlers or odd schemes."""
    body = body.strip()
    if not body.isprintable():
        body = _CONTROL.sub("", body).strip()
    if not _MARKUP.search(body):
        return body
    cleaned: str = _CLEANER.clean(body)
    return cleaned.strip()


def image_url(text: str) -> str | None:
    """The address if it is a plausible http or https one, else None."""
    url = text.strip()
    return url if len(url) <= _MAX_IMAGE_CHARS and _IMAGE.fullmatch(url) else None


def without_formula_guard(text: str) -> str:
    """Undo the apostrophe WooCommerce's exporter puts before =, +, - and @."""
    return text[1:] if text.startswith(_SPREADSHEET_QUOTED) else text


def slug(text: str) -> str:
    """Lower-case ASCII letters and digits joined by hyphens."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _NOT_SLUG.sub("-", ascii_text.lower()).strip("-")


def derived_sku(key: str, options: Iterable[tuple[str, str]]) -> str:
    """A SKU for a variant that has none, at most 56 characters.

    It depends on nothing but the product key and the options, so every export of the shop derives the same one; the
    digest keeps apart what the readable part spells alike.
    """
    pairs = list(options)
    readable = slug("-".join([key, *(value for _, value in pairs)]))[:45].strip("-") or "item"
    identity = "\x1f".join([key, *(f"{name.casefold()}\x1e{value}" for name, value in pairs)])
    digest = hashlib.blake2b(identity.encode(), digest_size=5).hexdigest()
    return f"{readable}-{digest}"
