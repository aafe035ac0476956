"""The tick collector on two real buses, one of which is late; and the file of a day."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
import zmq

from supervisor.compare import race, ticks
from supervisor.compare.ticks import Columns, Listener

LAG_S = 0.2
COUNT = 40


@dataclass
class Bus:
    """A publisher of one contract: each moment ``late_s`` after it happened."""

    late_s: float
    name: str

    def __post_init__(self) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.zmq_host = "127.0.0.1"
        self.zmq_port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def publish(self, moments: list[float], skip: frozenset[int] = frozenset()) -> None:
        for number, at in enumerate(moments):
            time.sleep(max(0.0, at + self.late_s - time.monotonic()))
            tick = {"exchange": "NSE", "symbol": "SBIN", "ltp": 800.0 + number / 20, "volume": 100 * number}
            if number not in skip:
                body = {**tick, "timestamp": time.time_ns() // 1_000_000, "seq": number + 1}
                self.socket.send_multipart((b"NSE_SBIN_QUOTE", json.dumps(body).encode()))

    def close(self) -> None:
        self.socket.close()
        self.context.term()


def test_a_late_bus_is_found_late_and_its_gaps_are_counted() -> None:
    quick, late = Bus(0.0, "quick"), Bus(LAG_S, "late")
    listeners = [Listener(bus, [("NSE", "SBIN")], time.monotonic() + 20) for bus in (quick, late)]  # type: ignore[arg-type]
    for one in listeners:
        one.start()
    for bus in (quick, late):
        # its subscription has arrived: nothing is published into the void
        assert bus.socket.poll(5000)
        assert bus.socket.recv() == b"\x01NSE_SBIN_QUOTE"
    begin = time.monotonic()
    moments = [begin + 0.01 * number for number in range(COUNT)]
    threads = [
        threading.Thread(target=quick.publish, args=(moments,)),
        threading.Thread(target=late.publish, args=(moments, frozenset({5, 6}))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = time.monotonic() + 10
    while len(listeners[1].columns["NSE:SBIN"].at_ns) < COUNT - 2 and time.monotonic() < ends:
        time.sleep(0.01)
    for one in listeners:
        one.stop.set()
        one.join()
    for bus in (quick, late):
        bus.close()
    heard = {
        one.settings.name: {name: columns.arrivals() for name, columns in one.columns.items()}
        for one in listeners
    }
    assert [one.lost for one in listeners] == [0, 2]
    found = race.run(heard, np.random.default_rng(1))
    (lead,) = found.leads
    assert lead.matched == COUNT - 2
    assert lead.p50.value == pytest.approx(LAG_S, abs=0.05)
    assert lead.difference is not None
    assert lead.difference.significant
    assert found.lanes[0].first is not None
    assert found.lanes[0].first.share.value == 1.0


def test_what_a_new_subscriber_is_shown_is_no_arrival() -> None:
    one = Listener(Bus(0.0, "x"), [("NSE", "SBIN")], 0.0)  # type: ignore[arg-type]
    last: dict[str, int] = {}
    tick = {"exchange": "NSE", "symbol": "SBIN", "ltp": 800.0, "volume": 5, "seq": 9, "timestamp": 10_000}
    one._take(json.dumps(tick).encode(), 70_000_000_000, last)
    assert one.columns["NSE:SBIN"].at_ns == []
    one._take(json.dumps(tick | {"seq": 10, "timestamp": 70_000}).encode(), 70_000_300_000, last)
    assert one.columns["NSE:SBIN"].at_ns == [70_000_300_000]
    assert one.lost == 0


def test_a_day_is_what_all_its_listenings_heard(tmp_path: Path) -> None:
    parts = []
    for begin in (0, 50):
        columns = Columns()
        for number in range(begin, begin + 50):
            columns.put(number * 10, 800.05 + number / 20, 1_763_700_000_000_000_000 + number * 250_000_000)
        parts.append(columns.arrivals())
        ticks.save(tmp_path, "2026-11-20", {"dhan": {"NSE:SBIN": parts[-1]}})
    ticks.save(tmp_path, "2026-11-20", {"kotak": {"NSE:SBIN": Columns().arrivals()}})
    kept = ticks.Kept(tmp_path, "2026-11-20")
    assert (kept.names, kept.contracts) == (["dhan", "kotak"], ["NSE:SBIN"])
    (each,) = kept.each()
    found = each["dhan"]
    assert len(each["kotak"]) == 0
    for name in ("volume", "price", "at_ns"):
        assert (getattr(found, name) == np.concatenate([getattr(part, name) for part in parts])).all()
    assert not list(tmp_path.rglob("*.tmp"))
    for day in ("2026-11-19", "../2026-11-20"):
        with pytest.raises(ticks.CommandFailed, match="no ticks of"):
            ticks.Kept(tmp_path, day)


@pytest.mark.parametrize("step", [1, -1, 200, -40_000, 70_000, 2**31, -(2**40)])
def test_steps_of_any_size_come_back(tmp_path: Path, step: int) -> None:
    values = np.array([2**50, 2**50 + step, 2**50 + step, 2**50], dtype=np.int64)
    ticks.save(tmp_path, "2026-11-20", {"dhan": {"NSE:SBIN": race.Arrivals(values, values, values)}})
    (each,) = ticks.Kept(tmp_path, "2026-11-20").each()
    assert (each["dhan"].price == values).all()


def test_a_contract_is_named_as_everywhere() -> None:
    assert ticks.keys_of("sbin, NFO:NIFTY24NOV26FUT,SBIN") == [("NSE", "SBIN"), ("NFO", "NIFTY24NOV26FUT")]
    for wrong in ("NSE_INDEX:NIFTY", "XXX:SBIN", "NSE:"):
        with pytest.raises(click.UsageError):
            ticks.keys_of(wrong)
