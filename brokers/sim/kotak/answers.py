"""Kotak's refusals as values: one exception carrying status and body, one function per documented shape.

Source: Kotak Neo documentation (response codes) and reports in the client's issue threads. Most refusals
arrive with HTTP 200; where only a report says so, the docstring does.
"""

from __future__ import annotations

from collections.abc import Mapping


class Answer(Exception):
    """A finished HTTP answer, raised from wherever it is known.

    Args:
        status: HTTP status.
        body: JSON object.
    """

    def __init__(
        self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def not_ok(code: int, text: str, *, key: str = "emsg", status: int = 200) -> Answer:
    """The ordinary refusal; the text sits in ``emsg`` or, for session and order-state faults, ``errMsg``."""
    return Answer(status, {"stat": "Not_Ok", key: text, "stCode": code})


def invalid_body(text: str) -> Answer:
    return not_ok(1007, f"Invalid request body: {text}")


def invalid_request() -> Answer:
    """``jData`` is missing or is no JSON object."""
    return not_ok(5202, "invalid request")


def no_data() -> Answer:
    """An empty order book, trade book or position list."""
    return not_ok(5203, "No Data", key="errMsg")


def invalid_instrument() -> Answer:
    return not_ok(1009, "Invalid instrument/code")


def order_is_completed() -> Answer:
    """Modify or cancel of an executed order; ``stat`` carries prose."""
    return Answer(
        200,
        {"stCode": 1021, "errMsg": "order is completed", "stat": "please provide valid order number"},
    )


def already_cancelled() -> Answer:
    """Modify or cancel of a cancelled or rejected order."""
    return not_ok(1006, "order is already executed or cancelled", key="errMsg")


def bad_order_number(code: int = 5204) -> Answer:
    return not_ok(code, "please provide valid order number", key="errMsg")


def session_invalid(*, margin: bool = False, known: bool = True) -> Answer:
    """Token or sid expired (HTTP 403, the documented status) or unknown (HTTP 200, as reported)."""
    stat = "error in neo-login-check-api" if margin else "Not_Ok"
    body = {"stCode": 100022, "errMsg": "invalid session token", "stat": stat}
    return Answer(403 if known else 200, body)


def view_only() -> Answer:
    """A view pair where trade scope is needed; both blanks are the broker's."""
    return not_ok(100021, "invalid  access type", key="errMsg")


def ip_mismatch() -> Answer:
    """An order from another address than the login's; ``reqest`` is the broker's spelling."""
    return not_ok(1037, "session ip doesnt match with reqest ip", key="errMsg")


def header_missing() -> Answer:
    return Answer(400, {"error": [{"code": "10512", "message": "Required header not found."}]})


def field_missing(name: str) -> Answer:
    return Answer(400, {"error": [{"code": "400", "message": f"Missing required field '{name}'"}]})


def login_refused() -> Answer:
    return Answer(401, {"status": "error", "message": "Invalid credentials or TOTP.", "errorCode": "401"})


def gateway_refused() -> Answer:
    """The gateway's own answer to a wrong application token."""
    return Answer(
        401,
        {
            "code": "900901",
            "message": "Invalid Credentials",
            "description": "Invalid JWT token. Make sure you have provided the correct security credentials",
        },
    )


def too_many(limit: int) -> Answer:
    body = {"code": 429, "error": "Rate limit exceeded", "message": "too many request received"}
    return Answer(
        429, body, {"Retry-After": "1", "X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0"}
    )


def history_fault(text: str) -> Answer:
    """The candle service's refusal; "no data" is one too."""
    return Answer(400, {"status": "ERROR", "fault": {"code": 400, "message": text}})


def quotes_too_many() -> Answer:
    return Answer(
        400, {"stat": "Not_Ok", "emsg": "Please set the Neo symbol max value to 50.", "stCode": 400}
    )
