"""``algo compare --ticks``: the same contracts from every instance's bus, kept in one file a day, and raced.

A tick's time is when its message reached this process, by one clock for all instances. The bus carries the
feed's own arrival time in milliseconds only, too coarse for a race, so the path feed to bus to here is
inside; it is the same code on the same machine for every instance, a tenth of a millisecond or two.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import click
import numpy as np
import zmq
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from brokers.clock import IST
from brokers.model import INDEX_EXCHANGES, Exchange
from gateway.settings import Settings
from supervisor.client import CommandFailed
from supervisor.compare import race
from supervisor.compare.figures import Report
from supervisor.compare.race import PRICE_UNITS, Arrivals, Ints
from supervisor.running import current_folder

DEFAULT = "SBIN,RELIANCE,INFY,TCS"
FOLDER = "ticks"
SEED = 20_260_102
Found = dict[str, dict[str, Arrivals]]


@dataclass(slots=True)
class Columns:
    """Ticks of one contract at one instance while they come."""

    volume: list[int] = field(default_factory=list)
    price: list[int] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)

    def put(self, volume: int, ltp: float, at_ns: int) -> None:
        self.volume.append(volume)
        self.price.append(round(ltp * PRICE_UNITS))
        self.at_ns.append(at_ns)

    def arrivals(self) -> Arrivals:
        return Arrivals(*(np.array(c, dtype=np.int64) for c in (self.volume, self.price, self.at_ns)))


def keys_of(text: str) -> list[tuple[str, str]]:
    """``SBIN,NFO:NIFTY…`` to keys; raises ``click.UsageError`` for an exchange that is none."""
    found = []
    for word in (part.strip() for part in (text or DEFAULT).split(",")):
        exchange, _, symbol = word.rpartition(":")
        exchange = (exchange or "NSE").upper()
        if exchange not in Exchange.__members__ or exchange in INDEX_EXCHANGES or not symbol:
            raise click.UsageError(f"{word}: no traded contract such as SBIN or NFO:NIFTY25NOV26FUT")
        found.append((exchange, symbol.upper()))
    return list(dict.fromkeys(found))


class Listener(threading.Thread):
    """One instance's bus. A socket belongs to the thread that opened it."""

    def __init__(self, settings: Settings, keys: Sequence[tuple[str, str]], ends: float) -> None:
        super().__init__(name=f"ticks-{settings.name}", daemon=True)
        self.settings, self._keys, self._ends = settings, keys, ends
        self.columns = {f"{exchange}:{symbol}": Columns() for exchange, symbol in keys}
        self.lost = 0
        self.stop = threading.Event()

    def run(self) -> None:
        context = zmq.Context()
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 200_000)
        for exchange, symbol in self._keys:
            socket.setsockopt_string(zmq.SUBSCRIBE, f"{exchange}_{symbol}_QUOTE")
        socket.connect(f"tcp://{self.settings.zmq_host}:{self.settings.zmq_port}")
        last: dict[str, int] = {}
        try:
            while not self.stop.is_set() and time.monotonic() < self._ends:
                if socket.poll(100):
                    _, raw = socket.recv_multipart()
                    self._take(raw, time.time_ns(), last)
        finally:
            socket.close()
            context.term()

    def _take(self, raw: bytes, at_ns: int, last: dict[str, int]) -> None:
        tick = json.loads(raw)
        name = f"{tick['exchange']}:{tick['symbol']}"
        # what a new subscriber is shown is an older moment: its arrival says nothing
        stale = at_ns // 1_000_000 - int(tick["timestamp"]) > 1000
        gap = int(tick["seq"]) - last.get(name, int(tick["seq"]) - 1)
        last[name] = int(tick["seq"])
        self.lost += max(0, gap - 1)
        if not stale:
            self.columns[name].put(int(tick["volume"]), float(tick["ltp"]), at_ns)


def race_now(
    home: Path, fleet: Sequence[Settings], symbols: str, seconds: float, console: Console, day: str = ""
) -> Report:
    """Listen for ``seconds``, add to the day's file, and race what the file holds of the day.

    Args:
        day: Only summarise what was kept of that day.

    Raises:
        CommandFailed: Nothing was heard.
    """
    folder = current_folder(home).path.parent / "compare" / FOLDER
    if day:
        return report_of(load_day(folder, day), fleet, day, {})
    keys = keys_of(symbols)
    today = datetime.now(IST).date().isoformat()
    listeners = _listen(fleet, keys, seconds, console)
    heard = {
        one.settings.name: {name: columns.arrivals() for name, columns in one.columns.items()}
        for one in listeners
    }
    if not any(len(arrivals) for of in heard.values() for arrivals in of.values()):
        raise CommandFailed("no tick came; are the instances up and is the market open? see: algo status")
    save(folder, today, heard)
    return report_of(heard, fleet, today, {one.settings.name: one.lost for one in listeners})


def _listen(
    fleet: Sequence[Settings], keys: Sequence[tuple[str, str]], seconds: float, console: Console
) -> list[Listener]:
    ends = time.monotonic() + seconds
    listeners = [Listener(one, keys, ends) for one in fleet]
    for one in listeners:
        one.start()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("listening", total=seconds)
            while (left := ends - time.monotonic()) > 0:
                time.sleep(min(0.2, left))
                progress.update(task, completed=seconds - left)
    except KeyboardInterrupt:
        console.print("stopped; what was heard counts", highlight=False)
    for one in listeners:
        one.stop.set()
    for one in listeners:
        one.join(5.0)
    return listeners


def save(folder: Path, day: str, heard: Found) -> Path:
    """One compressed file for each listening, in a folder for each day: appending never rewrites."""
    where = folder / day
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{time.time_ns()}.npz"
    columns: dict[str, Ints] = {}
    for instance, of in heard.items():
        for contract, arrivals in of.items():
            for name in ("volume", "price", "at_ns"):
                # differences are small and compress; the whole numbers come back by summing
                columns[f"{instance}|{contract}|{name}"] = np.diff(getattr(arrivals, name), prepend=0)
    aside = path.with_suffix(".tmp")
    with aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    aside.replace(path)
    return path


def load_day(folder: Path, day: str) -> Found:
    """All listenings of a day together. Raises ``CommandFailed`` when there is none."""
    paths = sorted((folder / day).glob("*.npz")) if day.replace("-", "").isdigit() else []
    if not paths:
        raise CommandFailed(f"no ticks of {day} were kept; see: algo compare --ticks")
    parts: dict[tuple[str, str, str], list[Ints]] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as found:
            for key in found.files:
                instance, contract, name = key.split("|")
                parts.setdefault((instance, contract, name), []).append(np.cumsum(found[key]))
    whole = {key: np.concatenate(columns) for key, columns in parts.items()}
    heard: Found = {}
    for instance, contract, name in whole:
        if name == "at_ns":
            heard.setdefault(instance, {})[contract] = Arrivals(
                *(whole[instance, contract, column] for column in ("volume", "price", "at_ns"))
            )
    return heard


def report_of(heard: Found, fleet: Sequence[Settings], day: str, lost: Mapping[str, int]) -> Report:
    found = race.run(heard, np.random.default_rng(SEED))
    return Report(
        title="Tick race",
        made_at=f"{datetime.now(IST):%Y-%m-%d %H:%M} IST",
        venue=fleet[0].venue.value,
        instances=tuple(heard),
        brokers={one.name: one.broker for one in fleet},
        source=(f"ticks of {day}: {', '.join(sorted({c for of in heard.values() for c in of}))}",),
        counts={name: {"lost before the collector": f"{n:,}"} for name, n in lost.items()},
        race=found,
        notes=(
            "Times are those of arrival here, one clock for all; ticks are matched on the day's volume and "
            "the last price, so brokers that sample differently share fewer moments.",
        ),
    )
