"""A backup that still names a buyer or a user who was forgotten since: put back, it names them no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from shop import Shop, open_store
from typer.testing import CliRunner

from flipsync.backup import restoring, taking
from flipsync.backup.restoring import Restored
from flipsync.cli import app
from flipsync.domain.channel import Address
from flipsync.domain.errors import InvalidInput
from flipsync.services import erasure, orders
from flipsync.services.erasure import Buyer
from flipsync.services.identity import insert_user
from flipsync.services.orders import AccountRef
from flipsync.store import bootstrap
from flipsync.system import keys_of

PASSPHRASE = "four random words here"
BUYER = Address(name="Qz7xv Quartermain", line1="77 Qz7xv Way", email="ann@qz7xv.example", country="US")
USER = "ben@qz7xv.example"
T = TypeVar("T")


@pytest.fixture
def home(tmp_path: Path, roles: tuple[str, str]) -> Path:
    folder = tmp_path / "home"
    (folder / "keys").mkdir(parents=True)
    for name, password in zip(("app_password", "worker_password"), roles, strict=True):
        (folder / "keys" / name).write_text(password)
    keys_of(folder)
    return folder


@pytest.fixture
def url(make_database: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch, redis_url: str) -> str:
    found = make_database()["owner"].replace("+psycopg", "")
    monkeypatch.setenv("DATABASE_URL", found)
    monkeypatch.setenv("REDIS_URL", redis_url)
    return found


class Books:
    """The books behind the URL, opened anew for each thing that is done."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = bootstrap.role_url(url, bootstrap.APP_ROLE, keys_of(home).app_password)
        self.tenant_id: Any = None
        self.account: AccountRef | None = None

    def do(self, work: Callable[[Shop], Coroutine[Any, Any, T]]) -> T:
        async def whole() -> T:
            store = open_store(self._url.render_as_string(hide_password=False), pool_size=1)
            try:
                shop = Shop(store) if self.tenant_id is None else Shop(store, self.tenant_id)
                if self.tenant_id is None:
                    await shop.found()
                    self.tenant_id, self.account = shop.tenant_id, await shop.account()
                return await work(shop)
            finally:
                await store.aclose()

        return asyncio.run(whole())

    def sell(self, external_id: str) -> None:
        async def work(shop: Shop) -> None:
            told = shop.order({"sku": 1}, external_id=external_id, status="shipped", holds_stock=False)
            async with shop.unit() as unit:
                assert self.account is not None
                await orders.ingest_order(unit, self.account, told.model_copy(update={"ship_to": BUYER}))

        self.do(work)

    def employ(self) -> UUID:
        async def work(shop: Shop) -> UUID:
            async with shop.unit() as unit:
                return await insert_user(unit, USER, "hash", "clerk")

        return self.do(work)

    def forget(self) -> None:
        async def work(shop: Shop) -> None:
            async with shop.unit() as unit:
                found = await erasure.find(unit.session, Buyer(email=BUYER.email))
                await erasure.forget(unit, found, reason="asked")

        self.do(work)


def named(url: str) -> int:
    """Orders that name the buyer, users and lines of the audit log that name the user."""
    query = b"""
        SELECT (SELECT count(*) FROM customer_order WHERE ship_to::text ILIKE '%qz7xv%')
             + (SELECT count(*) FROM app_user WHERE email ILIKE '%qz7xv%')
             + (SELECT count(*) FROM audit_entry WHERE details::text ILIKE '%qz7xv%')
    """
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def take(home: Path, folder: Path) -> None:
    taking.take(home, folder, passphrase=PASSPHRASE, continuous=False, progress=lambda _d, _o: None)


def restore(home: Path, folder: Path, **more: Any) -> Restored:
    return restoring.restore(home, folder, passphrase=PASSPHRASE, replace=True, **more)


def test_a_buyer_forgotten_after_the_backup_is_forgotten_again(home: Path, url: str, tmp_path: Path) -> None:
    books = Books(url, home)
    books.sell("before")
    take(home, tmp_path / "backup")
    books.sell("after")
    books.forget()
    assert named(url) == 0
    done = restore(home, tmp_path / "backup")
    assert (done.erased_again, done.tombstones_read, named(url)) == (1, True, 0)
    books.sell("after")  # the channel tells what came after the backup
    books.sell("before")
    assert named(url) == 0
    assert restore(home, tmp_path / "backup").erased_again == 1, "tombstones come along, however often"


def test_tombstones_kept_elsewhere_do_it_where_the_books_are_lost(home: Path, url: str, tmp_path: Path) -> None:
    books = Books(url, home)
    books.sell("before")
    take(home, tmp_path / "backup")
    books.forget()
    kept = tmp_path / "tombstones"
    told = CliRunner().invoke(app, ["privacy", "tombstones", "--to", str(kept), "--home", str(home)])
    assert told.exit_code == 0, told.output
    assert "qz7xv" not in kept.read_text().lower(), "no names"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"DROP SCHEMA public CASCADE")
        connection.execute(b"CREATE SCHEMA public")
    assert restore(home, tmp_path / "backup").erased_again == 0
    assert named(url) == 1, "nobody could know"
    assert restore(home, tmp_path / "backup", erasures=kept).erased_again == 1
    assert named(url) == 0
    kept.write_text("not a tombstone\n")
    with pytest.raises(InvalidInput, match="holds no tombstones"):
        restore(home, tmp_path / "backup", erasures=kept)


def test_a_user_forgotten_after_the_backup_is_forgotten_again(home: Path, url: str, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        told = CliRunner().invoke(app, [*words, "--home", str(home)])
        assert told.exit_code == 0, told.output
        return told.output

    books = Books(url, home)
    user_id = books.employ()
    take(home, tmp_path / "backup")
    assert named(url) == 2
    assert '"app_user": 1' in run("privacy", "erase", "--user", USER, "--yes", "--json")
    kept = tmp_path / "tombstones"
    run("privacy", "tombstones", "--to", str(kept))
    assert str(user_id) in kept.read_text() and "qz7xv" not in kept.read_text()
    assert named(url) == 0
    done = restore(home, tmp_path / "backup")
    assert (done.users_erased_again, done.erased_again, named(url)) == (1, 0, 0)
    assert run("audit", "verify").endswith("intact\n")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"DROP SCHEMA public CASCADE")
        connection.execute(b"CREATE SCHEMA public")
    assert restore(home, tmp_path / "backup", erasures=kept).users_erased_again == 1
    assert named(url) == 0


def test_the_commands_hand_over_forget_and_keep_no_longer(home: Path, url: str, tmp_path: Path) -> None:
    books = Books(url, home)
    books.sell("one")

    def run(*words: str) -> str:
        told = CliRunner().invoke(app, ["privacy", *words, "--home", str(home)])
        assert told.exit_code == 0, told.output
        return told.output

    for name in ("buyer.json", "buyer.zip"):
        run("export", "--email", BUYER.email, "--to", str(tmp_path / name))
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert BUYER.line1 in (tmp_path / "buyer.json").read_text()
    assert "until somebody asks" in run("retention", "--run")
    assert '"orders_erased": 1' in run("erase", "--email", BUYER.email, "--yes", "--json")
    assert named(url) == 0
