"""Dhan's REST calls as bytes out and answers in: address, headers, and what is no answer.

Source: Dhan API v2, "Introduction" (headers, errors).
"""

from __future__ import annotations

import json
from typing import Any

from brokers.contract import BrokerContext, BrokerSession, SessionSource
from brokers.dhan.mapping import errors, words
from brokers.errors import WireError
from brokers.rows import Row, objects
from brokers.transport import Reply, Transport


def headers_of(session: BrokerSession) -> dict[str, str]:
    """Headers of every call; the only place where a session's token is revealed for REST.

    ``client-id`` is needed by market data only.
    """
    return {
        "access-token": session.secrets["token"].reveal(),
        "client-id": session.account,
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


class Calls:
    """Thread-safe; takes the newest session for every call."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        self._session = session
        self._transport = transport
        self._base = context.endpoints["rest"].rstrip("/")
        self._write_timeout_s = context.write_timeout_s

    @property
    def account(self) -> str:
        """The client id, which bodies of orders repeat."""
        return self._session().account

    def write(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[Reply, dict[str, Any]]:
        """One order call, once: a readable acknowledgement with ``orderId``, else an error.

        Raises:
            BrokerError: As writes of ``contract.Rest``; doubt is ``OutcomeUnknown``.
        """
        reply = self._transport.send(
            method,
            self._base + path,
            headers=headers_of(self._session()),
            body=None if body is None else json.dumps(body).encode(),
            read_timeout_s=self._write_timeout_s,
        )
        data = errors.parse(reply.body)
        if isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not 200 <= reply.status < 300 or not isinstance(data, dict) or not words.field(data, "orderId"):
            raise errors.error(reply.status, reply.body, write=True, retry_after_s=reply.retry_after_s)
        return reply, data

    def get(self, path: str) -> Reply:
        """A read; any status is an answer."""
        return self._transport.fetch("GET", self._base + path, headers=headers_of(self._session()))

    def ask(self, path: str, body: dict[str, Any]) -> Reply:
        """A read that Dhan wants as POST."""
        return self._transport.fetch(
            "POST", self._base + path, headers=headers_of(self._session()), body=json.dumps(body).encode()
        )


def rows_of(reply: Reply) -> list[Row]:
    """A list of objects; one object counts as a list of one (the pages show both). Raises as ``json_of``."""
    data = json_of(reply)
    return objects([data] if isinstance(data, dict) else data, reply.body)


def json_of(reply: Reply) -> Any:
    """Parsed body of a success.

    Raises:
        WireError: A success whose body is not JSON.
        BrokerError: Not a success; see ``mapping.errors``.
    """
    if not 200 <= reply.status < 300:
        raise errors.error(reply.status, reply.body, write=False, retry_after_s=reply.retry_after_s)
    try:
        data = json.loads(reply.body)
    except ValueError as exc:
        raise WireError("Dhan's answer is not JSON", reply.body[:500]) from exc
    if errors.read(data).code and "orderId" not in data:
        # a refusal that came with a success status
        raise errors.error(400, reply.body, write=False)
    return data
