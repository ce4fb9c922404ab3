"""The catalogue of named faults: what each is called, where it can happen, what it does, and what is its cause.

    sandbox.inject("shopify", "webhooks-deleted")        or POST /_sandbox/faults {"channel", "begin": [name]}

`cause` is the word the channel watch should come to (flipsync.domain.channel_fault). Faults of one cause differ in what
they do, not in what has to be done about them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from flipsync.sandbox import lenses as use
from flipsync.sandbox import tampering as tamper
from flipsync.sandbox.acts import (
    Act,
    Body,
    Deliver,
    Drain,
    Expire,
    Post,
    Rates,
    Refuse,
    Revoke,
    Rewrite,
    Show,
    Tamper,
    Write,
)
from flipsync.sandbox.exchange import Answer
from flipsync.sandbox.records import CHANNELS, Channel
from flipsync.sandbox.refusals import said

Family = Literal["auth", "delivery", "writes", "reads", "limits", "catalogue"]
ALL = CHANNELS
TOKENS: tuple[Channel, ...] = ("shopify", "ebay", "amazon")
#: where lists of orders may be asked for often: Amazon's 0.0056 times a second
LISTED: tuple[Channel, ...] = ("woo", "custom", "shopify", "ebay")
CALLED: tuple[Channel, ...] = ("woo", "custom", "shopify", "ebay")
ORDERLY: tuple[Channel, ...] = ("woo", "custom", "shopify")


@dataclass(frozen=True)
class NamedFault:
    """One fault. `make` gives a fresh act for each time it is begun."""

    name: str
    family: Family
    cause: str
    channels: tuple[Channel, ...]
    make: Callable[[], Act]


def _say(kind: str, status: int | None = None) -> Callable[[Channel], Answer]:
    return lambda channel: said(kind, channel, status)


def _page(status: int, text: str, **headers: str) -> Callable[[Channel], Answer]:
    """A web server's page in front of the API; header names have underscores here."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda channel: Answer(status, text.encode(), named, media_type="text/html; charset=UTF-8")


def _sqs(status: int, kind: str, message: str) -> Callable[[Channel], Answer]:
    body = f'{{"__type": "{kind}", "message": "{message}"}}'.encode()
    return lambda channel: Answer(status, body, media_type="application/x-amz-json-1.0")


def _refuse(makes: Callable[[Channel], Answer], which: str = "api", rate: float = 1.0) -> Callable[[], Act]:
    return partial(Refuse, makes, which, rate)  # type: ignore[arg-type]


PUSHED: tuple[Channel, ...] = ("custom", "shopify", "ebay", "amazon")
_QUEUE_GONE = _sqs(400, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
_QUEUE_DENIED = _sqs(403, "com.amazon.coral.service#InvalidClientTokenId", "The security token is invalid.")
_FIREWALL = _page(403, "<html><title>Access denied | blocked by the firewall</title></html>")
_MOVED = _page(301, "", Location="https://elsewhere.example/")
_DOWN = _page(502, "<html><title>502 Bad Gateway</title></html>")
_MAINTENANCE = _page(503, "<html>Briefly unavailable for scheduled maintenance</html>", Retry_After="1")
_GONE = (400, "invalid_grant", "The refresh token is invalid, expired or was revoked")
_SECRET = (401, "invalid_client", "Client authentication failed")
_SCOPES = (400, "invalid_scope", "The requested scope exceeds the scope granted")

# fmt: off
_ROWS: tuple[tuple[str, Family, str, tuple[Channel, ...], Callable[[], Act]], ...] = (
    # name, family, cause, channels, what it does
    ("token-expired-401", "auth", "token-expired", ("shopify", "ebay"), partial(Expire, "expired", 401)),
    ("token-expired-403", "auth", "token-expired", TOKENS, partial(Expire, "expired-words", 403)),
    ("token-expired-400", "auth", "token-expired", TOKENS, partial(Expire, "expired-words", 400)),
    ("static-token-expired", "auth", "access-ended", ("custom",), partial(Expire, "expired")),
    ("grant-revoked", "auth", "access-revoked", TOKENS, partial(Revoke, _GONE)),
    ("client-secret-rotated", "auth", "secret-rotated", TOKENS, partial(Revoke, _SECRET)),
    ("grant-lost-scopes", "auth", "scope-lost", TOKENS, partial(Revoke, _SCOPES)),
    ("key-deleted", "auth", "access-revoked", ("custom", "woo"), _refuse(_say("unknown-key"))),
    ("key-secret-rotated", "auth", "secret-rotated", ("custom", "woo"), _refuse(_say("wrong-secret"))),
    ("write-scope-lost", "auth", "scope-lost", ALL, _refuse(_say("scope"), "writes")),
    ("order-scope-lost", "auth", "scope-lost", ALL, _refuse(_say("scope"), "orders")),
    ("account-suspended", "auth", "account-suspended", ALL, _refuse(_say("suspended"))),
    ("token-endpoint-down", "auth", "token-endpoint-down", TOKENS, partial(Revoke, (503, "unavailable", "Later"))),
    # delivery
    ("webhooks-deleted", "delivery", "webhooks-missing", ALL, partial(Tamper, tamper.drop_subscriptions)),
    ("order-webhooks-deleted", "delivery", "webhook-topic-missing", ALL,
     partial(Tamper, tamper.drop_order_topics)),
    ("webhooks-paused", "delivery", "webhooks-paused", ("woo", "custom", "ebay"),
     partial(Tamper, tamper.pause_subscriptions)),
    ("webhooks-moved", "delivery", "webhooks-missing", ORDERLY, partial(Tamper, tamper.move_subscriptions)),
    ("webhooks-silent", "delivery", "webhooks-silent", ALL, partial(Deliver, use.lost())),
    ("webhooks-lossy", "delivery", "webhooks-lossy", ALL, partial(Deliver, use.lost(2))),
    ("webhooks-late", "delivery", "webhooks-late", CALLED, partial(Deliver, use.held(30.0))),
    ("webhooks-reordered", "delivery", "webhooks-reordered", ALL, partial(Deliver, use.held(12.0, 2))),
    ("webhooks-duplicated", "delivery", "webhooks-duplicated", PUSHED, partial(Deliver, use.copies(3, 1.0))),
    ("shop-webhooks-duplicated", "delivery", "webhooks-duplicated", ("woo",),
     partial(Rates, {"webhook_duplicate": 1.0})),
    ("webhooks-replayed", "delivery", "webhooks-replayed", PUSHED, partial(Deliver, use.copies(2, 25.0))),
    ("webhooks-forged", "delivery", "webhooks-forged", CALLED, partial(Post, use.forged)),
    ("webhook-secret-changed", "delivery", "webhook-secret-changed", CALLED, partial(Post, use.resigned)),
    ("webhooks-garbled", "delivery", "webhooks-garbled", ALL, partial(Body, use.cut_short)),
    ("queue-deleted", "delivery", "queue-gone", ("amazon",), _refuse(_QUEUE_GONE, "queue")),
    ("queue-key-rotated", "delivery", "queue-denied", ("amazon",), _refuse(_QUEUE_DENIED, "queue")),
    # writes
    ("write-ignored", "writes", "write-ignored", ALL, partial(Write, use.ignored)),
    ("write-half-applied", "writes", "write-half-applied", ALL, partial(Write, use.half)),
    ("write-applied-twice", "writes", "write-applied-twice", ALL, partial(Write, use.twice)),
    ("write-on-another-listing", "writes", "write-misplaced", ALL, partial(Write, use.misplaced)),
    ("write-reverted-later", "writes", "write-reverted", ALL, partial(Write, use.reverted(12.0))),
    ("write-applied-late", "writes", "write-delayed", ALL, partial(Write, use.late(12.0))),
    ("write-applied-after-timeout", "writes", "write-after-timeout", ALL, partial(Write, use.late(12.0), 0, True)),
    ("write-price-rounded", "writes", "price-rewritten", ALL, partial(Write, use.rounded_prices)),
    ("write-answered-502", "writes", "answers-lost", ALL, partial(Rates, {"error_after": 1.0})),
    ("write-connection-lost", "writes", "answers-lost", ALL, partial(Rates, {"drop_after": 1.0})),
    # reads
    ("reads-stale", "reads", "reads-stale", ALL, partial(Show, use.stale(600.0))),
    ("stock-frozen", "reads", "stock-frozen", ALL, partial(Show, use.frozen_stock)),
    ("stock-uncounted", "reads", "stock-uncounted", ("woo", "shopify"), partial(Show, use.uncounted)),
    ("list-truncated", "reads", "list-truncated", ALL, partial(Show, use.truncated)),
    ("list-page-repeated", "reads", "list-page-repeated", ("custom",), partial(Show, use.repeated)),
    ("orders-missing", "reads", "orders-missing", LISTED, partial(Show, use.every_second_order)),
    ("order-list-empty", "reads", "order-list-empty", LISTED, partial(Show, use.no_orders)),
    ("orders-of-another-seller", "reads", "foreign-orders", LISTED, partial(Show, use.strangers_orders)),
    ("currency-wrong", "reads", "currency-wrong", ALL, partial(Rewrite, use.in_euros)),
    ("price-scale-wrong", "reads", "price-scale-wrong", ALL, partial(Show, use.scaled)),
    ("clock-skewed", "reads", "clock-skewed", ALL, partial(Rewrite, use.a_day_ahead, "all")),
    ("schema-changed", "reads", "schema-changed", ALL, partial(Rewrite, use.fewer_fields)),
    ("web-page-instead", "reads", "not-the-api", ALL, partial(Rewrite, use.a_web_page)),
    ("firewall-blocks", "reads", "firewall-blocks", ALL, _refuse(_FIREWALL)),
    ("moved-away", "reads", "address-moved", ALL, _refuse(_MOVED)),
    ("channel-down", "reads", "channel-down", ALL, _refuse(_DOWN)),
    ("channel-in-maintenance", "reads", "channel-maintenance", ALL, _refuse(_MAINTENANCE)),
    # limits
    ("limit-lower", "limits", "limit-lower", ALL, _refuse(tamper.too_many(1), "api", 0.5)),
    ("limit-lower-announced", "limits", "limit-lower", ("shopify", "amazon"), partial(Drain, tamper.slower)),
    ("limit-shared", "limits", "limit-shared", ("shopify", "ebay"), partial(Drain, tamper.spend_for_others)),
    ("daily-quota-gone", "limits", "quota-gone", ALL, _refuse(tamper.too_many(28_800))),
    # catalogue
    ("listing-suppressed", "catalogue", "listing-suppressed", ("woo", "shopify", "amazon"),
      partial(Tamper, tamper.suppress_listing)),
    ("listing-ended", "catalogue", "listing-ended", ("custom", "ebay"), partial(Tamper, tamper.end_listing)),
    ("listing-deleted", "catalogue", "listing-gone", ALL, partial(Tamper, tamper.delete_listing)),
    ("listing-merged", "catalogue", "listing-merged", ("custom", "woo", "shopify", "amazon"),
     partial(Show, use.merged)),
    ("listing-doubled", "catalogue", "listing-doubled", ("custom", "woo"), partial(Tamper, tamper.double_listing)),
    ("variation-split", "catalogue", "variation-split", ("ebay", "amazon"), partial(Tamper, tamper.split_variation)),
    ("sku-changed", "catalogue", "sku-changed", ("woo", "shopify"), partial(Tamper, tamper.rename_sku)),
    ("title-rewritten", "catalogue", "title-rewritten", ("custom", "woo"), partial(Tamper, tamper.retitle)),
    ("price-changed-elsewhere", "catalogue", "price-changed-elsewhere", ALL, partial(Tamper, tamper.reprice)),
    ("stock-changed-elsewhere", "catalogue", "stock-changed-elsewhere", ALL, partial(Tamper, tamper.restock)),
)
# fmt: on

FAULTS: dict[str, NamedFault] = {row[0]: NamedFault(*row) for row in _ROWS}


def make(name: str, channel: Channel) -> Act:
    """A fresh act of the fault. Raises KeyError for a name nobody has, ValueError where it cannot happen."""
    fault = FAULTS[name]
    if channel not in fault.channels:
        raise ValueError(f"{name} cannot happen on {channel}: only on {', '.join(fault.channels)}")
    return fault.make()
