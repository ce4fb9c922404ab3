"""Feeds 2021-06-30: documents at addresses of their own, and listings feeds worked through a while later."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import secrets
import time
from typing import Any
from uuid import uuid4

from flipsync.sandbox.amazon.listings import Listings
from flipsync.sandbox.amazon.notifications import Notifications
from flipsync.sandbox.amazon.world import MARKETPLACE, SELLER, World, encode, invalid, refuse
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, Refusal, parse_object

#: Real seconds until a feed begins to be worked through, and how many messages nobody else has a turn between.
PROCESSING_SECONDS = 0.3
_AT_ONCE = 100
_MOST = 25_000


class Feeds:
    """The Feeds API, its documents, and the machine that works feeds through."""

    def __init__(self, world: World, listings: Listings, notifications: Notifications) -> None:
        self.world = world
        self.listings = listings
        self.notifications = notifications
        self._documents: dict[str, bytes] = {}

    def create_document(self, call: Call) -> Answer:
        body = parse_object(call.body)
        if body is None or set(body) != {"contentType"} or not isinstance(body["contentType"], str):
            raise invalid("contentType is required.")
        name = f"amzn1.tortuga.4.na.{uuid4()}"
        address = self._address(name)
        self.world.put("document", name, {"key": address.rpartition("=")[2], "type": body["contentType"]})
        return Answer(201, encode({"feedDocumentId": name, "url": address}))

    def _address(self, name: str) -> str:
        return f"{self.world.base_url()}/amazon/documents/{name}?X-Amz-Signature={secrets.token_hex(16)}"

    def get_document(self, call: Call, name: str) -> Answer:
        body = {"feedDocumentId": name, "url": self.address_of(name)}
        if (self.world.get("document", name) or {})["type"] == "report":
            body["compressionAlgorithm"] = "GZIP"
        return Answer(200, encode(body))

    def address_of(self, name: str) -> str:
        """A fresh address of a document that is there. Raises Refusal."""
        doc = self.world.get("document", name)
        if doc is None or name not in self._documents:
            raise refuse(404, "NotFound", "There is no such document.")
        address = self._address(name)
        self.world.put("document", name, {**doc, "key": address.rpartition("=")[2]})
        return address

    def keep(self, name: str, content: bytes) -> None:
        """A report, packed."""
        self._documents[name] = gzip.compress(content)
        self.world.put("document", name, {"key": secrets.token_hex(16), "type": "report"})

    def document(self, call: Call) -> Answer:
        """Upload and download; the signature in the address is the permission."""
        name = call.path.removeprefix("/documents/")
        doc = self.world.get("document", name)
        if doc is None or call.first("X-Amz-Signature") != doc["key"]:
            return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", media_type="application/xml")
        if call.method == "PUT":
            if call.headers.get("content-type") != doc["type"]:
                return Answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", media_type="application/xml")
            self._documents[name] = call.body
            return Answer(200, b"")
        if name not in self._documents:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", media_type="application/xml")
        return Answer(200, self._documents[name], media_type="binary/octet-stream")

    def create(self, call: Call) -> Answer:
        body = parse_object(call.body)
        known = {"feedType", "marketplaceIds", "inputFeedDocumentId"}
        if body is None or not known <= set(body) <= known | {"feedOptions"}:
            raise invalid("feedType, marketplaceIds and inputFeedDocumentId are required.")
        if body["feedType"] != "JSON_LISTINGS_FEED" or body["marketplaceIds"] != [MARKETPLACE]:
            raise invalid("The feed type or the marketplace is not one that is served.")
        if body["inputFeedDocumentId"] not in self._documents:
            raise invalid("The input document was not uploaded.")
        number = str(self.world.books.next_id())
        doc = {
            "feedId": number,
            "feedType": body["feedType"],
            "marketplaceIds": body["marketplaceIds"],
            "createdTime": rfc3339(self.world.books.clock.now_ms()),
            "processingStatus": "IN_QUEUE",
            "input": body["inputFeedDocumentId"],
            "due": time.time() + PROCESSING_SECONDS,
        }
        self.world.put("feed", number, doc)
        asyncio.get_running_loop().call_later(PROCESSING_SECONDS, self._process, number)
        return Answer(202, encode({"feedId": number}))

    def get(self, call: Call, number: str) -> Answer:
        doc = self.world.get("feed", number)
        if doc is None:
            raise refuse(404, "NotFound", "There is no such feed.")
        return Answer(200, encode({name: value for name, value in doc.items() if name not in ("input", "due")}))

    def _process(self, number: str) -> None:
        """Begin with a feed; the loop calls it, between two requests."""
        doc = self.world.get("feed", number)
        if doc is None or doc["processingStatus"] != "IN_QUEUE":
            return
        started = rfc3339(self.world.books.clock.now_ms())
        doc |= {"processingStatus": "IN_PROGRESS", "processingStartTime": started}
        messages = _messages(self._documents.get(doc["input"], b""))
        issues: list[dict[str, Any]] = []
        if messages is None:
            issues.append({"code": "4000001", "severity": "ERROR", "message": "The feed is not a valid JSON document."})
        with self.world.books.transaction():
            self.world.put("feed", number, doc)
            self._go_on(doc, messages or [], 0, 0, issues)

    def _go_on(
        self, doc: dict[str, Any], messages: list[dict[str, Any]], done: int, refused: int, issues: list[dict[str, Any]]
    ) -> None:
        """Carry some messages out, the next ones after others had their turn, and tell what came of all at the end."""
        for message in messages[done : done + _AT_ONCE]:
            against = self._carry_out(message)
            refused += bool(against)
            issues += against
        done += _AT_ONCE
        if done < len(messages):
            asyncio.get_running_loop().call_later(0.0, self._later, doc, messages, done, refused, issues)
            return
        name = f"amzn1.tortuga.4.na.{uuid4()}"
        self.keep(name, encode(_report(doc["feedId"], len(messages), refused, issues)))
        doc |= {
            "processingStatus": "DONE",
            "processingEndTime": rfc3339(self.world.books.clock.now_ms()),
            "resultFeedDocumentId": name,
        }
        self.world.put("feed", doc["feedId"], doc)
        self.notifications.feed_finished(doc)

    def _later(self, *more: Any) -> None:
        with self.world.books.transaction():
            self._go_on(*more)

    def _carry_out(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        told = {"messageId": message["messageId"], "sku": str(message.get("sku") or "?"), "severity": "ERROR"}
        if message.get("operationType") != "PATCH" or not message.get("productType") or not message.get("patches"):
            return [{**told, "code": "4000002", "message": "The message is not a complete PATCH."}]
        found: list[dict[str, Any]] = []
        with contextlib.suppress(Refusal):
            found = self.listings.apply_patches(told["sku"], message["patches"])
            return [
                {
                    **told,
                    "code": row["code"],
                    "message": row["message"],
                    "attributeName": next(iter(row["attributeNames"]), ""),
                }
                for row in found
            ]
        return [{**told, "code": "4000003", "message": "The patches cannot be read."}]


def _report(number: str, processed: int, refused: int, issues: list[dict[str, Any]]) -> dict[str, Any]:
    summary = {
        "errors": len(issues),
        "warnings": 0,
        "messagesProcessed": processed,
        "messagesAccepted": processed - refused,
        "messagesInvalid": refused,
    }
    header = {"sellerId": SELLER, "version": "2.0", "feedId": number}
    return {"header": header, "issues": issues, "summary": summary}


def _messages(content: bytes) -> list[dict[str, Any]] | None:
    """The messages of a feed; None when it is none of ours."""
    try:
        feed = json.loads(content)
        header, messages = feed["header"], feed["messages"]
        good = header["sellerId"] == SELLER and header["version"] == "2.0" and 1 <= len(messages) <= _MOST
        numbers = {message["messageId"] for message in messages}
    except (ValueError, KeyError, TypeError):
        return None
    return list(messages) if good and len(numbers) == len(messages) else None
