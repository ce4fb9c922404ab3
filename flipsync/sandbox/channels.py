"""The vendors' servers of a sandbox, beside the two it always has. To serve another, add its function to OPENERS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from flipsync.sandbox.shopify import open_shopify

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox


@dataclass(frozen=True)
class Served:
    """A vendor's server: the path it is mounted at, and what a seller needs to reach it.

    `credentials(sandbox's base_url)` gives `{vendor: keys, f"{vendor}_read_only": keys}`; keys are the connector's
    credentials, beside the account's base_url, token_url, notification_url and options.
    """

    prefix: str
    app: ASGIApp
    credentials: Callable[[str], dict[str, dict[str, Any]]]


def _ebay(sandbox: Sandbox) -> Served:
    from flipsync.sandbox.ebay import open_ebay

    return open_ebay(sandbox)


def _amazon(sandbox: Sandbox) -> Served:
    from flipsync.sandbox.amazon import open_amazon

    return open_amazon(sandbox)


#: Each makes one vendor's server of a sandbox.
OPENERS: tuple[Callable[[Sandbox], Served], ...] = (open_shopify, _ebay, _amazon)
