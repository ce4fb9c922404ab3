"""Second factors: an authenticator app and its codes, recovery codes, and whether one is needed (a passkey is one)."""

from __future__ import annotations

import base64
from datetime import timedelta
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.ids import new_id
from flipsync.security import one_time_codes as codes
from flipsync.security.attempts import TooManyAttempts
from flipsync.security.secrets import SecretBox
from flipsync.services.reading_page import Moment, View
from flipsync.store.models import SecondFactor
from flipsync.store.reading import Reader
from flipsync.store.repositories import identity as users
from flipsync.store.repositories import second_factors as rows
from flipsync.store.unit_of_work import UnitOfWork

#: wrong codes before each further one costs twice the wait of the last
_FREE = 5
_LONGEST_WAIT = timedelta(minutes=15)
#: how long an enrolment may take
_ENROL = timedelta(minutes=30)


class SecondFactorView(View):
    enabled: bool = Field(description="an authenticator app is set up")
    since: Moment | None
    passkeys: int = Field(description="that may be used in its place")
    recovery_codes_left: int


async def show(reader: Reader, user_id: UUID) -> SecondFactorView:
    ((row,),) = await reader.ask(rows.FACTOR(user_id=user_id))
    return SecondFactorView(
        enabled=row.confirmed_at is not None,
        since=row.confirmed_at,
        passkeys=row.passkeys,
        recovery_codes_left=row.recovery_codes_left,
    )


async def begin(unit: UnitOfWork, box: SecretBox, user_id: UUID) -> str:
    """The otpauth URI of a new secret, which counts only once `confirm` has seen a code of it.

    Raises Conflict when an app is in force.
    """
    user = await users.lock_user(unit.session, user_id)
    if user is None:
        raise NotFound("no such user")
    earlier = await rows.lock_factor(unit.session, user_id)
    if earlier is not None and earlier.confirmed_at is not None:
        raise Conflict("a second factor is set up already", hint="remove it first")
    await rows.delete_factor(unit.session, user_id)
    secret = codes.new_secret()
    sealed = box.seal({"totp": base64.b64encode(secret).decode()}, tenant_id=unit.tenant_id, purpose=purpose(user_id))
    values = {"id": new_id(), "tenant_id": unit.tenant_id, "user_id": user_id, "sealed": sealed}
    await rows.insert_factor(unit.session, values | {"created_at": utc_now()})
    return codes.otpauth_uri(secret, account=user.email)


async def confirm(unit: UnitOfWork, box: SecretBox, user_id: UUID, code: str) -> list[str] | None:
    """Put the new secret in force: the recovery codes, shown once; None when the code is wrong, which is counted.

    Raises NotFound when no enrolment is under way, TooManyAttempts.
    """
    row = await rows.lock_factor(unit.session, user_id)
    if row is None or row.confirmed_at is not None or row.created_at < utc_now() - _ENROL:
        raise NotFound("no enrolment is under way", hint="start one")
    if not await _code_fits(unit, box, row, code):
        return None
    await rows.update_factor(unit.session, row.id, {"confirmed_at": utc_now()})
    unit.audit("second-factor.enabled", "user", user_id)
    return await new_codes(unit, user_id)


async def renew_recovery_codes(unit: UnitOfWork, user_id: UUID) -> list[str]:
    """New codes; the earlier ones are void. Raises NotFound without a second factor."""
    if not await rows.in_force(unit.session, user_id):
        raise NotFound("no second factor is set up")
    unit.audit("recovery-codes.renewed", "user", user_id)
    return await new_codes(unit, user_id)


async def remove(unit: UnitOfWork, user_id: UUID) -> None:
    """Take the app away; passkeys and, with them, recovery codes stay. Raises NotFound without an app."""
    await users.lock_user(unit.session, user_id)
    if not await rows.app_in_force(unit.session, user_id):
        raise NotFound("no authenticator app is set up")
    await rows.delete_factor(unit.session, user_id)
    unit.audit("second-factor.removed", "user", user_id)
    await forget_codes_of_nothing(unit, user_id)


async def forget_codes_of_nothing(unit: UnitOfWork, user_id: UUID) -> None:
    """Recovery codes go with the last thing they stand in for."""
    if not await rows.in_force(unit.session, user_id):
        await rows.delete_recovery_codes(unit.session, user_id)


async def needed(unit: UnitOfWork, user_id: UUID) -> bool:
    """Whether this user has a second factor in force: an app or a passkey."""
    return await rows.in_force(unit.session, user_id)


async def check(unit: UnitOfWork, box: SecretBox, user_id: UUID, code: str) -> bool:
    """Whether `code` is a fresh one of the user's app, or a recovery code not used before; it is used up by this.

    Wrong ones are counted: commit the unit either way. Raises TooManyAttempts while the user has to wait.
    """
    row = await rows.lock_factor(unit.session, user_id)
    if row is None or row.confirmed_at is None:
        return await _recovery_code_fits(unit, user_id, code)
    return await _code_fits(unit, box, row, code, recovery=True)


async def _code_fits(unit: UnitOfWork, box: SecretBox, row: SecondFactor, code: str, *, recovery: bool = False) -> bool:
    now = utc_now()
    if row.wait_until is not None and row.wait_until > now:
        raise TooManyAttempts(max(1, round((row.wait_until - now).total_seconds())))
    opened = box.open(row.sealed, tenant_id=row.tenant_id, purpose=purpose(row.user_id))
    typed = "".join(code.split())
    step = codes.matching_step(base64.b64decode(opened["totp"]), typed, at=now.timestamp(), after=row.last_step)
    if step is not None:
        await rows.update_factor(unit.session, row.id, {"last_step": step, "failures": 0, "wait_until": None})
        return True
    if recovery and await rows.use_recovery_code(unit.session, row.user_id, codes.hash_recovery_code(code), now):
        await rows.update_factor(unit.session, row.id, {"failures": 0, "wait_until": None})
        unit.audit("recovery-code.used", "user", row.user_id)
        return True
    failures = row.failures + 1
    wait = min(_LONGEST_WAIT, timedelta(seconds=2 ** min(failures - _FREE, 16))) if failures > _FREE else None
    changes = {"failures": failures, "wait_until": now + wait if wait else None}
    await rows.update_factor(unit.session, row.id, changes)
    unit.audit("second-factor.refused", "user", row.user_id, failures=failures)
    return False


async def _recovery_code_fits(unit: UnitOfWork, user_id: UUID, code: str) -> bool:
    """Of who has passkeys and no app. There is nothing to guess: a code is 80 random bits."""
    if await rows.use_recovery_code(unit.session, user_id, codes.hash_recovery_code(code), utc_now()):
        unit.audit("recovery-code.used", "user", user_id)
        return True
    unit.audit("second-factor.refused", "user", user_id)
    return False


async def new_codes(unit: UnitOfWork, user_id: UUID) -> list[str]:
    """Fresh recovery codes, shown once; the earlier ones are void."""
    fresh = codes.new_recovery_codes()
    hashes = [codes.hash_recovery_code(each) for each in fresh]
    await rows.replace_recovery_codes(unit.session, unit.tenant_id, user_id, hashes)
    return fresh


def purpose(user_id: UUID) -> str:
    return f"second factor of {user_id}"


def wrong_code() -> InvalidInput:
    return InvalidInput("the code is wrong or was used", hint="wait for the next code of the app")
