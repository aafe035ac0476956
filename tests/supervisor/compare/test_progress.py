"""The lines of a running probe, as a terminal of eighty columns shows them."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from supervisor.compare import probe, sender
from supervisor.compare.progress import Lines
from supervisor.compare.sender import Shot
from tests.supervisor.compare.pipeline import MARKET

NAMES = ("a_long_name", "kotak")


def lines(console: Console) -> Lines:
    return Lines(probe.plan("NSE", "SBIN", "BUY", dict.fromkeys(NAMES, MARKET), 400, 1), console)


def shot(instance: str, ms: float | None, outcome: str = sender.ACKNOWLEDGED) -> Shot:
    return Shot(0, instance, "place", 1.0, 1.0, None if ms is None else 1.0 + ms / 1e3, outcome)


@pytest.mark.parametrize("width", [80, 120])
def test_each_instance_has_a_line_with_its_figures_so_far(width: int) -> None:
    console = Console(width=width, force_terminal=True, file=io.StringIO(), legacy_windows=False)
    with lines(console) as shown:
        for ms in (9.0, 1.0, 2.5):
            shown.take(shot("kotak", ms))
        shown.take(shot("kotak", None, sender.LOST))
        shown.take(shot("kotak", 3.0, sender.REJECTED))
        shown.take(shot("a_long_name", 1234.56))
        shown.take(shot("a_long_name", None, sender.NOT_SENT))
    plain = Console(width=width, file=io.StringIO())
    plain.print(shown.shown.get_renderable())
    assert isinstance(plain.file, io.StringIO)
    one, other = plain.file.getvalue().splitlines()
    assert max(len(one), len(other)) <= width
    assert re.fullmatch(r"a_long_name [━ ]{16} +2/1200 \S+ median 1234.56 ms *", one)
    assert re.fullmatch(r"kotak +[━ ]{16} +5/1200 \S+ median 2.50 ms, 1 lost, 1 rejected *", other)


def test_a_stop_leaves_nothing_to_wait_for() -> None:
    shown = lines(Console(force_terminal=True, file=io.StringIO()))
    shown.take(shot("kotak", 1.0))
    shown.stopping()
    assert [(task.completed, task.total) for task in shown.shown.tasks] == [(0, 0), (1, 1)]


def test_a_file_gets_no_lines() -> None:
    console = Console(file=io.StringIO())
    with lines(console) as shown:
        shown.take(shot("kotak", 1.0))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""
