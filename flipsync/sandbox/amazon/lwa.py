"""Login with Amazon: the token endpoint. Access tokens live an hour and start with "Atza|"."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from flipsync.sandbox.amazon.world import World, encode, refuse
from flipsync.sandbox.consent import Codes
from flipsync.sandbox.exchange import Answer, Call, Refusal

LIFETIME_SECONDS = 3600
NOTIFICATIONS = "sellingpartnerapi::notifications"


@dataclass(frozen=True)
class Application:
    """An application and the seller's authorization of it."""

    client_id: str
    client_secret: str
    refresh_token: str
    can_write: bool


class Login:
    """Gives out access tokens, and knows whom they are for."""

    def __init__(self, world: World, applications: list[Application]) -> None:
        self.world = world
        self.applications = {application.client_id: application for application in applications}
        #: of Seller Central's page, where it is served
        self.codes: Codes | None = None

    def answer(self, call: Call) -> Answer:
        if call.method != "POST":
            raise _refuse(405, "invalid_request", "The request must be a POST.")
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        application = self.applications.get(form.get("client_id", ""))
        given = form.get("client_secret", "").encode()
        if application is None or not hmac.compare_digest(application.client_secret.encode(), given):
            raise _refuse(401, "invalid_client", "Client authentication failed")
        grant = form.get("grant_type")
        if grant == "refresh_token":
            given_token = form.get("refresh_token", "")
            if not self._authorized(application, given_token):
                raise _refuse(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")
            return self._grant(application, "", {"refresh_token": given_token})
        if grant == "authorization_code":
            return self._exchange(application, form)
        if grant == "client_credentials":
            if form.get("scope") != NOTIFICATIONS:
                raise _refuse(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
            return self._grant(application, NOTIFICATIONS, {"scope": NOTIFICATIONS})
        raise _refuse(400, "unsupported_grant_type", "The authorization grant type is not supported")

    def _authorized(self, application: Application, token: str) -> bool:
        """The first authorization of an application, or a later one."""
        if hmac.compare_digest(application.refresh_token.encode(), token.encode()):
            return True
        doc = self.world.get("authorization", _digest(token))
        return doc is not None and bool(doc["client_id"] == application.client_id)

    def _exchange(self, application: Application, form: dict[str, str]) -> Answer:
        code = None
        if self.codes is not None:
            code = self.codes.redeem(
                form.get("code", ""),
                application.client_id,
                form.get("redirect_uri", ""),
                form.get("code_verifier", ""),
            )
        if code is None:
            raise _refuse(400, "invalid_grant", "The request has an invalid grant parameter : code")
        token = f"Atzr|{secrets.token_urlsafe(48)}"
        self.world.put("authorization", _digest(token), {"client_id": application.client_id, "seller": code.seller})
        return self._grant(application, "", {"refresh_token": token})

    def _grant(self, application: Application, scope: str, more: dict[str, str]) -> Answer:
        token = f"Atza|{secrets.token_urlsafe(48)}"
        doc = {"client_id": application.client_id, "scope": scope, "ends": time.time() + LIFETIME_SECONDS}
        self.world.put("token", _digest(token), doc)
        body = {"access_token": token, "token_type": "bearer", "expires_in": LIFETIME_SECONDS, **more}
        return Answer(200, encode(body), {"Cache-Control": "no-store"})

    def expire_all(self) -> None:
        """Every token given out so far has just ended."""
        for name, doc in list(self.world.all("token")):
            self.world.put("token", name, {**doc, "ends": time.time() - 1})

    def authorize(self, call: Call, *, grantless: bool, restricted: bool = False) -> Application:
        """Whose call it is. Amazon answers expired tokens with 403."""
        token = call.headers.get("x-amz-access-token", "")
        if not token:
            raise _denied("Access token is missing in the request header.")
        doc = self.world.get("token", _digest(token))
        if doc is None:
            raise _denied("The access token you provided is revoked, malformed or invalid.")
        if doc["ends"] < time.time():
            raise _denied("The access token you provided has expired.")
        if grantless != (doc["scope"] == NOTIFICATIONS):
            raise _denied("Access token does not have the scope of this operation.")
        if "resources" in doc and {"method": call.method, "path": call.path} not in doc["resources"]:
            raise _denied("The Restricted Data Token is not for this resource.")
        if restricted and "resources" not in doc:
            raise _denied("The operation shows where buyers live: it wants a Restricted Data Token.")
        return self.applications[doc["client_id"]]

    def restrict(self, call: Call, resources: list[dict[str, str]]) -> str:
        """A Restricted Data Token for whoever calls, good for these resources alone."""
        token = f"Atz.sprdt|{secrets.token_urlsafe(32)}"
        application = self.authorize(call, grantless=False)
        told = [{"method": row["method"], "path": row["path"]} for row in resources]
        doc = {"client_id": application.client_id, "scope": "", "ends": time.time() + LIFETIME_SECONDS}
        self.world.put("token", _digest(token), {**doc, "resources": told})
        return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _denied(details: str) -> Refusal:
    return refuse(403, "Unauthorized", "Access to requested resource is denied.", details)


def _refuse(status: int, error: str, description: str) -> Refusal:
    return Refusal(Answer(status, encode({"error": error, "error_description": description})))
