"""Rules about calls: who we are to the channel, whether it answers at all, and how often it may be asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flipsync.connectors.witness import CallSeen
from flipsync.domain.channel_fault import Cause
from flipsync.domain.errors import Rejected, Retryable
from flipsync.services.watch.memory import LimitTold, Memory

Found = tuple[Cause, float, list[str]]

_SUSPENDED = re.compile(r"suspend|deactivat|unavailable shop|frozen|account (is )?(closed|locked)", re.I)
_EXPIRED = re.compile(r"expired", re.I)
_SECRET = re.compile(r"secret|signature", re.I)
_SCOPE = re.compile(r"scope|permission|\brole\b|may not|forbidden|access[_ ]denied\b.*(field|required)|\b1100\b", re.I)
_MAINTENANCE = re.compile(r"maintenance|briefly unavailable", re.I)
_BLOCKED = re.compile(r"block|firewall|access denied|waf|captcha|forbidden", re.I)
_FORM = re.compile(r"cannot be used|holds no data", re.I)
#: what the queue of notices, another machine of the vendor's, says
_QUEUE = re.compile(
    r"QueueDoesNotExist|NonExistentQueue|InvalidClientTokenId|SignatureDoesNotMatch|MissingAuthenticationToken"
)
_ID = re.compile(r"\d|%|^[A-Z]|-")
#: real seconds that the rules look back, and that what passed is still told
_WINDOW = 90.0
_SKEW = 120.0


def of_calls(memory: Memory) -> Iterator[Found]:
    """What is wrong with the calls of the last minute or two; each finding with when it began."""
    since = memory.within(_WINDOW)
    calls = [(at, call) for at, call in memory.calls if at >= since]
    yield from _queue(calls)
    calls = [(at, call) for at, call in calls if not _QUEUE.search(call.code)]
    yield from _tokens(calls)
    yield from _refused(memory, calls, since)
    yield from _unusable(memory, calls, since)
    yield from _down(memory, calls)
    yield from _limits(memory, calls, since)
    skewed = [(at, call) for at, call in calls if call.skew is not None and abs(call.skew) > _SKEW]
    if len(skewed) >= 2 and skewed[-1][1].skew is not None:
        yield "clock-skewed", skewed[0][0], [f"the server's clock is {skewed[-1][1].skew:+.0f} s from ours"]


def _queue(calls: list[tuple[float, CallSeen]]) -> Iterator[Found]:
    refused = [(at, call) for at, call in calls if _QUEUE.search(call.code)]
    if not refused:
        return
    at, call = refused[0]
    gone = "Queue" in refused[-1][1].code
    yield ("queue-gone" if gone else "queue-denied"), at, [_words(call)]


def _tokens(calls: list[tuple[float, CallSeen]]) -> Iterator[Found]:
    asked = [(at, call) for at, call in calls if call.token]
    if not asked or _fine(asked[-1][1]):
        return
    at = next(at for at, call in asked if not _fine(call))
    call = asked[-1][1]
    if call.trouble or call.status is None or call.status >= 500 or call.status == 429:
        yield "token-endpoint-down", at, [_words(call)]
    elif call.code == "invalid_scope":
        yield "scope-lost", at, [_words(call)]
    elif call.code in ("invalid_client", "unauthorized_client") or call.status == 401:
        yield "secret-rotated", at, [_words(call)]
    else:
        yield "access-revoked", at, [_words(call)]


def _refused(memory: Memory, calls: list[tuple[float, CallSeen]], since: float) -> Iterator[Found]:
    if any(call.token and not _fine(call) for _, call in calls[-6:]):
        return  # what the token endpoint says is the cause of it
    rows = [(at, call) for at, call in calls if not call.token]
    bad = [(at, call) for at, call in rows if _is_refusal(call)]
    told = [
        (at, error)
        for at, error, _ in memory.failures
        if at >= since and isinstance(error, Rejected) and error.auth and error.vendor_status == 200
    ]
    if not bad and not told:
        return
    at = min([at for at, _ in bad] + [at for at, _ in told])
    said = bad[-1][1] if bad else None
    words = _words(said) if said else f"{told[-1][1].vendor_code} {told[-1][1].message}"
    later_fine = [call for when, call in rows if when >= at and _fine(call)]
    renewed = any(call.token and _fine(call) and when >= at for when, call in calls)
    if said is not None and said.page and said.status == 403 and _BLOCKED.search(said.page):
        yield "firewall-blocks", at, [f"HTTP 403, a page: {said.page[:120]}"]
    elif (said is not None and said.status in (402, 423)) or _SUSPENDED.search(words):
        yield "account-suspended", at, [words]
    elif renewed and said is not None and not _SCOPE.search(words):
        if _fine(rows[-1][1]) or later_fine:
            yield "token-expired", at, [words, "a new token was given out and taken"]
        else:
            yield "access-revoked", at, [words, "new tokens are refused too"]
    elif _EXPIRED.search(words):
        yield "access-ended", at, [words]
    elif _SCOPE.search(words) and (said is None or _had(memory, said)):
        yield "scope-lost", at, [words]
    elif _SECRET.search(words):
        yield "secret-rotated", at, [words]
    elif later_fine and len(bad) > 1 and said is not None and _had(memory, said):
        yield "scope-lost", at, [words, f"{len(later_fine)} other calls were answered meanwhile"]
    elif not later_fine:
        yield "access-revoked", at, [words]


def _had(memory: Memory, refused: CallSeen) -> bool:
    """Whether calls of this kind were answered before, so that what is refused now was ours; a new watch assumes so."""
    if memory.now() - memory.began < memory.as_business(_WINDOW):
        return True
    kind = _kind(refused)
    return any(_fine(call) and _kind(call) == kind for _, call in memory.calls)


def _kind(call: CallSeen) -> tuple[bool, str]:
    """Reads or writes of one resource: the path without ids."""
    return call.writes, "/".join(part for part in call.path.split("/") if part and not _ID.search(part))


def _is_refusal(call: CallSeen) -> bool:
    expired = call.status == 400 and call.auth
    return (
        call.status in (401, 402, 403, 423) or expired or (call.status == 400 and bool(_EXPIRED.search(call.message)))
    )


def _unusable(memory: Memory, calls: list[tuple[float, CallSeen]], since: float) -> Iterator[Found]:
    moved = [(at, call) for at, call in calls if call.status is not None and 300 <= call.status < 400]
    if moved:
        yield "address-moved", moved[0][0], [_words(moved[-1][1])]
    odd = [(at, call) for at, call in calls if call.trouble == "unusable"]
    formless = [(at, error) for at, error, _ in memory.failures if at >= since and _FORM.search(error.message)]
    pages = [(at, call) for at, call in odd if call.page]
    if pages:
        yield "not-the-api", pages[0][0], [f"HTTP {pages[-1][1].status}, a page: {pages[-1][1].page[:120]}"]
    elif len(odd) + len(formless) >= 2:
        at = min([at for at, _ in odd] + [at for at, _ in formless])
        yield "schema-changed", at, [odd[-1][1].message if odd else formless[-1][1].message]


def _down(memory: Memory, calls: list[tuple[float, CallSeen]]) -> Iterator[Found]:
    """Reads fail, one after another, and none has succeeded since. Failing writes alone are another matter."""
    reads = [(at, call) for at, call in calls if not call.writes and not call.token]
    tail: list[tuple[float, CallSeen]] = []
    for at, call in reversed(reads):
        if not _is_down(call):
            break
        tail.append((at, call))
    if len(tail) < 2:
        return
    at, call = tail[-1]
    kept = any(_MAINTENANCE.search(f"{each.page} {each.message}") for _, each in tail)
    yield ("channel-maintenance" if kept else "channel-down"), at, [f"{len(tail)} calls in a row: {_words(call)}"]


def _is_down(call: CallSeen) -> bool:
    return (call.status is not None and call.status >= 500) or call.trouble in ("unreachable", "no answer", "broke")


def _limits(memory: Memory, calls: list[tuple[float, CallSeen]], since: float) -> Iterator[Found]:
    slow = [(at, call) for at, call in calls if call.status == 429]
    throttled = [
        at
        for at, error, _ in memory.failures
        if at >= since and isinstance(error, Retryable) and (error.vendor_code == "THROTTLED")
    ]
    told = [row for row in memory.limits if row.at >= since]
    shared = [row for row in told if _is_shared(row)]
    lower = [row for row in told if _is_lower(row)]
    gone = [(at, call) for at, call in slow if call.after is not None and call.after >= 600]
    if len(lower) >= 2:
        row = lower[-1]
        what = f"{row.bucket}: told {row.rate or row.burst:g}, documented {row.documented_rate:g} a second"
        yield "limit-lower", lower[0].at, [f"{what} and {row.documented_burst:g} at once"]
    elif len(shared) >= 2 or (shared and slow):
        row = shared[-1]
        yield (
            "limit-shared",
            shared[0].at,
            [f"{row.bucket}: {row.left:g} of {row.burst or row.documented_burst:g} left, ours were {row.ours:g}"],
        )
    elif gone:
        yield "quota-gone", gone[0][0], [f"429, try again in {gone[-1][1].after:.0f} s"]
    elif len(slow) + len(throttled) >= 3:
        at = min([at for at, _ in slow] + throttled)
        yield "limit-lower", at, [f"{len(slow) + len(throttled)} refusals for pace, below the documented one"]


def _is_lower(row: LimitTold) -> bool:
    slower = row.rate is not None and row.rate < 0.9 * row.documented_rate
    return slower or (row.burst is not None and row.burst < 0.9 * row.documented_burst)


def _is_shared(row: LimitTold) -> bool:
    whole = row.burst or row.documented_burst
    return row.left is not None and whole - row.left > row.ours * 1.2 + 0.25 * whole


def _fine(call: CallSeen) -> bool:
    return call.status is not None and call.status < 300 and not call.trouble


def _words(call: CallSeen) -> str:
    what = f"HTTP {call.status}" if call.status is not None else call.trouble
    said = " ".join(part for part in (call.code, call.message) if part)
    return f"{what} {said}".strip()[:200]
