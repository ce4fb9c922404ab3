"""What `flipsync keys` does: look which key holds what, make a new one and seal everything with it, let old ones go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

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
from flipsync.system import open_books, open_worker_books


@dataclass
class KeysView:
    """`names`: the keys there are, newest first. `held`: by kind of secret, how many are under which key."""

    names: list[str]
    held: dict[str, Counter[str]]
    made: bool = False
    resealed: Resealed = field(default_factory=Resealed)

    def under(self, name: str) -> int:
        return sum(counted[name] for counted in self.held.values())


def look(home: Path) -> KeysView:
    keys = load_or_create_key(_file(home))
    return _in_books(home, keys, None)


def rotate(home: Path, tell: Callable[[int], None]) -> KeysView:
    """Seal everything with the newest key; with a new one, unless an earlier call was cut off before it was through.

    Raises Conflict while FlipSync runs on the data folder: what runs does not know the new key.
    """
    _at_rest(home)
    path = _file(home)
    keys = load_or_create_key(path)
    before = _in_books(home, keys, None)
    made = all(before.under(name) == 0 for name in before.names[1:])
    if made:
        if given_from_outside() is not None:
            raise InvalidInput(
                "the newest key seals everything already",
                hint=f"put a new one in front of those of {KEY_VARIABLE} (or of {COMMAND_VARIABLE}), then again",
            )
        keys = with_new_key(keys)
        write_keys(path, keys)
    after = _in_books(home, keys, tell)
    after.made = made
    return after


def drop(home: Path) -> tuple[list[str], KeysView]:
    """Let the keys go that seal nothing: their names, and what is left. Raises Conflict, InvalidInput."""
    _at_rest(home)
    if given_from_outside() is not None:
        raise InvalidInput(f"the keys are not in a file of ours: take them out of {KEY_VARIABLE}, or of your store")
    path = _file(home)
    keys = load_or_create_key(path)
    view = _in_books(home, keys, None)
    kept = [key for key, name in zip(keys, view.names, strict=True) if name == view.names[0] or view.under(name)]
    gone = [name for name in view.names if name not in key_names(kept)]
    if gone:
        write_keys(path, kept)
        view.names = list(key_names(kept))
    return gone, view


def _file(home: Path) -> Path:
    return home / "keys" / "secret_key"


def _at_rest(home: Path) -> None:
    state = read_state(home)
    if state is not None and state.is_live():
        raise Conflict(
            f"FlipSync runs on {home}, and would not open what is sealed with a new key",
            hint="stop it, rotate, start it again; on several machines, stop all of them",
        )


def _in_books(home: Path, keys: tuple[bytes, ...], tell: Callable[[int], None] | None) -> KeysView:
    """Looks; with `tell`, seals anew before."""
    with open_books(home, {}) as store, open_worker_books(home) as lister:
        owner = Database(live_state(home).url("books"), pool_size=1)

        async def work() -> KeysView:
            try:
                async with lister.unbound() as session:
                    businesses = list(await tenants.all_ids(session))
                resealed = Resealed()
                if tell is not None:
                    resealed = await resealing.reseal(store, owner, SecretBox(keys), businesses, tell)
                held = await resealing.held(store, owner, businesses)
                return KeysView(list(key_names(keys)), held, resealed=resealed)
            finally:
                await store.aclose()
                await lister.aclose()
                await owner.aclose()

        return asyncio.run(work())
