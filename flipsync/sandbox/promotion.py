"""How ads change what buyers see: more of them come to an advertised listing, and some who would have come anyway come
by the ad.

An assumption, not a measurement: nobody publishes how sales answer to the ad rate. At rate r a listing is seen by
lift * r / (r + HALF) more visitors, lift by SKU (log-normal), and OWN of that share of the buyers who would have come
anyway click the ad on their way. Both are charged for, as a channel does that counts every sale after a click. Without
an ad rate nothing of this happens, and no draw of any other kind is changed by it.
"""

from __future__ import annotations

import json
import math

from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import stream

#: the ad rate (per cent) that brings half of what ads can bring, the median of that, and its spread
HALF, LIFT, SPREAD = 5.0, 0.6, 0.5
#: buyers who would have come anyway and come by the ad, at a rate without end
OWN = 0.25
RATES = "ebay.ads"


class Promotion:
    """The ads of the eBay listings in the books."""

    def __init__(self, books: Books, seed: int) -> None:
        self._books, self._seed = books, seed
        self._text, self._rates = "{}", dict[str, str]()

    def rate(self, sku: str) -> float:
        """In per cent; 0 without an ad."""
        text = self._books.meta(RATES) or "{}"
        if text != self._text:
            self._text, self._rates = text, dict(json.loads(text))
        return float(self._rates.get(sku, 0))

    def brought(self, sku: str, n: int, rate: float) -> int:
        """Visitors who come because of the ad, beside the `n`th who would have come anyway."""
        lift = stream(self._seed, "ad-lift", sku).lognormvariate(math.log(LIFT), SPREAD)
        expected = lift * rate / (rate + HALF)
        whole = int(expected)
        return whole + int(stream(self._seed, "ad-visit", sku, n).random() < expected - whole)

    def clicked(self, sku: str, n: int, rate: float) -> bool:
        """Whether the `n`th visitor, who would have come anyway, comes by the ad."""
        return stream(self._seed, "ad-click", sku, n).random() < OWN * rate / (rate + HALF)
