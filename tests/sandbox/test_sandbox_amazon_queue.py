"""The sandbox's notifications: destinations, subscriptions, and the queue they wait in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from amazon_caller import Amazon

from flipsync.sandbox.amazon.world import QUEUE_ARN


async def test_destinations_and_subscriptions(amazon: Amazon) -> None:
    seller = amazon.token
    await amazon.login(grant_type="client_credentials", scope="sellingpartnerapi::notifications")
    body = {"name": "q", "resourceSpecification": {"sqs": {"arn": QUEUE_ARN}}}
    made = await amazon.call("POST", "/notifications/v1/destinations", 200, body=body)
    refused = await amazon.rig.http.post(
        "/amazon/notifications/v1/destinations", json=body, headers={"x-amz-access-token": amazon.token}
    )
    assert refused.status_code == 409
    application, amazon.token = amazon.token, seller
    path = "/notifications/v1/subscriptions/ORDER_CHANGE"
    await amazon.call("GET", path, 404)
    wanted = {"payloadVersion": "1.0", "destinationId": made["payload"]["destinationId"]}
    for bad in ({**wanted, "payloadVersion": "9"}, {**wanted, "destinationId": "x"}, {**wanted, "more": 1}):
        await amazon.call("POST", path, 400, body=bad)
    subscription = await amazon.call("POST", path, 200, body=wanted)
    amazon.token = application
    await amazon.call("DELETE", f"{path}/{subscription['payload']['subscriptionId']}", 200)
    await amazon.call("DELETE", f"{path}/{subscription['payload']['subscriptionId']}", 404)


def signed(amazon: Amazon, target: str, body: bytes, **changes: Any) -> dict[str, str]:
    """Signature Version 4 of a request to the queue, written from AWS's description for the tests alone."""
    moment = changes.get("moment", datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/us-east-1/sqs/aws4_request"
    names = "content-type;host;x-amz-date;x-amz-target"
    lines = [
        "POST",
        "/amazon/queue",
        "",
        "content-type:application/x-amz-json-1.0",
        "host:shop.test",
        f"x-amz-date:{moment}",
        f"x-amz-target:{target}",
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ]
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = f"AWS4{amazon.keys['aws_secret_access_key']}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"{amazon.keys['aws_access_key_id']}/{scope}"
    return {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": moment,
        "X-Amz-Target": target,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}",
    }


async def ask(amazon: Amazon, action: str, body: dict[str, Any], **changes: Any) -> httpx2.Response:
    content = json.dumps({"QueueUrl": "http://shop.test/amazon/queue/123456789012/flipsync", **body}).encode()
    headers = signed(amazon, f"AmazonSQS.{action}", content, **changes)
    return await amazon.rig.http.post("/amazon/queue", content=changes.get("sent", content), headers=headers)  # type: ignore[no-any-return]


async def test_the_queue_hands_out_again_what_was_not_deleted(amazon: Amazon) -> None:
    queue = amazon.server.queue
    with amazon.rig.sandbox.books.transaction():
        queue.send({"n": 1})
    first = (await ask(amazon, "ReceiveMessage", {"VisibilityTimeout": 1})).json()["Messages"][0]
    assert json.loads(first["Body"]) == {"n": 1}
    assert first["MD5OfBody"] == hashlib.md5(first["Body"].encode()).hexdigest()
    assert (await ask(amazon, "ReceiveMessage", {})).json() == {}, "it is being worked on"
    await asyncio.sleep(1.05)
    again = (await ask(amazon, "ReceiveMessage", {})).json()["Messages"][0]
    assert again["MessageId"] == first["MessageId"] and again["ReceiptHandle"] != first["ReceiptHandle"]
    assert (await ask(amazon, "DeleteMessage", {"ReceiptHandle": again["ReceiptHandle"]})).status_code == 200
    assert queue.waiting() == 0


async def test_the_queue_refuses(amazon: Amazon) -> None:
    late = datetime.now(UTC) - timedelta(minutes=20)
    for action, body, changes, status, kind in (
        ("ReceiveMessage", {"MaxNumberOfMessages": 11}, {}, 400, "InvalidParameterValue"),
        ("ReceiveMessage", {"QueueUrl": "http://shop.test/amazon/queue/1/other"}, {}, 400, "QueueDoesNotExist"),
        ("PurgeQueue", {}, {}, 404, "UnknownOperationException"),
        ("DeleteMessage", {}, {}, 400, "ReceiptHandleIsInvalid"),
        ("ReceiveMessage", {}, {"sent": b"{}"}, 403, "SignatureDoesNotMatch"),
        ("ReceiveMessage", {}, {"moment": late}, 403, "SignatureDoesNotMatch"),
    ):
        response = await ask(amazon, action, body, **changes)
        assert response.status_code == status and response.json()["__type"].endswith(kind)
    unsigned = await amazon.rig.http.post("/amazon/queue", content=b"{}")
    assert unsigned.status_code == 403
