"""What a process uses: read from the system, and judged over several samples.

One sample says nothing: the instrument file is parsed at full speed for seconds every morning. Only what is
over its limit in each of the last ``SAMPLES`` is told.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from gateway.settings.limits import ProcessLimits

SAMPLES = 4
EVERY_S = 19.0
"""Between two samples; the first and the last of those judged are about a minute apart."""
ENOUGH_BELOW = 0.9
"""What was over its limit is over until it is so far below."""
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6 if hasattr(os, "sysconf") else 0.004096


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    Attributes:
        at: Monotonic seconds.
        cpu_s: Seconds of processor time since its start.
    """

    at: float
    descriptors: int
    threads: int
    memory_mb: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The last samples of one process and what of them is over its limit: name -> words for a person."""

    samples: tuple[Sample, ...] = ()
    over: tuple[tuple[str, str], ...] = ()

    @property
    def strain(self) -> str:
        return ", ".join(text for _, text in self.over)

    def to_plain(self) -> dict[str, Any] | None:
        if not self.samples:
            return None
        last = self.samples[-1]
        return {
            "descriptors": last.descriptors,
            "threads": last.threads,
            "memory_mb": round(last.memory_mb, 1),
            "cpu_percent": round(_percents(self.samples[-2:])[0], 1) if len(self.samples) > 1 else None,
        }


def judged(usage: Usage, sample: Sample, limits: ProcessLimits) -> Usage:
    """Pure: with one more sample."""
    samples = (*usage.samples, sample)[-SAMPLES:]
    span_s = samples[-1].at - samples[0].at
    was = dict(usage.over)
    over = []
    for name, unit, values, limit in (
        ("descriptors", "", [float(s.descriptors) for s in samples], float(limits.descriptors)),
        ("threads", "", [float(s.threads) for s in samples], float(limits.threads)),
        ("memory", " MB", [s.memory_mb for s in samples], limits.memory_mb),
        ("cpu", " % of a core", _percents(samples), limits.cpu_percent),
    ):
        full = len(samples) == SAMPLES
        begins = full and min(values) > limit
        goes_on = name in was and bool(values) and values[-1] > limit * ENOUGH_BELOW
        if limit and (begins or goes_on):
            text = f"{name} {values[-1]:.0f}{unit}, more than {limit:.0f} for {span_s:.0f} s"
            over.append((name, text))
    return Usage(samples, tuple(over))


def _percents(samples: Sequence[Sample]) -> list[float]:
    """Of one core, between neighbours."""
    return [
        100.0 * (b.cpu_s - a.cpu_s) / (b.at - a.at) for a, b in itertools.pairwise(samples) if b.at > a.at
    ] or [0.0]


def look(pid: int, at: float) -> Sample | None:
    """Read one process; None when it is gone or not ours to see.

    Linux: two reads of ``/proc``, 0.05 ms; elsewhere psutil.
    """
    try:
        if sys.platform == "linux":
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            return Sample(
                at,
                len(os.listdir(f"/proc/{pid}/fd")),
                int(fields[17]),
                int(fields[21]) * _PAGE_MB,
                (int(fields[11]) + int(fields[12])) * _TICK_S,
            )
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            count = process.num_fds() if hasattr(process, "num_fds") else 0
            memory_mb = process.memory_info().rss / 1e6
            return Sample(at, count, process.num_threads(), memory_mb, times.user + times.system)
    except (OSError, psutil.Error):
        return None
