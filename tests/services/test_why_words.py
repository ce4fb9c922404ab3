"""Facts and commands in words: what listings are told, and questions that nobody answered."""

from __future__ import annotations

from datetime import UTC, datetime

from flipsync.domain.commands import EndListing, ExpireApproval
from flipsync.domain.events import CredentialsExpiring, CredentialsRenewed, ListingOutdated
from flipsync.domain.ids import new_id
from flipsync.services.why_words import Labels, command_words, event_words

LISTING, ACCOUNT = new_id(), new_id()
LABELS = Labels({("listing", LISTING): "TEAPOT-1 on the shop"})


def test_an_outdated_listing_and_its_end_are_called_by_name() -> None:
    fact = ListingOutdated(listing_id=LISTING, account_id=ACCOUNT, vendor="custom")
    told = event_words(fact.type_name(), fact.model_dump(mode="json"), LABELS)
    assert told == "the product behind TEAPOT-1 on the shop was edited or withdrawn"
    end = EndListing(listing_id=LISTING, account_id=ACCOUNT, reason="withdrawn")
    told = command_words(end.type_name(), end.model_dump(mode="json"), LABELS)
    assert told == "take TEAPOT-1 on the shop off sale: withdrawn"


def test_a_question_that_ran_out_of_time_says_so() -> None:
    close = ExpireApproval(decision_id=new_id())
    told = command_words(close.type_name(), close.model_dump(mode="json"), LABELS)
    assert told == "close the question to the owner: nobody answered in time"


def test_ends_of_credentials_are_told_with_their_day() -> None:
    labels = Labels({("account", ACCOUNT): "My eBay"})
    ends_at = datetime(2027, 5, 31, tzinfo=UTC)
    for days, said in ((7, "consent of My eBay ends on 2027-05-31"), (0, "consent of My eBay ends now")):
        fact = CredentialsExpiring(account_id=ACCOUNT, vendor="ebay", credential="consent", ends_at=ends_at, days=days)
        assert event_words(fact.type_name(), fact.model_dump(mode="json"), labels) == said
    renewed = CredentialsRenewed(account_id=ACCOUNT, vendor="ebay", credential="client secret")
    told = event_words(renewed.type_name(), renewed.model_dump(mode="json"), labels)
    assert told == "client secret of My eBay was renewed"
