"""Who may talk to Amazon and how often: tokens, roles, usage plans, options."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from amazon_answers import Answers, connected
from amazon_channel import START, offer, watched
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.domain.errors import ChannelError, InvalidInput, Rejected, Retryable


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return watched(open_channel)


async def test_a_token_that_expired_is_renewed_once(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    channel.sandbox.server("/amazon").login.expire_all()
    connector._api._seller._tokens._renewed_at = None  # a while ago
    before = len(channel.tap.requests)
    assert await connector.read_listing("LAMP-1") is not None
    told = [
        (r.url.path.rpartition("/")[2], a.status_code)
        for r, a in zip(channel.tap.requests[before:], channel.tap.answers[before:], strict=True)
    ]
    assert told == [("LAMP-1", 403), ("token", 200), ("LAMP-1", 200)]


async def test_a_missing_role_is_no_expired_token(open_channel: Any) -> None:
    reader = open_channel("amazon", read_only=True)
    writer = open_channel("amazon")
    await writer.connector.publish(offer(), "k1")
    with pytest.raises(Rejected) as refused:
        await reader.connector.set_quantity("LAMP-1", 1, "k2")
    assert refused.value.auth and refused.value.vendor_code == "Unauthorized" and "role" in refused.value.hint
    assert len([r for r in reader.tap.requests if r.method == "PATCH"]) == 1


async def test_a_withdrawn_authorization_is_an_auth_refusal(channel: Any) -> None:
    credentials = {**channel.connector.credentials, "refresh_token": SecretStr("Atzr|withdrawn")}
    connector = AmazonConnector(channel.connector.config, credentials, Unlimited(), "a", transport=channel.tap)
    with pytest.raises(Rejected) as refused:
        await connector.read_listing("X")
    assert refused.value.auth and refused.value.vendor_code == "invalid_grant"
    await connector.aclose()


class Notes(Unlimited):
    """A limiter that writes down what it is told."""

    def __init__(self) -> None:
        self.paused: dict[str, float] = {}
        self.learned: dict[str, float | None] = {}
        self.asked: dict[str, tuple[float, int]] = {}

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        self.asked[bucket] = (rate_per_second, burst)

    async def pause(self, bucket: str, seconds: float) -> None:
        self.paused[bucket] = max(seconds, self.paused.get(bucket, 0.0))

    async def learn(self, bucket: str, *, rate_per_second: float | None = None, **_: Any) -> None:
        self.learned[bucket] = rate_per_second


async def test_every_operation_has_its_own_bucket_and_learns(channel: Any) -> None:
    channel.sandbox.books.set_meta("amazon.usage_factor", "2")
    notes = Notes()
    own = channel.connector
    connector = AmazonConnector(own.config, own.credentials, notes, "acc", transport=channel.tap)
    await connector.read_listing("X")
    assert notes.asked["acc:getListingsItem"] == (5.0, 10)
    assert notes.learned == {}, "a 404 is answered by another machine"
    await connector.probe()
    assert notes.learned["acc:searchListingsItems"] == 10.0, "the account has twice the usual plan"
    await connector.aclose()


async def test_a_used_up_plan_is_waited_for(channel: Any) -> None:
    channel.sandbox.books.set_meta("amazon.usage_factor", "1")
    notes = Notes()
    own = channel.connector
    connector = AmazonConnector(own.config, own.credentials, notes, "acc", transport=channel.tap)
    for _ in range(20):
        assert [order async for order in connector.orders(START)] == []
    with pytest.raises(Retryable) as throttled:
        [order async for order in connector.orders(START)]
    assert throttled.value.vendor_code == "QuotaExceeded"
    assert throttled.value.after == pytest.approx(1 / 0.0056)
    assert notes.paused["acc:searchOrders"] == pytest.approx(1 / 0.0056), "about three minutes"
    await connector.aclose()


async def test_options_are_checked() -> None:
    keys = {name: SecretStr("x") for name in ("client_id", "client_secret", "refresh_token")}

    def make(**options: str) -> AmazonConnector:
        config = AccountConfig(vendor="amazon", base_url="http://a.test", currency="USD", options=options)  # type: ignore[arg-type]
        return AmazonConnector(config, keys, Unlimited(), "a")

    for options, word in (
        ({}, "marketplace_id"),
        ({"marketplace_id": "M"}, "seller_id"),
        ({"marketplace_id": "M", "seller_id": "S", "region": "mars"}, "region"),
    ):
        with pytest.raises(InvalidInput, match=word):
            make(**options)


async def test_probe_tells_what_does_not_fit(channel: Any) -> None:
    own = channel.connector
    options = {**own.config.options, "marketplace_id": "A1PA6795UKMFR9"}
    config = own.config.model_copy(update={"options": options, "currency": "EUR"})
    connector = AmazonConnector(config, own.credentials, Unlimited(), "a", transport=channel.tap)
    info = await connector.probe()
    assert any("does not sell in marketplace" in note for note in info.notes)
    await connector.aclose()


@pytest.mark.parametrize(
    ("status", "body", "kind", "auth"),
    [
        (400, {"error": "invalid_grant", "error_description": None}, Rejected, True),
        (400, {"error": "unauthorized_client"}, Rejected, True),
        (200, {"error": "invalid_grant", "error_description": "revoked"}, Rejected, True),
        (400, {"error": "temporarily_unavailable"}, Retryable, None),
        (400, {"error": "server_error"}, Retryable, None),
        (200, {"error": "slow_down"}, Retryable, None),
        (200, {"token_type": "bearer"}, Retryable, None),
    ],
)
async def test_what_login_refuses(
    monkeypatch: pytest.MonkeyPatch, status: int, body: Any, kind: type[ChannelError], auth: bool | None
) -> None:
    monkeypatch.setattr(Answers, "__call__", lambda *_: httpx2.Response(status, json=body))
    async with connected(Answers()) as amazon:
        with pytest.raises(kind) as refused:
            await amazon.read_listing("A")
    assert getattr(refused.value, "auth", None) == auth
    if "error" in body:
        assert refused.value.vendor_code == body["error"]


async def test_a_token_that_lasts_for_ever() -> None:
    answers = Answers()
    answers.give("getListingsItem", {"sku": "A"})
    answers.login = {"access_token": "Atza|x", "expires_in": 1e300}
    async with connected(answers) as amazon:
        assert await amazon.read_listing("A") is not None


async def test_a_request_that_cannot_be_sent_says_nothing_of_listings() -> None:
    answers = Answers()
    answers.login = {"access_token": "Atza|\u00e9", "expires_in": 3600}
    async with connected(answers) as amazon:
        for sku in ("", ".", ".."):
            assert await amazon.read_listing(sku) is None
        with pytest.raises(Rejected, match="cannot be sent") as refused:
            await amazon.read_listing("A")
    assert not refused.value.missing
