"""The supervisor's answers to commands: one JSON line each way over loopback with a token (``running`` asks).

A loopback socket rather than a Unix one: homes have long paths, and Windows has no other choice.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from brokers.errors import AlgoError, SettingsError
from supervisor.running import LINE_LIMIT

log = logging.getLogger(__name__)
Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


async def serve(handler: Handler, token: str) -> asyncio.Server:
    """Listen on a free loopback port. ``handler(command, arguments)`` answers; an ``AlgoError`` too."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await asyncio.wait_for(reader.readline(), 5.0))
            reply = await _answer(handler, token, request)
        except (ValueError, TimeoutError, ConnectionError):
            reply = {"error": "unreadable request", "exit": 2}
        try:
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            log.info("a command left before its answer")
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0, limit=LINE_LIMIT)


async def _answer(handler: Handler, token: str, request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token", "")), token):
        return {"error": "wrong token", "exit": 2}
    try:
        return await handler(str(request.get("command", "")), dict(request.get("arguments") or {}))
    except SettingsError as exc:
        return {"error": str(exc), "exit": 2}
    except AlgoError as exc:
        return {"error": str(exc), "exit": 1}
