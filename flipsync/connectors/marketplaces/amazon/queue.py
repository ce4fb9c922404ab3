"""The queue Amazon's notifications wait in: Amazon SQS, in its own JSON protocol.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.http import HttpCore
from flipsync.connectors.marketplaces.amazon import wire_work
from flipsync.connectors.marketplaces.amazon.sigv4 import signed_headers
from flipsync.connectors.request import Limit, Raw, VendorError
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, Rejected, Retryable

T = TypeVar("T")
_MEDIA_TYPE = "application/x-amz-json-1.0"
#: SQS hands out at most ten messages at once.
_AT_ONCE = 10
#: Seconds a message is ours to work through before it is handed out again.
_VISIBILITY = 120
_LIMIT = Limit("sqs", 100.0, 100)
_ARN = re.compile(r"arn:aws[\w-]*:sqs:(?P<region>[\w-]+):(?P<account>[^:\s]+):(?P<name>[^:\s]+)")
_THROTTLED = ("Throttl", "OverLimit", "RequestThrottled", "KmsThrottled")


class NotificationQueue:
    """Messages of one queue. Closed with `aclose()`."""

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        """Raises InvalidInput when the queue's address, ARN or keys are missing."""
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            if name not in credentials:
                raise InvalidInput(f"the credential {name!r} is missing", hint="notifications are read with it")
        self._key_id = credentials["aws_access_key_id"].get_secret_value()
        self._secret = credentials["aws_secret_access_key"]
        arn = _ARN.fullmatch(config.options.get("queue_arn", "").strip())
        if config.notification_url is None or arn is None:
            raise InvalidInput("the notification_url and the option 'queue_arn' name the queue: one is missing")
        place = f"/{arn['account']}/{arn['name']}"
        # The address of the queue and that of its service are both in use: requests go to the service.
        service = str(config.notification_url).removesuffix("/").removesuffix(place)
        self._endpoint = service if urlsplit(service).path else f"{service}/"
        self._queue_url = service + place
        self._region = arn["region"]
        self._http = HttpCore(config, limiter, account_key, read_error=_read_error, transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def messages(self) -> AsyncIterator[wire_work.QueueMessage]:
        """What waits now, until nothing does; a message is deleted when the next one is asked for."""
        while batch := await self._receive():
            for message in batch:
                yield message
                await self._delete(message.receipt_handle)

    async def _receive(self) -> tuple[wire_work.QueueMessage, ...]:
        body = {"MaxNumberOfMessages": _AT_ONCE, "WaitTimeSeconds": 0, "VisibilityTimeout": _VISIBILITY}
        received = await self._call("ReceiveMessage", body, wire_work.ReceivedMessages.model_validate)
        return received.messages

    async def _delete(self, receipt_handle: str) -> None:
        try:
            await self._call("DeleteMessage", {"ReceiptHandle": receipt_handle}, lambda _: None)
        except Rejected as refused:
            # Worked through for longer than it was ours: it comes again, and its key says that it is known.
            if (
                "ReceiptHandleIsInvalid" not in refused.vendor_code
                and "InvalidParameterValue" not in refused.vendor_code
            ):
                raise

    async def _call(self, action: str, body: Mapping[str, Any], decode: Callable[[Any], T]) -> T:
        """Neither action loses anything when its answer does: an undeleted message comes again."""
        content = json.dumps({"QueueUrl": self._queue_url, **body}, separators=(",", ":")).encode()
        headers = signed_headers(
            "POST",
            self._endpoint,
            {"Content-Type": _MEDIA_TYPE, "X-Amz-Target": f"AmazonSQS.{action}"},
            content,
            access_key_id=self._key_id,
            secret_access_key=self._secret,
            region=self._region,
            service="sqs",
            now=utc_now(),
        )
        try:
            answer = await self._http.request(
                "POST",
                self._endpoint,
                decode=decode,
                body=Raw(content, _MEDIA_TYPE),
                headers={name: value for name, value in headers.items() if name != "Content-Type"},
                signed=False,
                limit=_LIMIT,
                reads=True,
            )
        except Rejected as refused:
            if any(word in refused.vendor_code for word in _THROTTLED):
                raise Retryable(
                    refused.message, vendor_code=refused.vendor_code, vendor_status=refused.vendor_status
                ) from refused
            raise
        return answer.value


def _read_error(status: int, body: Any) -> VendorError:
    try:
        error = wire_work.QueueError.model_validate(body)
    except ValueError:
        return VendorError()
    code = error.type.rpartition("#")[2]
    auth = status == 403 or code in ("InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDeniedException")
    hint = "check aws_access_key_id, aws_secret_access_key and the queue's policy" if auth else ""
    return VendorError(code, error.message, hint=hint, auth=auth, missing="DoesNotExist" in code)
