"""Dhan's refusals -> our errors, by HTTP status and Dhan's code. Pure.

Two error shapes by path (trading, data) and an older one. The text of a refusal decides in exactly two
cases, listed in ``_BY_TEXT``: Dhan uses one code for many things there. What a refused order is about is told
by ``brokers.reasons``.

Source: Dhan API v2, annexure "Trading API Error" and "Data API Error"; HTTP statuses as users saw them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from brokers.dhan.wire.market import DISCONNECTS
from brokers.errors import (
    BrokerDown,
    BrokerError,
    IpNotAllowed,
    LoginRequired,
    NotFound,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from brokers.reasons import Refusal, code_of

NO_HOLDINGS = "DH-1111"
NO_DATA = "DH-907"
ORDER_ERROR = "DH-906"

_LOGIN = frozenset({"DH-901", "807", "808", "809", "810"})
_RATE = {"DH-904": 1.0, "805": 5.0}  # least seconds to wait; Dhan sends no Retry-After
_NO_ACCESS = frozenset({"DH-902", "DH-903", "806"})
_SERVER = frozenset({"DH-908", "DH-909", "800"})
_BY_TEXT: dict[tuple[str, str], type[LoginRequired] | type[IpNotAllowed]] = {
    # a garbage token, or one of the other environment
    (ORDER_ERROR, "invalid token"): LoginRequired,
    # DH-905 is every input fault; the address is refused with this text and HTTP 400
    ("DH-905", "invalid ip"): IpNotAllowed,
    # named by users, not in the official list
    ("DH-911", "invalid ip"): IpNotAllowed,
}


def parse(body: bytes) -> Any:
    """JSON of a body, or None when it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def read(data: Any) -> Refusal:
    """The refusal in a parsed body of any of the shapes; an empty one when there is none."""
    if not isinstance(data, Mapping):
        return Refusal("", "")
    inner = data.get("data")
    if data.get("status") in ("failed", "failure") and isinstance(inner, Mapping):
        for code, message in inner.items():
            return Refusal(str(code), str(message))
    old = str(data.get("internalErrorCode") or "")
    if old:
        return Refusal(old, str(data.get("internalErrorMessage") or data.get("errorMessage") or ""))
    return Refusal(str(data.get("errorCode") or ""), str(data.get("errorMessage") or ""))


def error(status: int, body: bytes, *, write: bool, retry_after_s: float | None = None) -> BrokerError:
    """The error for an answer that is not the one hoped for.

    Args:
        write: The request could have changed an order, so doubt means ``OutcomeUnknown``.

    Returns:
        Never a success: also a 2xx body we cannot use becomes an error here.
    """
    found = read(parse(body))
    code = found.code
    said = f"Dhan answered HTTP {status}" + (f" {code}" if code else "")
    message = found.message or (DISCONNECTS.get(int(code), "") if code.isdigit() else "")
    if message:
        said += f": {message}"
    by_text = _BY_TEXT.get((code, found.message.strip().rstrip(".").lower()))
    if by_text:
        return by_text(said, broker_code=code)
    if status == 429 or code in _RATE:
        wait_s = retry_after_s if retry_after_s is not None else _RATE.get(code, 1.0)
        return RateLimited(said, retry_after_s=wait_s, broker_code=code)
    if code in _NO_ACCESS:
        # 806 and DH-902 come with 401: a new token would not help
        return (OrderRejected if write else NotSupported)(said, broker_code=code)
    if status == 401 or code in _LOGIN:
        return LoginRequired(said, broker_code=code)
    if status >= 500 or code in _SERVER or status < 400 or not code:
        return _doubt(status, body, said, code, write)
    if not write:
        return BrokerError(said, broker_code=code)
    if status == 404:
        return NotFound(said, broker_code=code)
    return OrderRejected(said, broker_code=code, code=code_of(found.message))


def _doubt(status: int, body: bytes, said: str, code: str, write: bool) -> BrokerError:
    """No readable refusal, or one that says the broker itself failed."""
    if status == 404 and not code and isinstance(parse(body), Mapping):
        # Spring's own page: no such path, so nothing was executed
        return NotSupported(f"{said}: no such path", broker_code=code)
    if write:
        return OutcomeUnknown(f"{said}; the order's state is unknown", broker_code=code)
    return BrokerDown(said, broker_code=code)
