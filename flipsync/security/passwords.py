"""Passwords: argon2id (RFC 9106), hashed in threads so that the event loop keeps serving."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from flipsync.domain.errors import InvalidInput, Unavailable
from flipsync.security.places import place_of

T = TypeVar("T")

MIN_LENGTH = 8  # NIST SP 800-63B, 5.1.1.2
MAX_LENGTH = 1024
#: of zxcvbn's 0 to 4: safely unguessable, where hashes are slow (Wheeler, USENIX Security 2016)
MIN_STRENGTH = 3
#: letters and digits there are at least beside words everybody can know
_BESIDE_OWN_WORDS = 5
#: how far a hash steps back for whoever else wants the processor (nice(2)): it takes all cores for a tenth of a second
_NICE = 10
_LOOKED_AT = 72  # what zxcvbn takes; a longer password is judged by its beginning


class Passwords:
    """Hashes and verifies, at most `threads` at a time: each hash takes 64 MiB, and a flood must not take it all. At
    most `most` requests hold a turn, those being hashed for among them."""

    def __init__(self, hasher: PasswordHasher | None = None, *, threads: int = 2, most: int = 32) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_step_back)
        self._decoy: str | None = None
        self._most = most
        self._turns: Counter[str] = Counter()

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """Room for what one request from this address has to have hashed. Raises Unavailable, before anything is.

        An address has no more turns than are left free: alone half of them, two together two thirds, and who comes
        from anywhere else finds one (dynamic thresholds; Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
        """
        place = place_of(address)
        if self._turns[place] >= self._most - self._turns.total():
            raise Unavailable("too many passwords are being checked just now", hint="try again in a moment")
        self._turns[place] += 1
        try:
            yield
        finally:
            self._turns[place] -= 1
            if not self._turns[place]:
                del self._turns[place]

    async def hash(self, password: str) -> str:
        """An encoded argon2id hash. Raises InvalidInput for a password that is too short or too long."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise InvalidInput(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether `password` is the one. Without a hash (unknown user) it takes as long as with one, and says no."""
        if len(password) > MAX_LENGTH:
            return False
        if encoded is None and self._decoy is None:
            self._decoy = await self._in_thread(self._hasher.hash, secrets.token_hex(16))
        right = await self._in_thread(self._matches, encoded or self._decoy or "", password)
        return right and encoded is not None

    async def require_strong(self, password: str, own_words: Iterable[str] = ()) -> None:
        """Raises InvalidInput for a password that is short, common, or made of `own_words` (address, business name).

        No rules about kinds of characters, and no list of leaked passwords (NIST SP 800-63B, 5.1.1.2).
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise InvalidInput(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
        words = {word.lower() for text in (*own_words, "flipsync") for word in re.findall(r"\w{3,}", text)}
        weakness = await self._in_thread(_weakness, password, "\0".join(sorted(words)))
        if weakness:
            raise InvalidInput("this password is too easy to guess", hint=weakness)

    def outdated(self, encoded: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, function: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))


def _weakness(password: str, own_words: str) -> str:
    """What makes it weak; empty when nothing does."""
    from zxcvbn import zxcvbn  # its word lists take memory: only where passwords are chosen

    words = own_words.split("\0")
    rest = password.lower()
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    if rest != password.lower() and sum(map(str.isalnum, rest)) < _BESIDE_OWN_WORDS:
        return "it is little more than your address or the name of the business"
    judged = zxcvbn(password[:_LOOKED_AT], user_inputs=words)
    if judged["score"] >= MIN_STRENGTH:
        return ""
    feedback = judged["feedback"]
    return " ".join(filter(None, (feedback["warning"], *feedback["suggestions"]))) or "use several unusual words"


def _step_back() -> None:
    """In Linux each thread has its own, and those that a hash starts have that of who started them."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
