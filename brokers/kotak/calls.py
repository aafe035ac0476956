"""Kotak's REST calls as bytes out and answers in: one table of paths for both families, headers, forms.

Source: kotak-wire.md section 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from brokers.contract import BrokerContext, BrokerSession, SessionSource
from brokers.kotak.auth import FIN_KEY, authorization, family_of
from brokers.kotak.mapping import orders
from brokers.transport import Reply, Transport


@dataclass(frozen=True, slots=True)
class Call:
    """One endpoint: its path in each family, and which headers it wants.

    Attributes:
        session: Wants the trade token and sid.
        app: Wants the app's access token on the current paths (the 2.0.0 ones want it everywhere).
    """

    method: str
    current: str
    apim: str
    session: bool = True
    app: bool = False

    def path(self, family: str) -> str:
        return self.apim if family == "apim" else self.current


_ORDERS = "apim/orders/2.0/"
_HISTORY = "market-data/1.0/historical/details"
CALLS: Mapping[str, Call] = {
    "place": Call("POST", "quick/order/rule/ms/place", f"{_ORDERS}quick/order/rule/ms/place", app=True),
    "modify": Call("POST", "quick/order/vr/modify", f"{_ORDERS}quick/order/vr/modify", app=True),
    "cancel": Call("POST", "quick/order/cancel", f"{_ORDERS}quick/order/cancel", app=True),
    "orders": Call("GET", "quick/user/orders", f"{_ORDERS}quick/user/orders"),
    # singular "order" in this one path of the 2.0.0 family
    "history": Call("POST", "quick/order/history", "apim/order/2.0/quick/order/history"),
    "trades": Call("GET", "quick/user/trades", f"{_ORDERS}quick/user/trades"),
    "positions": Call("GET", "portfolio/v2/positions", f"{_ORDERS}quick/user/positions"),
    "holdings": Call("GET", "portfolio/v1/holdings", "apim/portfolio/2.0/portfolio/v1/holdings"),
    "limits": Call("POST", "quick/user/limits", f"{_ORDERS}quick/user/limits"),
    "margin": Call("POST", "quick/user/check-margin", f"{_ORDERS}quick/user/check-margin"),
    "quotes": Call(
        "GET",
        "script-details/1.0/quotes/neosymbol",
        "apim/quotes/2.0/quotes/neosymbol",
        session=False,
        app=True,
    ),
    "files": Call(
        "GET",
        "script-details/1.0/masterscrip/file-paths",
        "apim/files/2.0/masterscrip/v1/file-paths",
        session=False,
        app=True,
    ),
    # younger than the 2.0.0 client, so that family has no path of its own
    "candles": Call("GET", _HISTORY, _HISTORY, session=False, app=True),
}


def headers_of(call: Call, session: BrokerSession, family: str) -> dict[str, str]:
    """Headers of one call; the only place where a session's secrets are revealed for REST."""
    headers = {"accept": "application/json"}
    if call.app or family == "apim":
        headers["Authorization"] = authorization(session.secrets["access_token"].reveal(), family)
    if call.session:
        headers["Sid"] = session.secrets["sid"].reveal()
        headers["Auth"] = session.secrets["token"].reveal()
        headers["neo-fin-key"] = FIN_KEY
    if call.method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return headers


def url_of(call: Call, session: BrokerSession, family: str, tail: str = "", query: str = "") -> str:
    """Address of one call at the session's own data centre."""
    if family == "apim" and call.session and (server_id := session.attributes.get("server_id", "")):
        query = "&".join(filter(None, (query, urlencode({"sId": server_id}))))
    url = f"{session.attributes['base_url']}/{call.path(family)}{tail}"
    return f"{url}?{query}" if query else url


def parse(reply: Reply) -> Any:
    """JSON body with exact decimals, None when it is not JSON (gateways answer HTML)."""
    try:
        return json.loads(reply.body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


class Calls:
    """Thread-safe; takes the newest session for every call."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        self.family = family_of(context.options)
        self._session = session
        self._transport = transport
        self._write_timeout_s = context.write_timeout_s

    def write(self, name: str, fields: Mapping[str, str | None]) -> Reply:
        """One order call of the table, once; any status is an answer. Raises as ``Transport.send``."""
        session, call = self._session(), CALLS[name]
        return self._transport.send(
            call.method,
            url_of(call, session, self.family),
            headers=headers_of(call, session, self.family),
            body=orders.encode(fields),
            read_timeout_s=self._write_timeout_s,
        )

    def read(
        self, name: str, fields: Mapping[str, str | None] | None = None, *, tail: str = "", query: str = ""
    ) -> Reply:
        """A read of the table; any status is an answer. Raises as ``Transport.fetch``.

        Args:
            fields: ``jData`` of a POST.
            tail, query: What follows the table's path.
        """
        session, call = self._session(), CALLS[name]
        return self._transport.fetch(
            call.method,
            url_of(call, session, self.family, tail, query),
            headers=headers_of(call, session, self.family),
            body=None if fields is None else orders.encode(fields),
        )
