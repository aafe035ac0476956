"""Each way a simulated broker misbehaves, seen from a real client of a real server."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from aiohttp import ClientError, ClientPayloadError, ServerDisconnectedError

from brokers.clock import ManualClock
from brokers.errors import InvalidRequest
from brokers.sim.dhan.sockets import Keepalive
from brokers.sim.dhan.sockets import Socket as DhanSocket
from brokers.sim.faults import FaultKind, Faults, parse
from brokers.sim.kotak.sockets import Socket as KotakSocket
from tests.brokers.sim.bench import NOON, bench


def run(scenario):
    async def with_bench():
        async with bench() as b:
            return await scenario(b)

    return asyncio.run(with_bench())


def orders(listed):
    return [row["tag"] for row in listed]


def test_without_rules_everything_is_as_the_venue_says():
    async def scenario(b):
        assert (await b.order("one"))[0] == 200
        async with b.http.ws_connect(b.url("/feed")) as ws:
            assert await b.echo(ws, b"frame") == b"frame"
            assert await b.echo(ws, "text") == "text"

    run(scenario)


def test_delay_answers_late_and_acts():
    async def scenario(b):
        await b.fault(kind="delay", delay_s=0.25, jitter_s=0.01, count=1)
        began = time.monotonic_ns()
        assert (await b.order("late"))[0] == 200
        assert (await b.order("prompt"))[0] == 200
        assert orders(await b.get("/_sim/orders")) == ["late", "prompt"]
        late, prompt = await b.get("/_sim/times")
        assert (late["call"], late["fault"]) == ("POST /orders", "delay")
        assert 0.15 < late["drawn_s"] < 0.35
        assert late["drawn_s"] != 0.25
        assert began < late["began_ns"] < late["began_ns"] + late["drawn_s"] * 1e9 <= end(late)
        assert (prompt["fault"], prompt["drawn_s"]) == (None, None)
        assert end(late) < prompt["began_ns"] < end(prompt) < time.monotonic_ns()

    def end(row):
        return row["began_ns"] + row["ns"]

    run(scenario)


@pytest.mark.parametrize(("kind", "booked"), [("drop_before", []), ("drop_after", ["lost"])])
def test_a_dropped_answer_leaves_an_order_only_if_it_came_after(kind, booked):
    async def scenario(b):
        await b.fault(kind=kind, match={"path": "^/orders$", "method": "post"}, count=1)
        with pytest.raises((ServerDisconnectedError, ClientError)):
            await b.order("lost")
        assert orders(await b.get("/_sim/orders")) == booked
        assert (await b.order("next"))[0] == 200
        assert await b.get("/_sim/calls") == {"POST /orders": 2}

    run(scenario)


def test_a_timeout_after_accepting_an_order():
    async def scenario(b):
        await b.fault(kind="drop_after", delay_s=5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(b.order("slow"), 0.4)
        assert orders(await b.get("/_sim/orders")) == ["slow"]

    run(scenario)


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_status_is_answered_instead_of_acting(code):
    async def scenario(b):
        await b.fault(kind="status", code=code, retry_after_s=2, count=1)
        async with b.http.post(b.url("/orders")) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (code, "2")
        assert await b.get("/_sim/orders") == []
        assert (await b.order())[0] == 200
        assert await b.get("/_sim/calls") == {"POST /orders": 2}

    run(scenario)


@pytest.mark.parametrize(("kind", "booked"), [("duplicate", []), ("repeated", ["twice"])])
def test_a_repeat_is_refused_and_leaves_an_order_only_if_one_came_before(kind, booked):
    async def scenario(b):
        await b.fault(kind=kind, count=1)
        status, body = await b.order("twice")
        assert (status, b"Duplicate" in body) == (400, True)
        assert orders(await b.get("/_sim/orders")) == booked

    run(scenario)


def test_garbage_cannot_be_read_and_the_order_stands():
    async def scenario(b):
        await b.fault(kind="garbage", count=1)
        status, body = await b.order("odd")
        assert status == 200
        with pytest.raises(ValueError, match=r"decode|Expecting|codec"):
            body.decode()
        assert orders(await b.get("/_sim/orders")) == ["odd"]

    run(scenario)


def test_a_truncated_answer_ends_inside_its_body():
    async def scenario(b):
        await b.fault(kind="truncate", count=1)
        with pytest.raises(ClientPayloadError):
            await b.order("half")
        assert orders(await b.get("/_sim/orders")) == ["half"]

    run(scenario)


def test_a_refusal_can_get_lost_too():
    async def scenario(b):
        await b.fault(kind="drop_after", match={"path": "/nowhere"})
        with pytest.raises(ClientError):
            await b.http.post(b.url("/nowhere"))
        async with b.http.post(b.url("/elsewhere")) as answer:
            assert answer.status == 404
        assert await b.get("/_sim/calls") == {"POST /elsewhere": 1, "POST /nowhere": 1}

    run(scenario)


@pytest.mark.parametrize(("kind", "status"), [("expire_token", 401), ("refuse_ip", 403)])
def test_a_venue_asks_about_tokens_and_addresses(kind, status):
    async def scenario(b):
        await b.fault(kind=kind, match={"account": "B"})
        assert (await b.order())[0] == 200
        await b.fault(kind=kind, match={"account": "A"}, count=1)
        assert (await b.order())[0] == status
        assert (await b.order())[0] == 200

    run(scenario)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_rule_strikes_only_what_it_names(method):
    async def scenario(b):
        await b.fault(kind="status", match={"path": "^/orders/", "method": method})
        assert (await b.order())[0] == 200
        async with b.http.get(b.url("/orders/7")) as answer:
            assert answer.status == (500 if method == "GET" else 200)

    run(scenario)


def test_control_endpoints_never_fail_by_a_rule():
    async def scenario(b):
        await b.fault(kind="drop_before")
        assert len(await b.get("/_sim/faults")) == 1
        async with b.http.delete(b.url("/_sim/faults")) as answer:
            assert await answer.json() == {"cleared": 1}
        assert (await b.order())[0] == 200

    run(scenario)


# --- sockets


def test_silence_sends_nothing_and_stays_open():
    async def scenario(b):
        async with b.http.ws_connect(b.url("/feed")) as ws:
            rule = await b.fault(kind="silence", match={"socket": "ticks"})
            assert b.server.faults.is_silent("ticks")
            assert not b.server.faults.is_silent("other")
            assert await b.echo(ws, b"lost") is None
            async with b.http.delete(b.url(f"/_sim/faults?id={rule['id']}")):
                pass
            assert await b.echo(ws, b"heard") == b"heard"

    run(scenario)


def test_silence_can_last_a_time():
    clock = ManualClock(NOON)
    faults = Faults(clock)
    faults.add({"kind": "silence", "delay_s": 12})
    clock.advance(11.9)
    assert faults.frame("ticks", b"x") == []
    clock.advance(0.2)
    assert faults.frame("ticks", b"x") == [b"x"]
    assert not faults.is_silent("ticks")


def test_a_torn_frame_is_half_a_frame_and_a_garbage_one_no_frame():
    async def scenario(b):
        async with b.http.ws_connect(b.url("/feed")) as ws:
            await b.fault(kind="torn_frame", count=1)
            assert await b.echo(ws, b"0123456789") == b"01234"
            await b.fault(kind="garbage_frame", count=2)
            spoiled = await b.echo(ws, b"0123456789")
            assert isinstance(spoiled, bytes)
            assert len(spoiled) == 10
            assert spoiled != b"0123456789"
            assert str(await b.echo(ws, "{}")).startswith("{]")
            assert await b.echo(ws, b"0123456789") == b"0123456789"

    run(scenario)


@pytest.mark.parametrize("name", ["ticks", "feed"])
def test_cut_resets_the_open_sockets_once(name):
    async def scenario(b):
        async with b.http.ws_connect(b.url("/feed")) as ws:
            assert await b.echo(ws, b"x") == b"x"
            await b.fault(kind="cut", match={"socket": "other"})
            assert await b.echo(ws, b"x") == b"x"
            await b.fault(kind="cut", match={"socket": name})
            message = await ws.receive(timeout=3)
            assert message.data != b"x"
            assert ws.closed
        async with b.http.ws_connect(b.url("/feed")) as ws:
            assert await b.echo(ws, b"again") == b"again"

    run(scenario)


def test_half_open_neither_hears_nor_speaks_nor_closes():
    async def scenario(b):
        async with b.http.ws_connect(b.url("/feed"), autoping=False) as ws:
            assert await b.echo(ws, b"x") == b"x"
            await b.fault(kind="half_open", match={"socket": "ticks"})
            assert await b.echo(ws, b"x") is None
            await ws.ping()
            with pytest.raises(TimeoutError):
                await ws.receive(timeout=0.3)  # not even a pong
            assert not ws.closed
            async with b.http.delete(b.url("/_sim/faults")):
                pass
            await ws.receive(timeout=3)

    run(scenario)


def test_lags_add_up_and_one_of_them_ends():
    clock = ManualClock(NOON)
    faults = Faults(clock)
    faults.add({"kind": "lag", "delay_s": 0.02, "match": {"socket": "feed"}})
    faults.add({"kind": "lag", "delay_s": 0.2, "for_s": 5})

    async def late_s(socket):
        return faults.hold(socket).late_s

    assert asyncio.run(late_s("feed")) == pytest.approx(0.22)
    assert asyncio.run(late_s("order-update")) == 0.2
    clock.advance(5)
    assert (asyncio.run(late_s("feed")), asyncio.run(late_s("order-update"))) == (0.02, 0.0)
    assert [held.late_s for held in faults.held] == [pytest.approx(0.22), 0.2, 0.02]


def test_jitter_is_as_wide_as_set_never_negative_and_repeats_by_seed():
    async def drawn(seed):
        faults = Faults(ManualClock(NOON), seed)
        faults.add({"kind": "lag", "delay_s": 0.035, "jitter_s": 0.02})
        return [faults.hold("feed").late_s for _ in range(2000)]

    values = asyncio.run(drawn(1))
    assert values == asyncio.run(drawn(1)) != asyncio.run(drawn(2))
    assert min(values) == 0.0
    assert statistics.median(values) == pytest.approx(0.035, abs=0.002)
    assert statistics.quantiles(values, n=10)[8] == pytest.approx(0.0606, abs=0.003)


@pytest.mark.parametrize("broker", ["dhan", "kotak"])
def test_a_lagging_feed_sends_late_and_in_order(broker):
    async def scenario():
        faults = Faults(ManualClock(NOON))
        sent: list[tuple[float, bytes]] = []
        clock = asyncio.get_running_loop().time
        put, close = open_socket(broker, faults, lambda data: sent.append((clock(), data)))
        rule = faults.add({"kind": "lag", "delay_s": 0.15})
        began = clock()
        put(b"first")
        faults.clear(rule.number)
        put(b"second")
        while len(sent) < 2:
            await asyncio.sleep(0.01)
        close()
        assert [data for _, data in sent] == [b"first", b"second"]
        assert sent[0][0] - began >= 0.15
        (held,) = faults.held  # the frame that no lag struck is none of them
        assert (held.late_s, held.held_ns) == (0.15, pytest.approx((sent[0][0] - began) * 1e9, rel=0.1))

    asyncio.run(asyncio.wait_for(scenario(), 10))


def open_socket(broker, faults, on_sent):
    """A venue's own socket over a WebSocket that only says what it was given."""

    class Ws:
        closed = False

        async def send_bytes(self, data):
            on_sent(data)

    if broker == "kotak":
        socket = KotakSocket("feed", Ws(), None, faults)
        task = asyncio.create_task(socket.pump())
        return socket.send, task.cancel
    socket = DhanSocket("feed", None, faults, Keepalive())
    socket.ws = Ws()
    task = asyncio.create_task(socket._write())
    return socket.put, task.cancel


# --- rules


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"kind": "explode"},
        {"kind": "delay", "mtach": {}},
        {"kind": "delay", "match": "x"},
        {"kind": "delay", "match": {"paht": "x"}},
        {"kind": "delay", "match": {"path": "("}},
        {"kind": "delay", "delay_s": "soon"},
        {"kind": "delay", "delay_s": -1},
        {"kind": "lag", "for_s": "nan"},
        {"kind": "delay", "count": "many"},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse(body, 1)


def test_a_bad_rule_is_a_400_that_says_why():
    async def scenario(b):
        async with b.http.post(b.url("/_sim/faults"), json={"kind": "explode"}) as answer:
            assert answer.status == 400
            assert "explode" in (await answer.json())["message"]
        async with b.http.post(b.url("/_sim/faults"), data=b"{") as answer:
            assert answer.status == 400

    run(scenario)


def test_probability_strikes_its_share_and_repeats_by_seed():
    def strikes(seed):
        faults = Faults(ManualClock(NOON), seed)
        faults.add({"kind": "refuse_ip", "probability": 0.3})
        return [faults.ip_refused("A") for _ in range(1000)]

    assert 200 < sum(strikes(1)) < 400
    assert strikes(1) == strikes(1) != strikes(2)


def test_a_spent_rule_is_still_listed_with_its_count():
    faults = Faults(ManualClock(NOON))
    rule = faults.add({"kind": "expire_token", "count": 2})
    assert [faults.token_expired("A") for _ in range(4)] == [True, True, False, False]
    assert (rule.view()["used"], rule.view()["spent"]) == (2, True)
    assert faults.rules() == [rule]


def test_every_kind_is_documented():
    assert FaultKind.__doc__ is not None
    assert all(f"``{kind.value}``" in FaultKind.__doc__ for kind in FaultKind)
