"""The table of `scripts/bench/all`: a figure is found, judged by its aim, and never invented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bench import table
from scripts.bench.targets import BENCHES, Bench, Target, field, seen

SAID = 'ours   1,234 /s   4.5 us\n{"row": "a", "p": {"p50": 2.5}}\n{"row": "b", "p": {"p50": 7.5}}\n'


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target("rate", seen(r"^ours +([\d,]+)"), "/s", 1000, most=False), "1,234/s", "met"),
        (Target("rate", seen(r"^ours +([\d,]+)"), "/s", 2000, most=False), "1,234/s", "**missed**"),
        (Target("p50", field("p.p50", row="b"), "ms", 7.4, why="it waits"), "7.5 ms", "**missed**: it waits"),
        (Target("p50", field("p.p50", row="a"), "ms", 2.5, why="it waits"), "2.5 ms", "met"),
        (Target("p50", field("p.p50", row="c"), "ms", 7.4, why="it waits"), "", "no figure"),
        (Target("cpu", seen(r"([\d.]+) us", 0.001), "ms"), "0.0045 ms", ""),
    ],
)
def test_a_row_says_what_was_seen_and_whether_it_is_enough(target: Target, value: str, verdict: str) -> None:
    line = table.row(Bench("x", ("x.py",), (target,)), target, SAID, {"commit": "abc", "load": 0.5})
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert (cells[1], cells[4], cells[5]) == (value, verdict, "x, abc, 0.5")


def test_the_table_keeps_the_last_answer_and_names_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "KEPT", tmp_path)
    (tmp_path / "zmq.txt").write_text("product   65,000 messages/s\nbare   70,000 messages/s\n", "utf-8")
    (tmp_path / "zmq.json").write_text(json.dumps({"commit": "abc1234", "load": 3.0}), "utf-8")
    text = table.table()
    assert "| 65,000/s | 70,000/s | ≥ 60,000/s | met | zmq, abc1234, 3.0 |" in text
    assert text.startswith(table.BEGIN)
    assert text.endswith(table.END)


def test_every_benchmark_that_is_asked_exists() -> None:
    folder = Path(table.__file__).parent
    assert [b.argv[0] for b in BENCHES if not (folder / b.argv[0]).is_file()] == []
    assert len({b.name for b in BENCHES}) == len(BENCHES)
