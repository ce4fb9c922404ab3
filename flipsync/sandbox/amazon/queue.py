"""The seller's queue: Amazon SQS in its JSON protocol, signed requests, visibility time-outs, redelivery."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flipsync.sandbox.amazon.world import QUEUE_ARN, World, encode
from flipsync.sandbox.exchange import Answer, Call, Refusal

_MEDIA_TYPE = "application/x-amz-json-1.0"
_SKEW_SECONDS = 900
_VISIBILITY = 30


class Queue:
    """One queue. Messages are delivered at least once, and in no order that can be relied on."""

    def __init__(self, world: World, access_key_id: str, secret_access_key: str) -> None:
        self.world = world
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        _, _, _, self.region, account, name = QUEUE_ARN.split(":")
        self.path = f"/{account}/{name}"

    def send(self, body: dict[str, Any]) -> None:
        """Put a message in, with the faults that notifications have. Inside a transaction."""
        topic = str(body.get("NotificationType", "")) if isinstance(body, dict) else ""
        text = json.dumps(body).encode()
        acts = self.world.faults.acts["amazon"]
        for act in acts:
            text = act.renders(text)
        for act in acts:
            if act.takes(topic, "", lambda: self._put(text.decode())):
                return
        self._put(text.decode())

    def _put(self, text: str) -> None:
        faults, due = self.world.faults, time.time()
        if faults.strikes("amazon", "webhook_lost"):
            return
        if faults.strikes("amazon", "webhook_delay"):
            due += faults.amount("amazon", "webhook_delay", faults.settings["amazon"].webhook_delay_seconds)
        if faults.strikes("amazon", "webhook_reorder"):
            due += 0.2 + faults.amount("amazon", "webhook_reorder", 0.6)
        copies = 2 if faults.strikes("amazon", "webhook_duplicate") else 1
        for _ in range(copies):
            self.world.books.db.execute(
                "INSERT INTO amazon_message (body, due_s, receipt, receives) VALUES (?, ?, '', 0)",
                (text, due),
            )

    def answer(self, call: Call) -> Answer:
        self._verify(call)
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "AmazonSQS.ReceiveMessage": self._receive,
            "AmazonSQS.DeleteMessage": self._delete,
        }
        action = actions.get(call.headers.get("x-amz-target", ""))
        if action is None or call.headers.get("content-type", "").partition(";")[0] != _MEDIA_TYPE:
            raise _refuse(404, "com.amazon.coral.service#UnknownOperationException", "")
        try:
            body = json.loads(call.body)
        except ValueError as error:
            raise _refuse(400, "com.amazon.coral.service#SerializationException", "") from error
        if not isinstance(body, dict) or not str(body.get("QueueUrl", "")).endswith(self.path):
            raise _refuse(400, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
        return Answer(200, encode(action(body)), media_type=_MEDIA_TYPE)

    def _receive(self, body: dict[str, Any]) -> dict[str, Any]:
        most, visible_in = body.get("MaxNumberOfMessages", 1), body.get("VisibilityTimeout", _VISIBILITY)
        if not isinstance(most, int) or not 1 <= most <= 10 or not isinstance(visible_in, int):
            told = "Value for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10."
            raise _refuse(400, "com.amazonaws.sqs#InvalidParameterValue", told)
        db, now = self.world.books.db, time.time()
        rows = db.execute(
            "SELECT id, body FROM amazon_message WHERE due_s <= ? ORDER BY due_s, id LIMIT ?", (now, most)
        ).fetchall()
        messages = []
        for message_id, text in rows:
            receipt = secrets.token_urlsafe(24)
            db.execute(
                "UPDATE amazon_message SET due_s = ?, receipt = ?, receives = receives + 1 WHERE id = ?",
                (now + visible_in, receipt, message_id),
            )
            digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            messages.append(
                {"MessageId": f"m-{message_id}", "ReceiptHandle": receipt, "MD5OfBody": digest, "Body": text}
            )
        return {"Messages": messages} if messages else {}

    def _delete(self, body: dict[str, Any]) -> dict[str, Any]:
        receipt = body.get("ReceiptHandle")
        if not isinstance(receipt, str) or not receipt:
            raise _refuse(400, "com.amazonaws.sqs#ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        self.world.books.db.execute("DELETE FROM amazon_message WHERE receipt = ?", (receipt,))
        return {}

    def waiting(self) -> int:
        return int(self.world.books.db.execute("SELECT count(*) FROM amazon_message").fetchone()[0])

    def make_visible(self) -> None:
        """Every visibility time-out has just run out."""
        self.world.books.db.execute("UPDATE amazon_message SET due_s = 0")

    def _verify(self, call: Call) -> None:
        """Signature Version 4, computed anew from what arrived."""
        scheme, _, rest = call.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if scheme != "AWS4-HMAC-SHA256" or set(parts) != {"Credential", "SignedHeaders", "Signature"}:
            raise _denied("MissingAuthenticationToken", "Request is missing Authentication Token")
        key_id, _, scope = parts["Credential"].partition("/")
        stamp = call.headers.get("x-amz-date", "")
        if key_id != self.access_key_id:
            raise _denied("InvalidClientTokenId", "The security token included in the request is invalid.")
        self._check_time(stamp)
        names = parts["SignedHeaders"].split(";")
        if "host" not in names or scope != f"{stamp[:8]}/{self.region}/sqs/aws4_request":
            raise _denied("SignatureDoesNotMatch", "Credential should be scoped to a valid region and service.")
        query = "&".join(sorted(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in call.query))
        canonical = [call.method, quote(call.full_path, safe="/~"), query]
        canonical += [f"{name}:{' '.join(call.headers.get(name, '').split())}" for name in names]
        canonical += ["", parts["SignedHeaders"], hashlib.sha256(call.body).hexdigest()]
        text = ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256("\n".join(canonical).encode()).hexdigest()]
        key = f"AWS4{self.secret_access_key}".encode()
        for word in (*scope.split("/"), "\n".join(text)):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(key.hex(), parts["Signature"]):
            raise _denied("SignatureDoesNotMatch", "The request signature we calculated does not match.")

    def _check_time(self, stamp: str) -> None:
        try:
            moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise _denied("IncompleteSignature", "Date must be in ISO-8601 basic format.") from None
        if abs(moment.timestamp() - time.time()) > _SKEW_SECONDS:
            raise _denied("SignatureDoesNotMatch", "Signature expired.")


def _refuse(status: int, kind: str, message: str) -> Refusal:
    return Refusal(Answer(status, encode({"__type": kind, "message": message}), media_type=_MEDIA_TYPE))


def _denied(code: str, message: str) -> Refusal:
    return _refuse(403, f"com.amazon.coral.service#{code}", message)
