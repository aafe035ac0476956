"""The ``orders`` channel: gapless numbers, replay, and the seam between replay and live."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from brokers.clock import SystemClock
from brokers.errors import StoreError
from brokers.model import Action, InstrumentKey, OrderRequest, OrderStatus, PriceType, Venue
from gateway.store import engine
from gateway.store.journal import NO_TIMES, Change, Intent, Journal
from gateway.store.orderlog import OrderLog
from gateway.stream import protocol
from gateway.stream.orders import OrderChannel
from gateway.trading import machine
from tests.gateway.stream.rig import ask, hear, on_loop, running, until
from tests.gateway.stream.test_relay import update

REQUEST = OrderRequest(
    InstrumentKey("NSE", "PNB"), Action.BUY, 25, PriceType.LIMIT, "CNC", Decimal("118.40"), Decimal(0)
)


class Books:
    """A journal that is written here and read through its own read-only opening, as the feed does."""

    def __init__(self, path: Path) -> None:
        self.path = path / "openalgo_orders.db"
        self.clock = SystemClock()
        self.open()
        self.reader = engine.open(self.path, Venue.SIM, read_only=True)
        self.log = OrderLog(self.reader)
        self.orders = 0

    def open(self) -> None:
        self.database = engine.open(self.path, Venue.SIM)
        self.journal = Journal(self.database, self.clock)

    def order(self, steps: int = 1) -> int:
        """One order and what happens to it: ``steps`` events in all."""
        self.orders += 1
        number = self.orders
        row = self.journal.add(Intent(REQUEST, f"tag{number}", "alpha", f"c{number}", "f", False), NO_TIMES)
        if steps > 1:
            self.journal.apply(
                Change(row, "acknowledged", machine.Acknowledged(f"D{number}", OrderStatus.OPEN))
            )
        for _ in range(steps - 2):
            self.journal.apply(Change(row, "note"))
        return row

    def close(self) -> None:
        self.database.close()
        self.reader.close()


@dataclass
class Taker:
    behind: bool = False
    frames: list[bytes] = field(default_factory=list)

    def push_order(self, frame: bytes) -> None:
        self.frames.append(frame)

    @property
    def numbers(self) -> list[int]:
        return [msgspec.json.decode(f[f.index(b"{") :])["seq"] for f in self.frames]


@asynccontextmanager
async def channel(source, **more):
    it = OrderChannel(source, broker="dhan", user="dhan", **{"every_s": 0.002, "page": 7} | more)
    task = asyncio.create_task(it.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def books(tmp_path):
    it = Books(tmp_path)
    yield it
    it.close()


def test_numbers_have_no_gap_though_a_write_was_rolled_back(books):
    books.order(3)
    with pytest.raises(machine.IllegalTransition):
        books.journal.apply(Change(1, "wrong", machine.Sending()))
    books.order(2)
    assert [e.seq for e in books.log.after(0, 100)] == [1, 2, 3, 4, 5]
    assert [e.seq for e in books.log.after(2, 2)] == [3, 4]
    assert books.log.last() == 5


def test_an_event_shows_the_order_as_it_was_then(books):
    row = books.order(2)
    filled = replace(update("D1", OrderStatus.COMPLETE, 25).order, average_price=Decimal("118.35"))
    detail = {"trade_price": "118.35"}
    books.journal.apply(Change(row, "update", machine.BrokerSays(filled), detail=detail))
    intent, acknowledged, done = (
        protocol.order_event(e, broker="dhan", user="me") for e in books.log.after(0, 9)
    )
    assert (intent["order_status"], intent["event"], intent["filled_quantity"]) == ("unknown", "intent", 0)
    assert (acknowledged["order_status"], acknowledged["orderid"]) == ("open", "D1")
    assert (done["order_status"], done["filled_quantity"], done["pending_quantity"]) == ("complete", 25, 0)
    assert (done["average_price"], done["trade_price"]) == (118.35, 118.35)
    # every field of OpenAlgo's order update is there
    assert protocol.order_update(update("D1"), broker="dhan", user="me").keys() <= done.keys()
    assert (done["seq"], done["client_order_id"], done["strategy"]) == (3, "c1", "alpha")


@on_loop
async def test_a_replay_joins_live_without_gap_or_double_while_orders_come_in(tmp_path):
    books = Books(tmp_path)
    for _ in range(20):
        books.order(3)
    writing = True

    def write() -> None:
        while writing:
            books.order(2)

    async with channel(books.log) as it:
        writer = asyncio.get_running_loop().run_in_executor(None, write)
        takers = [Taker() for _ in range(5)]
        for n, taker in enumerate(takers):
            it.begin(await it.follow(taker, 1 + n * 10))
        await until(lambda: all(len(t.frames) > 150 for t in takers))
        writing = False
        await writer
        last = books.log.last()
        await until(lambda: all(t.numbers[-1] == last for t in takers))
    for n, taker in enumerate(takers):
        assert taker.numbers == list(range(1 + n * 10, last + 1))
    books.close()


@on_loop
async def test_a_slow_client_is_given_the_rest_from_the_journal(tmp_path):
    books = Books(tmp_path)
    async with channel(books.log) as it:
        taker = Taker()
        it.begin(await it.follow(taker, None))
        books.order(3)
        await until(lambda: len(taker.frames) == 3)
        taker.behind = True
        for _ in range(10):
            books.order(3)
        await asyncio.sleep(0.05)
        assert len(taker.frames) == 3  # nothing queues up for it
        taker.behind = False
        await until(lambda: len(taker.frames) == 33)
        books.order(1)
        await until(lambda: len(taker.frames) == 34)
        assert taker.numbers == list(range(1, 35))
    books.close()


@on_loop
async def test_the_channel_goes_on_after_the_journals_process_and_the_feed_were_restarted(tmp_path):
    books = Books(tmp_path)
    books.order(3)
    async with channel(books.log) as it:
        taker = Taker()
        it.begin(await it.follow(taker, 1))
        await until(lambda: len(taker.frames) == 3)
        books.database.close()
        books.open()
        books.order(2)
        await until(lambda: len(taker.frames) == 5)
    books.order(2)  # while no feed is there
    async with channel(books.log) as it:
        again = Taker()
        it.begin(await it.follow(again, taker.numbers[-1] + 1))
        await until(lambda: len(again.frames) == 2)
        assert taker.numbers + again.numbers == [1, 2, 3, 4, 5, 6, 7]
    books.close()


@on_loop
async def test_a_journal_that_cannot_be_read_for_a_while_delays_and_loses_nothing(tmp_path):
    books = Books(tmp_path)

    class Source:
        broken = False

        def last(self) -> int:
            return books.log.last()

        def after(self, seq, limit):
            if self.broken:
                raise StoreError("disk I/O error")
            return books.log.after(seq, limit)

    source = Source()
    async with channel(source) as it:
        taker = Taker()
        it.begin(await it.follow(taker, None))
        books.order(2)
        await until(lambda: len(taker.frames) == 2)
        source.broken = True
        books.order(2)
        await until(lambda: it.problem != "")
        source.broken = False
        await until(lambda: len(taker.frames) == 4)
        assert it.problem == ""
    books.close()


@on_loop
async def test_a_client_subscribes_replays_and_leaves_over_the_socket(tmp_path):
    books = Books(tmp_path)
    books.order(3)
    async with channel(books.log) as it, running(tmp_path, orders=it) as rig:
        async with rig.client() as socket:
            ack = await ask(socket, action="subscribe", channel="orders", from_seq=2, request_id="r")
            assert ack == {
                "type": "subscribe",
                "channel": "orders",
                "status": "success",
                "seq": 1,
                "message": "Subscribed to the orders channel",
                "request_id": "r",
            }
            books.order(1)
            heard = [await hear(socket) for _ in range(3)]
            assert [h["seq"] for h in heard] == [2, 3, 4]
            assert {h["channel"] for h in heard} == {"orders"}
            assert (await ask(socket, action="unsubscribe", channel="orders"))["status"] == "success"
            books.order(1)
            assert (await ask(socket, action="ping"))["type"] == "pong"
            ahead = await ask(socket, action="subscribe", channel="orders", from_seq=99)
            assert (ahead["status"], ahead["code"]) == ("error", "SEQ_UNKNOWN")
            assert "the newest order event is 5" in ahead["message"]
            for wrong in (0, -1, "3", True, 1.5):
                answer = await ask(socket, action="subscribe", channel="orders", from_seq=wrong)
                assert answer["code"] == "INVALID_PARAMETERS", wrong
            unknown = await ask(socket, action="subscribe", channel="trades")
            assert unknown["code"] == "INVALID_PARAMETERS"
        await until(lambda: len(it) == 0)
    books.close()


@on_loop
async def test_nobody_follows_without_a_key_and_a_revoked_key_ends_it(tmp_path):
    books = Books(tmp_path)
    async with channel(books.log) as it, running(tmp_path, orders=it) as rig, rig.client() as socket:
        await ask(socket, action="subscribe", channel="orders", from_seq=1)
        await until(lambda: len(it) == 1)
        rig.keys.revoke(rig.key_id)
        await until(lambda: len(it) == 0)
        del socket
    books.close()
