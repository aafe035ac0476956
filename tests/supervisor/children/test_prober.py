"""One question over a kept connection, against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from supervisor.children.prober import Prober

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"ready": true, "pid": 7}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def against(talk: Talk, questions: int, timeout_s: float = 1.0) -> tuple[list[object], int]:
    """Ask a server so often; each answer's body or the error's class, and the connections it took."""
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            await talk(reader, writer)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    async def run() -> list[object]:
        server = await asyncio.start_server(count, "127.0.0.1", 0)
        prober = Prober(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/health/ready")
        said: list[object] = []
        for _ in range(questions):
            try:
                said.append((await prober.ask(timeout_s)).body)
            except OSError as exc:
                said.append(type(exc))
        prober.close()
        server.close()
        return said

    return asyncio.run(run()), connections


async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1:")
        writer.write(OK)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)


async def says_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)


def test_one_connection_serves_many_questions() -> None:
    said, connections = against(keeps, 3)
    assert said == [{"ready": True, "pid": 7}] * 3
    assert connections == 1


@pytest.mark.parametrize("talk", [closes, says_close])
def test_a_server_that_closes_after_its_answer_is_healthy(talk: Talk) -> None:
    said, connections = against(talk, 3)
    assert said == [{"ready": True, "pid": 7}] * 3
    assert connections == 3


@pytest.mark.parametrize(
    "raw",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 2_000_000],
    ids=["closed", "not HTTP", "endless", "no end of head"],
)
def test_what_is_no_answer_is_an_error_of_the_connection(raw: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)

    said, _ = against(talk, 2)
    assert all(isinstance(one, type) and issubclass(one, OSError) for one in said), said


def test_one_that_accepts_and_never_answers_is_a_timeout() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    said, connections = against(talk, 2, timeout_s=0.1)
    assert said == [TimeoutError, TimeoutError]
    assert connections == 2
