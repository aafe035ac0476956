"""A lock that dies with its holder."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: untested
    fcntl = None  # type: ignore[assignment]  # a module elsewhere


class FolderLock:
    """An exclusive lock on a file nothing else opens. ``held`` says whether it was free.

    Args:
        wait: Block until it is free instead of giving up at once.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self._path = path
        self._wait = wait
        self._file: IO[str] | None = None
        self.held = False

    def __enter__(self) -> FolderLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        os.set_inheritable(self._file.fileno(), False)
        if fcntl is None:
            self.held = True
            return self
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
            self.held = True
        except BlockingIOError:
            self.held = False
        return self

    def fileno(self) -> int:
        """For a child that is to go on holding it."""
        assert self._file is not None, "used outside its with block"
        return self._file.fileno()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
