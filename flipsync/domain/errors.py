"""The error tree.

FlipSyncError                    what went wrong, and a hint what to do
├── InvalidInput                 the caller's input; nothing was changed
├── NotFound                     no such thing, or not yours
├── Conflict                     somebody else changed it first, or it exists already
│   ├── VersionMismatch          it was changed since it was read
│   └── OverBudget               more than an agent's share; it decides anew when there may be room again
├── Forbidden                    authenticated, but not allowed
├── Unauthenticated              who are you?
├── Unavailable                  a part we need is not there now; retry later
└── ChannelError                 an outside call failed, in exactly one of three ways:
    ├── Rejected                 the vendor said no and nothing happened; do not repeat as it is
    │   └── EditedElsewhere      not written: somebody else has changed what was to be changed
    ├── Retryable(after)         nothing happened; the same call may succeed later
    │   ├── Unreadable           the vendor answered, and what it says of this one thing cannot be used
    │   └── UnreadOrders         some orders could not be read: what they have sold is not in the books
    └── OutcomeUnknown           it may have happened: read back before anything else
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from flipsync.domain.money import Money

if TYPE_CHECKING:
    from flipsync.domain.channel import UnreadOrder


class FlipSyncError(Exception):
    """Base of every error raised on purpose. `hint` says what the reader can do about it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(FlipSyncError):
    code = "invalid-input"
    status = 422


class NotFound(FlipSyncError):
    code = "not-found"
    status = 404


class Conflict(FlipSyncError):
    code = "conflict"
    status = 409


class OverBudget(Conflict):
    """More than the share of money it would come from; the code is the rule that such a denial stands under."""

    code = "fleet-budget"


class VersionMismatch(Conflict):
    """Somebody else changed it since it was read."""

    code = "version-mismatch"
    status = 412

    @classmethod
    def check(cls, what: str, version: int, expected: int | None) -> None:
        """Raises when `expected`, the version a change is based on, is not the one there is; None is based on any."""
        if expected is not None and version != expected:
            raise cls(f"{what} is at version {version}, not {expected}", hint="read it again, then change it")


class Forbidden(FlipSyncError):
    code = "forbidden"
    status = 403


class Unauthenticated(FlipSyncError):
    code = "unauthenticated"
    status = 401


class Unavailable(FlipSyncError):
    code = "unavailable"
    status = 503


class ChannelError(FlipSyncError):
    """An outside call failed. `vendor_code` and `vendor_status` are the vendor's own words, for people and rules."""

    code = "channel-error"
    status = 502

    def __init__(
        self, message: str, *, hint: str = "", vendor_code: str = "", vendor_status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.vendor_code = vendor_code
        self.vendor_status = vendor_status


class Rejected(ChannelError):
    """The vendor refused: nothing happened, and the same request will be refused again.

    `auth` is true when the credentials, not the request, were refused (expired, revoked, missing scope); `moved_to` is
    where a redirect points, maybe relative.
    """

    code = "channel-rejected"
    moved_to: str = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        vendor_code: str = "",
        vendor_status: int | None = None,
        auth: bool = False,
        missing: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, vendor_code=vendor_code, vendor_status=vendor_status)
        self.auth = auth
        self.missing = missing


class EditedElsewhere(Rejected):
    """Nothing was written: the listing shows a price that nobody of ours has put there, `shown`. Whoever put it there
    has not been heard yet."""

    code = "channel-edited-elsewhere"

    def __init__(self, shown: Money, known: Money) -> None:
        super().__init__(
            f"the price was changed on the channel: it shows {shown}, not {known}",
            hint="the price is decided anew from what is shown",
            vendor_code="edited",
        )
        self.shown = shown
        self.known = known


class Retryable(ChannelError):
    """Nothing happened; try the same request after `after` seconds (the vendor's wish, else None: use back-off)."""

    code = "channel-retryable"

    def __init__(
        self,
        message: str,
        *,
        after: float | None = None,
        hint: str = "",
        vendor_code: str = "",
        vendor_status: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, vendor_code=vendor_code, vendor_status=vendor_status)
        self.after = after


class Unreadable(Retryable):
    """The answer came whole and well formed, and is not what the vendor promises; asked again it may be."""

    code = "channel-unreadable"


class UnreadOrders(Retryable):
    """Some of an account's orders cannot be read, which hinders no other: `orders` that were just met, or ones that are
    held since. Units of them may be sold and are in nobody's books, so that no unit may be put on sale."""

    code = "channel-unread-orders"

    def __init__(self, message: str, orders: tuple[UnreadOrder, ...] = (), *, after: float | None = None) -> None:
        super().__init__(message, after=after, hint="flipsync agents set-aside", vendor_code="unread-orders")
        self.orders = orders


class OutcomeUnknown(ChannelError):
    """A write was sent and no usable answer came: it may have happened. Read back; never assume either way.

    `for_person`: nothing we could read would tell, so nobody tries again.
    """

    code = "channel-outcome-unknown"

    def __init__(
        self,
        message: str,
        *,
        for_person: bool = False,
        hint: str = "",
        vendor_code: str = "",
        vendor_status: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, vendor_code=vendor_code, vendor_status=vendor_status)
        self.for_person = for_person
