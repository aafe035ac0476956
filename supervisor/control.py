"""How commands talk to the running supervisor: one JSON line each way over loopback, with a token.

A loopback socket rather than a Unix one: homes have long paths, and Windows has no other choice.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from brokers.errors import AlgoError, SettingsError

log = logging.getLogger(__name__)
LINE_LIMIT = 1 << 20
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


def request(
    port: int, token: str, command: str, arguments: dict[str, Any] | None = None, timeout_s: float = 30.0
) -> dict[str, Any]:
    """Ask the supervisor.

    Raises:
        OSError: It does not answer.
    """
    line = json.dumps({"token": token, "command": command, "arguments": arguments or {}}).encode() + b"\n"
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(line)
        with connection.makefile("rb") as stream:
            raw = stream.readline(LINE_LIMIT)
    if not raw:
        raise ConnectionError("the supervisor closed the connection")
    reply = json.loads(raw)
    return reply if isinstance(reply, dict) else {"error": "unreadable reply", "exit": 1}
