"""Kotak's many ways to say no -> our error classes.

Decided by HTTP status, then by the broker's own code. Bodies come in five shapes: ``stCode`` with ``emsg`` or
``errMsg``; ``code`` with ``message``/``description``; ``error`` as a list; ``fault``; ``errorCode`` at login.

Source: kotak-wire.md sections 1.2, 1.5, 2.1, 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

NO_DATA = "5203"
INVALID_INSTRUMENT = "1009"
SESSION_CODES = frozenset({"900901", "100021", "100022", "200032"})
"""Expired or unknown token, view token, wrong data centre: all are cured by a new login and nothing else."""

ADDRESS_CODES = frozenset({"1037", "100008"})
"""The caller's address: 1037 differs from the login's, 100008 "unauthorized" is what a caller outside the
static-IP list gets. On an order both mean the address (we never send a view token with one, and that has its
own code 100021); on a read the whitelist does not apply, so there they mean the session."""

REJECTIONS: Mapping[str, str] = {
    "1004": "INSUFFICIENT_MARGIN",
    "1006": "ORDER_NOT_OPEN",
    "1021": "ORDER_NOT_OPEN",
    "1009": "SYMBOL_NOT_FOUND",
    "5204": "ORDER_NOT_OPEN",
}

_ADVICE = {
    "1037": "the order came from another address than the login; log in again from this machine",
    "100008": "this machine's address is not on the account's static-IP list (Neo app, Trade API)",
    "200032": "this session belongs to another data centre; log in again",
}


def read(body: Any) -> Refusal:
    """Find code and text in any of the shapes."""
    if not isinstance(body, dict):
        return Refusal("", "")
    if isinstance(fault := body.get("fault"), dict):
        return Refusal(_text(fault.get("code")), _text(fault.get("message") or fault.get("description")))
    errors = body.get("error")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return Refusal(_text(errors[0].get("code")), _text(errors[0].get("message")))
    if "stCode" in body and not _is_ok(body):
        text = _text(body.get("emsg")) or _text(body.get("errMsg")) or _text(body.get("stat"))
        return Refusal(_text(body["stCode"]), text)
    if "errorCode" in body:
        return Refusal(_text(body["errorCode"]), _text(body.get("message")))
    if "code" in body:
        return Refusal(_text(body["code"]), _text(body.get("message") or body.get("description")))
    stat = _text(body.get("stat"))
    if stat and stat.lower() != "ok":
        return Refusal("", _text(body.get("emsg") or body.get("errMsg")) or stat)
    return Refusal("", "")


def _is_ok(body: Mapping[str, Any]) -> bool:
    return _text(body.get("stat")).lower() == "ok"


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())[:200]


def error_of_session(status: int, refusal: Refusal, *, order: bool) -> BrokerError | None:
    """Refusals that are not about the request itself: session, address."""
    code = refusal.code
    said = refusal.message or f"HTTP {status}"
    if code in ADDRESS_CODES:
        message = f"Kotak refused this address: {said} ({code}); {_ADVICE[code]}"
        return (IpNotAllowed if order else LoginRequired)(message, broker_code=code)
    if code in SESSION_CODES or status in (401, 403):
        advice = _ADVICE.get(code, "log in again")
        return LoginRequired(f"Kotak no longer accepts the session: {said}; {advice}", broker_code=code)
    return None


def rate_limited(retry_after_s: float | None, refusal: Refusal) -> RateLimited:
    wait_s = retry_after_s if retry_after_s is not None else 1.0
    return RateLimited(
        f"Kotak: {refusal.message or 'too many requests'}", retry_after_s=wait_s, broker_code=refusal.code
    )


def error_of_write(status: int, body: Any, retry_after_s: float | None) -> BrokerError:
    """The error of an order call that did not answer "Ok" with an order number.

    Only a readable no is a no. A server error or an unreadable answer leaves the outcome open: the request
    was sent, and the part that failed may stand behind the part that executed.
    """
    refusal = read(body)
    if status == 429 or refusal.code == "429":
        return rate_limited(retry_after_s, refusal)
    if status >= 500:
        return OutcomeUnknown(f"Kotak answered HTTP {status} to an order", broker_code=refusal.code)
    if error := error_of_session(status, refusal, order=True):
        return error
    if not refusal:
        return OutcomeUnknown(f"Kotak answered HTTP {status} with nothing readable to an order")
    return OrderRejected(
        refusal.message or f"refused with code {refusal.code}",
        broker_code=refusal.code,
        code=REJECTIONS.get(refusal.code) or code_of(refusal.message),
    )


def error_of_read(status: int, body: Any, retry_after_s: float | None) -> BrokerError | None:
    """The error of a read, None when the body is an answer."""
    refusal = read(body)
    if status == 429 or refusal.code == "429":
        return rate_limited(retry_after_s, refusal)
    if status >= 500:
        return BrokerDown(f"Kotak answered HTTP {status}", broker_code=refusal.code)
    if error := error_of_session(status, refusal, order=False):
        return error
    if refusal:
        return BrokerError(f"Kotak refused: {refusal.message or refusal.code}", broker_code=refusal.code)
    if not 200 <= status < 300 or body is None:
        return WireError(f"Kotak answered HTTP {status} with nothing readable")
    return None
