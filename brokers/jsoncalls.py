"""REST calls of a broker that speaks plain JSON: bytes out, answers in, and what is no answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brokers.contract import BrokerContext, BrokerSession, SessionSource
from brokers.errors import (
    BrokerDown,
    BrokerError,
    IpNotAllowed,
    LoginRequired,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    WireError,
)
from brokers.reasons import Refusal, code_of
from brokers.rows import objects
from brokers.transport import Reply, Transport


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is one broker's own in its calls.

    Attributes:
        title: As a person writes the broker.
        headers_of: The only place where a session's secrets are revealed for REST.
        refusal_in: The refusal in a parsed body, an empty one when there is none.
        login: Codes only a new login cures.
        address: Codes that mean this machine's address.
    """

    title: str
    headers_of: Callable[[BrokerSession], Mapping[str, str]]
    refusal_in: Callable[[Any], Refusal]
    login: frozenset[str] = frozenset()
    address: frozenset[str] = frozenset()

    def error(self, reply: Reply, data: Any, *, write: bool) -> BrokerError:
        """The error for an answer that is not the one hoped for, by status and code.

        Only a readable no is a no: doubt about a write is ``OutcomeUnknown``.
        """
        found, status = self.refusal_in(data), reply.status
        said = f"{self.title} answered HTTP {status}" + (f" {found.code}: {found.message}" if found else "")
        if status == 429:
            wait_s = 1.0 if reply.retry_after_s is None else reply.retry_after_s
            return RateLimited(said, retry_after_s=wait_s, broker_code=found.code)
        if status >= 500:
            return (OutcomeUnknown if write else BrokerDown)(said, broker_code=found.code)
        if found.code in self.address:
            return IpNotAllowed(said, broker_code=found.code)
        if found.code in self.login or status == 401:
            return LoginRequired(said, broker_code=found.code)
        if not found:
            return OutcomeUnknown(said) if write else WireError(said, reply.body[:500])
        if write:
            return OrderRejected(said, broker_code=found.code, code=code_of(found.message))
        return BrokerError(said, broker_code=found.code)


class JsonCalls:
    """Thread-safe; takes the newest session for every call. The endpoint is ``rest``."""

    def __init__(
        self, dialect: Dialect, context: BrokerContext, session: SessionSource, transport: Transport
    ) -> None:
        self._dialect = dialect
        self._session = session
        self._transport = transport
        self._base = context.endpoints["rest"].rstrip("/")
        self._write_timeout_s = context.write_timeout_s

    def write(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[Reply, Any]:
        """One order call, once: a 2xx without a refusal in it, and what it says.

        Raises:
            BrokerError: As writes of ``contract.Rest``.
        """
        reply = self._transport.send(
            method,
            self._base + path,
            headers=self._dialect.headers_of(self._session()),
            body=None if body is None else json.dumps(body).encode(),
            read_timeout_s=self._write_timeout_s,
        )
        return reply, self._said(reply, write=True)

    def fetch(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """A read; any status is an answer. Raises as ``Transport.fetch``."""
        return self._transport.fetch(
            method,
            self._base + path,
            headers=self._dialect.headers_of(self._session()),
            body=None if body is None else json.dumps(body).encode(),
        )

    def read(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What a read says. Raises as reads of ``contract.Rest``."""
        return self.said(self.fetch(method, path, body))

    def rows(self, path: str) -> list[Mapping[str, Any]]:
        """A list of objects, empty only when the broker says so. Raises as ``read``."""
        reply = self.fetch("GET", path)
        return objects(self.said(reply), reply.body)

    def said(self, reply: Reply) -> Any:
        """The parsed body of a read's success. Raises as ``read``."""
        return self._said(reply, write=False)

    def _said(self, reply: Reply, *, write: bool) -> Any:
        try:
            data = json.loads(reply.body)
        except (ValueError, RecursionError):
            data = None  # gateways answer HTML
        if data is None or not 200 <= reply.status < 300 or self._dialect.refusal_in(data):
            raise self._dialect.error(reply, data, write=write)
        return data
