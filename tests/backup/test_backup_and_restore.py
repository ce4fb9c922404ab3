"""The data folder is destroyed and comes back; what is damaged is refused and nothing is lost."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flipsync.backup import manifest as manifests
from flipsync.backup import taking
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from flipsync.embedded.instance import UNFINISHED_RESTORE, Instance
from flipsync.system import install_database, keys_of

PASSPHRASE = "four random words here"
TENANT = (
    "INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
    " VALUES (gen_random_uuid(), 'Shop', 'USD', '{}', now(), now())"
)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_what_is_damaged_is_refused_and_nothing_is_lost(shared: Any) -> None:
    folder = shared
    before = everything(folder.home / "keys")

    def refused(match: str, **options: Any) -> None:
        with pytest.raises((Conflict, NotFound), match=match):
            folder.restore(**({"replace": True} | options))
        assert everything(folder.home / "keys") == before
        assert not list(folder.home.glob("restor*"))

    base = folder.backup / "base.tar.gz"
    whole = base.read_bytes()
    base.write_bytes(whole[:-10])
    refused("bytes instead of")
    base.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    refused("was altered")
    base.unlink()
    refused("is missing")
    base.write_bytes(whole)
    listed = folder.backup / manifests.MANIFEST
    text = listed.read_text()
    listed.write_text(text[: len(text) // 2])
    refused("damaged or of another version")
    listed.write_text(text.replace('"owner_tenant": "the', '"owner_tenant": "another'))
    refused("changed since it was written")
    listed.write_text(text)
    refused("do not open", passphrase="not the same words")
    sealed = folder.backup / "keys.sealed"
    kept = sealed.read_text()
    sealed.write_text(kept[:40])
    refused("is damaged")
    sealed.write_text(kept)
    refused("is of one moment", to_time=utc_now())
    with pytest.raises(Conflict, match="not empty"):
        folder.take()
    with pytest.raises(InvalidInput, match="can be guessed"):
        folder.take(passphrase="short")
    with Instance(folder.home), pytest.raises(Conflict, match="in use"):
        folder.restore(replace=True)
    assert folder.tenants() == 1


@pytest.mark.slow
def test_the_data_folder_is_destroyed_and_comes_back(shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared
    keys = keys_of(folder.home)
    told = everything(folder.backup)
    for secret in (keys.secret, keys.firewall, keys.app_password, (folder.home / "postgres/password").read_text()):
        assert not any(secret.strip().encode() in content for content in told.values()), "keys lie in the clear"
    with pytest.raises(Conflict, match=r"books in .* already"):
        folder.restore()
    folder.run(TENANT)
    folder.destroy()

    restored = folder.restore()
    assert restored.aside is None
    assert restored.credentials_readable
    again = keys_of(folder.home)
    assert (again.secret, again.firewall) == (keys.secret, keys.firewall)
    assert again.jwt != keys.jwt, "who was signed in at the time of the backup signs in again"
    assert (folder.home / "owner-tenant").read_text() == "the owner's\n"
    assert sorted(path.name for path in folder.home.glob("restor*")) == []
    assert folder.run(TENANT, TENANT, "SELECT count(*) FROM tenant") == [(3,)]

    # cut off between its renames: nothing starts on half of it, and the same again ends it
    rename, moved = Path.rename, 0

    def breaks(path: Path, target: Any) -> Any:
        nonlocal moved
        moved += path.parent == folder.home
        if moved == 3:
            raise OSError("the plug was pulled")
        return rename(path, target)

    with monkeypatch.context() as patched, pytest.raises(Unavailable, match="the plug was pulled"):
        patched.setattr(Path, "rename", breaks)
        folder.restore(replace=True)
    with pytest.raises(Unavailable, match="did not end"):
        folder.tenants()
    (first,) = folder.home.glob("before-restore-*")
    time.sleep(1.1)  # what is kept aside is named by the second
    folder.restore()
    assert folder.tenants() == 1
    assert sorted(path.name for path in folder.home.glob("restor*")) == []

    # what was there before is whole, and usable from where it was kept
    for name in ("postgres", "keys"):
        (folder.home / name).rename(folder.home / f"{name}-of-the-backup")
        (first / name).rename(folder.home / name)
    assert folder.tenants() == 3


@pytest.mark.slow
def test_without_a_passphrase_the_keys_stay_out_and_are_asked_for(folder: Any) -> None:
    folder.found()
    taken = folder.take(passphrase=None)
    assert not taken.manifest.keys_included
    kept = folder.root / "kept"
    (folder.home / "keys").rename(kept)
    secret = (kept / "secret_key").read_text()
    folder.destroy()
    with pytest.raises(Conflict, match=r"keys .* are not here"):
        folder.restore(passphrase=None)
    with pytest.raises(Conflict, match=r"keys .* are not here"):
        folder.restore(passphrase=None, keys_folder=folder.root)
    assert folder.restore(passphrase=None, keys_folder=kept).credentials_readable
    assert (folder.home / "keys" / "secret_key").read_text() == secret
    assert not folder.restore(
        passphrase=None, keys_folder=folder.root, without_keys=True, replace=True
    ).credentials_readable
    assert (folder.home / "keys" / "secret_key").read_text() != secret


@pytest.mark.slow
def test_a_continuous_backup_is_restored_to_any_moment(folder: Any) -> None:
    moments: list[datetime] = []
    folder.found()
    with Instance(folder.home) as instance:
        parts = instance.start_parts()
        url = install_database(parts, keys_of(folder.home)).replace("+psycopg", "")
        instance.record("books", instance.state.parts["postgres"].model_copy(update={"url": url}))
        folder.take(continuous=True)
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(2):
                connection.execute(TENANT.encode())
                time.sleep(0.05)
                moments.append(utc_now())
                time.sleep(0.05)
            wal = folder.backup / "wal"
            lsn = connection.execute(b"SELECT pg_current_wal_flush_lsn()").fetchone()[0]  # type: ignore[index]
            deadline = time.monotonic() + 20
            streamed = b"SELECT count(*) FROM pg_stat_replication WHERE write_lsn >= %s"
            while not connection.execute(streamed, [lsn]).fetchone()[0]:  # type: ignore[index]
                assert time.monotonic() < deadline, "the change did not reach the backup"
                time.sleep(0.05)
        assert any(path.suffix == ".partial" for path in wal.iterdir())
    # the slot keeps what happens while nobody receives: a second start catches up
    folder.run(TENANT, "SELECT pg_switch_wal()", TENANT, "SELECT pg_sleep(2.5)")
    folder.destroy()

    with pytest.raises(Conflict, match="begins at"):
        folder.restore(to_time=moments[0] - timedelta(hours=1))
    with pytest.raises(Conflict, match=r"ends before .* last change"):
        folder.restore(to_time=utc_now() + timedelta(hours=1))
    assert not (folder.home / "postgres").exists()
    folder.restore(to_time=moments[0])
    assert folder.tenants() == 2
    folder.restore(replace=True)
    assert folder.tenants() == 5
    with pytest.raises(NotFound, match="no continuous backup"):
        taking.end_continuous(folder.home)

    finished = [path for path in sorted(wal.iterdir()) if path.suffix == ""][-1]
    whole = finished.read_bytes()
    finished.write_bytes(whole[:-1])
    with pytest.raises(Conflict, match="cut short"):
        folder.restore(replace=True)
    finished.write_bytes(whole[:200] + bytes(100) + whole[300:])
    with pytest.raises(Conflict, match=r"the log .* is damaged"):
        folder.restore(replace=True)
    assert folder.tenants() == 5


@pytest.mark.slow
def test_ended_streams_leave_nothing_behind(shared: Any) -> None:
    target = shared.root / "stream"
    taking.take(shared.home, target, passphrase=PASSPHRASE, continuous=True, progress=lambda _done, _of: None)
    assert shared.run("SELECT slot_name FROM pg_replication_slots") != []
    assert taking.end_continuous(shared.home).folder == target
    assert shared.run("SELECT slot_name FROM pg_replication_slots") == []


def test_half_a_restore_is_not_started_on(folder: Any) -> None:
    (folder.home / UNFINISHED_RESTORE).write_text("restoring-1 before-restore-1\n")
    with Instance(folder.home) as instance, pytest.raises(Exception, match="did not end"):
        instance.start_parts()


def test_what_is_not_a_backup_is_named(folder: Any) -> None:
    folder.backup.mkdir()
    with pytest.raises(NotFound, match="is not a backup"):
        folder.restore()
    with pytest.raises(NotFound, match="no books"):
        folder.take()
