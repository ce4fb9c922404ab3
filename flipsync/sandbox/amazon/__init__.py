"""Amazon over the sandbox's books: the Selling Partner API, Login with Amazon, and the seller's queue."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from flipsync.sandbox.amazon.authorization import Authorization, application_id
from flipsync.sandbox.amazon.lwa import Application, Login
from flipsync.sandbox.amazon.queue import Queue
from flipsync.sandbox.amazon.server import SellingPartner
from flipsync.sandbox.amazon.world import MARKETPLACE, QUEUE_ARN, SELLER, World
from flipsync.sandbox.served import Served

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox

__all__ = ["SellingPartner", "open_amazon"]


def open_amazon(sandbox: Sandbox) -> Served:
    """Amazon's server of a sandbox, mounted at /amazon."""
    world = World(sandbox.books, sandbox.market, sandbox.faults, lambda: sandbox.base_url)
    applications = [_application(sandbox, "amazon.app", can_write=True)]
    applications.append(_application(sandbox, "amazon.reader", can_write=False))
    key_id = sandbox.once("amazon.key_id", lambda: f"AKIA{secrets.token_hex(8).upper()}")
    secret = sandbox.once("amazon.secret_key", lambda: secrets.token_urlsafe(30))
    login = Login(world, applications)
    authorization = Authorization(login, sandbox.redirects("amazon"))
    server = SellingPartner(world, login, Queue(world, key_id, secret), authorization)
    tell_others = sandbox.books.on_change

    def on_change(change: Any) -> None:
        tell_others(change)
        server.notifications.heard(change)

    sandbox.books.on_change = on_change
    sandbox.market.on_offers = server.notifications.offers_changed

    def credentials(base_url: str) -> dict[str, dict[str, Any]]:
        where = {
            "base_url": f"{base_url}/amazon",
            "token_url": f"{base_url}/amazon/auth/o2/token",
            "notification_url": f"{base_url}/amazon/queue",
            "options": {"marketplace_id": MARKETPLACE, "seller_id": SELLER, "region": "na", "queue_arn": QUEUE_ARN},
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
        }
        rows = zip(("amazon", "amazon_read_only"), applications, strict=True)
        return {
            name: {
                **where,
                "application_id": application_id(application),
                "client_id": application.client_id,
                "client_secret": application.client_secret,
                "refresh_token": application.refresh_token,
            }
            for name, application in rows
        }

    return Served("/amazon", server, credentials)


def _application(sandbox: Sandbox, name: str, *, can_write: bool) -> Application:
    stored = sandbox.once(
        name,
        lambda: (
            f"amzn1.application-oa2-client.{secrets.token_hex(16)}"
            f" amzn1.oa2-cs.v1.{secrets.token_hex(32)} Atzr|{secrets.token_urlsafe(48)}"
        ),
    )
    client_id, client_secret, refresh_token = stored.split(" ")
    return Application(client_id, client_secret, refresh_token, can_write)
