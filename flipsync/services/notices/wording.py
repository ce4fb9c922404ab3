"""The words of a notification, made of its facts. What comes from outside is data: cut short, and nothing but a word.

No buyer is named here: an order is known by its number.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Any, Final

from flipsync.services.notices.kinds import Kind

_LONGEST = 80
_TITLES: Final[dict[Kind, str]] = {
    "approval-waiting": "{agent} asks: {wish}",
    "approval-escalated": "nobody has answered {agent} yet: {wish}",
    "approval-expiring": "the time to answer {agent} is nearly over: {wish}",
    "channel-fault": "{account} does not tell the truth: {cause}",
    "channel-repaired": "{account} is well again: {cause}",
    "oversold": "order {order} of {account} wants {units} that are not there",
    "refund-unknown": "nobody knows whether the refund for order {order} of {account} was given",
    "label-unknown": "nobody knows whether the label for order {order} of {account} was bought",
    "shipment-unconfirmed": "{account} was not told that order {order} has left",
    "rival-price-war": "a price war at {listing} on {account}",
    "rival-hijack": "somebody else sells on {listing} on {account}",
    "work-set-aside": "{agent} could not deal with {tasks} and set them aside",
    "order-unread": "the order {order} of {account} cannot be read",
    "agent-down": "the agent {agent} is down",
    "credential-ending": "{credential} of {account} {ends}",
    "passkey-copied": "the passkey {passkey} of {person} was copied",
    "sign-in-changed": "{change}",
    "key-ending": "your API key {key} {ends}",
    "automation-stopped": "the automation {automation} was stopped",
    "automation-says": "{automation}: {message}",
    "purchase-to-place": "{supplier} has to be told of the {about} {order} by you",
    "purchase-unknown": "nobody knows whether {supplier} got the mail about the {about} {order}",
    "purchase-late": "order {order} from {supplier} is late",
    "transfer-short": "{missing} of {sent} units of {sku} sent to {account} (TR-{transfer}) have not arrived",
    "report-ready": "{report} report, {days}",
    "report-failed": "the {report} report, {days}, could not be made",
    "listings-need-you": "{listings} on {account} need you; first {first}",
}
_DETAILS: Final[dict[Kind, str]] = {
    "approval-waiting": "It waits until {expires}. With no answer none of it is done.",
    "approval-escalated": "It waits until {expires}. With no answer none of it is done.",
    "approval-expiring": "It waits until {expires}. With no answer none of it is done.",
    "channel-fault": "What FlipSync does about it, and what you can do, is with the channel.",
    "channel-repaired": "It has not been seen any more for a while.",
    "oversold": "The ways out, with what each costs, are with the order.",
    "refund-unknown": "Look at the channel's own page, and say what it shows: until then no other refund is sent.",
    "label-unknown": "Look at the channel's own page, and say what it shows: until then no other label is bought.",
    "shipment-unconfirmed": "Why is with the order. Mark it as shipped on the channel's own page: that is seen.",
    "rival-price-war": "The moves it rests on are with the listing's rivals.",
    "rival-hijack": "Who it is is with the listing's rivals.",
    "work-set-aside": "Everything else goes on. See what it was, and let it be tried again.",
    "order-unread": "All others are booked. Until it can be read, or you say that you booked it by hand, no unit is "
    "put on sale there behind it. It is with the work set aside.",
    "agent-down": "What it would do waits until it is up again.",
    "purchase-to-place": "No mail goes there, or it was refused. Tell them, then say that they have it.",
    "purchase-unknown": "Ask them: it is not sent again. Then say whether they have the order, or cancel it.",
    "purchase-late": "Nine in ten of their orders are there by now.",
    "transfer-short": "Ask the channel to look for them, then call the rest off: say how many came back to you.",
    "report-ready": "You asked for it {rhythm}. The file ({file}) is kept for 30 days.",
    "report-failed": "Why is with the report.",
    "listings-need-you": "What each lacks is known nowhere in your books: see `flipsync listings`.",
    "credential-ending": "Renew it in time, or the channel will no longer answer.",
    "passkey-copied": "It opens nothing any more. End sessions that are not theirs, revoke it and add a new one.",
    "sign-in-changed": "If that was not you, end your sessions, change your password and tell an owner.",
    "key-ending": "Make another one in its place, or what uses it will be refused.",
    "automation-stopped": "Why is with the automation: {message}. Resume it when that is mended.",
    "automation-says": "It is an automation of yours that says so: see its runs.",
}
#: by what the audit log calls it (store.models.door.SIGN_IN_CHANGES)
_CHANGES: Final[dict[str, str]] = {
    "password.changed": "your password was changed",
    "second-factor.enabled": "a second factor was added to your sign-in",
    "second-factor.removed": "your second factor was removed",
    "recovery-codes.renewed": "you were given new recovery codes",
    "recovery-code.used": "a recovery code of yours was used",
    "passkey.added": "a passkey was added to your sign-in",
    "passkey.revoked": "a passkey of yours was revoked",
    "provider.linked": "another account was linked to your sign-in",
    "provider.unlinked": "an account was unlinked from your sign-in",
    "session.copied-token": "a session of yours was used from two places and has ended",
    "key.made": "an API key was made in your name",
}
_PATHS: Final[dict[str, str]] = {
    "approval": "/approvals/{id}",
    "account": "/marketplace/accounts/{id}",
    "order": "/orders/{id}",
    "listing": "/listings/{id}",
    "agent": "/agents",
    "workflow": "/workflows/{id}",
    "purchase_order": "/inventory/purchase-orders/{id}",
    "stock_transfer": "/inventory/transfers/{id}",
    "report": "/reports/runs/{id}",
}
#: a summary in place of what is too much to be told one by one
MANY: Final = "many"
_MANY: Final[dict[str, str]] = {
    "approval": "questions wait for an answer",
    "fault": "channels do not tell the truth",
    "repair": "channels are well again",
    "oversold": "orders want goods that are not there",
    "refund": "refunds are in doubt",
    "label": "labels are in doubt",
    "shipment": "parcels left of which the channel does not know",
    "rival": "alarms about rivals",
    "set-aside": "agents have set work aside",
    "held": "orders cannot be read",
    "agent": "agents are down",
    "credential": "credentials end",
    "passkey": "passkeys were copied",
    "sign-in": "changes of how people sign in",
    "key": "API keys end",
    "automation": "matters of automations",
    "purchase": "purchase orders want you",
    "transfer": "transfers to channels' warehouses have not arrived",
    "report": "reports are ready",
    "need": "accounts have listings that need you",
}


def clean(value: object, longest: int = _LONGEST) -> str:
    """One line of visible characters, cut to a length: no line break, no control or direction mark."""
    text = "".join(
        " " if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each
        for each in str(value)[: longest * 4]
        if unicodedata.category(each) not in ("Cf", "Cs", "Co", "Cn")
    )
    text = re.sub(r"\s+", " ", text.replace("://", ":// ")).strip()  # and no link: programs make one of an address
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def title(kind: Kind, facts: dict[str, Any]) -> str:
    if MANY in facts:
        more = " or more" if facts.get("or_more") else ""
        return f"{int(facts[MANY]):,}{more} {_MANY.get(str(facts.get('source')), 'matters')} in all"
    text = _TITLES[kind].format_map(_Words(facts))
    return text[:1].upper() + text[1:]


def detail(kind: Kind, facts: dict[str, Any]) -> str:
    if MANY in facts:
        return "They are too many to be told one by one: the oldest are, the rest is in the lists."
    return _DETAILS[kind].format_map(_Words(facts))


def path(subject_kind: str, subject_id: object) -> str:
    """Where the app shows it, below its base URL."""
    found = _PATHS.get(subject_kind, "/notifications")
    return found.format(id=subject_id) if subject_id is not None or "{id}" not in found else "/notifications"


class _Words(dict[str, str]):
    """Facts as words; what a fact is missing is called by what it would be."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__({name: clean(value) for name, value in facts.items()})
        self.setdefault("wish", "something")
        for name, one in (("units", "unit"), ("tasks", "task"), ("listings", "listing")):
            if name in facts:
                self[name] = f"{facts[name]} {one}{'' if facts[name] == 1 else 's'}"
        if "cause" in facts:
            self["cause"] = clean(facts["cause"]).replace("-", " ")
        if "credential" in facts:
            called = {"refresh": "consent", "access": "access token"}
            self["credential"] = "the " + called.get(self["credential"], self["credential"].replace("_", " "))
        if "change" in facts:
            self["change"] = _CHANGES.get(self["change"], self["change"])
        if "expires_at" in facts:
            self["expires"] = _moment(facts["expires_at"])
        if "ends_at" in facts:
            self["ends"] = f"ends on {_moment(facts['ends_at'])}" if facts.get("days") else "has ended"

    def __missing__(self, name: str) -> str:
        return f"the {name}"


def _moment(value: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(value)):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return clean(value)
