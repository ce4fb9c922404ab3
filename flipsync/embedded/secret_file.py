"""Secrets and state kept in files only their owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str, *, uid: int | None = None, gid: int | None = None) -> None:
    """Replace `path` in one step with a file of mode 0600, owned by uid:gid where given (root only)."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if uid is not None and uid != os.geteuid():
                os.fchown(file.fileno(), uid, -1 if gid is None else gid)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        raise


def remembered_secret(path: Path) -> str:
    """The secret in `path`; made (256 random bits) and written when there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private(path, secret)
        return secret
