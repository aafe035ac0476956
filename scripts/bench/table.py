"""Run every benchmark beside its references and write one table into docs/benchmarks.md.

    scripts/bench/all [NAME…] [--table]

What each printed is kept under ``build/bench/`` with commit and load; a benchmark that is not run again keeps
its last answer, and its row says from which commit. Nothing fails on a slow machine: a missed aim is a row.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from scripts.bench.load import machine
from scripts.bench.targets import BENCHES, DESIGN, Bench, Target

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- scripts/bench/all: begin -->", "<!-- scripts/bench/all: end -->"


def commit() -> str:
    """The short commit, with a plus when the tree differs from it."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def run(bench: Bench) -> None:
    """Run one benchmark and keep what it said."""
    command = [sys.executable, str(ROOT / "scripts" / "bench" / bench.argv[0]), *bench.argv[1:]]
    head = {"commit": commit(), "date": today(), "load": round(os.getloadavg()[0], 1)}
    print(f"{bench.name}: {' '.join(bench.argv)} (load {head['load']})", flush=True)
    began = time.monotonic()
    # supervisord's own package is called `supervisor`, too
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{bench.name}.json").write_text(json.dumps(head), "utf-8")
    (KEPT / f"{bench.name}.txt").write_text(done.stdout, "utf-8")
    took = f"  {time.monotonic() - began:.0f} s"
    # 1 with an output: the benchmark itself says that an aim is missed
    if done.returncode not in (0, 1) or (done.returncode and not done.stdout.strip()):
        took += f", exit code {done.returncode}: {done.stderr.strip()[-300:]}"
    print(took, flush=True)


def figure(value: float | None, unit: str = "") -> str:
    """Three significant digits, thousands apart."""
    if value is None:
        return ""
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown} {unit}".strip() if unit not in ("/s", "×", "%") else f"{shown}{unit}"


def read(take: object, text: str) -> float | None:
    """The figure, or ``None`` when the output has none."""
    try:
        return take(text) if callable(take) else None
    except LookupError:
        return None


def row(bench: Bench, target: Target, text: str, head: dict[str, object]) -> str:
    """One line of the table."""
    value = read(target.take, text)
    if value is None:
        verdict, aim = "no figure", ""
    elif target.aim is None:
        verdict, aim = "", ""
    else:
        met = value <= target.aim if target.most else value >= target.aim
        verdict = "met" if met else f"**missed**{': ' + target.why if target.why else ''}"
        aim = f"{'≤' if target.most else '≥'} {figure(target.aim, target.unit)}"
    cells = (
        target.measure,
        figure(value, target.unit),
        figure(read(target.beside, text), target.unit),
        aim,
        verdict,
        f"{bench.name}, {head.get('commit', '')}, {head.get('load', '')}",
    )
    return "| " + " | ".join(cells) + " |"


def table() -> str:
    """The whole section."""
    host = machine()
    lines = [
        BEGIN,
        "",
        f"{today()}, {host['cores']} cores {host['cpu']}, Python {platform.python_version()}.",
        "*beside*: the reference in the same run. Last column: benchmark, commit, load when it began.",
        "",
        "| measure | seen | beside | aim | | run |",
        "|---|---|---|---|---|---|",
    ]
    texts: dict[str, str] = {}
    for bench in BENCHES:
        path = KEPT / f"{bench.name}.txt"
        if not path.exists():
            continue
        texts[bench.name] = path.read_text("utf-8")
        head = json.loads(path.with_suffix(".json").read_text("utf-8"))
        lines += [row(bench, target, texts[bench.name], head) for target in bench.targets]
    lines += ["", "Beside figures that design documents of comparable products name:", ""]
    lines += ["| measure | theirs | ours |", "|---|---|---|"]
    for measure, theirs, name, take, unit in DESIGN:
        lines.append(f"| {measure} | {theirs} | {figure(read(take, texts.get(name, '')), unit)} |")
    return "\n".join([*lines, "", END])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [bench.name for bench in BENCHES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--table", action="store_true", help="only write the table anew from what is kept")
    args = parser.parse_args()
    if unknown := set(args.names) - set(names):
        parser.error(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    if not args.table:
        for bench in BENCHES:
            if not args.names or bench.name in args.names:
                run(bench)
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + table() + after, "utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
