"""Listings made on eBay's own pages: found by the report of all, migrated when the owner wants it, then adopted."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from ebay_channel import Server, connector

from flipsync.connectors.marketplaces.ebay.migration import _listings
from flipsync.domain.channel import Offer
from flipsync.domain.errors import Retryable
from flipsync.domain.money import usd

LAMP = Offer(
    sku="LAMP-1",
    title="Lamp",
    price=usd("19.90"),
    quantity=5,
    brand="Lumen",
    category="Lighting",
    images=("https://img.example/lamp.jpg",),
)


@pytest.fixture
async def channel(open_channel: Any) -> Any:
    """A seller with one listing of ours and seven made by hand, two of which eBay cannot migrate."""
    channel = open_channel("ebay")
    await channel.connector.publish(LAMP, "k1")
    elsewhere = channel.sandbox.server("/ebay").elsewhere
    for number in range(5):
        elsewhere.add(f"1100000{number}", f"HAND-{number}", f"Vase {number}", 1500 + number, 2)
    elsewhere.add("22000001", "", "Vase without a SKU", 1500, 1)
    elsewhere.add("22000002", "OLD-1", "Vase of old", 1500, 1, "Business policies are not used.")
    return channel


async def known(connector: Any) -> set[str]:
    return {state.sku async for state in connector.listings()}


def willing(channel: Any) -> Any:
    """The same account with its owner's consent."""
    connector = channel.connector
    options = {**connector.config.options, "migrate": "yes"}
    config = connector.config.model_copy(update={"options": options})
    return type(connector)(config, connector.credentials, connector.limiter, "b", transport=channel.tap)


async def test_without_the_owners_consent_they_are_counted_and_left_alone(channel: Any) -> None:
    taken = await channel.connector.take_in(await known(channel.connector))
    assert taken.states == () and len(taken.left_out) == 7
    assert "migrate=yes" in taken.left_out["11000000"]
    assert await known(channel.connector) == {"LAMP-1"}


async def test_they_come_within_reach_each_with_its_own_outcome(channel: Any) -> None:
    connector = willing(channel)
    taken = await connector.take_in(await known(connector))
    assert {(state.sku, state.status, str(state.price), state.quantity) for state in taken.states} == {
        (f"HAND-{number}", "active", f"15.0{number} USD", 2) for number in range(5)
    }
    assert taken.left_out == {
        "22000001": "it has no SKU: give it one on eBay",
        "22000002": "Cannot migrate listing. Business policies are not used.",
    }
    assert await known(connector) == {"LAMP-1", *(f"HAND-{number}" for number in range(5))}
    again = await connector.take_in(await known(connector))
    assert (again.states, set(again.left_out)) == ((), {"22000001", "22000002"})
    changed = await connector.set_price("HAND-1", usd("17.00"), "k2")
    assert changed.price == usd("17.00"), "what was migrated is written to like any other"


def test_a_listing_with_variations_counts_when_each_has_a_sku() -> None:
    def report(*skus: str) -> bytes:
        rows = "".join(f"<Variation>{f'<SKU>{sku}</SKU>' if sku else ''}</Variation>" for sku in skus)
        return (
            '<R xmlns="urn:ebay:apis:eBLBaseComponents"><SKUDetails><SKU>PARENT</SKU><ItemID>1</ItemID>'
            f"<Variations>{rows}</Variations></SKUDetails></R>"
        ).encode()

    (whole,) = _listings(report("S", "M"))
    assert (whole.listing_id, whole.skus) == ("1", ("S", "M"))
    assert [each.skus for each in _listings(report("S", ""))] == [()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("report.xml", report("S"))
    assert [each.skus for each in _listings(packed.getvalue())] == [("S",)]
    assert [each.skus for each in _listings(gzip.compress(report("S")))] == [("S",)]


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Sign in</body></html>",
        b"<R><Ack>Failure</Ack></R>",
        b"<R><SKUDetails>",
        gzip.compress(b"<R/>", mtime=0)[:-6],
        b"PK\x03\x04 and no more",
        b'{"errors": []}',
    ],
)
async def test_what_is_no_report_is_not_taken_for_an_empty_one(content: bytes) -> None:
    task = {"taskId": "1", "status": "COMPLETED", "creationDate": datetime.now(UTC).isoformat()}
    server = Server(
        {
            ("GET", "/inventory_task"): {"tasks": [task]},
            ("GET", "/download_result_file"): httpx2.Response(200, content=content),
        }
    )
    async with connector(server) as ebay:
        with pytest.raises(Retryable, match="cannot be read"):
            await ebay.take_in([])
