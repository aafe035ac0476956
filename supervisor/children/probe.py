"""Ask a child how it is, through its real front door."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from supervisor.children.answer import Answer as Answer
from supervisor.children.answer import read_answer as read_answer


def ask(url: str, timeout_s: float) -> Answer:
    """GET a health URL.

    Raises:
        OSError: Nobody answers (refused, reset, timed out).
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path, headers={"Connection": "close"})
        reply = connection.getresponse()
        raw = reply.read()
    except http.client.HTTPException as exc:
        raise ConnectionError(f"unreadable answer: {type(exc).__name__}") from exc
    finally:
        connection.close()
    return read_answer(reply.status, raw)


def call(
    url: str, method: str, *, headers: dict[str, str], body: object = None, timeout_s: float = 10.0
) -> tuple[int, Any]:
    """One JSON request to a gateway's loopback interface -> (status, decoded JSON or None).

    Raises:
        OSError: Nobody answers.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    payload = None if body is None else json.dumps(body).encode()
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, payload, {**headers, "Content-Type": "application/json"})
        reply = connection.getresponse()
        raw = reply.read()
    except http.client.HTTPException as exc:
        raise ConnectionError(f"unreadable answer: {type(exc).__name__}") from exc
    finally:
        connection.close()
    try:
        return reply.status, json.loads(raw) if raw else None
    except ValueError:
        return reply.status, None
