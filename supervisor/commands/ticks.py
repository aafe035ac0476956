"""``algo ticks``: a ZeroMQ subscriber like any other program's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import zmq
from rich.console import Console
from rich.live import Live
from rich.table import Table

from brokers.model import INDEX_EXCHANGES, Exchange
from supervisor.client import CommandFailed, load_running


@click.command()
@click.argument("name")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...")
@click.option("--json", "as_json", is_flag=True, help="One JSON tick a line.")
@click.option("--count", type=int, help="Stop after this many ticks.")
@click.option("--timeout", type=float, help="Fail when no tick came for this many seconds.")
@click.pass_obj
def ticks(
    home: Path, name: str, symbols: tuple[str, ...], as_json: bool, count: int | None, timeout: float | None
) -> None:
    """Live ticks of a running instance: LTP, bid, ask, volume, OI, time, age.

    \b
    Examples:
      algo ticks dhan SBIN RELIANCE
      algo ticks kotak NSE_INDEX:NIFTY --json --count 10
    """
    one = load_running(home, name)
    keys = [_key(text) for text in symbols]
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    for exchange, symbol in keys:
        socket.setsockopt_string(zmq.SUBSCRIBE, f"{exchange}_{symbol}_QUOTE")
    socket.connect(f"tcp://{one.zmq_host}:{one.zmq_port}")
    table = TickTable(keys)
    console = Console()
    live_view = not as_json and console.is_terminal
    try:
        with Live(table.draw(), console=console, auto_refresh=False, transient=False) as live:
            seen = 0
            last = time.monotonic()
            while count is None or seen < count:
                if not socket.poll(200):
                    if timeout is not None and time.monotonic() - last > timeout:
                        raise CommandFailed(f"no tick for {timeout:.0f} s; see: algo status {name}")
                    if live_view:
                        live.update(table.draw(), refresh=True)
                    continue
                _, raw = socket.recv_multipart()
                last = time.monotonic()
                seen += 1
                tick = json.loads(raw)
                table.put(tick)
                if as_json:
                    click.echo(raw.decode())
                elif live_view:
                    live.update(table.draw(), refresh=True)
                else:
                    click.echo(plain_line(tick))
    except KeyboardInterrupt:
        return
    finally:
        socket.close()
        context.term()


def _key(text: str) -> tuple[str, str]:
    """``SBIN`` means NSE:SBIN; an index needs its exchange."""
    exchange, _, symbol = text.rpartition(":")
    exchange = (exchange or "NSE").upper()
    if exchange not in Exchange.__members__:
        raise click.UsageError(f"{text}: {exchange} is not an exchange ({', '.join(Exchange)})")
    return exchange, symbol if exchange in INDEX_EXCHANGES else symbol.upper()


def _clock(ms: object) -> str:
    if not isinstance(ms, (int, float)) or not ms:
        return "-"
    return time.strftime("%H:%M:%S", time.gmtime(ms / 1000 + IST_OFFSET_S))


IST_OFFSET_S = 19_800


def plain_line(tick: dict[str, Any]) -> str:
    """One tick on one line, for pipes and files."""
    return (
        f"{_clock(tick.get('ltt') or tick.get('timestamp'))} {tick.get('exchange')}:{tick.get('symbol')} "
        f"ltp={tick.get('ltp')} bid={tick.get('bid')} ask={tick.get('ask')} volume={tick.get('volume')} "
        f"oi={tick.get('oi')}"
    )


class TickTable:
    """The newest tick of each symbol."""

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {key: {} for key in keys}

    def put(self, tick: dict[str, Any]) -> None:
        self._rows[(str(tick.get("exchange")), str(tick.get("symbol")))] = tick

    def draw(self) -> Table:
        table = Table(pad_edge=False)
        table.add_column("symbol", style="bold")
        for name in ("LTP", "bid", "ask", "volume", "OI", "time", "age"):
            table.add_column(name, justify="right")
        now_ms = time.time() * 1000
        for (exchange, symbol), tick in self._rows.items():
            seen = tick.get("timestamp")
            age = f"{max(0.0, (now_ms - seen) / 1000):.1f} s" if isinstance(seen, (int, float)) else "-"
            cells = [tick.get(k) for k in ("ltp", "bid", "ask", "volume", "oi")]
            table.add_row(
                f"{exchange}:{symbol}",
                *["-" if c is None else str(c) for c in cells],
                _clock(tick.get("ltt")),
                age,
            )
        return table
