"""What a vendor's server is to the sandbox that mounts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp


@dataclass(frozen=True)
class Served:
    """A vendor's server: the path it is mounted at, and what a seller needs to reach it.

    `credentials(sandbox's base_url)` gives `{vendor: keys, f"{vendor}_read_only": keys}`; keys are the connector's
    credentials, beside the account's base_url, token_url, notification_url and options.
    """

    prefix: str
    app: ASGIApp
    credentials: Callable[[str], dict[str, dict[str, Any]]]
