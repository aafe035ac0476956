"""Commands to the running supervisor over its loopback socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from brokers.errors import SettingsError
from supervisor import control
from supervisor.running import CommandFailed, request

TOKEN = "t0ken"


async def answer(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if command == "wrong":
        raise SettingsError("line 7")
    if command == "failed":
        raise CommandFailed("not ready")
    return {"command": command, **arguments}


def ask(*requests: tuple[str, str]) -> list[dict[str, Any]]:
    """Send (token, command) pairs to a real server; its replies."""

    async def run() -> list[dict[str, Any]]:
        server = await control.serve(answer, TOKEN)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return [
                await asyncio.to_thread(request, port, token, command, {"names": ["a"]}, 5.0)
                for token, command in requests
            ]

    return asyncio.run(run())


def test_a_command_is_answered() -> None:
    assert ask((TOKEN, "status")) == [{"command": "status", "names": ["a"]}]


def test_a_wrong_token_gets_nothing_done() -> None:
    assert ask(("other", "status"), ("", "down")) == [{"error": "wrong token", "exit": 2}] * 2


def test_errors_keep_their_exit_code() -> None:
    assert ask((TOKEN, "wrong"), (TOKEN, "failed")) == [
        {"error": "line 7", "exit": 2},
        {"error": "not ready", "exit": 1},
    ]


def test_garbage_is_refused_and_the_next_command_still_works() -> None:
    async def run() -> tuple[bytes, dict[str, Any]]:
        server = await control.serve(answer, TOKEN)
        port = server.sockets[0].getsockname()[1]

        def garbage() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"\x00\xffnot json\n")
                return connection.makefile("rb").readline()

        async with server:
            said = await asyncio.to_thread(garbage)
            return said, await asyncio.to_thread(request, port, TOKEN, "status", None, 5.0)

    said, reply = asyncio.run(run())
    assert b"unreadable request" in said
    assert reply == {"command": "status"}
