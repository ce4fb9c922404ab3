"""What `flipsync keys` does: look which key holds what, make a new one and seal everything with it, let old ones go."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.embedded.instance import live_state, read_state
from flipsync.security.secrets import (
    COMMAND_VARIABLE,
    KEY_VARIABLE,
    SecretBox,
    given_from_outside,
    key_names,
    load_or_create_key,
    with_new_key,
    write_keys,
)
from flipsync.services import resealing
from flipsync.services.resealing import Resealed
from flipsync.store.database import Database
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store
from flipsync.system import open_books, open_worker_books

T = TypeVar("T")


@dataclass
class KeysView:
    """`names`: the keys there are, newest first. `held`: by kind of secret, how many are under which key."""

    names: list[str]
    held: dict[str, Counter[str]]
    made: bool = False
    resealed: Resealed = field(default_factory=Resealed)

    def under(self, name: str) -> int:
        return sum(counted[name] for counted in self.held.values())


@dataclass
class _Books:
    """Everybody's books, open; `owner` may change what nobody else may."""

    store: Store
    owner: Database
    businesses: list[UUID]

    async def held(self) -> dict[str, Counter[str]]:
        return await resealing.held(self.store, self.owner, self.businesses)


def look(home: Path) -> KeysView:
    async def work(books: _Books) -> KeysView:
        return KeysView(list(key_names(load_or_create_key(_file(home)))), await books.held())

    return _in_books(home, work)


def rotate(home: Path, tell: Callable[[int], None]) -> KeysView:
    """Seal everything with the newest key; with a new one, unless an earlier call was cut off before it was through.

    Raises Conflict while FlipSync, or another rotation, is at the data folder: it does not know the new key.
    """

    async def work(books: _Books) -> KeysView:
        keys = load_or_create_key(_file(home))
        view = KeysView(list(key_names(keys)), await books.held())
        if all(view.under(name) == 0 for name in view.names[1:]):
            if given_from_outside() is not None:
                raise InvalidInput(
                    "the newest key seals everything already",
                    hint=f"put a new one in front of those of {KEY_VARIABLE} (or of {COMMAND_VARIABLE}), then again",
                )
            keys = with_new_key(keys)
            write_keys(_file(home), keys)
            view.made = True
        view.resealed = await resealing.reseal(books.store, books.owner, SecretBox(keys), books.businesses, tell)
        view.names, view.held = list(key_names(keys)), await books.held()
        return view

    return _in_books(home, work, alone=True)


def drop(home: Path) -> tuple[list[str], KeysView]:
    """Let the keys go that seal nothing: their names, and what is left. Raises Conflict, InvalidInput."""
    if given_from_outside() is not None:
        raise InvalidInput(f"the keys are not in a file of ours: take them out of {KEY_VARIABLE}, or of your store")

    async def work(books: _Books) -> tuple[list[str], KeysView]:
        keys = load_or_create_key(_file(home))
        view = KeysView(list(key_names(keys)), await books.held())
        kept = [key for key, name in zip(keys, view.names, strict=True) if name == view.names[0] or view.under(name)]
        gone = [name for name in view.names if name not in key_names(kept)]
        if gone:
            write_keys(_file(home), kept)
            view.names = list(key_names(kept))
        return gone, view

    return _in_books(home, work, alone=True)


def _file(home: Path) -> Path:
    return home / "keys" / "secret_key"


def _in_books(home: Path, work: Callable[[_Books], Awaitable[T]], *, alone: bool = False) -> T:
    """`alone`: as the owner of the data folder, which nobody else is before it is done. Raises Conflict."""
    state = read_state(home)
    if alone and state is not None and state.is_live():
        raise _in_use(home)
    with open_books(home, {}) as store, open_worker_books(home) as lister:
        state = live_state(home)
        if alone and state.process.pid != os.getpid():  # somebody came between
            raise _in_use(home)
        owner = Database(state.url("books"), pool_size=1)

        async def whole() -> T:
            try:
                async with lister.unbound() as session:
                    businesses = list(await tenants.all_ids(session))
                return await work(_Books(store, owner, businesses))
            finally:
                await store.aclose()
                await lister.aclose()
                await owner.aclose()

        return asyncio.run(whole())


def _in_use(home: Path) -> Conflict:
    return Conflict(
        f"FlipSync runs on {home}, and would not open what is sealed with a new key",
        hint="stop it, rotate, start it again; on several machines, stop all of them",
    )
