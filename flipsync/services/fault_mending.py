"""What is done about a fault of a channel without asking anybody: subscriptions, and what our books lack."""

from __future__ import annotations

from typing import Any, cast

from flipsync.domain.channel_fault import CAUSES, Cause
from flipsync.domain.commands import Command, EnsureWebhooks, PullOrders, VerifyListings
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.events import ChannelFaultFound
from flipsync.store.repositories.listings import AccountRow


def mend(event: ChannelFaultFound, account: AccountRow | None, notices_go_to: str | None) -> Decision[Any]:
    """`account` is the channel as it is in our books, `notices_go_to` where its webhooks go. What only the owner can
    mend is told as it is. Pure."""
    evidence = [Evidence(kind="channel_fault", id=event.fault_id, note="; ".join(event.evidence)[:300])]
    known = CAUSES.get(cast(Cause, event.cause))
    if known is None or account is None or account.status == "disconnected":
        return Decision.hold("the account is not connected any more", evidence=evidence)
    commands: list[Command] = []
    if known.remedy == "resubscribe" and notices_go_to is not None:
        commands.append(EnsureWebhooks(account_id=account.id, callback_url=notices_go_to))
    if known.remedy in ("resubscribe", "pull", "verify"):
        commands.append(PullOrders(account_id=account.id))
    commands += [VerifyListings(account_id=account.id)] * (known.remedy == "verify")
    if not commands:
        return Decision.hold(f"{known.says}. What to do: {known.hint}", evidence=evidence)
    return Decision.propose(*commands, why=f"{account.name}: {known.says}", confidence=0.9, evidence=evidence)
