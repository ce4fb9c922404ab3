"""Ways in which a channel stops telling the truth: the names of the causes, and what is to be done about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Cause = Literal[
    # who we are to it
    "token-expired", "access-ended", "access-revoked", "secret-rotated", "scope-lost", "account-suspended",
    "token-endpoint-down",
    # whether it answers
    "address-moved", "channel-down", "channel-maintenance", "firewall-blocks", "not-the-api", "schema-changed",
    "clock-skewed",
    # how often
    "limit-lower", "limit-shared", "quota-gone",
    # what it tells by itself
    "webhooks-missing", "webhook-topic-missing", "webhooks-paused", "webhooks-silent", "webhooks-lossy",
    "webhooks-late", "webhooks-reordered", "webhooks-duplicated", "webhooks-replayed", "webhooks-forged",
    "webhook-secret-changed", "webhooks-garbled", "queue-gone", "queue-denied",
    # what it does with writes
    "write-ignored", "write-half-applied", "write-applied-twice", "write-misplaced", "write-reverted", "write-delayed",
    "write-after-timeout", "answers-lost", "price-rewritten",
    # what it shows
    "reads-stale", "stock-frozen", "stock-uncounted", "list-truncated", "list-page-repeated", "orders-missing",
    "order-list-empty", "foreign-orders", "currency-wrong", "price-scale-wrong",
    # what became of the goods
    "listing-suppressed", "listing-ended", "listing-gone", "listing-merged", "listing-doubled", "variation-split",
    "sku-changed", "title-rewritten", "price-changed-elsewhere", "stock-changed-elsewhere",
]  # fmt: skip

#: What the house does by itself. `wait`: it passes, and calls are retried anyway; `none`: handled where it happens.
Remedy = Literal["renew", "resubscribe", "pull", "verify", "pause", "wait", "alert"]


@dataclass(frozen=True)
class Known:
    """A cause in words: what is the matter, what the owner can do, and what the house does by itself.

    `blinds`: while it lasts nothing else that the channel says can be judged.
    """

    says: str
    hint: str
    remedy: Remedy
    blinds: bool = False


def _rows() -> dict[Cause, Known]:
    connect, wait = "connect the account again", "nothing: calls are repeated until it passes"
    hook = "nothing: subscriptions are made anew, and orders are fetched meanwhile"
    look = "see what else writes to this account: a plug-in, another tool, a person"
    support = "tell the vendor's support, with the evidence"
    # fmt: off
    return {
        "token-expired": Known("access tokens end earlier than was said", "nothing: they are renewed", "renew"),
        "access-ended": Known("the access token has expired", f"make a new one and {connect}", "pause", True),
        "access-revoked": Known("the access was withdrawn", connect, "pause", True),
        "secret-rotated": Known(
            "the application's secret is not the one we have", f"enter the new secret: {connect}", "pause", True
        ),
        "scope-lost": Known("a permission that we had is gone", f"grant all permissions: {connect}", "alert", True),
        "account-suspended": Known("the vendor has suspended the account", "sign in there and read why", "pause", True),
        "token-endpoint-down": Known("no access tokens are given out now", wait, "wait", True),
        "address-moved": Known(
            "the channel has moved to another address", "change the account's base_url", "alert", True
        ),
        "channel-down": Known("the channel does not answer", wait, "wait", True),
        "channel-maintenance": Known("the channel is being maintained", wait, "wait", True),
        "firewall-blocks": Known(
            "a firewall in front of the channel refuses us", "allow this machine's address there", "alert", True
        ),
        "not-the-api": Known(
            "web pages come instead of data", "see what stands in front of the API: a login, a challenge", "alert", True
        ),
        "schema-changed": Known(
            "answers have another form than documented", "update FlipSync; until then nothing is written", "alert", True
        ),
        "clock-skewed": Known("the channel's clock is wrong, or ours is", "set the clocks (NTP)", "alert"),
        "limit-lower": Known(
            "fewer calls are allowed than documented", "nothing: the pace is learnt; ask for a higher plan", "wait"
        ),
        "limit-shared": Known(
            "something else spends this account's calls", "find the other tool, or share the limit", "alert"
        ),
        "quota-gone": Known(
            "today's calls are used up", "wait for the new day, or ask for a higher quota", "wait", True
        ),
        "webhooks-missing": Known("the channel has no subscription of ours any more", hook, "resubscribe"),
        "webhook-topic-missing": Known("a topic is not subscribed to any more", hook, "resubscribe"),
        "webhooks-paused": Known("the channel has switched our webhooks off", hook, "resubscribe"),
        "webhooks-silent": Known(
            "webhooks do not arrive though they are on", "see that our address is reachable", "resubscribe"
        ),
        "webhooks-lossy": Known("some webhooks do not arrive", "nothing: orders are fetched besides", "pull"),
        "webhooks-late": Known("webhooks arrive late", "nothing: orders are fetched besides", "pull"),
        "webhooks-reordered": Known(
            "webhooks arrive in another order than things happened", "nothing: the newest state counts", "pull"
        ),
        "webhooks-duplicated": Known("webhooks arrive more than once", "nothing: repeats are dropped", "wait"),
        "webhooks-replayed": Known(
            "old webhooks are delivered again", "nothing: they are dropped; see who sends them", "alert"
        ),
        "webhooks-forged": Known(
            "somebody sends webhooks with a wrong signature", "nothing: they are refused", "alert"
        ),
        "webhook-secret-changed": Known("webhooks are signed with another secret than agreed", hook, "resubscribe"),
        "webhooks-garbled": Known(
            "webhooks are genuine and cannot be read", "nothing: orders are fetched instead", "pull"
        ),
        "queue-gone": Known(
            "the queue of notifications does not exist any more", "make the queue again, and subscribe it", "alert"
        ),
        "queue-denied": Known("the queue of notifications refuses our key", f"make a new key and {connect}", "alert"),
        "write-ignored": Known("writes are answered and not done", support, "verify"),
        "write-half-applied": Known("writes are done in part", look, "verify"),
        "write-applied-twice": Known("writes are carried out twice", look, "verify"),
        "write-misplaced": Known("writes land on another listing", support, "verify"),
        "write-reverted": Known("what was written is taken back later", look, "verify"),
        "write-delayed": Known("writes are done some time after they are answered", "raise settle_seconds", "verify"),
        "write-after-timeout": Known("writes that got no answer are done later", "raise timeout_seconds", "verify"),
        "answers-lost": Known(
            "writes are done and their answers lost", "nothing: what was written is read back", "wait"
        ),
        "price-rewritten": Known("the channel makes other prices of ours", look, "alert"),
        "reads-stale": Known("the channel shows an old state", "see whether a cache stands in front of it", "pull"),
        "stock-frozen": Known("quantities shown do not move", support, "verify"),
        "stock-uncounted": Known(
            "the channel does not count a listing's stock", "switch stock management on there", "alert"
        ),
        "list-truncated": Known("lists of listings are not complete", support, "alert"),
        "list-page-repeated": Known("a page of listings is shown twice", support, "alert"),
        "orders-missing": Known("orders are missing from the list", "nothing: they are fetched one by one", "pull"),
        "order-list-empty": Known("the list of orders is empty though there are some", support, "pull"),
        "foreign-orders": Known(
            "orders of goods that are not ours are in the list", "see whose account this is", "alert"
        ),
        "currency-wrong": Known("the channel tells another currency", "check the channel's currency settings", "pause"),
        "price-scale-wrong": Known("prices are told a hundred times too high or low", support, "alert"),
        "listing-suppressed": Known("the channel does not show a listing", "read the channel's notice on it", "alert"),
        "listing-ended": Known("the channel has ended a listing", "read the channel's notice on it", "verify"),
        "listing-gone": Known(
            "the channel does not know a listing any more", "list it again if it was not ended on purpose", "verify"
        ),
        "listing-merged": Known("two listings have become one", "see which goods the remaining one shows", "alert"),
        "listing-doubled": Known("a SKU is listed twice", "end one of the two", "alert"),
        "variation-split": Known("a variation has left its group", "group it again there", "alert"),
        "sku-changed": Known(
            "a listing has another SKU now", "change it back: orders of it cannot be recognised", "alert"
        ),
        "title-rewritten": Known("somebody changed a listing's title", look, "alert"),
        "price-changed-elsewhere": Known("somebody else changed a price", look, "verify"),
        "stock-changed-elsewhere": Known("somebody else changed a quantity", look, "verify"),
    }
    # fmt: on


CAUSES: dict[Cause, Known] = _rows()
assert set(CAUSES) == set(get_args(Cause))


class Finding(BaseModel):
    """What was found out about a channel. `since` is the first sign of it; evidence is for people to read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cause: Cause
    since: AwareDatetime
    evidence: tuple[str, ...] = Field(default=(), max_length=5)

    @property
    def known(self) -> Known:
        return CAUSES[self.cause]
