"""An Amazon to talk to, goods for it, and the judge of what was said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from amazon_models import Models

from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.money import usd

START = datetime(2026, 3, 2, 14, tzinfo=UTC)
#: Not the Selling Partner API's: Login, the queue, documents and schemas.
ELSEWHERE = ("/amazon/auth/", "/amazon/queue", "/amazon/documents/", "/amazon/schemas/")


def offer(sku: str = "LAMP-1", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": sku,
        "title": "Brass lamp, 40 cm",
        "description_html": "<p>Brass &amp; <b>glass</b>.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "barcode": "4006381333931",
        "brand": "Lumen",
        "category": "Lighting",
        "images": ("https://img.example/1.jpg", "https://img.example/2.jpg"),
        "weight_grams": 1250,
        "attributes": {"Colour": "Brass", "Voltage": "230"},
    }
    return Offer(**{**fields, **changes})


def watched(open_channel: Any) -> Any:
    """An Amazon whose exchanges are kept whole, to be judged."""
    opened = open_channel("amazon")
    opened.tap.keeps = True
    return opened


def world_of(channel: Any) -> Any:
    """The Amazon behind the connector."""
    return channel.sandbox.server("/amazon").world


def bodies(channel: Any, method: str, part: str) -> list[Any]:
    return [json.loads(r.content) for r in channel.tap.requests if r.method == method and part in str(r.url)]


def judge_all(models: Models, tap: Any) -> set[str]:
    """Every exchange so far is as the models say; returns the operations that were seen."""
    seen: set[str] = set()
    problems: list[str] = []
    for request, answer in zip(tap.requests, tap.answers, strict=True):
        if request.url.path.startswith(ELSEWHERE):
            continue
        name, found = models.judge(request, answer, prefix="/amazon")
        seen.add(name)
        problems += found
    assert problems == []
    return seen


def shirt(sku: str, size: str, color: str) -> Offer:
    group = OfferGroup(
        key="SHIRT-9",
        title="Linen shirt",
        options=("Size", "Colour"),
        values={"Size": ("S", "M"), "Colour": ("Blue", "White")},
    )
    return offer(
        sku, title=f"Linen shirt {size} {color}", category="Shirt", barcode=None, group=group, choices=(size, color)
    )
