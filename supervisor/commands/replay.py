"""``algo replay``: a recording played into a throw-away instance of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click


@click.command()
@click.argument("recording", type=click.Path(exists=True, path_type=Path))
@click.option("--speed", default="1", show_default=True, help="How many times faster, or max.")
@click.option("--out", type=click.Path(path_type=Path), help="Write every message there, one a line.")
@click.option("--ws-port", type=int, default=0, help="WebSocket port (default: a free one).")
@click.option("--zmq-port", type=int, default=0, help="ZeroMQ port (default: a free one).")
@click.option("--wait-for", type=int, default=0, help="Begin when so many consumers are connected.")
def replay(recording: Path, speed: str, out: Path | None, ws_port: int, zmq_port: int, wait_for: int) -> None:
    """Feed a recording through the product's own tick path, on ports of its own.

    Prints the ports and a key for clients first, then what came out and its checksum. Two replays of one
    recording give the same bytes. No broker is called and no database is touched.
    """
    argv = [sys.executable, "-m", "gateway.stream.replay", str(recording), "--speed", speed]
    argv += ["--ws-port", str(ws_port), "--zmq-port", str(zmq_port), "--wait-for", str(wait_for)]
    argv += ["--out", str(out)] if out else []
    try:
        code = subprocess.run(argv).returncode
    except KeyboardInterrupt:
        code = 1
    if code:
        sys.exit(code)
