"""How Dhan says no: two shapes, by path.

Trading paths answer ``{"errorType", "errorCode", "errorMessage"}`` with DH codes, ``marketfeed`` and
``optionchain`` answer ``{"data": {"<code>": "<text>"}, "status": "failed"}`` with numbers that are also the
reasons of a feed's goodbye.

Source: Dhan API v2, Annexure; statuses as seen by users.
"""

from __future__ import annotations

from aiohttp import web

from brokers.sim.exchange.types import Refusal, RefusalCode

_TYPES = {
    "DH-901": "Invalid_Authentication",
    "DH-902": "Invalid_Access",
    "DH-903": "User_Account",
    "DH-904": "Rate_Limit",
    "DH-905": "Input_Exception",
    "DH-906": "Order_Error",
    "DH-907": "Data_Error",
    "DH-908": "Internal_Server_Error",
    "DH-909": "Network_Error",
    "DH-910": "Others",
    "DH-1111": "HOLDING_ERROR",
}
_HTTP = {"DH-901": 401, "DH-904": 429, "DH-908": 500, "DH-1111": 500, "800": 500, "805": 429}
_DATA_AUTH = frozenset({"806", "807", "808", "809", "810"})

INPUT = "Missing required fields, bad values for parameters etc."

SERVER_ERROR, TOO_MANY_INSTRUMENTS, TOO_MANY, TOKEN_EXPIRED, AUTH_FAILED, TOKEN_INVALID, CLIENT_INVALID = (
    "800",
    "804",
    "805",
    "807",
    "808",
    "809",
    "810",
)
BAD_REQUEST = "814"

_REFUSED_INPUT = frozenset({RefusalCode.LOT, RefusalCode.TICK, RefusalCode.QUANTITY})


class Refused(Exception):
    """A request answered with an error; the code tells the shape."""

    def __init__(self, code: str, text: str = INPUT, http: int | None = None) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.http = http or _HTTP.get(code) or (401 if code in _DATA_AUTH else 400)

    def body(self) -> dict[str, object]:
        if self.code.startswith("DH-"):
            return {"errorType": _TYPES[self.code], "errorCode": self.code, "errorMessage": self.text}
        return {"data": {self.code: self.text}, "status": "failed"}

    def response(self) -> web.Response:
        return web.json_response(self.body(), status=self.http)


def from_exchange(refusal: Refusal) -> Refused:
    """An exchange's refusal in Dhan's words: wrong numbers are bad input, the rest cannot be processed."""
    return Refused("DH-905" if refusal.code in _REFUSED_INPUT else "DH-906", refusal.text)


def not_found(path: str, at_ms: int) -> web.Response:
    """An unknown path, in the style of the framework behind Dhan's API."""
    body = {"timestamp": at_ms, "status": 404, "error": "Not Found", "path": path}
    return web.json_response(body, status=404)
