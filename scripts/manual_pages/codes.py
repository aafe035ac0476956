"""Error codes of the REST API, from the table that answers are made of."""

from __future__ import annotations

from http import HTTPStatus

from gateway.api.errors import NEXT_STEP, STATUS
from scripts.manual_pages.words import NOTE, code, joined, table

HEAD = """\
# Error codes

Every answer below `/api/v1` that is not success carries `status`, `message` and `code`; `next_step` says
what helps, `retry_after` how many seconds to wait. Decide by `code`, never by the words of `message`.
`NAME` below is the instance. For an order, only `OUTCOME_UNKNOWN` leaves open whether it was executed: see
[Orders and unknown](../orders.md).
"""


def page() -> str:
    rows = [
        (code(name), f"{status} {HTTPStatus(status).phrase}", NEXT_STEP.get(name, "").format(instance="NAME"))
        for name, status in sorted(STATUS.items())
    ]
    return joined([NOTE, "", HEAD, *table(("Code", "HTTP", "Next step, as the answer says it"), rows)])
