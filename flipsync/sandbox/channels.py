"""The vendors' servers of a sandbox, beside the two it always has. To serve another, add its function to OPENERS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flipsync.sandbox.amazon import open_amazon
from flipsync.sandbox.ebay import open_ebay
from flipsync.sandbox.served import Served
from flipsync.sandbox.shopify import open_shopify

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox

#: Each makes one vendor's server of a sandbox.
OPENERS: tuple[Callable[[Sandbox], Served], ...] = (open_shopify, open_ebay, open_amazon)
