"""Upgrades copies of a file and dies, with SIGKILL, at every line the migrations run; prints how many.

After each death the file must be whole and of one version, and the next upgrade must end as one that was
never disturbed. Forks, so that a death costs milliseconds; run as its own process.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

from gateway.store import migrations
from tests.gateway.store import step_next

LAST = max(migrations.STEPS) + 1
STEPS = {**migrations.STEPS, LAST: step_next.__name__}
WATCHED = tuple(str(Path(m.__file__ or "").parent) for m in (migrations, step_next))


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        # a rebuilt table lists its unnamed constraints in any order
        return sorted(
            ",".join(sorted(part.strip(" ,") for part in row.split("\n"))) for row in connection.iterdump()
        )


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()[0])


def dying_at(number: int) -> Callable[[FrameType, str, Any], Any]:
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def upgraded(path: Path, die_at: int) -> bool:
    """In a process of its own. False when it died."""
    child = os.fork()
    if child == 0:
        sys.settrace(dying_at(die_at))
        migrations.upgrade(path, version(path), LAST, steps=STEPS)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def main(source: Path, folder: Path, every: int) -> None:
    """Args: every: 1 for every line; a larger number takes every so manieth."""
    whole = folder / "whole.db"
    shutil.copy(source, whole)
    before = contents(source)
    migrations.upgrade(whole, 1, LAST, steps=STEPS)
    after = contents(whole)
    number, ended = 1 - every, False
    while not ended:
        number += every
        path = folder / f"{number}.db"
        shutil.copy(source, path)
        ended = upgraded(path, number)
        reached = version(path)
        assert 1 <= reached <= LAST
        assert reached > 1 or contents(path) == before, f"line {number}: changed without a new version"
        if reached < LAST:
            migrations.upgrade(path, reached, LAST, steps=STEPS)
        assert contents(path) == after, f"line {number}: another end"
        assert contents(folder / f"{number}.db.before-{LAST}") == before, (
            f"line {number}: not what was there before"
        )
        for left in folder.glob(f"{number}.db*"):
            left.unlink()
    print(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
