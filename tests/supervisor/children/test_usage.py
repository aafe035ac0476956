"""What a process uses, judged over several samples."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from gateway.settings.limits import ProcessLimits
from supervisor.children.usage import EVERY_S, SAMPLES, Sample, Usage, judged, look

LIMITS = ProcessLimits(descriptors=100, threads=10, memory_mb=500, cpu_percent=50)


def after(*rows: tuple[float, float], limits: ProcessLimits = LIMITS) -> Usage:
    """Usage after samples of (memory MB, percent of a core since the last one)."""
    usage, cpu_s = Usage(), 0.0
    for number, (memory_mb, percent) in enumerate(rows):
        cpu_s += percent / 100 * EVERY_S
        usage = judged(usage, Sample(number * EVERY_S, 20, 5, memory_mb, cpu_s), limits)
    return usage


def test_over_a_limit_for_a_minute_is_told_with_the_figure() -> None:
    assert after(*[(640.0, 0.0)] * SAMPLES).strain == "memory 640 MB, more than 500 for 57 s"
    assert after(*[(100.0, 80.0)] * SAMPLES).strain == "cpu 80 % of a core, more than 50 for 57 s"


def test_a_peak_is_not_told() -> None:
    rows = [(640.0, 90.0)] * SAMPLES
    assert after(*rows[:-1]).strain == ""
    for quiet in range(1, SAMPLES):
        assert after(*rows[:quiet], (100.0, 1.0), *rows[quiet + 1 :]).strain == ""


def test_it_is_over_when_it_is_well_below() -> None:
    rows = [(640.0, 0.0)] * SAMPLES
    assert after(*rows, (480.0, 0.0)).strain.startswith("memory 480 MB")
    assert after(*rows, (440.0, 0.0)).strain == ""
    assert after(*rows, (440.0, 0.0), (510.0, 0.0)).strain == ""


def test_zero_is_no_limit() -> None:
    none = ProcessLimits(descriptors=0, threads=0, memory_mb=0, cpu_percent=0)
    assert after(*[(9999.0, 300.0)] * SAMPLES, limits=none).strain == ""


def test_this_process_is_seen_as_it_is(tmp_path: Path) -> None:
    before = look(os.getpid(), 1.0)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        seen = look(os.getpid(), 2.0)
    stop.set()
    thread.join()
    assert before is not None
    assert seen is not None
    assert (seen.threads - before.threads, seen.descriptors - before.descriptors) == (1, 2)
    assert 10 < seen.memory_mb < 4000
    assert 0 < before.cpu_s <= seen.cpu_s
    assert look(2**22 + 1, 0.0) is None
