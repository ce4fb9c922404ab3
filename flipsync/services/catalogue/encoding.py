"""From bytes to lines of text: which encoding a file is in, and where its undecodable bytes are."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flipsync.domain.errors import InvalidInput

_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_ESCAPED = re.compile("[\udc80-\udcff]")
_REPLACED = re.compile("\ufffd")
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]+")
_CP1252_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
#: Above this share of accented letters a text is hardly Western European, so cp1252 would be a wrong guess.
_WESTERN_ACCENT_SHARE = 0.4
#: What charset-normalizer may answer; ASCII and Unicode were excluded before it is asked.
_LEGACY_CODECS = [
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "iso8859_2",
    "iso8859_5",
    "koi8_r",
    "mac_roman",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "euc_kr",
]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec name; `guessed` when statistics chose it; `damaged` when some bytes do not decode in it."""

    name: str
    guessed: bool = False
    damaged: bool = False
    has_nul: bool = False

    @property
    def errors(self) -> str:
        # UTF-16 and UTF-32 decoders cannot escape single bytes.
        return "replace" if self.name.startswith(("utf-16", "utf-32")) else "surrogateescape"

    @property
    def undecodable(self) -> re.Pattern[str]:
        """Matches what an undecodable byte became in decoded text."""
        return _REPLACED if self.errors == "replace" else _ESCAPED


class Source:
    """A file or bytes that can be read several times. Raises InvalidInput when it is missing, empty or too large."""

    def __init__(self, data: Path | str | bytes, *, max_bytes: int) -> None:
        self._data = data if isinstance(data, bytes) else Path(data)
        try:
            size = len(self._data) if isinstance(self._data, bytes) else self._data.stat().st_size
        except (OSError, ValueError) as error:
            raise InvalidInput(f"cannot read {data!s}: {_why(error)}") from error
        if size == 0:
            raise InvalidInput(
                "the file is empty", hint="export the catalogue again; it should begin with a header row"
            )
        if size > max_bytes:
            raise InvalidInput(
                f"the file has {size:,} bytes; the limit is {max_bytes:,}", hint="split it, keeping each product whole"
            )

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        if isinstance(self._data, bytes):
            yield io.BytesIO(self._data)
            return
        try:
            stream = self._data.open("rb")
        except OSError as error:
            raise InvalidInput(f"cannot read {self._data}: {_why(error)}") from error
        with stream:
            yield stream

    @contextmanager
    def lines(self, encoding: Encoding, *, max_chars: int) -> Iterator[Iterator[str]]:
        """Physical lines with their endings (\\n, \\r\\n or \\r). Raises InvalidInput for a line over `max_chars`."""
        with self.open() as stream:
            text = io.TextIOWrapper(stream, encoding=encoding.name, errors=encoding.errors, newline="")
            try:
                yield _bounded_lines(text, max_chars)
            finally:
                text.detach()


def _bounded_lines(text: io.TextIOWrapper, max_chars: int) -> Iterator[str]:
    number = 0
    while line := text.readline(max_chars + 1):
        number += 1
        if len(line) > max_chars:
            raise InvalidInput(f"line {number} is longer than {max_chars:,} characters: this is not a catalogue")
        yield line


def detect_encoding(source: Source) -> Encoding:
    """BOM first, then UTF-8, then cp1252, and statistics only where cp1252 would be implausible. Deterministic."""
    with source.open() as stream:
        head = stream.read(4)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return _unicode_with_bom(source, "utf-32")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _unicode_with_bom(source, "utf-16")
    name = "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    undecodable = decoded = undefined = 0
    has_nul = False
    with source.open() as stream:
        while True:
            chunk = stream.read(_CHUNK)
            has_nul = has_nul or b"\0" in chunk
            text = decoder.decode(chunk, final=not chunk)
            if not chunk.isascii():  # asked of the bytes: the decoder may hold the last ones back
                undefined += len(_CP1252_UNDEFINED.findall(chunk))
            if not text.isascii():
                bad = len(_ESCAPED.findall(text))
                undecodable += bad
                # What is left after replacing escapes and dropping ASCII are genuine multi-byte characters.
                decoded += len(text) - bad - len(text.encode("ascii", "ignore"))
            if not chunk:
                break
    if not undecodable:
        return Encoding(name, has_nul=has_nul)
    if name == "utf-8-sig" or decoded >= undecodable:
        return Encoding(name, damaged=True, has_nul=has_nul)
    return _legacy_encoding(source, undecodable, undefined, has_nul)


def _unicode_with_bom(source: Source, name: str) -> Encoding:
    decoder = codecs.getincrementaldecoder(name)("replace")
    damaged = has_nul = False
    with source.open() as stream:
        while True:
            chunk = stream.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            damaged = damaged or "\ufffd" in text
            has_nul = has_nul or "\0" in text
            if not chunk:
                return Encoding(name, damaged=damaged, has_nul=has_nul)


def _legacy_encoding(source: Source, high_bytes: int, undefined: int, has_nul: bool) -> Encoding:
    sample = bytearray()
    with source.open() as stream:
        while len(sample) < _SAMPLE and (line := stream.readline(_CHUNK)):
            if _NON_ASCII_RUN.search(line):
                sample += line[:_SAMPLE]
    text = sample.decode("cp1252", "ignore")
    letters = sum(map(str.isalpha, text)) or 1
    accented = sum(1 for c in text if c.isalpha() and not c.isascii())
    if accented / letters <= _WESTERN_ACCENT_SHARE and undefined * 20 <= high_bytes:
        return Encoding("cp1252", damaged=undefined > 0, has_nul=has_nul)
    from charset_normalizer import from_bytes  # rarely needed, and slow to import

    best = from_bytes(bytes(sample), cp_isolation=list(_LEGACY_CODECS)).best()
    name = best.encoding if best is not None else "cp1252"
    return Encoding(name, guessed=True, damaged=_decodes_badly(source, name), has_nul=has_nul)


def _decodes_badly(source: Source, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    with source.open() as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if _ESCAPED.search(decoder.decode(chunk, final=not chunk)):
                return True
            if not chunk:
                return False


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
