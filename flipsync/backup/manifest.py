"""What a backup is made of: files with their hashes, which are written last and checked before anything is touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from flipsync.domain.errors import Conflict, NotFound

MANIFEST = "flipsync-backup.json"
FORMAT = 1
_CHUNK = 1 << 20
#: called with (bytes done, of all)
Progress = Callable[[int, int], None]


class FileEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Manifest(BaseModel):
    """`kind` "server" is a copy of the embedded server's files, "dump" one of a database that others run.

    `moment` is the newest one that everything in it is sure to reach; `secret_keys` names the keys that open the
    sealed credentials in the books, newest first. `checksum` is over all other fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    kind: Literal["server", "dump"]
    moment: AwareDatetime
    flipsync: str
    postgres: str
    schema_revision: str
    secret_keys: tuple[str, ...]
    keys_included: bool
    continuous: bool
    owner_tenant: str
    files: dict[str, FileEntry]
    checksum: str = ""

    def digest(self) -> str:
        """Over everything else: what sealed keys are bound to."""
        return hashlib.sha256(self.model_dump_json(exclude={"checksum"}).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes, without the stream of a continuous backup."""
        return sum(entry.size for entry in self.files.values())


def hash_file(path: Path, done: Callable[[int], None] = lambda _n: None) -> FileEntry:
    sha, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
            size += len(chunk)
            done(len(chunk))
    return FileEntry(size=size, sha256=sha.hexdigest())


def write(folder: Path, manifest: Manifest) -> Manifest:
    """Seal the manifest with its own checksum and write it."""
    whole = manifest.model_copy(update={"checksum": manifest.digest()})
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(whole.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return whole


def read(folder: Path) -> Manifest:
    """Raises NotFound where no backup is, Conflict when its list of contents is damaged or of a later version."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"{folder} is not a backup: it has no {MANIFEST}", hint="give the folder that `flipsync backup` made"
        ) from None
    except (ValidationError, UnicodeDecodeError):
        raise Conflict(f"{folder / MANIFEST} is damaged or of another version", hint="use another backup") from None
    if manifest.checksum != manifest.digest():
        raise Conflict(f"{folder / MANIFEST} was changed since it was written", hint="use another backup")
    return manifest


def check(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Every byte against its hash. Raises Conflict naming the first file that is not as it was written."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress(done, manifest.size)

    for name, entry in manifest.files.items():
        path = folder / name
        if path.resolve().parent != folder.resolve():
            raise Conflict(f"{name!r} is not a name of a file in a backup", hint="use another backup")
        if not path.is_file():
            raise Conflict(f"{path} is missing", hint="use another backup")
        if path.stat().st_size != entry.size:
            raise Conflict(
                f"{path} has {path.stat().st_size:,} bytes instead of {entry.size:,}", hint="use another backup"
            )
        if hash_file(path, more) != entry:
            raise Conflict(f"{path} was altered: its SHA-256 is another", hint="use another backup")
