"""Take a backup: of the running system without stopping it, else of the data folder as it lies.

The folder appears under its name only when it is whole. Keys are never in it in the clear: with a passphrase they are
sealed into it, without one they stay out and have to be kept elsewhere.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flipsync.backup import manifest as manifests
from flipsync.backup import sealed_keys
from flipsync.backup.manifest import Manifest
from flipsync.backup.sealed_keys import BackedKeys
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, FlipSyncError, NotFound, Unavailable
from flipsync.embedded import postgres_tools
from flipsync.embedded.instance import Instance, read_state
from flipsync.embedded.postgres_tools import Progress
from flipsync.embedded.recovery import BASE, BASE_LOG
from flipsync.embedded.wal_stream import Continuous, read_setting, write_setting
from flipsync.security.secrets import key_names, parse_keys
from flipsync.store import bootstrap, server
from flipsync.system import DATABASE, keys_of

OWNER_TENANT = "owner-tenant"
DUMP = "books.dump"


@dataclass(frozen=True)
class Source:
    """A database that answers. `embedded`: its files are ours to copy."""

    url: str
    embedded: bool
    version: str


@dataclass(frozen=True)
class Taken:
    folder: Path
    manifest: Manifest


def take(home: Path, folder: Path, *, passphrase: str | None, continuous: bool, progress: Progress) -> Taken:
    """Copy the books of `home` into the new folder `folder`.

    With `continuous` every later change follows it there while the system runs. Raises NotFound when there are no
    books, Conflict when the folder has something in it, InvalidInput for a weak passphrase.
    """
    if passphrase is not None:
        sealed_keys.check_passphrase(passphrase)
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already and not empty", hint="give the name of a new folder")
    with source_of(home) as source:
        if continuous and not source.embedded:
            raise Conflict(
                "a continuous backup of a database that others run is theirs to make",
                hint="archive its write-ahead log there; `flipsync backup` makes single copies",
            )
        fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        setting = None
        try:
            fresh.mkdir(parents=True, mode=0o700)
            if continuous:
                (fresh / "wal").mkdir()
                setting = _slot(source, folder)
            taken = _fill(home, fresh, source, passphrase, continuous=continuous, progress=progress)
            if folder.exists():
                folder.rmdir()
            fresh.rename(folder)
        except OSError as error:
            raise Unavailable(f"{folder} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            if setting is not None and not folder.exists():
                _drop_slot(source, setting)
        if setting is not None:
            before = read_setting(home)
            write_setting(home, setting)
            if before is not None:
                _drop_slot(source, before)
        return Taken(folder, taken)


def end_continuous(home: Path) -> Continuous:
    """No more changes are streamed. Raises NotFound when none were."""
    setting = read_setting(home)
    if setting is None:
        raise NotFound("there is no continuous backup", hint="begin one with `flipsync backup --continuous`")
    with source_of(home) as source:
        write_setting(home, None)
        _drop_slot(source, setting)
    return setting


@contextmanager
def source_of(home: Path) -> Iterator[Source]:
    """The database of the running system, else of `home`, started for the moment. Raises NotFound without books."""
    state = read_state(home)
    if state is not None and state.is_live():
        part = state.parts.get("books")
        if part is None:
            raise Unavailable("the system is only starting", hint="try again in a moment")
        yield Source(part.url, part.embedded, state.parts["postgres"].version)
        return
    if not os.environ.get("DATABASE_URL") and not (home / "postgres" / "data").exists():
        raise NotFound(f"there are no books in {home}", hint="`flipsync up` makes them; or name the folder with --home")
    with Instance(home) as instance:
        parts = instance.start_parts()
        url = parts.database_admin_url
        if parts.database is not None:
            url = parts.database.url(database=DATABASE)
        yield Source(url, parts.database is not None, instance.state.parts["postgres"].version)


def _fill(
    home: Path, folder: Path, source: Source, passphrase: str | None, *, continuous: bool, progress: Progress
) -> Manifest:
    moment = utc_now()
    environment = postgres_tools.connection_environment(source.url, database=not source.embedded)
    if source.embedded:
        options = ["-Ft", "-z", "-X", "stream", "-c", "fast", "--manifest-checksums=SHA256", "-l", "flipsync"]
        postgres_tools.run(
            "pg_basebackup", ["-D", str(folder / "copy"), *options, "-P"], environment, progress=progress
        )
        for path in (folder / "copy").iterdir():
            path.rename(folder / path.name)
        (folder / "copy").rmdir()
        names = [BASE, BASE_LOG, "backup_manifest"]
    else:
        words = ["--format=custom", "--no-owner", "--schema", server.schema_name(source.url)]
        postgres_tools.run("pg_dump", [*words, f"--file={folder / DUMP}"], environment)
        names = [DUMP]
    keys = keys_of(home)
    marker = home / OWNER_TENANT
    told = Manifest(
        kind="server" if source.embedded else "dump",
        moment=utc_now() if source.embedded else moment,
        flipsync=importlib.metadata.version("flipsync"),
        postgres=source.version or server.server_version(source.url),
        schema_revision=bootstrap.revision_of(source.url) or "",
        secret_keys=key_names(parse_keys(keys.secret)),
        keys_included=passphrase is not None,
        continuous=continuous,
        owner_tenant=marker.read_text(encoding="utf-8").strip() if marker.exists() else "",
        files={name: manifests.hash_file(folder / name) for name in names},
    )
    if passphrase is not None:
        sealed_keys.seal(folder, BackedKeys(keys.secret, keys.firewall), passphrase, told.digest())
    return manifests.write(folder, told)


def _slot(source: Source, folder: Path) -> Continuous:
    """From now on the server keeps what the stream has not written yet."""
    setting = Continuous(folder=folder, slot=f"flipsync_{secrets.token_hex(4)}", since=utc_now())
    server.create_slot(source.url, setting.slot)
    return setting


def _drop_slot(source: Source, setting: Continuous) -> None:
    """Its receiver lets go within seconds; one that is forgotten is bounded by the server."""
    with suppress(FlipSyncError):
        server.drop_slot(source.url, setting.slot)
