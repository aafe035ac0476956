"""JSON answers, encoded once by msgspec."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response

from gateway.api.errors import Problem, whole_seconds

_encode = msgspec.json.Encoder(enc_hook=str).encode


def encode(body: dict[str, Any]) -> bytes:
    return _encode(body)


def encoded(raw: bytes, status: int = 200) -> Response:
    """A body that is JSON already."""
    return Response(raw, status=status, content_type="application/json")


def json(body: dict[str, Any], status: int = 200) -> Response:
    return encoded(_encode(body), status)


def problem(found: Problem, instance: str) -> Response:
    """An error body; the ``status`` code and ``Retry-After`` follow from the problem."""
    answer = json(found.body(instance), found.status)
    if found.retry_after_s is not None:
        answer.headers["Retry-After"] = str(whole_seconds(found.retry_after_s))
    return answer
