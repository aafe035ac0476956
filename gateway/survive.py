"""The top of a thread or task that must go on whatever happens: what nobody foresaw is logged there."""

from __future__ import annotations

import logging
from types import TracebackType


class survive:
    """One turn of a loop nobody else could start again: ``with survive(log, "the settler"):``.

    ``failed`` says afterwards whether it went wrong. What ends a process (``KeyboardInterrupt``,
    ``CancelledError`` …) passes.

    Args:
        what: Stands in the log before the traceback.
    """

    __slots__ = ("_log", "_what", "failed")

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self.failed = False

    def __enter__(self) -> survive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(problem, Exception):
            return False
        self.failed = True
        self._log.error(self._what, exc_info=problem)
        return True
