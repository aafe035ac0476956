"""Two isolated gateways on simulated brokers, as a user brings them up, trades, and takes them down."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from gateway.client import AsyncClient, Client, NoQuote
from scripts.campaigns import compare
from supervisor.compare.collect import LABEL
from tests.clients import client_python
from tests.e2e.fleet import PORT_SETTINGS, Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]
BOTH = ("kotak", "dhan")
DAY = Path(__file__).with_name("sdk_day.py")


def sdk_day(fleet: Fleet, name: str, key: str) -> dict[str, Any]:
    ports = fleet.ports[name]
    done = subprocess.run(
        [str(client_python("openalgo")), str(DAY), fleet.url(name), key, str(ports["WEBSOCKET_PORT"])],
        capture_output=True,
        text=True,
        timeout=180,
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert rows, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{fleet.tails()}"
    found = json.loads(rows[0].removeprefix("RESULT "))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def days(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """The SDK's day on both instances at the same time."""
    keys = {name: fleet.key(name) for name in BOTH}
    with ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(sdk_day, fleet, name, keys[name]) for name in BOTH}
        return {name: future.result() for name, future in futures.items()}


def test_a_second_up_changes_nothing(fleet: Fleet) -> None:
    before = {row["name"]: row["pids"] for row in fleet.status()["instances"]}
    said = fleet.ok("up", "kotak", "dhan", "--sim", "-d")
    assert "already running: dhan, kotak" in said
    assert {row["name"]: row["pids"] for row in fleet.status()["instances"]} == before


@pytest.mark.parametrize("name", BOTH)
def test_status_lists_what_a_person_needs(fleet: Fleet, name: str) -> None:
    row = fleet.instance(name)
    assert (row["state"], row["venue"], row["broker"], row["restarts"]) == ("ready", "sim", name, 0)
    assert set(row["pids"]) == {"sim", "api", "feed"}
    assert all(psutil.pid_exists(pid) for pid in row["pids"].values())
    ports = fleet.ports[name]
    assert row["ports"] == {
        "web": ports["FLASK_PORT"],
        "websocket": ports["WEBSOCKET_PORT"],
        "zeromq": ports["ZMQ_PORT"],
        "sim": ports["SIM_PORT"],
    }
    assert row["uptime_s"] > 0
    assert row["broker_session"]["state"] == "valid"
    assert row["feed_state"] is not None
    assert {"last_tick_age_s", "ticks_per_s"} <= set(row)


@pytest.mark.parametrize("name", BOTH)
def test_the_sdk_trades(days: dict[str, dict[str, Any]], name: str) -> None:
    seen = days[name]
    assert seen["placed"]["status"] == "success"
    order = seen["placed"]["orderid"]
    assert isinstance(order, str)
    assert seen["open"]["data"]["order_status"] == "open"
    assert [o["quantity"] for o in seen["in_book"]] == [5]
    assert seen["modified"] == {"status": "success", "orderid": order}
    assert seen["after_modify"]["data"]["quantity"] == 7
    assert seen["cancelled"]["status"] == "success"
    assert seen["after_cancel"]["data"]["order_status"] == "cancelled"
    filled = seen["filled"]["data"]
    assert filled["order_status"] == "complete"
    ltp = next(r for r in seen["multiquotes"]["results"] if r["symbol"] == "RELIANCE")["data"]["ltp"]
    assert float(filled["average_price"]) == pytest.approx(ltp, rel=0.03)


@pytest.mark.parametrize("name", BOTH)
def test_the_sdk_reads_every_book(days: dict[str, dict[str, Any]], name: str) -> None:
    seen = days[name]
    orders = {o["orderid"]: o["order_status"] for o in seen["orderbook"]["data"]["orders"]}
    assert orders[seen["placed"]["orderid"]] == "cancelled"
    assert orders[seen["market"]["orderid"]] == "complete"
    assert seen["orderbook"]["data"]["statistics"]["total_completed_orders"] == 1
    assert (
        sum(t["quantity"] for t in seen["tradebook"]["data"] if t["orderid"] == seen["market"]["orderid"])
        == 2
    )
    [position] = [p for p in seen["positionbook"]["data"] if p["symbol"] == "RELIANCE"]
    assert position["quantity"] == 2
    assert int(seen["openposition"]["quantity"]) == 2
    assert seen["holdings"]["data"]["holdings"]
    assert float(seen["funds"]["data"]["availablecash"]) > 0
    assert isinstance(seen["funds"]["data"]["availablecash"], str)
    assert len(seen["multiquotes"]["results"]) == 5
    assert len(seen["depth"]["data"]["bids"]) == 5
    assert seen["symbol"]["data"]["symbol"] == "SBIN"
    assert seen["search"]["data"]
    assert seen["expiry"]["data"]
    assert "1m" in seen["intervals"]["data"]["minutes"]
    assert seen["instruments"]["rows"] >= 50


@pytest.mark.parametrize("name", BOTH)
def test_the_sdk_gets_a_month_of_minutes(days: dict[str, dict[str, Any]], name: str) -> None:
    history = days[name]["history"]
    assert history["type"] == "DataFrame"
    assert history["zone"] == "Asia/Kolkata"
    assert history["days"] >= 30
    assert history["rows"] >= 30 * 1440 - 1440
    assert {"open", "high", "low", "close", "volume", "oi"} <= set(history["columns"])


@pytest.mark.parametrize("name", BOTH)
def test_the_sdk_streams_all_three_modes_for_20_symbols(days: dict[str, dict[str, Any]], name: str) -> None:
    seen = days[name]
    assert seen["connected"] is True
    assert seen["streamed"] == [20, 20, 20]
    assert min(seen["calls"].values()) >= 20
    assert seen["one_quote"]["ltp"] > 0
    assert len(seen["one_depth"]["buyBook"]) == 5
    assert float(seen["one_depth"]["buyBook"]["1"]["price"]) > 0


@pytest.mark.parametrize("name", BOTH)
def test_a_zeromq_program_needs_nothing_else(fleet: Fleet, name: str) -> None:
    # nobody else subscribes this one
    topic = "NSE_ADANIENT_LTP"
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.LINGER, 0)
    subscriber.setsockopt_string(zmq.SUBSCRIBE, topic)
    subscriber.connect(f"tcp://127.0.0.1:{fleet.ports[name]['ZMQ_PORT']}")
    try:
        ticks = []
        while len(ticks) < 3:
            assert subscriber.poll(15_000), "no tick within 15 s"
            ticks.append(subscriber.recv_multipart())
    finally:
        subscriber.close()
        context.term()
    bodies = [json.loads(raw) for _, raw in ticks]
    assert {head.decode() for head, _ in ticks} == {topic}
    assert all((b["exchange"], b["symbol"]) == ("NSE", "ADANIENT") and b["ltp"] > 0 for b in bodies)
    numbers = [b["seq"] for b in bodies]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_algo_ticks_prints_them(fleet: Fleet) -> None:
    said = fleet.ok("ticks", "dhan", "SBIN", "RELIANCE", "--count", "6", "--timeout", "15")
    lines = said.splitlines()
    assert len(lines) == 6
    assert any("NSE:SBIN ltp=" in line for line in lines)
    assert any("NSE:RELIANCE ltp=" in line for line in lines)


def test_algo_ticks_names_what_is_not_there(fleet: Fleet) -> None:
    none = fleet.algo("ticks", "dhan", "NOSUCH", "NIFTY", "--timeout", "5")
    assert none.returncode == 1
    assert "SYMBOL_NOT_FOUND" in none.stderr
    assert "NSE:NOSUCH (did you mean " in none.stderr
    assert "NSE:NIFTY (did you mean NSE_INDEX:NIFTY?)" in none.stderr
    some = fleet.algo("ticks", "dhan", "NOSUCH", "sbin", "--count", "1", "--timeout", "15")
    assert some.returncode == 0
    assert "NSE:NOSUCH (did you mean " in some.stderr
    assert "NSE:SBIN ltp=" in some.stdout


def test_algo_compare_says_what_was_set(fleet: Fleet, tmp_path: Path) -> None:
    unlost = {name: replace(broker, lost=0.0) for name, broker in compare.SET.items()}
    with ThreadPoolExecutor(1) as pool:
        race = pool.submit(compare.race, fleet, 6, compare.LAG_MS)
        run = compare.probe(fleet, unlost, 8, 7, 0.6, tmp_path / "report.html")
        (lead,) = race.result().found["leads"]
    for row in run.rows("place"):
        # a busy machine makes it longer, nothing makes it shorter
        assert row["p50"]["high"] >= unlost[row["instance"]].median_s
        assert len(run.answered(row["instance"], "place")) == row["n"]
    assert {row["count"] for share in run.found["shares"] for row in share["rows"]} == {0}
    assert (lead["behind"], lead["significant"]) == ("kotak", True)
    assert 0.15 < lead["p50"]["value"] < 1
    assert {one.name for one in (fleet.home / "db" / "sim" / "compare").glob("*.html")} >= {
        "orders.html",
        "ticks.html",
    }
    assert re.search(rf"{LABEL}  +revoked", fleet.ok("key", "list", "kotak"))


def test_probes_stop_for_the_other_side_and_for_ctrl_c(fleet: Fleet) -> None:
    compare.refused_beside_the_other_side(fleet)
    compare.interrupted(fleet)


@pytest.mark.parametrize("role", ["sim", "api", "feed"])
def test_a_killed_child_is_back_and_the_other_instance_notices_nothing(fleet: Fleet, role: str) -> None:
    other_before = fleet.instance("kotak")
    pid = fleet.instance("dhan")["pids"][role]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        row = fleet.instance("dhan")
        return row["state"] == "ready" and row["pids"][role] not in (None, pid)

    until(back, 30, f"dhan {role} ready again")
    other = fleet.instance("kotak")
    assert (other["pids"], other["restarts"], other["state"]) == (
        other_before["pids"],
        other_before["restarts"],
        "ready",
    )
    fleet.ok("ticks", "dhan", "SBIN", "--count", "2", "--timeout", "20")


def test_a_killed_supervisor_stops_nobody_and_the_next_up_adopts(fleet: Fleet) -> None:
    key = fleet.key("kotak")
    before = {row["name"]: row["pids"] for row in fleet.status()["instances"]}
    os.kill(fleet.status()["supervisor"]["pid"], signal.SIGKILL)
    until(lambda: fleet.status()["supervisor"] is None, 5, "the supervisor to be gone")
    assert {row["name"] for row in fleet.status()["instances"]} == set(BOTH)
    fleet.ok("ticks", "kotak", "SBIN", "--count", "2", "--timeout", "15")
    order = place(fleet, "kotak", key)
    assert order["status"] == "success"
    fleet.ok("up", "kotak", "dhan", "--sim", "-d")
    rows = {row["name"]: row for row in fleet.status()["instances"]}
    assert {name: row["pids"] for name, row in rows.items()} == before
    assert all(row["state"] == "ready" for row in rows.values())


def place(fleet: Fleet, name: str, key: str, **change: Any) -> dict[str, Any]:
    order = {
        "apikey": key,
        "strategy": "e2e",
        "symbol": "SBIN",
        "exchange": "NSE",
        "action": "BUY",
        "quantity": "1",
        "product": "MIS",
        **change,
    }
    return post(fleet, name, "placeorder", order)[1]


def post(fleet: Fleet, name: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, str) else json.dumps(body)
    url = f"{fleet.url(name)}/api/v1/{path}"
    request = urllib.request.Request(url, data.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"apikey": "0" * 64}, 403, None, "Invalid openalgo apikey"),
        ({"symbol": "SBINN"}, 400, "SYMBOL_NOT_FOUND", "SBIN"),
        ({"quantity": "0"}, 400, None, "quantity"),
        ({"pricetype": "LIMIT", "price": "700.01"}, 400, "PRICE_OUT_OF_RANGE", "tick"),
        ({"target": "9"}, 400, None, "Unknown field."),
    ],
)
def test_a_bad_order_is_refused_with_the_reason(
    fleet: Fleet, change: dict[str, Any], status: int, code: str | None, words: str
) -> None:
    key = fleet.key("dhan")
    order = {
        "apikey": key,
        "strategy": "e2e",
        "symbol": "SBIN",
        "exchange": "NSE",
        "action": "BUY",
        "quantity": "1",
        **change,
    }
    got, body = post(fleet, "dhan", "placeorder", order)
    assert (got, body["status"]) == (status, "error")
    assert words.lower() in body["message"].lower()
    if code:
        assert body["code"] == code


def test_malformed_json_is_a_400(fleet: Fleet) -> None:
    status, body = post(fleet, "dhan", "placeorder", "{not json")
    assert (status, body["status"]) == (400, "error")


def test_a_key_for_market_data_alone_orders_nothing(fleet: Fleet) -> None:
    key = fleet.ok("key", "create", "dhan", "--scope", "data", "--label", "looks", "--quiet").strip()
    status, _ = post(fleet, "dhan", "search", {"apikey": key, "query": "SBIN", "exchange": "NSE"})
    assert status == 200
    answer = place(fleet, "dhan", key)
    assert (answer["code"], answer["scope"], answer["scopes"]) == ("SCOPE_MISSING", "trade", ["data"])
    assert re.search(r"  data +looks$", fleet.ok("key", "list", "dhan"), re.MULTILINE)


def test_a_lot_violation_is_refused(fleet: Fleet) -> None:
    key = fleet.key("dhan")
    status, found = post(fleet, "dhan", "search", {"apikey": key, "query": "NIFTY FUT", "exchange": "NFO"})
    assert status == 200
    future = next(r["symbol"] for r in found["data"] if r["instrumenttype"] == "FUT" and r["name"] == "NIFTY")
    answer = place(fleet, "dhan", key, symbol=future, exchange="NFO", product="NRML", quantity="7")
    assert answer["status"] == "error"
    assert answer["code"] == "INVALID_QUANTITY"
    assert "lot" in answer["message"].lower()


def test_panic_cancels_and_blocks_everywhere_until_resumed(fleet: Fleet) -> None:
    keys = {name: fleet.key(name) for name in BOTH}
    for name, key in keys.items():
        ltp = post(fleet, name, "quotes", {"apikey": key, "symbol": "SBIN", "exchange": "NSE"})[1]["data"][
            "ltp"
        ]
        assert (
            place(fleet, name, key, pricetype="LIMIT", price=str(round(ltp * 0.97, 1)))["status"] == "success"
        )
    said = fleet.ok("panic")
    assert said.endswith("until: algo panic --resume\n")
    for name, key in keys.items():
        assert f"{name}: entries blocked, 1 orders cancelled" in said
        assert place(fleet, name, key)["code"] == "ENTRIES_BLOCKED"
        book = post(fleet, name, "orderbook", {"apikey": key})[1]["data"]["statistics"]
        assert book["total_open_orders"] == 0
    fleet.ok("panic", "--resume")
    for name, key in keys.items():
        assert place(fleet, name, key)["status"] == "success"


def test_live_quotes_come_from_the_stream_and_else_from_rest(fleet: Fleet) -> None:
    ports = fleet.ports["dhan"]
    stream = f"tcp://127.0.0.1:{ports['ZMQ_PORT']}"
    options: dict[str, Any] = {"rest": fleet.url("dhan"), "api_key": fleet.key("dhan"), "max_age_s": 20.0}
    with Client(stream, **options) as client:
        client.subscribe("NSE:ITC", "NSE_INDEX:NIFTY")
        until(lambda: client.quote("ITC").source == "stream", 25, "ITC ticks")
        quote = client.quote("NSE:ITC")
        assert quote.bid is not None
        assert quote.ask is not None
        assert quote.bid < quote.ask
        assert quote.bid_quantity
        assert abs((datetime.now(UTC) - quote.last_update).total_seconds()) < 21
        assert client.ltp("NSE_INDEX:NIFTY") > 1000
        other = client.quote("NSE:TATASTEEL")
        assert (other.source, other.seq) == ("rest", None)
        assert other.bid_quantity
        assert client.gaps == 0
        client.unsubscribe("NSE:ITC")
        assert client.quote("NSE:ITC").source == "rest"
        with pytest.raises(NoQuote, match="not subscribed"):
            client.quote("NSE:NOSUCH")
    with Client(stream) as alone, pytest.raises(NoQuote, match="no address"):
        alone.ltp("SBIN")

    async def asynchronous() -> None:
        async with AsyncClient(stream, **options) as client:
            await client.subscribe("NSE:ITC")
            async with asyncio.timeout(25):
                while (await client.quote("NSE:ITC")).source != "stream":
                    await asyncio.sleep(0.1)
            assert (await client.ltp("NSE:SBIN")) > 0
            await client.unsubscribe("NSE:ITC")

    asyncio.run(asynchronous())


def test_a_recording_of_a_running_instance_replays_the_same_twice(fleet: Fleet) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.subscribe("NSE_TCS_DEPTH")
        sub.connect(f"tcp://127.0.0.1:{fleet.ports['kotak']['ZMQ_PORT']}")
        assert sub.poll(20_000), "the instance ticks"
        state = json.loads(fleet.ok("record", "kotak", "--for", "1.5", "--json"))
    assert state["recording"] is False
    assert state["frames"] > 3
    out = fleet.home / "db" / "sim" / "record" / "replayed.jsonl"
    first = fleet.ok("replay", state["folder"], "--speed", "max", "--out", str(out))
    second = fleet.ok("replay", state["folder"], "--speed", "20")
    checksums = {re.search(r"sha256 of the messages: (\w{64})", said)[1] for said in (first, second)}  # type: ignore[index]
    assert len(checksums) == 1
    ticks = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(t["symbol"], t["mode"]) for t in ticks} >= {("TCS", 3)}
    assert not list((fleet.home / "db" / "sim" / "record").glob("*.request"))
    assert fleet.algo("replay", str(fleet.home)).returncode == 1


def test_everything_a_simulated_run_wrote_lies_under_db_sim(fleet: Fleet) -> None:
    written = {p.relative_to(fleet.home).parts[:2] for p in fleet.home.rglob("*") if p.is_file()}
    assert {parts for parts in written if parts[0] != "instances"} == {("db", "sim")}
    databases = list((fleet.home / "db" / "sim").glob("openalgo_*.db"))
    assert len(databases) == 2
    for path in databases:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            assert ("venue", "sim") in connection.execute("select name, value from meta").fetchall()


def test_a_live_up_is_refused_while_simulated_ones_run(fleet: Fleet) -> None:
    done = fleet.algo("up", "dhan", "-d")
    assert done.returncode == 2
    assert "algo down" in done.stderr


def test_down_says_what_is_open_and_ends_it_first(fleet: Fleet) -> None:
    """Bought shares: refused, then closed by an exit the broker took, and only this instance is gone."""
    assert place(fleet, "dhan", fleet.key("dhan"), pricetype="MARKET", symbol="INFY")["status"] == "success"
    refuse = ("down", "dhan", "--open", "refuse")
    until(lambda: "+1 NSE:INFY (MIS)" in fleet.algo(*refuse).stderr, 10, "the position is named")
    assert fleet.instance("dhan")["state"] == "ready"
    said = fleet.ok("down", "dhan", "--open", "flatten")
    assert re.search(r"dhan: \d+ orders cancelled, [1-9]\d* exits sent", said)
    assert "still running: kotak" in said
    assert [row["name"] for row in fleet.status()["instances"]] == ["kotak"]


def test_down_leaves_no_process_and_no_port(fleet: Fleet) -> None:
    fleet.ok("down")
    # what is listed while it ends, or belongs to nobody, is named by its command line
    left = [process.info["cmdline"] for process in fleet.processes()]
    assert left == []
    for name in BOTH:
        for setting in PORT_SETTINGS:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", fleet.ports[name][setting]))
    assert fleet.ok("down").strip() == "nothing is running"
    assert fleet.status()["instances"] == []
