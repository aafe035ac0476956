from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

from historify.model import DayState
from historify.segments import inbox
from historify.segments.inbox import Inbox
from tests.historify.rows import FROM_BROKER, SBIN, bars


def test_what_is_dropped_arrives_whole_and_in_order(tmp_path: Path):
    box = Inbox(tmp_path / "inbox")
    assert box.waiting() == []
    covered = {date(2025, 3, 4): DayState.FULL, date(2025, 3, 5): DayState.EMPTY}
    for number in range(5):
        assert box.drop(SBIN, bars("2025-03-04 04:00", 5, price=number), FROM_BROKER, covered)
    letters = box.waiting(3)
    assert [list(one.bars.rows()) for one in letters] == [
        list(bars("2025-03-04 04:00", 5, price=number).rows()) for number in range(3)
    ]
    assert (letters[0].series, letters[0].provenance, letters[0].covered) == (SBIN, FROM_BROKER, covered)
    for one in letters:
        box.done(one)
        box.done(one)
    assert [one.bars.close[0] for one in box.waiting()] == [3.0, 4.0]


def test_a_torn_file_is_put_aside_and_the_rest_goes_on(tmp_path: Path):
    box = Inbox(tmp_path)
    for number in range(4):
        box.drop(SBIN, bars("2025-03-04 04:00", 5, price=number), FROM_BROKER)
    first, second, third, _ = sorted(tmp_path.glob("*.bars"))
    content = bytearray(third.read_bytes())
    content[-20] ^= 1  # still a number
    third.write_bytes(content)
    first.write_bytes(first.read_bytes()[:-3])
    second.write_bytes(b"")
    assert [one.bars.close[0] for one in box.waiting()] == [3.0]
    assert len(list(tmp_path.glob("*.bad"))) == 3


def test_a_full_inbox_takes_no_more(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(inbox, "MOST", 2)
    box = Inbox(tmp_path)
    assert [box.drop(SBIN, bars("2025-03-04 04:00", 1), FROM_BROKER) for _ in range(3)] == [True, True, False]
    assert len(box.waiting()) == 2


def test_reading_processes_load_neither_pyarrow_nor_duckdb():
    code = (
        "import sys, historify.store, historify.segments.inbox, historify.lease;"
        "print(sorted({'pyarrow', 'duckdb', 'psycopg', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
