"""Asks the supervisor and every running api, all at once. No judgement in here, and no page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brokers.errors import AlgoError, SettingsError
from gateway import settings as gateway_settings
from gateway.panicfile import NAME as PANIC_FILE
from gateway.panicfile import PanicFile
from gateway.settings import Settings
from supervisor.client import ask_running, message_of
from supervisor.running import ask
from supervisor.state import RunFolder

ASK_S = 2.0
EVENTS_KEPT = 60
AT_ONCE = 8


@dataclass(slots=True)
class Heard:
    """What one instance's api has said.

    Attributes:
        error: Why its last answer is missing; empty when it is not.
        status: ``/internal/fleet`` without the books.
        books: Orders, positions and funds as of the last answer that carried them.
    """

    error: str = ""
    status: dict[str, Any] = field(default_factory=dict)
    books: dict[str, Any] = field(default_factory=dict)
    version: int = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything.

    Attributes:
        status: The supervisor's; without instances when it does not answer (``error`` says why).
        stopped: Instances that have an env file and do not run: name -> broker.
        disk: Total and free bytes of the disk of the home; None when it cannot be looked at.
    """

    error: str
    status: dict[str, Any]
    heard: dict[str, Heard]
    settings: dict[str, Settings]
    stopped: dict[str, str]
    events: list[dict[str, Any]]
    disk: tuple[int, int] | None
    panic: dict[str, Any]


class Gatherer:
    """One home and venue. For one thread at a time (``watch`` sees to it)."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._panic = PanicFile(folder.path / PANIC_FILE)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ask")
        self._heard: dict[str, Heard] = {}
        self._loaded: dict[str, tuple[int, Settings]] = {}
        self._events: list[dict[str, Any]] = []
        self._supervisor: Any = None

    def look(self) -> Seen:
        """Everything now. What does not answer in ``ASK_S`` is said to be missing, never waited for."""
        error, status = "", dict[str, Any](instances=[], services=[], supervisor=None)
        try:
            status = ask(self.folder, "status")
            self._events = self._newer_events(status)
        except AlgoError as exc:
            error = str(exc)
        names = [str(row["name"]) for row in status["instances"]]
        settings = {name: one for name in names if (one := self._settings(name)) is not None}
        heard = dict(zip(settings, self._pool.map(self._ask_api, settings.values()), strict=True))
        self._heard = heard
        return Seen(
            error,
            status,
            heard,
            settings,
            self._stopped(names),
            self._events,
            _disk(self.folder.home),
            self.panicked(),
        )

    def settings(self, name: str) -> Settings:
        """As the env file says now. Raises ``SettingsError``."""
        return gateway_settings.load(self.folder.home, name, self.folder.venue)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settings(self, name: str) -> Settings | None:
        """Read again only when the file has changed; None while it cannot be read."""
        path = self.folder.home / "instances" / f"{name}.env"
        try:
            changed = path.stat().st_mtime_ns
            known = self._loaded.get(name)
            if known is None or known[0] != changed:
                known = self._loaded[name] = (changed, self.settings(name))
        except (OSError, SettingsError):
            return None
        return known[1]

    def _stopped(self, running: list[str]) -> dict[str, str]:
        found = {}
        for name in gateway_settings.instance_names(self.folder.home):
            if name not in running:
                one = self._settings(name)
                found[name] = one.broker if one is not None else ""
        return found

    def _ask_api(self, one: Settings) -> Heard:
        before = self._heard.get(one.name, Heard())
        path = f"/internal/fleet?known={before.version}"
        try:
            status, answer = ask_running(one, "GET", path, timeout_s=ASK_S)
        except AlgoError as exc:
            # another process may answer next time, and count its versions from the beginning
            return Heard(error=str(exc), books=before.books)
        if status != 200 or not isinstance(answer, dict):
            said = f"HTTP {status}: {message_of(answer, 'no reason given')}"
            return Heard(error=said, books=before.books)
        books = answer.pop("books")
        if books is None:
            return Heard(status=answer, books=before.books, version=before.version)
        return Heard(status=answer, books=books, version=int(answer["books_version"]))

    def _newer_events(self, status: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The supervisor's events, newest last; it counts from 1 again when it is another one."""
        if status.get("supervisor") != self._supervisor:
            self._supervisor = status.get("supervisor")
            self._events = []
        last = self._events[-1]["seq"] if self._events else 0
        found = ask(self.folder, "events", {"after": last, "wait_s": 0.0})["events"]
        return [*self._events, *found][-EVENTS_KEPT:]

    def panicked(self) -> dict[str, Any]:
        """The operator's last word on entries, now."""
        word = self._panic.read()
        if word is None or not word.active:
            return {"active": False, "reason": "", "at": "", "policy": ""}
        return {"active": True, "reason": word.reason, "at": word.at, "policy": word.policy}


def _disk(home: Path) -> tuple[int, int] | None:
    try:
        found = shutil.disk_usage(home)
    except OSError:
        return None
    return found.total, found.free
