"""What a broken or hostile server may answer: refused within bounds of memory, in words, as one of the three errors."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import html
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.woocommerce import mapping
from flipsync.connectors.request import VendorError
from flipsync.connectors.unpacking import UnpackError, gunzip
from flipsync.domain.channel import ChannelRefund, ListingState, Offer, RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Retryable
from flipsync.domain.money import Money
from flipsync.domain.text import storable

MB = 1 << 20


@functools.cache
def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(MB)
    return b"".join([*(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


@contextlib.asynccontextmanager
async def answering(body: bytes, *headers: str) -> AsyncIterator[HttpCore]:
    """A server that answers everything with `body`, and a connector's core that asks it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = AccountConfig(
        vendor="custom",
        base_url=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]
        currency="USD",
        timeout_seconds=20,
    )
    core = HttpCore(config, Unlimited(), "acc", read_error=lambda _status, _body: VendorError())
    try:
        yield core
    finally:
        await core.aclose()
        server.close()


async def read(body: bytes, *headers: str, method: str = "GET") -> Any:
    async with answering(body, *headers) as core:
        return (await core.request(method, f"{core._config.base_url}x", decode=lambda value: value)).value


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_not_opened(coding: str) -> None:
    packed = bomb(300)
    assert len(packed) < MB // 3
    tracemalloc.start()
    with pytest.raises(Retryable, match="holds more than 64 MB"):
        await read(packed, f"Content-Encoding: {coding}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * MB, f"{peak / MB:.0f} MB"


async def test_a_bomb_as_the_answer_to_a_write_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="holds more"):
        await read(bomb(70), "Content-Encoding: gzip", method="POST")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "x" * 500])
async def test_packings_nobody_asked_for_are_refused(coding: str) -> None:
    with pytest.raises(Retryable, match="nobody asked for"):
        await read(b"{}", f"Content-Encoding: {coding}")


async def test_what_is_packed_as_it_says_is_read() -> None:
    body = b'{"a": 1}'
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for packed, coding in (
        (gzip.compress(body), "gzip"),
        (gzip.compress(body[:3]) + gzip.compress(body[3:]), "x-gzip"),
        (zlib.compress(body), "deflate"),
        (raw.compress(body) + raw.flush(), "deflate"),
        (body, "identity"),
        (b"", "gzip"),
    ):
        assert await read(packed, f"Content-Encoding: {coding}") == (None if not packed else {"a": 1})


@pytest.mark.parametrize(
    "body", [gzip.compress(b'{"a": 1}' * 100)[:-9], b"\x1f\x8b broken", b"plain"], ids=["broken off", "broken", "plain"]
)
async def test_what_broke_off_or_is_not_packed_is_told(body: bytes) -> None:
    with pytest.raises(Retryable, match="cannot be read"):
        await read(body, "Content-Encoding: gzip")


def test_packed_files_have_the_same_bounds() -> None:
    with pytest.raises(UnpackError, match="more than 64 MB"):
        gunzip(bomb(70))
    for broken in (b"", b"x", gzip.compress(b"x" * 99)[:-4]):
        with pytest.raises(UnpackError):
            gunzip(broken)
    assert gunzip(gzip.compress(b"x")) == b"x"


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"1" + b"0" * 50_000, b"\xff\xfe", b'{"a": 1'],
    ids=["deep", "deep closed", "huge number", "not text", "cut off"],
)
async def test_answers_that_are_no_json_are_told(body: bytes) -> None:
    with pytest.raises(Retryable, match="cannot be used"):
        await read(body)


def test_words_of_channels_can_always_be_stored() -> None:
    seen = ListingState(
        external_id="x\0",
        sku="a\ud83d",
        title="\ud83e\uded6 \0pot \udc00",
        status="active",
        price=None,
        quantity=-3,
    )
    assert (seen.external_id, seen.sku, seen.title) == ("x", "a\ufffd", "\U0001fad6 pot \ufffd")
    assert storable({"a\0": ["b\0", ("c\0",), 1, None]}) == {"a": ["b", ("c",), 1, None]}
    kept = "\u202eright to left \u0627\u0628 \u200b \U0002070e"
    assert storable(kept) is kept or storable(kept) == kept


@pytest.mark.parametrize("quantity", [10**12 + 1, -(10**12) - 1, 2**63, 10**30])
def test_figures_nobody_can_add_up_are_refused(quantity: int) -> None:
    with pytest.raises(ValidationError):
        ListingState(external_id="x", sku="x", title="x", status="active", price=None, quantity=quantity)


def test_a_refund_gives_back_no_less_than_nothing() -> None:
    with pytest.raises(ValidationError):
        ChannelRefund(
            external_id="r",
            amount=Money(amount_minor=1, currency="USD"),
            restocked={"line": -5},
            created_at=utc_now(),
        )
    with pytest.raises(ValidationError):
        RivalOffer.model_validate({"sku": "x", "seller": "y", "price": {"amount_minor": 2**63, "currency": "USD"}})


def test_markup_in_a_title_stays_text_on_a_shop_that_keeps_html() -> None:
    """WooCommerce keeps names as HTML, and what an administrator's keys write is not cleaned there."""
    title = "<script>alert(1)</script> Salt & Pepper <1 m \u202e&lt;b&gt;"
    offer = Offer(sku="x", title=title, description_html="", quantity=1, price=Money(amount_minor=1, currency="USD"))
    name = mapping.descriptive_body(offer, weight_unit=None, category_id=None)["name"]
    assert "<" not in name
    assert html.unescape(name) == title, "and is read back as it was written"
