"""What a person sees while probes are sent: a line for each instance, with what it has found so far."""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from supervisor.compare import sender
from supervisor.compare.probe import Plan
from supervisor.compare.sender import Shot

BAR = 16
"""Wide enough to see it move, narrow enough for the figures beside it in eighty columns."""


class Lines:
    """Shown in a terminal while the block runs, nowhere else. ``take`` may be called from any thread."""

    def __init__(self, plan: Plan, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(BAR), MofNCompleteColumn())
        self.shown = Progress(
            *columns,
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        steps = Counter(step.instance for step in plan.steps)
        self._tasks = {one: self.shown.add_task(one, total=steps[one], told="") for one in plan.instances}
        self._lock = threading.Lock()
        self._answered: dict[str, list[float]] = {name: [] for name in plan.instances}
        self._wrong: dict[str, Counter[str]] = {name: Counter() for name in plan.instances}

    def __enter__(self) -> Lines:
        self.shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shown.stop()

    def take(self, shot: Shot) -> None:
        with self._lock:
            if shot.latency_s is not None:
                insort(self._answered[shot.instance], shot.latency_s)
            elif shot.outcome != sender.NOT_SENT:
                self._wrong[shot.instance][shot.outcome] += 1
            told = self.told(shot.instance)
        self.shown.update(self._tasks[shot.instance], advance=1, told=told)

    def told(self, instance: str) -> str:
        """``median 1.34 ms, 2 lost``."""
        answered = self._answered[instance]
        parts = [f"median {answered[len(answered) // 2] * 1e3:.2f} ms"] if answered else []
        return ", ".join(parts + [f"{n} {word}" for word, n in sorted(self._wrong[instance].items())])

    def stopping(self) -> None:
        """Nothing more is sent: what is done is all there is to do."""
        for task in self.shown.tasks:
            self.shown.update(task.id, total=task.completed)
