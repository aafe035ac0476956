"""The newest comparisons of a home and venue, as page fragments: ``algo compare`` writes, pages show them.

One file for each kind below ``db[/sim]/compare/``, without script and without style of its own. Light on
purpose: the command line writes it, and no page computes statistics beside trading.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.panicfile import write_whole

FOLDER = "compare"
KINDS = {"day": "The day's orders", "orders": "Order probes", "ticks": "Tick race"}
LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """``html`` is ours: it was made by ``supervisor.compare.page``, from escaped values."""

    kind: str
    title: str
    html: str
    at: datetime


def folder_of(run_dir: Path) -> Path:
    """Beside the run folder of the venue, so that simulated figures never stand among live ones."""
    return run_dir.parent / FOLDER


def write(folder: Path, kind: str, html: str) -> None:
    """Replace the comparison of one kind. Raises ``OSError``."""
    write_whole(folder / f"{kind}.html", html)


def read(folder: Path) -> list[Kept]:
    """What there is; a file that cannot be read is left out, as is one larger than any report."""
    found = []
    for kind, title in KINDS.items():
        path = folder / f"{kind}.html"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            state = path.stat()
            if state.st_size <= LARGEST:
                at = datetime.fromtimestamp(state.st_mtime, UTC)
                found.append(Kept(kind, title, path.read_text("utf-8"), at))
    return found
