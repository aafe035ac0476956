"""What a health page says. Apart from ``probe``, whose HTTP client would cost the supervisor 2 MB."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A health answer. ``body`` is empty when it was not JSON."""

    ready: bool
    reason: str
    body: dict[str, Any]


def read_answer(status: int, raw: bytes) -> Answer:
    """What a health page says. Anything that is not a JSON object counts as an empty one."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    return Answer(status == 200, _reason(body, status), body)


def _reason(body: dict[str, Any], status: int) -> str:
    waiting = body.get("waiting_for")
    if isinstance(waiting, list) and waiting:
        return "waiting for " + ", ".join(str(w) for w in waiting)
    return "" if status == 200 else f"answers HTTP {status}"
