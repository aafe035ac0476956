"""Zenith credentials -> a session."""

from __future__ import annotations

import json
from collections.abc import Mapping

from brokers.zenith import SPEC
from brokers.zenith.mapping import errors

from brokers import jwt
from brokers.contract import BrokerContext, BrokerSession
from brokers.credentials import Credentials, ask_once
from brokers.errors import BrokerDown
from brokers.jsoncalls import Dialect
from brokers.secret import Secret
from brokers.transport import Transport


def headers_of(session: BrokerSession) -> Mapping[str, str]:
    """Headers of every REST call; the only place where a session's secrets are revealed for it."""
    return {
        "Authorization": f"Bearer {session.secrets['token'].reveal()}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


DIALECT = Dialect(SPEC.title, headers_of, errors.read, errors.LOGIN, errors.ADDRESS)


class ZenithAuth:
    """Implements ``contract.Auth``."""

    def __init__(self, context: BrokerContext, transport: Transport) -> None:
        self._context = context
        self._transport = transport
        self._known = Credentials(context, "Zenith")

    def login(self, *, totp: str | None = None) -> BrokerSession:
        """Make a new session; see ``contract.Auth``."""
        client_id, key = self._known.need("ZENITH_CLIENT_ID"), self._known.need("ZENITH_API_KEY")
        return self._ask(client_id, key, self._known.code("ZENITH_TOTP_SECRET", totp))

    def renew(self, session: BrokerSession) -> BrokerSession:
        """Zenith has no refresh: the same as ``login``."""
        return self.login()

    def _ask(self, client_id: str, key: str, one_time: str) -> BrokerSession:
        """``POST /login``, sent once: a code works once."""
        reply = ask_once(
            self._transport,
            "POST",
            f"{self._context.endpoints['rest'].rstrip('/')}/login",
            "Zenith login",
            headers={"Content-Type": "application/json"},
            body=json.dumps({"client": client_id, "key": key, "totp": one_time}).encode(),
        )
        data = errors.parse(reply.body)
        if reply.status != 200 or not isinstance(data, dict):
            raise DIALECT.error(reply, data, write=False)
        token = str(data.get("token") or "")
        ends = jwt.expiry(token)
        if ends is None:
            raise BrokerDown("Zenith answered the login without a readable token")
        now = self._context.clock.now()
        return BrokerSession("zenith", client_id, {"token": Secret(token)}, {}, now, ends)
