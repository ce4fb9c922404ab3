"""Events and commands: what was written can be read again, and every one says what it is about."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flipsync.domain.commands import Command, PauseAccount, SetChannelQuantity
from flipsync.domain.errors import ChannelError, FlipSyncError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import Event, QuantityDrifted
from flipsync.domain.ids import new_id


def test_a_fact_comes_back_from_the_journal_as_it_went_in() -> None:
    fact = QuantityDrifted(listing_id=new_id(), account_id=new_id(), vendor="custom", expected=3, seen=None)
    assert Event.from_journal(fact.type_name(), fact.model_dump(mode="json")) == fact
    assert fact.subject() == ("listing", fact.listing_id)
    assert fact.routing_vendor() == "custom"


def test_a_command_comes_back_from_the_store_as_it_went_in() -> None:
    command = PauseAccount(account_id=new_id(), reason="why not")
    assert Command.from_store("PauseAccount", command.model_dump(mode="json")) == command
    assert command.subject() == ("account", command.account_id)


def test_unknown_types_and_unknown_fields_are_refused() -> None:
    with pytest.raises(KeyError):
        Event.from_journal("MoonLanded", {})
    with pytest.raises(KeyError):
        Command.from_store("BribeBuyer", {})
    with pytest.raises(ValidationError):
        Command.from_store("PauseAccount", {"account_id": str(new_id()), "reason": "", "sudo": True})


@pytest.mark.parametrize(("quantity", "last_unit", "priority"), [(5, False, 10), (0, False, 0), (1, True, 0)])
def test_the_last_unit_sold_beats_everything(quantity: int, last_unit: bool, priority: int) -> None:
    command = SetChannelQuantity(account_id=new_id(), listing_id=new_id(), quantity=quantity, last_unit=last_unit)
    assert command.priority() == priority


def test_a_call_outside_fails_in_exactly_three_ways() -> None:
    assert set(ChannelError.__subclasses__()) == {Rejected, Retryable, OutcomeUnknown}
    codes = [error.code for error in (FlipSyncError, *FlipSyncError.__subclasses__(), Rejected, Retryable)]
    assert len(codes) == len(set(codes))
