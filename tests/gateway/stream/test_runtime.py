"""The feed process itself, started as the supervisor starts it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from brokers.clock import SystemClock
from brokers.errors import BrokerDown
from brokers.model import Venue
from gateway import settings as instance_settings
from gateway.keys import Keys
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.stream.apilink import ApiLink
from tests.clients import ROOT
from tests.gateway.stream.rig import INSTRUMENTS, TODAY, ask, hear, on_loop, until
from tests.gateway.test_metrics import read
from tests.ports import free_ports

SEGMENTS = {"NSE": "NSE_EQ", "NSE_INDEX": "IDX_I"}
DHAN = [
    replace(i, broker_exchange=SEGMENTS[i.key.exchange]) for i in INSTRUMENTS if i.key.exchange in SEGMENTS
]


@dataclass
class Home:
    path: Path
    settings: instance_settings.Settings

    def database(self) -> engine.Database:
        return engine.open(self.settings.databases.main, Venue.SIM)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    ports = free_ports(4)
    (tmp_path / "instances").mkdir()
    env = tmp_path / "instances" / "dhan.env"
    names = ("FLASK_PORT", "WEBSOCKET_PORT", "ZMQ_PORT", "SIM_PORT")
    lines = [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
    env.write_text(
        "\n".join(
            [
                "BROKER=dhan",
                f"APP_KEY={secrets.token_hex(32)}",
                f"API_KEY_PEPPER={secrets.token_hex(32)}",
                *lines,
                "SYMBOLS=SBIN,NSE_INDEX:NIFTY",
                "WATCHLIST=NSE:NOSUCH",
            ]
        )
    )
    env.chmod(0o600)
    return Home(tmp_path, instance_settings.load(tmp_path, "dhan", Venue.SIM))


@asynccontextmanager
async def feed_process(home: Home) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "feed", "--home", str(home.path), "--instance", "dhan", "--venue", "sim"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def metrics_page(home: Home) -> str:
    url = f"http://127.0.0.1:{home.settings.ws_port}/metrics"
    async with ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        return await answer.text()


async def page(home: Home, path: str) -> tuple[int, dict]:
    link = ApiLink(home.settings)
    link._port = home.settings.ws_port
    return await link.get(path)


async def serves(home: Home) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await page(home, "/health/live")
                return
            except BrokerDown:
                await asyncio.sleep(0.02)


@on_loop
async def test_it_lives_before_the_api_process_and_says_what_it_waits_for(home):
    async with feed_process(home) as process:
        await serves(home)
        status, live = await page(home, "/health/live")
        assert (status, live["status"], live["pid"]) == (200, "ok", process.pid)
        assert (live["instance"], live["venue"]) == ("dhan", "sim")
        status, ready = await page(home, "/health/ready")
        assert (status, ready["ready"]) == (503, False)
        assert "does not exist yet" in ready["waiting_for"][0]
        # the api process makes its database: no restart needed
        database = home.database()
        InstrumentStore(database, SystemClock()).swap(DHAN, TODAY)
        _, key = Keys(database, home.settings.pepper, SystemClock()).create("test")

        async def ready_now():
            return (await page(home, "/health/ready"))[1]

        async with asyncio.timeout(20):
            while not (ready := await ready_now())["ready"] or ready["subscribed"] != 2:
                await asyncio.sleep(0.05)
        # no api process answers, and the reason is said
        assert ready["feed"]["state"] == "login needed"
        assert "api process" in ready["feed"]["reason"]
        _, status = await page(home, "/status")
        assert [w["symbol"] for w in status["standing"]["pinned"]] == ["NSE:NOSUCH"]
        assert status["channels"] == {"total": 2, "pending": 2}
        assert status["heartbeat"]["subscribed"] == 2
        found = read(await metrics_page(home))
        assert found["algo_subscriptions", (("state", "pending"),)] == 2
        assert found["algo_feed_state", (("state", "login needed"),)] == 1
        assert found["algo_feed_parse_errors_total", ()] == 0
        assert (home.settings.run_dir / "heartbeat" / "dhan.json").exists()
        async with connect(f"ws://127.0.0.1:{home.settings.ws_port}", proxy=None) as ws:
            assert (await ask(ws, action="authenticate", api_key=key.reveal()))["status"] == "success"
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await hear(ws)
            assert await process.wait() == 0
            assert time.monotonic() - began < 3.0
            assert ws.close_code == 1001
        assert key.reveal().encode() not in (await process.stderr.read())
        database.close()


@pytest.mark.parametrize("name", ["WEBSOCKET_PORT", "ZMQ_PORT"])
def test_a_taken_port_ends_with_3_and_is_named_with_its_line(home, name):
    @on_loop
    async def scenario():
        port = home.settings.ws_port if name == "WEBSOCKET_PORT" else home.settings.zmq_port
        other = await asyncio.start_server(lambda r, w: None, "127.0.0.1", port)
        async with feed_process(home) as process:
            _, said = await process.communicate()
            assert process.returncode == 3
            [line] = [json.loads(text) for text in said.splitlines() if b"ERROR" in text]
            assert f"{name} {port} is taken" in line["message"]
            assert "instances/dhan.env line" in line["message"]
        other.close()

    scenario()


@on_loop
async def test_a_database_of_the_other_venue_is_a_settings_error(home):
    home.settings.databases.main.parent.mkdir(parents=True, exist_ok=True)
    engine.open(home.settings.databases.main, Venue.LIVE).close()
    async with feed_process(home) as process:
        await process.communicate()
        assert process.returncode == 2


@asynccontextmanager
async def api_process(home: Home, routes: list[web.RouteDef]) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", home.settings.port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@on_loop
async def test_internal_calls_carry_the_key_and_read_any_answer(home):
    async def echo(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "key": request.headers["X-Algo-Internal"],
                "host": request.headers["Host"],
                "body": await request.json(),
            }
        )

    async def empty(request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def chunked(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Connection": "close"})
        await answer.prepare(request)
        await answer.write(b'{"torn"')
        request.transport.abort()
        return answer

    async with api_process(home, [web.post("/e", echo), web.post("/n", empty), web.get("/t", chunked)]):
        link = ApiLink(home.settings)
        status, answer = await link.post("/e", {"a": [1]})
        assert (status, answer["body"]) == (200, {"a": [1]})
        assert answer["key"] == home.settings.internal_key.reveal()
        assert answer["host"] == f"127.0.0.1:{home.settings.port}"
        assert await link.post("/n", None) == (204, None)
        with pytest.raises(BrokerDown):
            await link.get("/t")
    with pytest.raises(BrokerDown, match=f"port {home.settings.port} does not answer"):
        await link.get("/e")


@on_loop
async def test_a_connection_is_used_again_and_one_closed_meanwhile_is_replaced(home):
    """The server hangs up after every second answer, as one does with a connection idle for long."""
    opened: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(0)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            opened[-1] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n7")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", home.settings.port)
    async with server:
        link = ApiLink(home.settings)
        for _ in range(6):
            assert await link.get("/n") == (200, 7)
    assert opened == [2, 2, 2]


@on_loop
async def test_an_api_process_that_never_answers_is_given_up(home):
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async with api_process(home, [web.get("/n", never)]):
        with pytest.raises(BrokerDown):
            await ApiLink(home.settings).get("/n", timeout_s=0.1)


@on_loop
async def test_positions_and_working_orders_are_subscribed_by_themselves(home):
    keys: list[dict[str, str]] = []

    async def positions(request: web.Request) -> web.Response:
        assert request.headers["X-Algo-Internal"] == home.settings.internal_key.reveal()
        return web.json_response({"keys": keys})

    async def renew(request: web.Request) -> web.Response:
        return web.json_response({"message": "TOTP needed"}, status=401)

    database = home.database()
    InstrumentStore(database, SystemClock()).swap(DHAN, TODAY)
    routes = [
        web.get("/internal/positions-and-orders", positions),
        web.post("/internal/session/renew", renew),
    ]
    keys.append({"exchange": "NSE", "symbol": "TCS"})
    async with api_process(home, routes), feed_process(home):
        await serves(home)
        state: dict = {}

        async def look():
            while True:
                state.update((await page(home, "/health/ready"))[1])
                await asyncio.sleep(0.05)

        looking = asyncio.create_task(look())
        await until(lambda: state.get("subscribed") == 3)
        await until(lambda: state["feed"]["state"] == "login needed")
        assert "TOTP needed" in state["feed"]["reason"]
        keys.clear()
        await until(lambda: state["subscribed"] == 2, within_s=15)
        looking.cancel()
    database.close()
