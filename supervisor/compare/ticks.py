"""``algo compare --ticks``: the same contracts from every instance's bus, kept in one file a day, and raced.

A tick's time is when its message reached this process, by one clock for all instances. The bus carries the
feed's own arrival time in milliseconds only, too coarse for a race, so the path feed to bus to here is
inside; it is the same code on the same machine for every instance, a tenth of a millisecond or two.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import zmq
import zstandard
from numpy.typing import NDArray
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
COLUMNS = ("volume", "price", "at_ns")
KINDS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64)


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
        kept = Kept(folder, day)
        found = race.run_each(kept.names, kept.each(), np.random.default_rng(SEED))
        return report_of(found, kept.contracts, fleet, day, {})
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
    lost = {one.settings.name: one.lost for one in listeners}
    names = {contract for of in heard.values() for contract in of}
    return report_of(race.run(heard, np.random.default_rng(SEED)), names, fleet, today, lost)


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
    squeeze = zstandard.ZstdCompressor(level=1).compress
    columns: dict[str, NDArray[np.uint8]] = {}
    for instance, of in heard.items():
        for contract, arrivals in of.items():
            for name in COLUMNS:
                values = getattr(arrivals, name)
                first, steps = int(values[0]) if len(values) else 0, _narrow(np.diff(values))
                key = f"{instance}|{contract}|{name}|{steps.dtype.name}|{len(values)}|{first}"
                columns[key] = np.frombuffer(squeeze(steps.tobytes()), dtype=np.uint8)
    aside = path.with_suffix(".tmp")
    with aside.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)
    aside.replace(path)
    return path


def _narrow(steps: Ints) -> NDArray[Any]:
    """The same numbers in as few bytes as they need: differences are small."""
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    kind = next(k for k in KINDS if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return steps.astype(kind)


class Kept:
    """The ticks of a day, unpacked contract by contract: a whole day of them is half a gigabyte.

    Raises:
        CommandFailed: Nothing was kept of that day.
    """

    def __init__(self, folder: Path, day: str) -> None:
        paths = sorted((folder / day).glob("*.npz")) if day.replace("-", "").isdigit() else []
        if not paths:
            raise CommandFailed(f"no ticks of {day} were kept; see: algo compare --ticks")
        self._places: dict[tuple[str, str, str], list[tuple[Any, str]]] = {}
        for path in paths:
            # its packed bytes, not its descriptor: one listening a minute makes hundreds of files
            found = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
            for key in found.files:
                instance, contract, name = key.split("|")[:3]
                self._places.setdefault((instance, contract, name), []).append((found, key))
        self.names = list(dict.fromkeys(instance for instance, _, _ in self._places))
        self.contracts = sorted({contract for _, contract, _ in self._places})

    def each(self) -> Iterator[dict[str, Arrivals]]:
        """Of each contract the ticks of every instance, all listenings together."""
        for contract in self.contracts:
            yield {name: self._arrivals(name, contract) for name in self.names}

    def _arrivals(self, instance: str, contract: str) -> Arrivals:
        columns = []
        for name in COLUMNS:
            parts = [_read(file, key) for file, key in self._places.get((instance, contract, name), ())]
            columns.append(np.concatenate(parts) if parts else race.NOTHING.at_ns)
        return Arrivals(*columns)


def _read(file: Any, key: str) -> Ints:
    kind, size, first = key.split("|")[3:]
    steps = np.frombuffer(zstandard.ZstdDecompressor().decompress(file[key].tobytes()), dtype=np.dtype(kind))
    values = np.empty(int(size), dtype=np.int64)
    if len(values):
        values[0] = int(first)
        np.cumsum(steps, dtype=np.int64, out=values[1:])
        values[1:] += int(first)
    return values


def report_of(
    found: race.Race, contracts: Iterable[str], fleet: Sequence[Settings], day: str, lost: Mapping[str, int]
) -> Report:
    return Report(
        title="Tick race",
        made_at=f"{datetime.now(IST):%Y-%m-%d %H:%M} IST",
        venue=fleet[0].venue.value,
        instances=tuple(lane.instance for lane in found.lanes),
        brokers={one.name: one.broker for one in fleet},
        source=(f"ticks of {day}: {', '.join(sorted(contracts))}",),
        counts={name: {"lost before the collector": f"{n:,}"} for name, n in lost.items()},
        race=found,
        notes=(
            "Times are those of arrival here, one clock for all; ticks are matched on the day's volume and "
            "the last price, so brokers that sample differently share fewer moments.",
        ),
    )
