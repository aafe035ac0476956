"""``algo replay``: a recording, or stored candles, played into a throw-away instance of its own."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import click

from brokers.venue import Venue
from gateway import settings as gateway_settings
from supervisor.commands.history.place import DAY, keys_of, ordered
from supervisor.running import current_folder


@click.command()
@click.argument("recording", type=click.Path(path_type=Path), required=False)
@click.option("--history", "symbols", default="", help="NSE:SBIN,… of the market-data store instead.")
@click.option("--from", "start", type=DAY, help="First day of --history.")
@click.option("--to", "end", type=DAY, help="Last day of --history (default: the first).")
@click.option("--interval", default="1m", show_default=True, help="Of --history: 1m to 4h, or D.")
@click.option("--instance", default="", help="Whose rules --history has (default: the first one).")
@click.option("--stay", is_flag=True, help="With --history: serve on when all is played, until Ctrl-C.")
@click.option("--sim", is_flag=True, help="The store of the simulated brokers (what runs decides).")
@click.option("--speed", default="1", show_default=True, help="How many times faster, or max.")
@click.option("--out", type=click.Path(path_type=Path), help="Write every message there, one a line.")
@click.option("--ws-port", type=int, default=0, help="WebSocket port (default: a free one).")
@click.option("--zmq-port", type=int, default=0, help="ZeroMQ port (default: a free one).")
@click.option("--wait-for", type=int, default=0, help="Begin when so many consumers are connected.")
@click.pass_obj
def replay(
    home: Path,
    recording: Path | None,
    symbols: str,
    start: datetime | None,
    end: datetime | None,
    interval: str,
    instance: str,
    stay: bool,
    sim: bool,
    speed: str,
    out: Path | None,
    ws_port: int,
    zmq_port: int,
    wait_for: int,
) -> None:
    """Play a recording, or stored candles, through the product's own tick path, on ports of its own.

    Prints the ports and a key for clients first, then what came out and its checksum. Two replays of the same
    give the same bytes. No broker is called and no database of an instance is touched.

    With --history the throw-away instance also takes orders, on paper, at the played time and prices: point a
    strategy at the printed REST address and key.

    \b
    Examples:
      algo replay db/record/dhan-20261120T034500Z
      algo replay --history NSE:SBIN,NSE:INFY --from 2026-11-02 --to 2026-11-06 --speed 60
    """
    _check_speed(speed)
    if (recording is None) == (not symbols):
        raise click.UsageError("a recording, or --history with its symbols, says what to play")
    if recording is not None:
        argv = ["-m", "gateway.stream.replay", str(recording)]
    else:
        argv = _from_the_store(home, symbols, start, end, instance)
        argv += ["--interval", interval]
        argv += ["--sim"] if current_folder(home, sim=sim).venue is Venue.SIM else []
        argv += ["--stay"] if stay else []
    argv += ["--speed", speed, "--wait-for", str(wait_for)]
    argv += ["--ws-port", str(ws_port), "--zmq-port", str(zmq_port)]
    argv += ["--out", str(out)] if out else []
    try:
        code = subprocess.run([sys.executable, *argv]).returncode
    except KeyboardInterrupt:
        code = 1
    if code:
        sys.exit(code)


def _from_the_store(
    home: Path, symbols: str, start: datetime | None, end: datetime | None, instance: str
) -> list[str]:
    """Which candles of which instruments, under which instance's rules, as ``gateway.past`` wants it said."""
    if start is None:
        raise click.UsageError("--from says where to begin")
    ordered(start, end)
    names = gateway_settings.instance_names(home)
    if not names:
        raise click.UsageError("there is no instance whose rules it could have; make one: algo init")
    argv = ["-m", "gateway.past", "--home", str(home), "--instance", instance or names[0]]
    argv += [word for e, s in keys_of(symbols, "NSE") for word in ("--key", f"{e}:{s}")]
    return [*argv, "--from", f"{start:%Y-%m-%d}", "--to", f"{end or start:%Y-%m-%d}"]


def _check_speed(speed: str) -> None:
    try:
        good = speed == "max" or float(speed) > 0
    except ValueError:
        good = False
    if not good:
        raise click.UsageError(f"--speed is '{speed}', expected a number above 0, or max")
