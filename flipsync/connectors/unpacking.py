"""Packed answers, opened within bounds: a few kilobytes can hold gigabytes of zeros (RFC 9110, 8.4; RFC 1952)."""

from __future__ import annotations

import zlib

MOST_BYTES = 64 * 1024 * 1024
#: gzip and zlib headers are both recognised
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class UnpackError(ValueError):
    """It is no such file, broke off, or holds more than is accepted."""


class Unpacker:
    """Takes a packed stream piece by piece and never holds more than `most` bytes of what was in it."""

    def __init__(self, coding: str = "gzip", most: int = MOST_BYTES) -> None:
        """`coding` as in Content-Encoding. Raises UnpackError for one we did not ask for."""
        wanted = coding.strip().lower()
        self._stream = None if wanted in ("", "identity") else zlib.decompressobj(_GZIP_OR_ZLIB)
        if self._stream is not None and wanted not in _CODINGS:
            raise UnpackError(f"packed as {wanted[:40]}, which nobody asked for")
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        self._begun = False

    def take(self, piece: bytes) -> None:
        """Raises UnpackError as soon as there is too much, or it cannot be read."""
        first, self._begun = not self._begun, self._begun or bool(piece)
        if self._stream is None:
            self._keep(piece)
            return
        try:
            while piece:
                if self._stream.eof:  # gzip files may be several in a row
                    self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
                self._keep(self._stream.decompress(piece, self._most - self._size + 1))
                piece = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error as error:
            if first and self._raw(piece):
                return
            raise UnpackError("it is not packed as it says") from error

    def _raw(self, piece: bytes) -> bool:
        """Some servers say deflate and send it without zlib's header."""
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            self._keep(stream.decompress(piece, self._most + 1))
        except zlib.error:
            return False
        self._stream = stream
        return True

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise UnpackError(f"it holds more than {self._most // (1024 * 1024)} MB")
        self._parts.append(piece)

    def end(self) -> bytes:
        """All of it. Raises UnpackError when it broke off."""
        if self._stream is not None and self._begun and not self._stream.eof:
            raise UnpackError("it broke off")
        return b"".join(self._parts)


def gunzip(content: bytes, most: int = MOST_BYTES) -> bytes:
    """A gzip file's content. Raises UnpackError."""
    unpacker = Unpacker("gzip", most)
    unpacker.take(content)
    if not content:
        raise UnpackError("it is empty")
    return unpacker.end()
