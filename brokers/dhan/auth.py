"""Dhan credentials -> a session: an access token, PIN + TOTP, or a renewed web token.

A Dhan token lives 24 hours and making or renewing one kills the one before, so only one process of an
instance does it. Nothing here logs; messages name the env variable, never its value.

Source: Dhan API v2, "Authentication"; DhanHQ-py issue 108 (RenewToken is a GET).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from brokers import jwt
from brokers.contract import BrokerContext, BrokerSession
from brokers.credentials import Credentials, ask_once
from brokers.dhan.mapping import errors, words
from brokers.errors import (
    BrokerDown,
    BrokerError,
    LoginRequired,
    NotSupported,
    SettingsError,
)
from brokers.secret import Secret
from brokers.transport import Reply, Transport

TOKEN_LIFE = timedelta(hours=24)
WEB_TOKEN = "SELF"  # claim tokenConsumerType of a token made on web.dhan.co; only these can be renewed
_HOW = (
    "set DHAN_ACCESS_TOKEN (web.dhan.co, profile, DhanHQ Trading APIs, Generate access token), "
    "or DHAN_PIN with DHAN_TOTP_SECRET so that it renews itself"
)


class DhanAuth:
    """Implements ``contract.Auth``."""

    def __init__(self, context: BrokerContext, transport: Transport) -> None:
        self._context = context
        self._transport = transport
        self._rest = context.endpoints["rest"].rstrip("/")
        self._auth = context.endpoints["auth"].rstrip("/")

    def login(self, *, totp: str | None = None) -> BrokerSession:
        """Use the given access token while it is good, else make one with PIN and TOTP.

        A typed ``totp`` goes straight to PIN + TOTP: the person wants a new token.
        """
        client_id = self._client_id()
        can_make = self._can_make(totp)
        static = self._static_token()
        if static is not None and totp is None:
            try:
                return self._adopt(client_id, static)
            except LoginRequired:
                if not can_make:
                    raise
        if can_make:
            return self._generate(client_id, totp)
        raise SettingsError(f"Dhan: no way to log in; {_HOW}")

    def renew(self, session: BrokerSession) -> BrokerSession:
        """The env file's token if it is another one and good, RenewToken for a web token, else PIN + TOTP."""
        static = self._static_token()
        if static is not None and static != session.secrets["token"]:
            try:
                return self._adopt(session.account, static)
            except LoginRequired:
                pass  # the env file holds an old one; renew what we have
        can_make = self._can_make(None)
        if session.attributes.get("consumer") == WEB_TOKEN or not can_make:
            try:
                return self._renew_web(session)
            except (LoginRequired, NotSupported):
                if not can_make:
                    raise
        return self._generate(session.account, None)

    def check(self, session: BrokerSession) -> datetime | None:
        """Ask ``/profile`` whether the token is good.

        Returns:
            ``tokenValidity`` as aware UTC, None when it cannot be read.

        Raises:
            LoginRequired: It is not, or belongs to another client.
        """
        return self._profile(session.account, session.secrets["token"])

    def _client_id(self) -> str:
        found = self._context.credentials.get("DHAN_CLIENT_ID")
        if found:
            return found.reveal().strip()
        packed = self._context.credentials.get("BROKER_API_KEY")
        if packed and ":::" in packed.reveal():
            return packed.reveal().split(":::", 1)[0].strip()
        raise SettingsError("Dhan: DHAN_CLIENT_ID is not set (web.dhan.co, profile: the 10-digit client id)")

    def _static_token(self) -> Secret | None:
        for name in ("DHAN_ACCESS_TOKEN", "BROKER_API_SECRET"):
            found = self._context.credentials.get(name)
            # OpenAlgo's field holds either the app secret or a token; a token is a JWT
            if found and (name == "DHAN_ACCESS_TOKEN" or found.reveal().startswith("eyJ")):
                return Secret(found.reveal().strip())
        return None

    def _can_make(self, totp: str | None) -> bool:
        known = self._context.credentials
        return bool(known.get("DHAN_PIN") and (totp or known.get("DHAN_TOTP_SECRET")))

    def _adopt(self, client_id: str, token: Secret) -> BrokerSession:
        """A token somebody made by hand, checked by the broker."""
        ends = jwt.expiry(token.reveal())
        if ends is not None and ends <= self._context.clock.now():
            raise LoginRequired(f"the Dhan access token expired at {ends:%Y-%m-%d %H:%M} UTC; {_HOW}")
        valid_until = self._profile(client_id, token)
        return self._session(client_id, token, ends or valid_until)

    def _profile(self, client_id: str, token: Secret) -> datetime | None:
        reply = self._transport.fetch(
            "GET",
            f"{self._rest}/profile",
            headers=_headers(client_id, token),
        )
        data = errors.parse(reply.body)
        if reply.status != 200 or not isinstance(data, dict) or "dhanClientId" not in data:
            raise errors.error(reply.status, reply.body, write=False, retry_after_s=reply.retry_after_s)
        if str(data["dhanClientId"]) != client_id:
            raise LoginRequired("the Dhan access token belongs to another client than DHAN_CLIENT_ID")
        return words.time_of(data.get("tokenValidity"))

    def _generate(self, client_id: str, totp: str | None) -> BrokerSession:
        """``POST /app/generateAccessToken``; sent once, since each success kills the token before."""
        query = urlencode(
            {
                "dhanClientId": client_id,
                "pin": self._context.credentials["DHAN_PIN"].reveal(),
                "totp": Credentials(self._context, "Dhan").code("DHAN_TOTP_SECRET", totp),
            }
        )
        url = f"{self._auth}/app/generateAccessToken?{query}"
        headers = {"Accept": "application/json"}
        reply = ask_once(self._transport, "POST", url, "Dhan login", headers=headers)
        return self._from_answer(client_id, reply, "PIN + TOTP")

    def _renew_web(self, session: BrokerSession) -> BrokerSession:
        reply = ask_once(
            self._transport,
            "GET",
            f"{self._rest}/RenewToken",
            "Dhan RenewToken",
            headers=_headers(session.account, session.secrets["token"]),
        )
        return self._from_answer(session.account, reply, "RenewToken")

    def _from_answer(self, client_id: str, reply: Reply, way: str) -> BrokerSession:
        data = errors.parse(reply.body)
        # field names of RenewToken are not documented; clients expect those of the other ways
        token = _token_in(data)
        if reply.status in (200, 201) and token:
            expiry = words.time_of(data.get("expiryTime")) if isinstance(data, dict) else None
            secret = Secret(token)
            return self._session(client_id, secret, jwt.expiry(token) or expiry)
        said = errors.error(reply.status, reply.body, write=False, retry_after_s=reply.retry_after_s)
        if reply.status < 500 and type(said) in (BrokerError, BrokerDown, NotSupported):
            # login refusals have no published shape; below 500 the broker understood and said no
            reason = self._hide(str(_said(data)))
            raise LoginRequired(
                f"Dhan refused the login by {way} (HTTP {reply.status}){': ' + reason if reason else ''}",
                broker_code=said.broker_code,
            )
        raise said

    def _hide(self, text: str) -> str:
        """A refusal may echo what was sent."""
        for secret in self._context.credentials.values():
            if len(secret.reveal()) >= 4:
                text = text.replace(secret.reveal(), "***")
        return text

    def _session(self, client_id: str, token: Secret, expires_at: datetime | None) -> BrokerSession:
        now = self._context.clock.now()
        return BrokerSession(
            broker="dhan",
            account=client_id,
            secrets={"token": token},
            attributes={"consumer": str(jwt.claims(token.reveal()).get("tokenConsumerType") or "")},
            issued_at=now,
            expires_at=expires_at or now + TOKEN_LIFE,
        )


def _headers(client_id: str, token: Secret) -> dict[str, str]:
    return {"access-token": token.reveal(), "dhanClientId": client_id, "Accept": "application/json"}


def _token_in(data: Any) -> str:
    if not isinstance(data, Mapping):
        return ""
    for name in ("accessToken", "token", "access_token"):
        if isinstance(data.get(name), str) and data[name]:
            return str(data[name])
    inner = data.get("data")
    return _token_in(inner) if isinstance(inner, Mapping) else ""


def _said(data: Any) -> str:
    if not isinstance(data, Mapping):
        return ""
    for name in ("errorMessage", "message", "remarks", "error"):
        if isinstance(data.get(name), str):
            return str(data[name])[:200]
    return ""
