"""Quantities in bulk: the feed is as Amazon's schema says, and each change gets its own verdict."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from amazon_answers import Answers, at_once, connected, listing
from amazon_models import models_at
from jsonschema import Draft7Validator

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.amazon import feeds
from flipsync.connectors.marketplaces.amazon.feeds import Supply, feed_document, read_report, verdicts
from flipsync.connectors.marketplaces.amazon.wire_work import FeedReport
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd

OWN = Supply("LAMP", own_stock=True, warehouses=())


@pytest.fixture
async def channel(open_channel: Any) -> Any:
    opened = open_channel("amazon")
    for number in range(3):
        offer = Offer(sku=f"S{number}", title=f"Lamp {number}", price=usd("9.90"), quantity=5)
        await opened.connector.publish(offer, f"k{number}")
    return opened


def changes(count: int = 40) -> list[QuantityChange]:
    """The three listings, and SKUs that are none."""
    return [QuantityChange(f"S{n}", n + 10, f"q{n}") for n in range(count)]


def validators(contracts: Path) -> tuple[Draft7Validator, Draft7Validator, Draft7Validator]:
    models = models_at(contracts)
    names = ("listings-feed-schema-v2", "listings-feed-message-schema-v2", "listings-feed-processing-report-schema-v2")
    envelope, message, report = (models.load(f"schemas/feeds/{name}.json") for name in names)
    # The envelope points at the message's schema on Amazon's site.
    envelope["properties"]["messages"] = {"type": "array", "minItems": 1}
    return Draft7Validator(envelope), Draft7Validator(message), Draft7Validator(report)


async def test_a_feed_sets_what_it_can_and_says_why_not(channel: Any, contracts: Path) -> None:
    outcomes = await channel.connector.set_quantities(changes())
    assert [outcome.state.quantity for outcome in outcomes[:3]] == [10, 11, 12]
    assert {outcome.error.vendor_code for outcome in outcomes[3:]} == {"NOT_FOUND"}
    assert [outcome.change for outcome in outcomes] == changes()
    envelope, message, report = validators(contracts)
    sent = [json.loads(r.content) for r in channel.tap.requests if r.method == "PUT" and "documents" in r.url.path]
    assert len(sent) == 1 and list(envelope.iter_errors(sent[0])) == []
    assert [error.message for row in sent[0]["messages"] for error in message.iter_errors(row)] == []
    documents = channel.sandbox.server("/amazon").feeds._documents
    answered = json.loads(gzip.decompress(list(documents.values())[-1]))
    assert [error.message for error in report.iter_errors(answered)] == []
    assert answered["summary"]["messagesAccepted"] == 3


async def test_a_few_go_one_by_one(channel: Any) -> None:
    outcomes = await channel.connector.set_quantities(changes(5))
    assert [outcome.state.quantity if outcome.state else None for outcome in outcomes] == [10, 11, 12, None, None]
    assert all(outcome.error.missing for outcome in outcomes[3:])
    assert not [r for r in channel.tap.requests if "/feeds/" in r.url.path]


async def test_two_changes_of_one_listing_end_with_the_last(channel: Any) -> None:
    for count in (0, 40):
        twice = [QuantityChange("S0", 1, "a"), QuantityChange("S0", 2, "b"), *changes(count)[3:]]
        outcomes = await channel.connector.set_quantities(twice)
        assert outcomes[1].state.quantity == 2 and outcomes[0].error is None
        state = await channel.connector.read_listing("S0")
        assert state.quantity == 2


async def test_a_message_amazon_refuses_is_rejected_alone(channel: Any) -> None:
    world = channel.sandbox.server("/amazon").world
    listing = world.listing("S1")
    listing.doc["attributes"]["fake_attribute"] = [{"value": 1}]
    with world.books.transaction():
        world.books.save_listing(listing)
    outcomes = await channel.connector.set_quantities(changes())
    assert [outcome.error is None for outcome in outcomes[:3]] == [True, False, True]
    assert isinstance(outcomes[1].error, Rejected)
    assert "fake_attribute" in outcomes[1].error.message and outcomes[1].error.vendor_code == "90000900"


async def test_refused_before_it_was_taken_fails_as_a_whole(channel: Any) -> None:
    channel.sandbox.faults.configure("amazon", {"rate_limited": 1.0, "retry_after_seconds": 9})
    with pytest.raises(Retryable) as throttled:
        await channel.connector.set_quantities(changes())
    assert throttled.value.after == 9


async def test_a_feed_whose_taking_is_unknown_is_unknown_for_each(channel: Any) -> None:
    await channel.connector.set_quantities(changes())  # what supplies them is known now
    channel.sandbox.faults.configure("amazon", {"error_after": 1.0})
    outcomes = await channel.connector.set_quantities(changes())
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes[:3])


@pytest.mark.parametrize("ending", ["FATAL", "CANCELLED", "DONE"])
async def test_a_feed_that_ends_otherwise_is_unknown(channel: Any, ending: str) -> None:
    passed = channel.tap.inner.handle_async_request

    async def end(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and "/feeds/2021-06-30/feeds/" in request.url.path:
            body = {"feedId": "1", "feedType": "X", "createdTime": "2026-03-02T14:00:00Z", "processingStatus": ending}
            return httpx2.Response(200, json=body)
        return await passed(request)

    channel.tap.inner.handle_async_request = end
    outcomes = await channel.connector.set_quantities(changes())
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes[:3])
    assert ending in outcomes[0].error.message


async def test_a_feed_is_not_waited_for_for_ever(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flipsync.sandbox.amazon.feeds.PROCESSING_SECONDS", 60.0)
    monkeypatch.setattr(feeds, "_PATIENCE", 0.2)
    monkeypatch.setattr(feeds, "_FIRST_LOOK", 0.05)
    outcomes = await channel.connector.set_quantities(changes())
    assert isinstance(outcomes[0].error, OutcomeUnknown) and "still being processed" in outcomes[0].error.message


def test_a_document_of_the_greatest_feed_is_below_ten_mebibytes() -> None:
    many = [QuantityChange(f"A-RATHER-LONG-SKU-{n:06d}", n, "") for n in range(feeds.MESSAGES)]
    assert len(feed_document("SELLER", "en_US", many, [OWN] * len(many))) < 10 * 1024 * 1024


def test_amazons_own_example_of_a_report(contracts: Path) -> None:
    text = (contracts / "amazon/schemas/feeds/listings-feed-processing-report-schema-v2.example.json").read_bytes()
    report = read_report(gzip.compress(text), gzipped=True)
    against = verdicts(report, 5)
    assert against[:3] == [None, None, None]
    assert isinstance(against[3], Rejected) and against[3].vendor_code == "90220"
    assert "batteries_required" in against[3].message and "supplier_declared_dg_hz_regulation" in against[3].message
    assert isinstance(against[4], Rejected)


def test_an_error_against_the_whole_feed_is_everyones() -> None:
    told = {
        "issues": [{"severity": "ERROR", "code": "4000001", "message": "not JSON"}],
        "summary": {"messagesProcessed": 0, "messagesAccepted": 0},
    }
    against = verdicts(FeedReport.model_validate(told), 3)
    assert [str(error) for error in against] == ["not JSON"] * 3


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b"\x1f\x8b broken"])
def test_a_report_that_is_none_is_told(content: bytes) -> None:
    for gzipped in (False, True):
        with pytest.raises(ValueError):
            read_report(content, gzipped=gzipped)


async def test_a_feed_that_was_taken_can_be_waited_for_by_whoever_knows_its_id(channel: Any) -> None:
    names: list[str] = []

    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        names.append(name)
        raise asyncio.CancelledError  # its sender dies here

    with pytest.raises(asyncio.CancelledError):
        await channel.connector.push_quantities(changes(), taken)
    assert len(names) == 1
    assert (await channel.connector.read_listing("S0")).quantity == 5
    await channel.connector.finished(names[0])
    assert [state.quantity for state in (await channel.connector.read_listings(["S0", "S1"])).values()] == [10, 11]
    await channel.connector.finished("no such feed")


async def test_a_feed_that_does_not_end_is_unknown(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_PATIENCE", 1.0)
    names: list[str] = []

    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        names.append(name)

    monkeypatch.setattr(channel.sandbox.server("/amazon").feeds, "_process", lambda number: None)
    outcomes = await channel.connector.push_quantities(changes(), taken)
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes[:3])
    with pytest.raises(OutcomeUnknown, match="still being processed"):
        await channel.connector.finished(names[0])


async def test_many_go_as_two_feeds_and_the_first_is_read_back_while_the_second_is_worked_off(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_FIRST_MESSAGES", 1)
    server = channel.sandbox.server("/amazon").feeds
    real, numbers = server._process, list[str]()

    def only_the_first(number: str) -> None:
        numbers.append(number)
        if len(numbers) == 1:
            real(number)

    monkeypatch.setattr(server, "_process", only_the_first)
    named: dict[str, list[str]] = {}
    told: list[str] = []

    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        named[name] = [change.external_id for change in part]

    def shown(outcomes: Sequence[Any]) -> None:
        told.extend(outcome.change.external_id for outcome in outcomes)
        if len(numbers) == 2 and told == ["S0"]:
            real(numbers[1])

    outcomes = await channel.connector.push_quantities(changes(), taken, shown)
    assert list(named.values()) == [["S0"], ["S1", "S2"]]
    assert told[0] == "S0" and sorted(told) == ["S0", "S1", "S2"]
    assert [outcome.state.quantity for outcome in outcomes[:3]] == [10, 11, 12]


async def test_a_second_feed_that_is_refused_spoils_nothing_of_the_first(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_FIRST_MESSAGES", 1)
    passed, asked = channel.tap.inner.handle_async_request, list[str]()

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST" and request.url.path.endswith("/2021-06-30/feeds"):
            asked.append(request.url.path)
            if len(asked) == 2:
                body = {"errors": [{"code": "QuotaExceeded", "message": "Too many feeds."}]}
                return httpx2.Response(429, json=body)
        return await passed(request)

    channel.tap.inner.handle_async_request = refuse
    first, *others = (await channel.connector.set_quantities(changes()))[:3]
    assert first.state.quantity == 10
    assert all(isinstance(each.error, Retryable) for each in others)


async def test_a_reading_back_that_comes_too_early_is_asked_again_and_nothing_else_is(channel: Any) -> None:
    passed, asked = channel.tap.inner.handle_async_request, list[str]()

    async def early(request: httpx2.Request) -> httpx2.Response:
        named = request.url.params.get("identifiers", "").split(",")
        if "S0" in named:
            asked.append(",".join(named))
            if len(asked) == 1:
                return httpx2.Response(429, json={"errors": [{"code": "QuotaExceeded", "message": "Too early."}]})
        return await passed(request)

    await channel.connector.set_quantities(changes())  # learns of them
    channel.tap.inner.handle_async_request = early
    outcomes = await channel.connector.set_quantities(changes())
    assert [outcome.error or outcome.state.quantity for outcome in outcomes[:3]] == [10, 11, 12]
    assert asked == ["S0,S1,S2"] * 2


async def test_handling_times_stay_whatever_way_units_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    slow = {"fulfillment_channel_code": "DEFAULT", "quantity": 4, "lead_time_to_ship_max_days": 5}
    answers = Answers()
    shown = listing("S0", units=7, attributes={"fulfillment_availability": ["odd", slow]})
    answers.give("getListingsItem", shown)
    answers.give("patchListingsItem", {"sku": "S0", "status": "ACCEPTED", "submissionId": "1"})
    wanted = [{**slow, "quantity": 7}]
    async with connected(answers) as amazon:
        await amazon.set_quantity("S0", 7, "k")
        assert answers.bodies("patchListingsItem")[0]["patches"][0]["value"] == wanted
        supply = Supply.unpack(json.loads(json.dumps(amazon._supplies.get("S0").pack())))  # type: ignore[union-attr]
    (message,) = json.loads(feed_document("S", "en_US", [QuantityChange("S0", 7, "k")], [supply]))["messages"]
    assert message["patches"] == [{"op": "replace", "path": "/attributes/fulfillment_availability", "value": wanted}]


def test_an_issue_without_a_message_is_that_of_its_sku_or_of_the_whole_feed() -> None:
    def judged(accepted: int, **issue: Any) -> list[bool]:
        summary = {"messagesProcessed": 3, "messagesAccepted": accepted}
        row = {"severity": "ERROR", "message": "no", **issue}
        report = FeedReport.model_validate({"issues": [row], "summary": summary})
        return [error is not None for error in verdicts(report, 3, ["A", "B", "C"])]

    assert judged(2, sku="B") == judged(0, sku="B") == judged(2, messageId=2, sku="C") == [False, True, False]
    assert judged(0) == judged(0, sku="X") == [True, True, True]
    assert judged(2) == judged(2, sku="X") == judged(2, messageId=9) == [False, False, False], "they are read back"
