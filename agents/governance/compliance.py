"""ComplianceAgent: what may leave the house, and accounts whose doors have closed."""

from __future__ import annotations

import re
from typing import cast

from flipsync.domain.called_off import TellBuyer, WriteByHand
from flipsync.domain.channel_fault import CAUSES, Cause
from flipsync.domain.commands import (
    Command,
    IssueRefund,
    PauseAccount,
    PublishListing,
    ResumeAccount,
    ReviseListing,
    SettleRefund,
)
from flipsync.domain.decisions import Decision, Evidence, Verdict
from flipsync.domain.events import (
    AccountHealthChanged,
    ChannelFaultFound,
    CredentialsExpiring,
    CredentialsRenewed,
    EffectFailed,
)
from flipsync.runtime.agent import Agent, AgentSpec, Authority, Context

#: goods no marketplace we serve admits (Amazon "Restricted products", eBay "Prohibited and restricted items")
_FORBIDDEN = re.compile(
    r"\b(ammunition|explosives?|ivory|human remains|lottery tickets?|prescription (drug|medicine)s?|stun guns?)\b", re.I
)
#: claims that need a person's eye before they are published (FTC, "Health Products Compliance Guidance", 2022)
_CLAIMS = re.compile(r"\b(cures?|heals|fda[- ]approved|clinically proven|covid)\b", re.I)
_CONTACT = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}|\bwhats ?app\b|https?://", re.I)


AccountFact = EffectFailed | AccountHealthChanged | ChannelFaultFound | CredentialsExpiring | CredentialsRenewed


class ComplianceAgent(Agent[AccountFact]):
    """Judges every listing on its way out, and pauses an account that refuses our credentials."""

    spec = AgentSpec(
        name="compliance",
        ecosystem="governance",
        reports_to="executive",
        authority=Authority(auto_above=0.5),
        version="2",
    )

    async def decide(
        self, event: AccountFact, ctx: Context
    ) -> Decision[PauseAccount | ResumeAccount | SettleRefund | WriteByHand]:
        evidence = [Evidence(kind="account", id=event.account_id)]
        account = await ctx.services.accounts.get(event.account_id)
        if account is None or account.status == "disconnected":
            return Decision.hold("the account is not connected", evidence=evidence)
        if isinstance(event, AccountHealthChanged):
            asks = "; new listings there wait for the owner's word" if account.rated == "below" else ""
            return Decision.hold(f"noted: {event.cause}{asks}", evidence=evidence)
        if isinstance(event, CredentialsExpiring):
            # a pause would only come early: until it ends it works, and only a person can renew it
            when = f"ends on {event.ends_at:%Y-%m-%d}" if event.days else "has ended"
            return Decision.hold(f"the {event.credential} {when}: the owner has to renew it", evidence=evidence)
        if isinstance(event, CredentialsRenewed):
            return Decision.hold(f"the {event.credential} was renewed", evidence=evidence)
        if isinstance(event, ChannelFaultFound):
            known = CAUSES.get(cast(Cause, event.cause))
            if known is None or known.remedy != "pause" or account.status != "connected":
                return Decision.hold(f"noted: {event.cause}", evidence=evidence)
            return Decision.propose(
                PauseAccount(account_id=event.account_id, reason=f"{known.says}: {known.hint}"),
                why=f"{known.says}; what is written now would be refused, or be wrong",
                evidence=evidence,
            )
        evidence.append(Evidence(kind="effect", id=event.effect_id, note=event.detail))
        if event.auth and account.status == "connected":
            return Decision.propose(
                PauseAccount(account_id=event.account_id, reason=f"{PauseAccount.REFUSED}: {event.detail}"),
                why="every further write would be refused too, and may lock the account",
                evidence=evidence,
            )
        if event.command == IssueRefund.type_name() and event.outcome == "unknown":
            return Decision.propose(
                SettleRefund(order_id=event.subject_id),
                why=f"was the money given back on {event.vendor}, of which nobody else can tell: {event.detail}",
                evidence=[*evidence, Evidence(kind="order", id=event.subject_id)],
            )
        if event.command == TellBuyer.type_name():
            sure = "was not" if event.outcome == "rejected" else "may not have been"
            return Decision.propose(
                WriteByHand(order_id=event.subject_id),
                why=f"the buyer {sure} told on {event.vendor} that goods are not in stock: {event.detail}",
                evidence=[*evidence, Evidence(kind="order", id=event.subject_id)],
            )
        return Decision.hold(f"{event.command} {event.outcome}: {event.detail}", evidence=evidence)

    async def review(self, command: Command, ctx: Context) -> Verdict | None:
        """Text that goes out: forbidden goods never, claims and contact details only with a person's consent. Nothing
        new without it where the channel rates us below its standard."""
        if not isinstance(command, PublishListing | ReviseListing):
            return None
        words = f"{command.offer.title} {command.offer.description_html}"
        if found := _FORBIDDEN.search(words):
            return Verdict.deny("prohibited-goods", f"“{found.group()}” may not be sold on marketplaces")
        if found := _CLAIMS.search(words):
            return Verdict.ask("claims", f"“{found.group()}” is a claim that needs proof: publish it?")
        if found := _CONTACT.search(command.offer.title):
            return Verdict.deny("contact-details", f"“{found.group()}” in a title: marketplaces forbid contact details")
        if isinstance(command, PublishListing):
            account = await ctx.services.accounts.get(command.account_id)
            if account is not None and account.rated == "below":
                by = f" ({account.rated_because})" if account.rated_because else ""
                return Verdict.ask("seller-rating", f"{account.name} rates us below its standard{by}: list more there?")
        return None
