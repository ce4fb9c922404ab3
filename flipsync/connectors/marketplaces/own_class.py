"""Vendor "python": a channel of somebody's own, named by an account's option `class` as "package.module:Class".

Importing a module runs it. So only classes that whoever runs this house has named are imported: those in
FLIPSYNC_CHANNEL_CLASSES, separated by commas, in the environment of every process. What an account asks for is compared
with that list before anything is loaded.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Limiter, MarketplaceConnector
from flipsync.connectors.marketplaces.store import StoreConnector
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import Vendor, WebhookNotice
from flipsync.domain.errors import InvalidInput

ALLOWED = "FLIPSYNC_CHANNEL_CLASSES"
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


def own_class(config: AccountConfig) -> type[MarketplaceConnector]:
    """The class an account names. Raises InvalidInput when it is not allowed, not there, or no connector."""
    name = config.options.get("class", "").strip()
    if not _NAME.fullmatch(name):
        raise InvalidInput("the option 'class' must be package.module:Class", hint="see PYTHON.md")
    if name not in {part.strip() for part in os.environ.get(ALLOWED, "").split(",")}:
        raise InvalidInput(f"{name} is not allowed here", hint=f"whoever runs FlipSync adds it to {ALLOWED}")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever somebody's module raises
        raise InvalidInput(f"{name} cannot be loaded: {type(error).__name__}") from error
    if not (isinstance(found, type) and issubclass(found, MarketplaceConnector)):
        raise InvalidInput(f"{name} is not a MarketplaceConnector")
    left = sorted(getattr(found, "__abstractmethods__", ()))
    if left:
        raise InvalidInput(f"{name} lacks {', '.join(left)}")
    return found


class OwnClass(StoreConnector):
    """Stands for the class an account names: making one makes an object of that class."""

    vendor: ClassVar[Vendor] = "python"

    def __new__(  # type: ignore[misc]
        cls,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        *,
        vault: Vault | None = None,
        **more: Any,
    ) -> MarketplaceConnector:
        # The object is of another class, and so its own __init__ has been called here.
        return own_class(config)(config, credentials, limiter, account_key, vault=vault, **more)

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        return own_class(config).parse_webhook(headers, body, secret, config)
