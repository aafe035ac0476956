#!/usr/bin/env python3
"""What supervision itself costs: memory, idle CPU, its own share of a restart, `algo status`.

The same children under our supervisor and under others in the same run, one after the other. Each child of
the restart part writes the time as its first act; what the same program takes from a bare ``Popen`` to that
act is taken off, so that the share of a restart is what the supervisor adds after SIGKILL.

    python scripts/bench/supervise.py [--children 10] [--seconds 60] [--kills 20] [--with NAME,…]

supervisord and circus come from the package index into a throw-away environment; runit is used when it is
installed (`apt-get install runit`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.ports import free_ports

HEALTH = """
import socket, os
body = b'{"ready": true, "pid": %d}' % os.getpid()
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body)
server = socket.create_server(("127.0.0.1", PORT))
while True:
    connection, _ = server.accept()
    while connection.recv(4096):
        connection.sendall(answer)
    connection.close()
"""
BORN = """
import os, sys, time
file = open(sys.argv[1], "a")
file.write(f"{time.time_ns()} {os.getpid()}\\n")
file.flush()
time.sleep(100000)
"""
SLEEPERS = [["sleep", "100000"]]
Starter = Callable[[Path, list[list[str]]], contextlib.AbstractContextManager[psutil.Process]]


@contextlib.contextmanager
def ours(folder: Path, commands: list[list[str]], ports: list[int] | None = None) -> Iterator[psutil.Process]:
    plain = json.dumps([commands, ports or [1] * len(commands)])
    script = str(Path(__file__).with_name("supervised.py"))
    with running([sys.executable, "-X", "algo=bench", script, str(folder), plain]) as process:
        yield process


@contextlib.contextmanager
def supervisord(folder: Path, commands: list[list[str]]) -> Iterator[psutil.Process]:
    lines = [f"[supervisord]\nnodaemon=true\nlogfile={folder}/s.log\npidfile={folder}/s.pid\n"]
    for number, argv in enumerate(commands):
        script = write_script(folder, number, argv)
        lines.append(f"[program:c{number}]\ncommand={script}\nautorestart=true\nstartsecs=0\n")
    (folder / "s.conf").write_text("\n".join(lines))
    with running([str(peers() / "supervisord"), "-c", str(folder / "s.conf")]) as process:
        yield process


@contextlib.contextmanager
def circus(folder: Path, commands: list[list[str]]) -> Iterator[psutil.Process]:
    a, b = free_ports(2)
    lines = [f"[circus]\nendpoint=tcp://127.0.0.1:{a}\npubsub_endpoint=tcp://127.0.0.1:{b}\n"]
    for number, argv in enumerate(commands):
        lines.append(f"[watcher:c{number}]\ncmd={write_script(folder, number, argv)}\nmax_retry=-1\n")
    (folder / "c.ini").write_text("\n".join(lines))
    with running([str(peers() / "circusd"), str(folder / "c.ini")]) as process:
        yield process


@contextlib.contextmanager
def runit(folder: Path, commands: list[list[str]]) -> Iterator[psutil.Process]:
    for number, argv in enumerate(commands):
        service = folder / "sv" / f"c{number}"
        service.mkdir(parents=True)
        write_script(service, 0, argv).rename(service / "run")
    with running(["runsvdir", str(folder / "sv")]) as process:
        yield process


PEERS: dict[str, Starter] = {"supervisord": supervisord, "circus": circus, "runit": runit}


def write_script(folder: Path, number: int, argv: list[str]) -> Path:
    script = folder / f"c{number}.sh"
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
    script.write_text(f"#!/bin/sh\nexec {quoted}\n")
    script.chmod(0o755)
    return script


@contextlib.contextmanager
def running(argv: list[str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        end(process.pid)


def end(pid: int) -> None:
    """The supervisor first, so that it starts nothing again, then everything it had started."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in tree:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(tree, timeout=5)


def peers() -> Path:
    """The other supervisors' programs, installed once per machine boot into a temporary folder."""
    folder = Path(tempfile.gettempdir()) / "algo-bench-peers"
    if not (folder / "bin" / "circusd").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "supervisor", "circus", "setuptools<80"]
        subprocess.run(pip, check=True)
    return folder / "bin"


def memory_mb(process: psutil.Process) -> float:
    everyone = [process, *(p for p in process.children(recursive=True) if p.name() in ("runsv", "runsvdir"))]
    return sum(p.memory_info().rss for p in everyone) / 1e6


def cpu_ns(process: psutil.Process) -> int:
    own = [process, *(p for p in process.children() if p.name() == "runsv")]
    return sum(int(Path(f"/proc/{p.pid}/schedstat").read_text().split()[0]) for p in own)


def idle(children: int, seconds: float) -> dict[str, float]:
    """Ours over children that answer probes: what it keeps and burns while nothing happens."""
    with tempfile.TemporaryDirectory() as name:
        ports = free_ports(children)
        commands = [[sys.executable, "-S", "-c", HEALTH.replace("PORT", str(port))] for port in ports]
        with ours(Path(name), commands, ports) as process:
            time.sleep(5 + children / 10)
            before = cpu_ns(process)
            time.sleep(seconds)
            used = cpu_ns(process) - before
            return {"rss_mb": memory_mb(process), "cpu_percent": used / seconds / 1e7}


def peer_idle(start: Starter, children: int, seconds: float) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as name,
        start(Path(name), [["sleep", "100000"]] * children) as process,
    ):
        time.sleep(5 + children / 10)
        before = cpu_ns(process)
        time.sleep(seconds)
        return {"rss_mb": memory_mb(process), "cpu_percent": (cpu_ns(process) - before) / seconds / 1e7}


def restarts(start: Starter, kills: int) -> dict[str, float]:
    """Milliseconds from SIGKILL of a child to its successor's first act, one kill per child."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        births = [folder / f"born{n}" for n in range(kills)]
        commands = [born(path) for path in births]
        with start(folder, commands):
            waited(lambda: all(lines(p) for p in births))
            time.sleep(2)
            took = []
            for path in births:
                victim = int(lines(path)[-1].split()[1])
                at = time.time_ns()
                os.kill(victim, signal.SIGKILL)
                waited(lambda path=path: len(lines(path)) > 1)
                took.append((int(lines(path)[1].split()[0]) - at) / 1e6)
                time.sleep(0.1)
    return {"median_ms": statistics.median(took), "max_ms": max(took)}


def bare(kills: int) -> float:
    """Median milliseconds from ``Popen`` to the same child's first act: what no supervisor can avoid."""
    took = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(kills):
            path = Path(name) / f"born{number}"
            at = time.time_ns()
            child = subprocess.Popen(born(path))
            waited(lambda path=path: bool(lines(path)))
            took.append((int(lines(path)[0].split()[0]) - at) / 1e6)
            child.kill()
            child.wait()
    return statistics.median(took)


def born(path: Path) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", BORN, str(path)]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def waited(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_at:
            raise TimeoutError("the children did not come up")
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--children", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--with", dest="peers", default="supervisord,circus,runit")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    chosen = [n for n in args.peers.split(",") if n and (n != "runit" or shutil.which("runsvdir"))]
    start_ms = bare(args.kills)
    rows = {"algo": {**idle(args.children, args.seconds), **restarts(ours, args.kills)}}
    rows["algo, 50 children"] = idle(50, args.seconds / 2)
    for name in chosen:
        start = PEERS[name]
        rows[name] = {**peer_idle(start, args.children, args.seconds / 2), **restarts(start, args.kills)}
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print(
        f"{args.children} children, idle {args.seconds:g} s, {args.kills} kills; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"a bare start of the child takes {start_ms:.1f} ms and is taken off the restart times")
    print(f"{'':20}{'RSS MB':>9}{'idle CPU %':>12}{'restart ms':>12}{'max':>9}")
    for name, row in rows.items():
        own = [row[k] - start_ms if k in row else None for k in ("median_ms", "max_ms")]
        cells = (row["rss_mb"], row["cpu_percent"], *own)
        shown = ["-" if c is None else f"{c:.3f}" if i == 1 else f"{c:.1f}" for i, c in enumerate(cells)]
        print(f"{name:20}{shown[0]:>9}{shown[1]:>12}{shown[2]:>12}{shown[3]:>9}")


if __name__ == "__main__":
    main()
