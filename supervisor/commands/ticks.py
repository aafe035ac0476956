"""``algo ticks``: a ZeroMQ subscriber like any other program's."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import zmq
from rich.console import Console
from rich.live import Live
from rich.table import Table

from brokers.model import INDEX_EXCHANGES, Exchange
from gateway.settings import Settings
from supervisor.client import CommandFailed, ask_running, load_up

SILENCE_S = 10.0


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

    A symbol that the instance does not have is named with the nearest ones; the rest is shown.

    \b
    Examples:
      algo ticks dhan SBIN RELIANCE
      algo ticks kotak NSE_INDEX:NIFTY --json --count 10
    """
    one = load_up(home, name)
    keys = _known(one, [_key(text) for text in symbols])
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    for exchange, symbol in keys:
        # depth, because a quote of Dhan has no bid and ask; an index has no book
        mode = "QUOTE" if exchange in INDEX_EXCHANGES else "DEPTH"
        socket.setsockopt_string(zmq.SUBSCRIBE, f"{exchange}_{symbol}_{mode}")
    socket.connect(f"tcp://{one.zmq_host}:{one.zmq_port}")
    console = Console()
    view = TickView(keys, console) if console.is_terminal and not as_json else None
    try:
        with view.live if view else nullcontext():
            _follow(socket, name, view, as_json, count, timeout)
    except KeyboardInterrupt:
        return
    finally:
        socket.close()
        context.term()


def _follow(
    socket: zmq.Socket[bytes],
    name: str,
    view: TickView | None,
    as_json: bool,
    count: int | None,
    timeout_s: float | None,
) -> None:
    """Show ticks as they come, until ``count`` or a silence of ``timeout_s``."""
    seen = 0
    told = False
    last = time.monotonic()
    while count is None or seen < count:
        if not socket.poll(200):
            if timeout_s is not None and time.monotonic() - last > timeout_s:
                raise CommandFailed(f"no tick for {timeout_s:.0f} s; see: algo status {name}")
            if not told and time.monotonic() - last > SILENCE_S:
                told = True
                click.echo(
                    f"no tick for {SILENCE_S:.0f} s, still waiting; market closed? see: algo status {name}",
                    err=True,
                )
            if view:
                view.refresh()
            continue
        _, raw = socket.recv_multipart()
        last = time.monotonic()
        told = False
        seen += 1
        if as_json:
            click.echo(raw.decode())
        elif view:
            view.put(json.loads(raw))
        else:
            click.echo(plain_line(json.loads(raw)))


def _known(one: Settings, keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The symbols under the names of the instrument table, without those it does not have, which are told.

    Raises:
        CommandFailed: None of them exists.
    """
    body = {"keys": [{"exchange": exchange, "symbol": symbol} for exchange, symbol in keys]}
    try:
        status, answer = ask_running(one, "POST", "/internal/choose", body)
    except CommandFailed:
        return keys  # the feed serves without the api
    if status != 200:
        return keys
    unknown = answer["unknown"]
    named = [(each["exchange"], each["symbol"]) for each in answer["keys"]]
    found = [key for key in named if not any(_says(said, key) for said in unknown)]
    if not found:
        raise CommandFailed(f"SYMBOL_NOT_FOUND at {one.name}: {'; '.join(unknown)}")
    for said in unknown:
        click.echo(f"SYMBOL_NOT_FOUND at {one.name}: {said}", err=True)
    return list(dict.fromkeys(found))


def _says(said: str, key: tuple[str, str]) -> bool:
    """Whether an unknown symbol, told with its suggestions, is this one."""
    return said.partition(" (")[0] == ":".join(key)


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


class TickView:
    """The newest tick of each symbol, redrawn in place."""

    def __init__(self, keys: list[tuple[str, str]], console: Console) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {key: {} for key in keys}
        self.live = Live(self.draw(), console=console, auto_refresh=False)

    def put(self, tick: dict[str, Any]) -> None:
        self._rows[(str(tick.get("exchange")), str(tick.get("symbol")))] = tick
        self.refresh()

    def refresh(self) -> None:
        self.live.update(self.draw(), refresh=True)

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
