"""`flipsync backup` and `flipsync restore`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

PASSPHRASE = "FLIPSYNC_BACKUP_PASSPHRASE"  # noqa: S105 - a variable's name
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help=f"file with the passphrase of the keys (or {PASSPHRASE})")
]


def backup(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="new folder (default: flipsync-backup-TIME here)")
    ] = None,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="let every later change follow it there: restorable to any moment")
    ] = False,
    end: Annotated[bool, typer.Option("--end-continuous", help="stop streaming changes")] = False,
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Copy the books into a folder, while the system runs or not.

    With a passphrase the keys are sealed into it; without one, keep a copy of the data folder's `keys` elsewhere.
    """
    taking = importlib.import_module("flipsync.backup.taking")
    if end:
        setting = taking.end_continuous(home_folder(home))
        if as_json:
            print_json({"ended": True, "path": str(setting.folder)})
        else:
            out.print(f"no more changes go to {escape(str(setting.folder))}")
        return
    passphrase = _passphrase(passphrase_file)
    target = folder or Path.cwd() / f"flipsync-backup-{utc_now():%Y%m%dT%H%M%SZ}"
    with _progress(as_json) as bar:
        taken = taking.take(
            home_folder(home),
            target,
            passphrase=passphrase,
            continuous=continuous,
            progress=lambda done, of: bar("copying", done * 1024, of * 1024),
        )
    told = taken.manifest
    if as_json:
        print_json(
            {
                "path": str(taken.folder),
                "kind": told.kind,
                "moment": told.moment.isoformat(),
                "bytes": told.size,
                "continuous": told.continuous,
                "keys_included": told.keys_included,
                "keys_folder": None if told.keys_included else str(home_folder(home) / "keys"),
            }
        )
        return
    out.print(f"{escape(str(taken.folder))}: {told.size / 1e6:,.1f} MB as of {told.moment:%Y-%m-%d %H:%M:%S} UTC")
    if told.continuous:
        out.print("every change from now on follows it there while the system runs")
    if not told.keys_included:
        out.print(
            f"[yellow]The keys are not in it.[/] Keep a copy of {escape(str(home_folder(home) / 'keys'))} in another"
            f" place, or set {PASSPHRASE} to have them sealed in."
        )


def restore(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="the folder that `flipsync backup` made")],
    to_time: Annotated[
        str | None, typer.Option("--to-time", help="of a continuous backup: the moment, as 2026-11-26T14:30:00Z")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="over books that are there; they are kept aside")] = False,
    passphrase_file: PassphraseFile = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="the keys folder you kept")] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="go on without them: every channel is connected again by hand")
    ] = False,
    erasures: Annotated[
        Path | None, typer.Option("--erasures", help="who was forgotten since, from `flipsync privacy tombstones`")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the books, checked whole before anything is touched.

    At the next start what every channel sold and shows since is read before anything is granted to it.
    """
    if keys is not None and not keys.is_dir():
        raise NotFound(f"there is no folder {keys}")
    restoring = importlib.import_module("flipsync.backup.restoring")
    with _progress(as_json) as bar:
        done = restoring.restore(
            home_folder(home),
            folder,
            to_time=_moment(to_time),
            replace=replace,
            passphrase=_passphrase(passphrase_file),
            keys_folder=keys,
            without_keys=without_keys,
            erasures=erasures,
            say=bar,
        )
    if as_json:
        print_json(
            {
                "home": str(home_folder(home)),
                "from": str(folder),
                "moment": (done.to_time or done.manifest.moment).isoformat(),
                "kept_aside": str(done.aside) if done.aside else None,
                "accounts_to_reconcile": done.accounts,
                "credentials_readable": done.credentials_readable,
                "erased_again": done.erased_again,
                "users_erased_again": done.users_erased_again,
                "tombstones_read": done.tombstones_read,
            }
        )
        return
    out.print(f"restored to {escape(str(home_folder(home)))}; `flipsync up` first reads {done.accounts} channels")
    if done.aside:
        out.print(f"what was there before is in {escape(str(done.aside))}")
    if done.erased_again:
        out.print(f"{done.erased_again} orders' buyers, forgotten since the backup, were forgotten again")
    if done.users_erased_again:
        out.print(f"{done.users_erased_again} users, forgotten since the backup, were forgotten again")
    if not done.tombstones_read:
        out.print(
            "[yellow]The books that were there do not open:[/] who was forgotten since the backup is not known; "
            "--erasures takes the file of `flipsync privacy tombstones`."
        )
    if not done.credentials_readable:
        out.print("[yellow]Without the keys stored credentials do not open:[/] connect every channel again.")
    out.print("Everybody has to sign in again. A continuous backup has to be begun again.")


def _moment(words: str | None) -> datetime | None:
    if words is None:
        return None
    try:
        return datetime.fromisoformat(words)
    except ValueError:
        raise InvalidInput(f"{words!r} is not a moment", hint="write it as 2026-11-26T14:30:00Z") from None


def _passphrase(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(PASSPHRASE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        task = progress.add_task("starting", total=None)

        def show(what: str, done: int, of: int) -> None:
            progress.update(task, description=what, completed=done, total=of or None)

        yield show
