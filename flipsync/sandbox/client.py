"""A small control client for demos, tests and benchmarks."""

from __future__ import annotations

import ssl
from typing import Any, Self

import httpx2

from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.sandbox.market import CallOff
from flipsync.sandbox.records import Channel

_HEADER = "X-Sandbox-Token"


class SandboxClient:
    """Drives a running sandbox over its control plane.

    Raises `Rejected` (wrong token or input), `Retryable` (a read found nobody) or `OutcomeUnknown` (a write did).
    """

    def __init__(self, base_url: str, control_token: str, *, timeout: float = 60.0) -> None:
        self._http = httpx2.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/_sandbox",
            headers={_HEADER: control_token},
            timeout=timeout,
            trust_env=False,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # it is on this machine: authorities are not even read
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def register(self, vendor: str, url: str) -> None:
        """Where a vendor's consent page may send people; what a developer enters in the vendor's portal."""
        await self._call("POST", "/redirects", {"vendor": vendor, "url": url})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx2.ConnectError as error:
            raise Retryable("the sandbox does not answer", hint="Is it running?") from error
        except httpx2.HTTPError as error:
            kind = Retryable if method == "GET" else OutcomeUnknown
            raise kind(f"no answer from the sandbox: {error}") from error
        if response.status_code >= 500:
            raise OutcomeUnknown(f"the sandbox failed: {response.text}", vendor_status=response.status_code)
        answer = response.json()
        if response.status_code >= 400:
            raise Rejected(str(answer), vendor_status=response.status_code, auth=response.status_code == 401)
        if not isinstance(answer, dict):
            raise OutcomeUnknown("the sandbox answered something else than an object")
        return answer

    async def status(self) -> dict[str, Any]:
        return await self._call("GET", "/status")

    async def credentials(self) -> dict[str, Any]:
        return await self._call("GET", "/credentials")

    async def advance(self, seconds: float) -> dict[str, int]:
        """Run market time; returns what happened, counted (orders_placed, visits, …)."""
        answer: dict[str, int] = (await self._call("POST", "/advance", {"seconds": seconds}))["happened"]
        return answer

    async def set_faults(self, channel: Channel, *, replace: bool = False, **rates: float) -> dict[str, Any]:
        """Switch faults on or off: `set_faults("woo", error_after=0.05)`; see faults.ChannelFaults for the names."""
        return await self._call("POST", "/faults", {"channel": channel, "rates": rates, "replace": replace})

    async def begin_fault(self, channel: Channel, *names: str) -> None:
        """Begin faults of the catalogue (named_faults.FAULTS) on a channel."""
        await self._call("POST", "/faults", {"channel": channel, "begin": list(names)})

    async def end_fault(self, channel: Channel, *names: str) -> None:
        await self._call("POST", "/faults", {"channel": channel, "end": list(names)})

    async def place_order(
        self, channel: Channel, sku: str, quantity: int = 1, buyer: str = "Avery Lane"
    ) -> dict[str, Any]:
        """One given order: {"accepted": true, "id", …} or {"accepted": false, "reason"}."""
        return await self._call(
            "POST", "/order", {"channel": channel, "sku": sku, "quantity": quantity, "buyer": buyer}
        )

    async def call_off(self, channel: Channel, external_id: str, how: CallOff) -> bool:
        """The buyer gets all of it back now; False where the order is not in a state for that."""
        told = await self._call("POST", "/order/call-off", {"channel": channel, "external_id": external_id, "how": how})
        return bool(told["done"])

    async def flush_webhooks(self) -> int:
        """Deliver every waiting webhook now; returns how many are left because their listener fails."""
        return int((await self._call("POST", "/webhooks/flush"))["left"])

    async def books(self, *, orders: bool = True) -> dict[str, Any]:
        """The sandbox's own truth; see `audit.report`."""
        return await self._call("GET", f"/books?orders={'true' if orders else 'false'}")

    async def open_for_business(
        self,
        *,
        reference_prices: dict[str, int] | None = None,
        webhook_interval_seconds: float | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Market settings (see market.MarketSettings), e.g. `open_for_business(traffic=5, rivals=False)`."""
        body: dict[str, Any] = {"settings": settings, "reference_prices": reference_prices or {}}
        if webhook_interval_seconds is not None:
            body["webhook_interval_seconds"] = webhook_interval_seconds
        return await self._call("POST", "/open-for-business", body)
